"""A run that is killed at any instant, and started again, ends with the bits of one left alone."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from minidl import report
from minidl.study import Attack, Folder, Place, Pruning, Run, finish

ROOT = Path(__file__).parents[2]
KILLS = int(os.environ.get("MINIDL_KILLS", "3"))
EPOCHS = 12 * KILLS + 10  # long enough to be killed so often
RUN = Run("digits", 16, 16, "fc5", 64, epochs=EPOCHS, lr=0.05, pruning=Pruning(0.9))
ATTACK = Attack((0.0, 8.0, 32.0))
COMMAND = f"""
import sys
from pathlib import Path
from minidl.study import Attack, Place, Pruning, Run, finish
run = Run("digits", 16, 16, "fc5", 64, epochs={EPOCHS}, lr=0.05, pruning=Pruning(0.9))
finish(run, [Attack((0.0, 8.0, 32.0))], Place(Path(sys.argv[1]), threads=1, checkpoint_share=1, progress=False))
"""


def kept(out):
    """All that a run leaves, but for what tells the time."""
    folder = Folder(out)
    path = folder.run(RUN)
    curve = [
        {name: value for name, value in row.items() if name != "images_per_second"}
        for row in report.read_csv(path / "curve.csv")
    ]
    record = json.loads((path / "run.json").read_text(encoding="utf-8"))
    with np.load(folder.attack(RUN, ATTACK)) as file:
        attack = {name: file[name].tobytes() for name in file.files}
    whole = {name: record[name] for name in ("name", "run", "val_loss", "val_accuracy", "sparsity", "parameters")}
    return (path / "weights.safetensors").read_bytes(), curve, attack, whole


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no kill -9")
def test_killed_at_random_moments(tmp_path):
    finish(RUN, [ATTACK], Place(tmp_path / "alone", threads=1, progress=False))
    killed, when = 0, random.Random(os.urandom(8))
    start = subprocess.Popen([sys.executable, "-c", COMMAND, str(tmp_path / "killed")], cwd=ROOT)
    while not list((tmp_path / "killed").rglob("epoch-*")) and start.poll() is None:
        time.sleep(0.01)  # a machine may be slow to start: the kills are counted from the first checkpoint on
    while killed < KILLS and start.poll() is None:
        time.sleep(when.uniform(0, 0.4))
        start.send_signal(signal.SIGKILL)
        killed += start.wait() == -signal.SIGKILL
        start = subprocess.Popen([sys.executable, "-c", COMMAND, str(tmp_path / "killed")], cwd=ROOT)
        if killed < KILLS:
            wait_for_another(tmp_path / "killed", start)
    assert start.wait(timeout=300) == 0
    assert killed == KILLS
    assert kept(tmp_path / "killed") == kept(tmp_path / "alone")
    assert not list((tmp_path / "killed").rglob("epoch-*")), "the checkpoints of a finished run are deleted"


def wait_for_another(out, process):
    """Until the process has begun to train, so that the kill hits a training and not an import."""
    before = {path: path.stat().st_mtime_ns for path in out.rglob("epoch-*")}
    while process.poll() is None:
        if any(before.get(path) != path.stat().st_mtime_ns for path in out.rglob("epoch-*.safetensors")):
            return
        time.sleep(0.005)
