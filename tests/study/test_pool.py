"""Runs spread over processes and over a real Dask cluster, whose workers are killed while they train."""

import functools
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from pathlib import Path

import pytest

from minidl.study import Attack, BusyError, Folder, Place, Run, Work, Workers, finish
from minidl.study.pool import ATTEMPTS, do_all

ROOT = Path(__file__).parents[2]
KILL = getattr(signal, "SIGKILL", signal.SIGTERM)  # on Windows this one cannot be caught
ATTACK = Attack((0.0, 16.0))
WORK = [Work(Run("digits", 8, 8, "fc5", 64, epochs=20, lr=0.05, seed=seed), (ATTACK,)) for seed in range(3)]


def do(piece, place):
    return finish(piece.run, piece.attacks, place)


def do_and_say_who(piece, place):
    """As ``do``, leaving the worker's process number for the one who kills it."""
    folder = Folder(place.out).run(piece.run)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "worker").write_text(str(os.getpid()), encoding="utf-8")
    return do(piece, place)


def weights(out):
    return [(Folder(out).run(piece.run) / "weights.safetensors").read_bytes() for piece in WORK]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    out = tmp_path_factory.mktemp("alone")
    for piece in WORK:
        do(piece, Place(out, threads=1, progress=False))
    return weights(out)


def place(out):
    return Place(out, threads=1, checkpoint_share=1, progress=False)


def kill_one(out):
    """Kill the first worker that has written a checkpoint."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        for checkpoint in out.rglob("epoch-*.safetensors"):
            os.kill(int((checkpoint.parent / "worker").read_text(encoding="utf-8")), KILL)
            killed.append(checkpoint.parent.name)
            return
        time.sleep(0.002)


killed: list[str] = []


def test_in_this_process(tmp_path, alone):
    ended = list(do_all(WORK, functools.partial(do, place=place(tmp_path)), Workers()))
    assert [piece for piece, _, error in ended if error is None] == WORK
    assert weights(tmp_path) == alone


def test_one_run_that_fails_leaves_the_others_be(tmp_path):
    def fail(piece):
        if piece is WORK[1]:
            raise ArithmeticError("the loss is nan")
        return "done"

    ended = {piece.run.seed: (result, str(error)) for piece, result, error in do_all(WORK, fail, Workers())}
    assert ended == {0: ("done", "None"), 1: (None, "the loss is nan"), 2: ("done", "None")}


class Gone(Executor):
    """What a Dask client does with its futures when it loses the scheduler."""

    def submit(self, fn, /, *args, **kwargs):
        future = Future()
        future.cancel()
        future.set_running_or_notify_cancel()
        return future


def test_a_scheduler_that_goes_is_an_error_of_its_runs(monkeypatch):
    monkeypatch.setattr(Workers, "executor", lambda self: Gone())
    ended = list(do_all(WORK, str, Workers()))
    assert {piece for piece, _, _ in ended} == set(WORK)
    for _, _, error in ended:
        assert isinstance(error, ConnectionError)
        assert "scheduler is gone" in str(error)


def test_processes_one_of_which_is_killed(tmp_path, alone, capfd):
    killed.clear()
    killer = threading.Thread(target=kill_one, args=(tmp_path,))
    killer.start()
    ended = list(do_all(WORK, functools.partial(do_and_say_who, place=place(tmp_path)), Workers(2)))
    killer.join()
    assert killed
    assert {piece for piece, _, error in ended if error is None} == set(WORK)
    assert weights(tmp_path) == alone
    assert "its worker died" in capfd.readouterr().err


def die_or_wait(piece, folder):
    """The middle one always kills its worker; the first one is at work meanwhile."""
    with (folder / f"starts-{piece.run.seed}").open("a") as file:
        file.write(f"{os.getpid()}\n")
    if piece.run.seed == 1:
        os.kill(os.getpid(), KILL)
    deadline = time.monotonic() + 120
    while piece.run.seed == 0 and starts(folder, 1) < ATTEMPTS and time.monotonic() < deadline:
        time.sleep(0.01)
    return piece.run.seed


def starts(folder, seed):
    path = folder / f"starts-{seed}"
    return len(path.read_text(encoding="utf-8").split()) if path.exists() else 0


def test_a_run_that_always_kills_its_worker_fails_alone(tmp_path):
    ended = {
        p.run.seed: (r, e) for p, r, e in do_all(WORK, functools.partial(die_or_wait, folder=tmp_path), Workers(2))
    }
    assert isinstance(ended[1][1], BrokenExecutor)
    assert (ended[0], ended[2]) == ((0, None), (2, None))
    assert [starts(tmp_path, seed) for seed in (0, 1, 2)] == [1, ATTEMPTS, 1]


def die_once(piece, folder):
    if piece.run.seed == 1 and not starts(folder, 1):
        (folder / "starts-1").write_text(str(os.getpid()), encoding="utf-8")
        time.sleep(0.5)
        os.kill(os.getpid(), KILL)
    return piece.run.seed


def test_a_worker_may_die_while_a_result_is_looked_at(tmp_path):
    ended = []
    for piece, result, error in do_all(WORK, functools.partial(die_once, folder=tmp_path), Workers(2)):
        while not starts(tmp_path, 1):
            time.sleep(0.01)
        time.sleep(1)  # as long as a table takes, and the other worker dies
        ended.append((piece.run.seed, result, error))
    assert sorted(ended) == [(seed, seed, None) for seed in (0, 1, 2)]


ENDLESS = """
import os, pathlib, signal, sys, time
from minidl.study import Run, Work, Workers
from minidl.study.pool import ATTEMPTS, do_all

