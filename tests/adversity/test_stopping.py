"""A study that is stopped, or cannot be finished, says so: in one line, with a status that is not 0."""

import errno
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from minidl.records import CannotWriteError
from minidl.study import Attack, Figure, Folder, Place, Run, Workers, pool, room, run_study, work
from tests.adversity.damage import SETTINGS, command

ROOT = Path(__file__).parents[2]
STOPPED = "stopped: the same command goes on, from its last checkpoint"
RUN = Run("digits", 8, 8, "fc5", 256, epochs=1, lr=0.05)
OTHER = Run("digits", 8, 8, "fc5", 256, epochs=1, lr=0.06)
ATTACK = Attack((0, 16))
FIGURES = [Figure("11", "FC5", "sparsity", ((RUN, ATTACK), (OTHER, ATTACK)))]
RECORD = {"command": "", "preset": "quick", "settings": {"figures": ["11"], "seeds": [0]}}


def as_in_a_terminal():
    """A shell's job in the background, and all that it starts, ignores Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(*args, **settings):
    """A study in a process, and a group, of its own."""
    return subprocess.Popen(
        [sys.executable, str(ROOT / "experiments" / "study.py"), *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        start_new_session=True,
        preexec_fn=as_in_a_terminal,
        **settings,
    )


def ends_with_one_line(process, within):
    began = time.monotonic()
    try:
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert time.monotonic() - began < within
    assert process.returncode == 1, err
    lines = [line for line in err.splitlines() if "epoch" not in line and "compiles" not in line]
    assert [line for line in lines if not line.startswith("run ")] == [STOPPED], err


def until(true):
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize(("how", "workers"), [(signal.SIGINT, "1"), (signal.SIGTERM, "1"), (signal.SIGTERM, "2")])
def test_a_signal_to_all_of_its_processes_while_it_trains(tmp_path, how, workers):
    """Ctrl-C in a terminal, and what SLURM sends: the lock is given back, and the same command goes on."""
    args = [*SETTINGS, "--fc5.epochs", "100000", "--workers", workers, "--out", str(tmp_path)]
    process = start(*args, "--checkpoint-share", "1")
    until(lambda: list(tmp_path.rglob("epoch-*.safetensors")) or process.poll() is not None)
    os.killpg(process.pid, how)
    ends_with_one_line(process, within=5)
    assert list(tmp_path.rglob("epoch-*.safetensors"))
    for lock in (tmp_path / "runs").glob("*/lock"):
        until(lambda name=lock.parent.name: not Folder(tmp_path).is_busy(name))


@pytest.mark.parametrize("after", [0.1, 0.7])
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_it_still_imports(tmp_path, how, after):
    process = start(*SETTINGS, "--fc5.epochs", "100000", "--out", str(tmp_path / "out"))
    until(lambda: "interrupts" in opened(process.pid))
    time.sleep(after)
    process.send_signal(how)
    ends_with_one_line(process, within=5)


def opened(pid):
    """Which of minidl's libraries a process has mapped: NumPy comes after our handlers."""
    maps = Path(f"/proc/{pid}/maps")
    if not maps.exists():
        return "interrupts"
    return "interrupts" if "_multiarray_umath" in maps.read_text(encoding="utf-8") else ""


# Runs that others are working on


def test_a_busy_run_is_missing_and_said_to_be(study, capsys):
    dense = next(path for path in (study.out / "runs").iterdir() if "sparsity" not in path.name)
    (dense / "run.json").unlink()
    import filelock

    with filelock.FileLock(dense / "lock"):
        (dense / "owner.json").write_text('{"process": 7, "host": "elsewhere"}')
        said = command(study.out, "--patience", "1")
    assert said.startswith("error: 1 network is missing")
    assert f"{dense.name} ({dense.name}: process 7 on elsewhere is working on it" in said
    assert "\n" not in said
    assert command(study.out) is None
    assert study.read_tables() == study.tables


def test_a_busy_run_is_waited_for(study):
    dense = next(path for path in (study.out / "runs").iterdir() if "sparsity" not in path.name)
    (dense / "run.json").unlink()
    import filelock

    lock = filelock.FileLock(dense / "lock", thread_local=False)
    lock.acquire()
    threading.Timer(2, lock.release).start()
    assert command(study.out, "--patience", "60") is None
    assert study.read_tables() == study.tables


def test_shards_say_what_they_lack_of_their_own_alone(study):
    dense = next(path for path in (study.out / "runs").iterdir() if "sparsity" not in path.name)
    (dense / "run.json").unlink()
    assert command(study.out, "--shard", "2/2") is None  # the dense run is the first part's
    assert "1 of 2" in (study.out / "index.html").read_text(encoding="utf-8")
    assert command(study.out, "--shard", "1/2") is None
    assert study.read_tables() == study.tables


# Disks


