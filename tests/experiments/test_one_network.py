"""The experiment that one reads alone: it runs, says what came out, and is as short as it says."""

import os
import subprocess
import sys
from pathlib import Path

import minidl as md

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "experiments" / "one_network.py"


def test_it_trains_prunes_attacks_prints_and_draws(tmp_path):
    options = ["--epochs", "3", "--sparsity", "0.8", "--out", str(tmp_path / "one")]
    done = subprocess.run(
        [sys.executable, "-W", "error", str(SCRIPT), *options],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=300,
        env=os.environ | {"PYTHONPATH": str(ROOT), "MPLBACKEND": "agg"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("80.0% of the weights are zero\n")
    assert done.stdout.count("interval") == 7
    assert (tmp_path / "one" / "accuracy.png").stat().st_size > 5000
    model = md.models.fc5(image_size=8, channels=1)
    md.load(model, tmp_path / "one" / "weights.safetensors")
    assert abs(md.compress.sparsity(model) - 0.8) < 1e-3


def test_it_is_read_alone():
    text = SCRIPT.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 70
    assert "minidl.study" not in text
    assert "from common" not in text