def endless(piece):
    while True:
        pathlib.Path(__file__).with_name(f"worker-{os.getpid()}").touch()
        time.sleep(0.02)

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's job in the background ignores it
    list(do_all([Work(Run("digits", 8, 8, "fc5", 64, 1, 0.1, seed=seed), ()) for seed in (0, 1)], endless, Workers(2)))
"""


@pytest.mark.parametrize("how", ["SIGKILL", "SIGINT", "SIGTERM"])
def test_workers_end_with_the_process_that_made_them(tmp_path, how):
    if not hasattr(signal, how) or (how == "SIGINT" and os.name == "nt"):
        pytest.skip(f"this system sends no {how}")
    (tmp_path / "script.py").write_text(ENDLESS, encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "script.py")], env=environment, stderr=subprocess.DEVNULL
    )
    wait_until(lambda: len(list(tmp_path.glob("worker-*"))) == 2)
    process.send_signal(getattr(signal, how))
    assert process.wait(timeout=60) != 0
    wait_until(lambda: not any(is_alive(worker) for worker in tmp_path.glob("worker-*")))


def wait_until(true):
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_alive(worker):
    """Whether it still touches its file."""
    before = worker.stat().st_mtime_ns
    time.sleep(1)
    return worker.stat().st_mtime_ns != before


@pytest.mark.filterwarnings("default")  # Dask's own, of its dashboard and of workers that die
def test_a_dask_cluster_whose_worker_is_killed(tmp_path, alone):
    distributed = pytest.importorskip("distributed")
    killed.clear()
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        workers = Workers(dask=cluster.scheduler_address)
        killer = threading.Thread(target=kill_one, args=(tmp_path,))
        killer.start()
        ended = list(do_all(WORK, functools.partial(do_and_say_who, place=place(tmp_path)), workers))
        killer.join()
        workers.close()
    assert killed
    assert {piece for piece, _, error in ended if error is None} == set(WORK)
    assert weights(tmp_path) == alone


def test_two_processes_on_one_run(tmp_path):
    folder = Folder(tmp_path)
    with ProcessPoolExecutor(1) as pool, folder.working_on(WORK[0].run):
        before = sorted(path.name for path in folder.run(WORK[0].run).iterdir())
        error = pool.submit(do, WORK[0], place(tmp_path)).exception()
        assert isinstance(error, BusyError)
        assert f"process {os.getpid()} on" in str(error)
        assert sorted(path.name for path in folder.run(WORK[0].run).iterdir()) == before
    do(WORK[0], place(tmp_path))


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"count": 0}, ValueError, "workers is 0"),
        ({"count": 2, "dask": "tcp://host:1"}, ValueError, "either 2 workers or the Dask cluster"),
    ],
)
def test_workers_that_cannot_be(settings, error, words):
    with pytest.raises(error, match=words):
        Workers(**settings)


def test_a_client_that_failed_is_gone_before_another_one_starts(monkeypatch):
    """Dask's would close itself when it is collected, under a lock that a start holds: both waited for ever."""
    distributed = pytest.importorskip("distributed")
    alive = weakref.WeakSet()

    class Failing:
        def __init__(self, address, timeout):
            assert not alive
            self.itself = self  # as Dask's, it is garbage that only a collection finds
            alive.add(self)
            raise OSError("nobody answers")

    monkeypatch.setattr(distributed, "Client", Failing)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="nobody answers"):
            Workers(dask="tcp://127.0.0.1:9")


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "nonsense://x", "no address"])
def test_an_unreachable_dask_address(address, monkeypatch):
    pytest.importorskip("distributed")
    from minidl.study import pool

    monkeypatch.setattr(pool, "PATIENCE", 1)
    with pytest.raises(RuntimeError, match=r"no Dask scheduler answers at .*tcp://host:8786"):
        Workers(dask=address)