def test_no_room_is_seen_before_a_training(tmp_path, monkeypatch):
    monkeypatch.setattr(room.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9, 10**6))
    monkeypatch.setattr(work, "train", lambda *args: pytest.fail("it was trained"))
    with pytest.raises(CannotWriteError, match=r"needs \d+\.\d MB for weights, checkpoints and attacks.*1\.0 MB free"):
        run_study(FIGURES, Place(tmp_path, progress=False), RECORD)
    assert not (tmp_path / "index.html").exists()


def test_the_first_file_that_cannot_be_written_ends_the_study(tmp_path, monkeypatch):
    trained = []

    def train(run, *args, train=work.train):
        trained.append(run)
        return train(run, *args)

    def full(model, path):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(work, "train", train)
    monkeypatch.setattr(work, "save", full)
    words = r"weights\.safetensors could not be written, which needs \d+\.\d MB \(No space left on device\)"
    with pytest.raises(CannotWriteError, match=words):
        run_study(FIGURES, Place(tmp_path, progress=False), RECORD)
    assert trained == [RUN]


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))  # as on a disk that is nearly full
sys.path[0] = sys.argv[1]
sys.argv = ["study.py", *sys.argv[2:]]
import runpy
runpy.run_path(sys.path[0] + "/study.py", run_name="__main__")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits of the system")
def test_a_full_disk_names_the_file_and_no_page_that_is_not_there(tmp_path):
    args = [sys.executable, "-c", LIMITED, str(ROOT / "experiments"), *SETTINGS, "--out", str(tmp_path / "out")]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(args, capture_output=True, text=True, check=False, timeout=120, env=environment)
    assert done.returncode == 1
    words = r"error: .*weights\.safetensors could not be written, which needs \d\.\d MB \(File too large\)"
    assert re.search(words, done.stderr)
    assert "Traceback" not in done.stderr
    assert "index.html" not in done.stdout + done.stderr
    assert done.stderr.count("epoch 1/1") == 1  # the second network is not trained


# What a command may ask for


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--shard", ""], "--shard is empty"),
        (["--only", ""], "--only is empty"),
        (["--checkpoint-share", "nan"], "--checkpoint-share: nan is not in (0, 1]"),
        (["--checkpoint-share", "-1"], "--checkpoint-share: -1.0"),
        (["--patience", "nan"], "--patience"),
        (["--pixels", "800000", "--crop", "800000"], "to at most 512"),
        (["--temperatures", "1e300", "--figures", "13a"], "the temperature is 1e+300"),
        (["--temperatures", "1e-40", "--figures", "13a"], "from 1e-06 to 1e+06"),
        (["--seeds", "-1"], "seed is -1"),
        (["--check"], "no study to check"),
    ],
)
def test_what_cannot_be_is_refused_at_once(tmp_path, args, words):
    assert words in command(tmp_path / "out", *args)
    assert not (tmp_path / "out").exists()


def test_no_memory_is_an_error_in_words(study, monkeypatch):
    next(study.out.rglob("run.json")).unlink()

    def full(*args):
        raise MemoryError

    monkeypatch.setattr(work, "train", full)
    said = command(study.out)
    assert "there is not enough memory" in said
    monkeypatch.undo()
    monkeypatch.setattr("minidl.study.run_study", full)
    assert "there is not enough memory" in command(study.out)


# Clusters


class Scheduler:
    """A client of a scheduler that has so many workers."""

    def __init__(self, workers):
        self.workers = workers

    def scheduler_info(self):
        return {"workers": self.workers}


def test_a_cluster_without_workers_is_told_of_after_ten_seconds_and_each_minute(monkeypatch, capsys):
    clock, client = [0.0], Scheduler({})
    monkeypatch.setattr(pool, "connect", lambda address: client)
    monkeypatch.setattr(pool.time, "monotonic", lambda: clock[0])
    workers, told = Workers(dask="tcp://host:8786"), []
    for clock[0] in range(0, 200, 2):
        workers.look()
        if err := capsys.readouterr().err:
            told.append((clock[0], err))
    assert [when for when, _ in told] == [10, 70, 130, 190]
    assert told[0][1] == (
        "no workers at tcp://host:8786, for 10 s: waiting; start some with: dask worker tcp://host:8786 --nthreads 1\n"
    )
    client.workers = {"tcp://a:1": {}}
    workers.look()
    client.workers = {}
    clock[0] += 9
    workers.look()
    assert capsys.readouterr().err == ""


def test_a_scheduler_that_is_gone_is_told_of_once(study, monkeypatch, capsys):
    for path in study.out.rglob("run.json"):
        path.unlink()
    from concurrent.futures import Executor, Future

    class Gone(Executor):
        def submit(self, fn, /, *args, **kwargs):
            future = Future()
            future.cancel()
            future.set_running_or_notify_cancel()
            return future

    monkeypatch.setattr(Workers, "executor", lambda self: Gone())
    said = command(study.out)
    assert said.startswith("error: 2 networks are missing")
    assert said.count("\n") == 0
    assert said.count("scheduler is gone") == 1
    assert "gone" not in capsys.readouterr().err
