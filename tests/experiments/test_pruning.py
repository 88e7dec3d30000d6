"""The main job from its command line: what it writes, what it says, and what it refuses."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from minidl import report

ROOT = Path(__file__).parents[2]
TINY = (
    "--figures 11 --sparsities 0 0.9 --epsilons 0 8 32 --fc5.epochs 2 --prune-steps 4 --attack-part 0.5 --pixels 8 "
    "--crop 8"
).split()


def pruning(*args, **settings):
    command = [sys.executable, str(ROOT / "experiments" / "pruning.py"), *args]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, **settings)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("pruning")
    return pruning(*TINY, "--out", str(out)), out


def test_it_ends_well_and_says_where_things_are(finished):
    process, out = finished
    assert process.returncode == 0, process.stderr
    for name in ("results.csv", "figure-11.png"):
        assert str(out / name) in process.stdout
        assert (out / name).is_file()
    assert (out / "figure-11.svg").is_file()


def test_the_table_is_tidy(finished):
    _, out = finished
    rows = report.read_csv(out / "results.csv")
    assert [(r["sparsity"], round(r["epsilon"] * 255)) for r in rows] == [(s, e) for s in (0, 0.9) for e in (0, 8, 32)]
    for r in rows:
        assert r["model"] == "fc5"
        assert r["images"] == 180
        assert r["achieved_sparsity"] == pytest.approx(r["sparsity"], abs=1e-5)
        assert r["accuracy_low"] <= r["accuracy"] <= r["accuracy_high"]
    for clean, *attacked in (rows[:3], rows[3:]):
        assert clean["drop"] == 0
        for r in attacked:
            assert r["drop"] == pytest.approx(clean["accuracy"] - r["accuracy"])


def test_the_training_curves_are_kept(finished):
    _, out = finished
    curve = report.read_csv(out / "curves" / "figure-11-sparsity-90-seed-0.csv")
    assert [r["epoch"] for r in curve] == [0, 1]
    assert curve[-1]["sparsity"] == pytest.approx(0.9, abs=1e-5)


def test_the_settings_are_kept(finished):
    _, out = finished
    record = json.loads((out / "settings.json").read_text())
    assert "minidl" in record["versions"]
    settings = record["settings"]
    assert settings["sparsities"] == [0.0, 0.9]
    assert settings["fc5"] == {"epochs": 2, "lr": 0.1}


def test_results_of_other_settings_are_not_overwritten(finished):
    _, out = finished
    before = (out / "results.csv").read_bytes()
    process = pruning(*TINY, "--out", str(out), "--seeds", "1")
    assert process.returncode != 0
    assert "seeds was [0], now [1]" in process.stderr
    assert (out / "results.csv").read_bytes() == before


def test_the_same_command_gives_the_same_numbers(finished, tmp_path):
    _, out = finished
    assert pruning(*TINY, "--out", str(tmp_path)).returncode == 0
    assert (tmp_path / "results.csv").read_text() == (out / "results.csv").read_text()


def test_help_names_the_presets_and_options():
    process = pruning("--help")
    assert process.returncode == 0
    for word in ("quick", "laptop", "paper", "--sparsities", "--resnet18.epochs", "1/255"):
        assert word in process.stdout


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--preset", "huge"], ["huge", "quick", "laptop", "paper"]),
        (["--sparsitys", "0.5"], ["--sparsitys", "--sparsities"]),
        (["--sparsities", "1.0"], ["sparsit", "1.0", "[0, 1)"]),
        (["--epsilons", "-1"], ["epsilon", "-1"]),
        (["--figures", "12"], ["12", "10a"]),
        (["--scope", "both"], ["both", "layer", "global"]),
        (["--pixels", "12"], ["12", "8 x 8"]),
        (["--device", "tpu"], ["tpu", "cpu", "gpu"]),
        (["--figures", "10a"], ["AlexNet", "63"]),
        (["--batch-size", "0"], ["batch_size", "0"]),
        (["--batch-size", "2000"], ["2000", "1437"]),
        (["--epsilons"], ["--epsilons", "at least one"]),
        (["--attack-part", "0.001"], ["--attack-part", "0.001", "360"]),
        (["--fc5.epochs", "0"], ["--fc5.epochs", "0"]),
        (["--prune-between", "0.7", "0.2"], ["--prune-between", "0.7"]),
    ],
)
def test_bad_settings_are_refused_before_training(args, words, tmp_path):
    process = pruning(*args, "--out", str(tmp_path / "out"))
    assert process.returncode != 0
    said = process.stdout + process.stderr
    assert "Traceback" not in said
    for word in words:
        assert word in said
    assert not (tmp_path / "out").exists()


def test_missing_imagenette_says_how_to_get_it(tmp_path):
    environment = {k: v for k, v in os.environ.items() if k != "MINIDL_DATA"} | {"HOME": str(tmp_path)}
    process = pruning("--preset", "laptop", "--root", str(tmp_path), env=environment)
    assert process.returncode != 0
    assert "Traceback" not in process.stderr
    assert "download" in process.stderr
    assert "MINIDL_DATA" in process.stderr
