"""A Dask cluster of two workers: client, workers and scheduler are killed at random, and the bits stay the same.

MINIDL_DASK_KILLS=30 kills so often, in as many studies as that takes; without it the test is skipped, as each kill
costs the start of a process or two.
"""

import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from minidl.study import BAD, Folder, examine, pool
from minidl.study.examine import MISSING

ROOT = Path(__file__).parents[2]
KILLS = int(os.environ.get("MINIDL_DASK_KILLS", "0"))
SETTINGS = (
    "--figures 11 --seeds 0 1 --sparsities 0 0.9 --epsilons 0 8 32 --fc5.epochs 60 --prune-steps 4 --attack-part 0.2 "
    "--pixels 16 --crop 16 --batch-sizes 64 64 --checkpoint-share 1"
).split()


def cluster(*args):
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler" if args[0] == "scheduler" else WORKER, *args[1:]]
    return subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


WORKER = "distributed.cli.dask_worker"
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT), "NUMBA_NUM_THREADS": "1"}


class Cluster:
    """A scheduler, two workers and a client, each of which is started again when it is gone."""

    def __init__(self, out, log):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.address, self.out, self.log = f"tcp://127.0.0.1:{self.port}", out, log
        self.processes = {}

    def start(self, name):
        if name == "scheduler":
            here = ("--host", "127.0.0.1", "--port", str(self.port), "--no-dashboard")
            process = cluster("scheduler", *here)
            until(lambda: answers(self.port))
        elif name == "client":
            command = [sys.executable, str(ROOT / "experiments" / "study.py"), *SETTINGS]
            more = ["--dask", self.address, "--out", str(self.out)]
            process = subprocess.Popen([*command, *more], env=ENVIRONMENT, stdout=self.log, stderr=self.log)
        else:
            process = cluster("worker", self.address, "--nthreads", "1", "--no-nanny", "--no-dashboard")
        self.processes[name] = process

    def start_all(self):
        for name in ("scheduler", "worker 1", "worker 2", "client"):
            if name not in self.processes or self.processes[name].poll() is not None:
                self.start(name)

    def kill(self, name):
        self.processes[name].send_signal(signal.SIGKILL)
        self.processes[name].wait()

    def close(self):
        for process in self.processes.values():
            process.kill()
            process.wait()


def answers(port):
    with socket.socket() as there:
        return there.connect_ex(("127.0.0.1", port)) == 0


def until(true):
    deadline = time.monotonic() + 120
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_finished(out):
    return not {finding.state for finding in examine(Folder(out))} & {MISSING, *BAD}


def result(out):
    paths = [path for name in ("*.csv", "weights.safetensors") for path in sorted(out.rglob(name))]
    return {path.relative_to(out): path.read_bytes() for path in paths if path.name != "curve.csv"}


@pytest.mark.skipif(KILLS == 0, reason="needs MINIDL_DASK_KILLS, how often to kill")
def test_killed_at_random(tmp_path):
    pytest.importorskip("distributed")
    alone = tmp_path / "alone"
    command = [sys.executable, str(ROOT / "experiments" / "study.py"), *SETTINGS, "--out", str(alone)]
    subprocess.run(command, env=ENVIRONMENT, check=True, capture_output=True)
    rng, kills, statuses, study = random.Random(os.urandom(8)), [], [], 0
    while len(kills) < KILLS or statuses[-1:] != [0]:
        study += 1
        out = tmp_path / f"study{study}"
        with (tmp_path / "log").open("a") as log:
            running = Cluster(out, log)
            try:
                finish_under_fire(running, rng, kills, statuses)
            finally:
                running.close()
        assert result(out) == result(alone)
        print(f"study {study}: {len(kills)} kills {kills}, statuses of the client {statuses}")
    assert "Traceback" not in (tmp_path / "log").read_text(encoding="utf-8")


def test_a_scheduler_that_dies_is_one_line(tmp_path):
    pytest.importorskip("distributed")
    with (tmp_path / "log").open("w") as log:
        running = Cluster(tmp_path / "study", log)
        try:
            for name in ("scheduler", "client"):  # without workers, so that all of it is waiting
                running.start(name)
            until(lambda: (tmp_path / "study" / "study.json").is_file())
            time.sleep(1)
            running.kill("scheduler")
            assert running.processes["client"].wait(timeout=60) == 1
        finally:
            running.close()
    said = (tmp_path / "log").read_text(encoding="utf-8").splitlines()
    assert said[0] == "0 of 4 networks are trained and attacked"
    assert said[-1].startswith("error: 4 networks are missing, and the same command tries again: fc5-b64-")
    assert said[-1].endswith(f"({pool.LOST})")
    assert not [line for line in said[1:-1] if not line.startswith(("page ", "table ", "figures "))]


def finish_under_fire(running, rng, kills, statuses):
    """Until the client ends with 0; by then all must be done."""
    running.start_all()
    while True:
        until_then = time.monotonic() + rng.uniform(0.5, 12)
        while time.monotonic() < until_then and running.processes["client"].poll() is None:
            time.sleep(0.05)
        status = running.processes["client"].poll()
        if status is not None:
            statuses.append(status)
            assert status in (0, 1, -signal.SIGKILL)
            if status == 0:
                assert is_finished(running.out), "status 0, and not all is done"
                return
        elif len(kills) < KILLS:
            name = rng.choice(["scheduler", "worker 1", "worker 2", "client"])
            running.kill(name)
            kills.append(name)
            if name == "client":
                statuses.append(running.processes["client"].returncode)
        running.start_all()
