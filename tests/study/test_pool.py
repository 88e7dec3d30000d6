"""Runs spread over processes and over a real Dask cluster, whose workers are killed while they train."""

import functools
import os
import signal
import threading
import time
from concurrent.futures import ProcessPoolExecutor

import pytest

from minidl.study import Attack, BusyError, Folder, Place, Run, Work, Workers, finish
from minidl.study.pool import do_all

ATTACK = Attack((0.0, 16.0))
WORK = [Work(Run("digits", 8, 8, "fc5", 64, epochs=20, lr=0.05, seed=seed), (ATTACK,)) for seed in range(3)]


def do(piece, place):
    return finish(piece.run, piece.attacks, place)


def do_and_say_who(piece, place):
    """As ``do``, leaving the worker's process number for the one who kills it."""
    folder = Folder(place.out).run(piece.run)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "worker").write_text(str(os.getpid()))
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
            os.kill(int((checkpoint.parent / "worker").read_text()), signal.SIGKILL)
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


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "nonsense://x", "no address"])
def test_an_unreachable_dask_address(address, monkeypatch):
    pytest.importorskip("distributed")
    from minidl.study import pool

    monkeypatch.setattr(pool, "PATIENCE", 1)
    with pytest.raises(RuntimeError, match=r"no Dask scheduler answers at .*tcp://host:8786"):
        Workers(dask=address)
