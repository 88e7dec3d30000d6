"""fit killed at any instant and taken up again ends with the same bits: MINIDL_KILLS=100 to try a hundred times."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
KILLS = int(os.environ.get("MINIDL_KILLS", "2"))
SCRIPT = """
import sys
from pathlib import Path
import numpy as np, minidl as md
from minidl import nn
from minidl.checkpoint import Checkpoints

folder, epochs, minimised = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
md.manual_seed(7)
images, labels = md.data.digits("train")
first = nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU())
last = {"penalized": nn.VariationalLinear}.get(minimised, nn.Linear)(288, 10)
model = nn.Sequential(first, nn.Dropout(0.3), nn.Flatten(), last)
objective = {
    "cross-entropy": lambda: md.objectives.CrossEntropy(2.0),
    "adversarial": lambda: md.objectives.Adversarial(8 / 255, steps=2),
    "distillation": lambda: md.objectives.Distillation(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), 4.0, mix=0.5),
    "penalized": lambda: md.objectives.Penalized(1 / 640, ramp=(0, 10 * epochs)),
}[minimised]()
optimizer = md.optim.Adam(model.parameters(), lr=1e-3)
batches = md.data.Loader(images[:640], labels[:640], 64, pad=1, seed=3)
pruner = md.compress.MagnitudePruner(model, 0.9, start=5, every=3, count=3 * epochs)
parts = {"objective": objective, "after_step": [pruner], "batches": batches}
checkpoints = Checkpoints(folder, share=1)
done = checkpoints.resume(model, optimizer, **parts) or {"epochs": 0}

def on_epoch(epoch):
    checkpoints.save(epoch.epoch + 1, model, optimizer, {"epochs": epoch.epoch + 1}, **parts)

if done["epochs"] < epochs:
    md.fit(model, batches, optimizer, epochs, objective=objective, after_step=[pruner], progress=False,
           schedule=md.optim.one_cycle(2e-3, epochs * len(batches)), on_epoch=on_epoch, first_epoch=done["epochs"])
md.save(model, folder / "weights.safetensors")
"""


OBJECTIVES = ("cross-entropy", "adversarial", "distillation", "penalized")


def start(folder, epochs, minimised):
    return subprocess.Popen([sys.executable, "-c", SCRIPT, str(folder), str(epochs), minimised], cwd=ROOT)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no kill -9")
@pytest.mark.parametrize("minimised", OBJECTIVES)
def test_killed_at_random_moments(minimised, tmp_path):
    epochs, when = 8 * KILLS + 12, random.Random(os.urandom(8))
    alone, killed = tmp_path / "alone", tmp_path / "killed"
    assert start(alone, epochs, minimised).wait(timeout=600) == 0
    kills, process = 0, start(killed, epochs, minimised)
    while kills < KILLS and process.poll() is None:
        newest = max([p.stat().st_mtime_ns for p in killed.glob("epoch-*.safetensors")], default=0)
        while process.poll() is None:  # until it trains: a kill shall hit a training and not an import
            if any(p.stat().st_mtime_ns > newest for p in list(killed.glob("epoch-*.safetensors")) if p.exists()):
                break
            time.sleep(0.005)
        time.sleep(when.uniform(0, 0.2))
        process.send_signal(signal.SIGKILL)
        kills += process.wait() == -signal.SIGKILL
        process = start(killed, epochs, minimised)
    assert process.wait(timeout=600) == 0
    assert kills == KILLS
    assert (killed / "weights.safetensors").read_bytes() == (alone / "weights.safetensors").read_bytes()
