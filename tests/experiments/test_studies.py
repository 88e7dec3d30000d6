"""The studies from their command lines: what they write, what they say, what they refuse."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from minidl import report

ROOT = Path(__file__).parents[2]
TINY = (
    "--sparsities 0 0.9 --temperatures 1 20 --epsilons 0 8 32 --fc5.epochs 2 --resnet18.epochs 1 --prune-steps 4 "
    "--attack-part 0.5 --pixels 8 --crop 8 --batch-sizes 256 256"
).split()


def study(script, *args, **settings):
    command = [sys.executable, str(ROOT / "experiments" / f"{script}.py"), *args]
    return subprocess.run(
        command, capture_output=True, text=True, encoding="utf-8", check=False, timeout=600, **settings
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """FC5 and ResNet18 at two sparsities, three ranks and two temperatures: figures 9, 11, 12b, 13a, 13b and 13c."""
    out = tmp_path_factory.mktemp("study")
    return study("study", *TINY, "--figures", *"9 11 12b 13a 13b 13c".split(), "--out", str(out)), out


def test_it_ends_well_and_says_where_things_are(finished):
    process, out = finished
    assert process.returncode == 0, process.stderr
    assert "7 of 7 networks are trained and attacked" in process.stdout  # the baseline of four figures is one network
    for name in ("results.csv", "index.html", "claims.csv", "study.json"):
        assert (out / name).is_file()
    for name in ("results.csv", "index.html"):
        assert str(out / name) in process.stdout
    for figure in "9 11 12b 13a 13b 13c".split():
        for ending in ("svg", "png"):
            assert (out / "figures" / f"figure-{figure}.{ending}").is_file()


def test_the_table_is_tidy(finished):
    rows = report.read_csv(finished[1] / "results.csv")
    assert len({tuple(r[name] for name in ("figure", "run", "images", "epsilon")) for r in rows}) == len(rows)
    assert len(rows) == (2 + 2 + 3 + 2 + 2 + 2) * 2 * 3  # networks in all figures, fresh and paired, epsilons
    for r in rows:
        assert r["count"] == 180
        assert r["achieved_sparsity"] == pytest.approx(r["sparsity"], abs=1e-4)
        assert r["accuracy_low"] <= r["accuracy"] <= r["accuracy_high"]
        assert r["loss"] == ("margin" if r["figure"] == "13c" else "cross_entropy")
        assert r["attack_temperature"] == (r["temperature"] if r["figure"] == "13b" else 1)
    clean = [r for r in rows if r["epsilon"] == 0]
    assert all(r["drop"] == 0 for r in clean)


def test_every_pruned_layer_reaches_its_sparsity_to_the_weight(finished):
    from safetensors.numpy import load_file

    paths = [path for path in (finished[1] / "runs").iterdir() if "sparsity90" in path.name]
    assert len(paths) == 2
    for path in paths:
        weights = {name: w for name, w in load_file(path / "weights.safetensors").items() if w.ndim >= 2}
        assert len(weights) >= 5
        for w in weights.values():
            assert abs(int((w == 0).sum()) - 0.9 * w.size) <= 1


def test_each_run_is_recorded(finished):
    for path in (finished[1] / "runs").iterdir():
        record = json.loads((path / "run.json").read_text(encoding="utf-8"))
        assert record["name"] == path.name
        assert {"minidl", "numpy", "python"} <= set(record["versions"])
        assert record["seconds"] > 0
        assert record["multiply_adds"] > record["parameters"] / 2
        curve = report.read_csv(path / "curve.csv")
        assert len(curve) == record["run"]["epochs"]
        assert curve[-1]["val_accuracy"] == record["val_accuracy"]
        assert not list(path.glob("epoch-*")), "the checkpoints of a finished run are deleted"


def test_event_files_hold_what_a_person_watches(finished):
    path = next(p for p in (finished[1] / "runs").iterdir() if p.name.startswith("fc5") and "sparsity90" in p.name)
    (events,) = path.glob("events.out.tfevents*")
    content = events.read_bytes()
    for tag in ("loss/training", "accuracy/validation", "learning_rate", "sparsity/all", "sparsity_by_layer/"):
        assert tag.encode() in content


def test_a_finished_study_is_not_done_again(finished):
    _, out = finished
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file() and path.name != "study.json"}
    process = study("study", *TINY, "--figures", "9", "11", "--out", str(out))  # figures are added, never dropped
    assert process.returncode == 0, process.stderr
    assert "7 of 7" in process.stdout
    assert "epoch" not in process.stderr
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_another_seed_is_added_to_the_study(finished, tmp_path):
    out = shutil.copytree(finished[1], tmp_path / "copy")
    process = study("study", *TINY, "--figures", "11", "--seeds", "1", "--only", "fc5", "--out", str(out))
    assert process.returncode == 0, process.stderr
    assert "9 of 14" in process.stdout
    rows = report.read_csv(out / "results.csv")
    assert {r["seed"] for r in rows if r["figure"] == 11} == {0, 1}
    assert {r["seed"] for r in rows if r["figure"] == 9} == {0}
    page = (out / "index.html").read_text(encoding="utf-8")
    assert "missing" in page.lower()
    assert "seed1" in page  # the page is of today's results, though there was one before
    for name in ("figures/figure-11.svg", "claims.csv"):
        assert (out / name).read_bytes() != (finished[1] / name).read_bytes()


def test_other_attacks_are_added_to_the_study(finished, tmp_path):
    """The networks are there: they are attacked with what is missing, and a matrix needs one more as its control."""
    out = shutil.copytree(finished[1], tmp_path / "copy")
    before = {path: path.stat().st_mtime_ns for path in out.rglob("run.json")}
    attacks = "--attacks pgd auto --pgd.steps 3 --auto.steps 2 --auto.queries 3 --auto.every 12".split()
    process = study("study", *TINY, *attacks, "--figures", "14", "--out", str(out))
    assert process.returncode == 0, process.stderr
    assert "8 of 8" in process.stdout
    assert {path: path.stat().st_mtime_ns for path in before} == before
    found = json.loads((out / "study.json").read_text(encoding="utf-8"))
    assert found["settings"]["attacks"] == ["fgsm", "pgd", "auto"]  # attacks are added, never dropped
    twins = [figure["figure"] for figure in found["figures"] if "of" in figure]
    assert twins == "9-pgd 9-auto 11-pgd 11-auto 12b-pgd 12b-auto 13a-pgd 13-auto 13b-pgd 13c-pgd".split()
    assert [figure["figure"] for figure in found["transfers"]] == ["14", "14-pgd"]
    assert list(found["transfers"][0]["seeds"][0]["networks"]) == [
        "dense",
        "90 % pruned",
        "LR1",
        "T = 20",
        "another seed",
    ]
    rows = report.read_csv(out / "results.csv")
    for figure in twins:
        assert (out / "figures" / f"figure-{figure}.svg").is_file()
        assert {r["count"] for r in rows if str(r["figure"]) == figure} == {15 if figure.endswith("auto") else 180}
    # networks that were trained for an epoch may have no image that two of them have right: no matrix, and no error
    assert len(list((out / "transfers").iterdir())) == 2
    assert "Figure 14-pgd" in (out / "index.html").read_text(encoding="utf-8")


def test_the_recorded_command_makes_the_whole_study_anew(finished, tmp_path):
    _, out = finished
    found = json.loads((out / "study.json").read_text(encoding="utf-8"))
    words = found["command"].split()
    assert words[:4] == ["python", "experiments/study.py", "--preset", "quick"]
    assert words[-2:] == ["--out", str(out)]
    again = study("study", *words[2:-2], "--out", str(tmp_path), "--only", "fc5")
    assert again.returncode == 0, again.stderr
    made = json.loads((tmp_path / "study.json").read_text(encoding="utf-8"))
    assert made["settings"] == found["settings"]
    assert "--only" not in made["command"]  # it says how to make all of it


def test_shards_and_workers_together_make_the_same_study(finished, tmp_path):
    mine = [*TINY, "--figures", "11", "--out", str(tmp_path)]
    first = study("pruning", *mine, "--shard", "1/2")
    assert first.returncode == 0, first.stderr
    assert "1 of 2" in first.stdout
    second = study("pruning", *mine, "--workers", "2")
    assert second.returncode == 0, second.stderr
    assert "2 of 2" in second.stdout
    rows = [r for r in report.read_csv(finished[1] / "results.csv") if r["figure"] == 11]
    assert report.read_csv(tmp_path / "results.csv") == rows


@pytest.mark.parametrize(("script", "figure"), [("pruning", "11"), ("low_rank", "12b"), ("temperature", "13b")])
def test_each_study_runs_alone_and_gives_the_whole_study_s_numbers(finished, tmp_path, script, figure):
    process = study(script, *TINY, "--figures", figure, "--out", str(tmp_path))
    assert process.returncode == 0, process.stderr
    whole = (finished[1] / "results.csv").read_text(encoding="utf-8").splitlines()
    assert (tmp_path / "results.csv").read_text(encoding="utf-8").splitlines()[1:] == [
        r for r in whole if r.startswith(f"{figure},")
    ]


def test_results_of_other_settings_are_not_overwritten(finished):
    _, out = finished
    before = {path: path.read_bytes() for path in out.iterdir() if path.is_file()}
    process = study("study", *TINY, "--figures", "11", "--out", str(out), "--fc5.epochs", "3")
    assert process.returncode != 0
    assert "other settings" in process.stderr
    assert "fc5 was" in process.stderr
    assert {path: path.read_bytes() for path in before} == before


def test_what_no_network_of_the_study_depends_on_may_be_another(finished, tmp_path):
    """A folder without AlexNet takes another recipe of AlexNet's, which it does not tell of."""
    out = shutil.copytree(finished[1], tmp_path / "copy")
    process = study("study", *TINY, "--figures", "11", "--out", str(out), "--alexnet.lr", "0.1")
    assert process.returncode == 0, process.stderr
    record = json.loads((out / "study.json").read_text(encoding="utf-8"))
    assert {"fc5", "resnet18"} <= record["settings"].keys()
    assert "alexnet" not in record["settings"]
    assert "alexnet" not in record["command"]
    assert "AlexNet 64" not in (out / "index.html").read_text(encoding="utf-8")


def test_a_folder_of_a_newer_version_is_left_alone(tmp_path):
    (tmp_path / "study.json").write_text('{"format": 99, "future": true}', encoding="utf-8")
    process = study("pruning", *TINY, "--figures", "11", "--out", str(tmp_path))
    assert process.returncode != 0
    assert "newer minidl (format 99" in process.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["study.json"]


def test_a_damaged_attack_is_named(finished, tmp_path):
    out = shutil.copytree(finished[1], tmp_path / "copy")
    path = next((out / "runs").glob("fc5*/attacks/fresh*.npz"))
    path.write_bytes(path.read_bytes()[:50])
    process = study("study", *TINY, "--figures", "11", "--out", str(out))
    assert process.returncode != 0
    assert f"{path} is damaged" in process.stderr
    path.unlink()
    again = study("study", *TINY, "--figures", "11", "--out", str(out))
    assert again.returncode == 0, again.stderr
    np.testing.assert_equal(report.read_csv(out / "results.csv"), report.read_csv(finished[1] / "results.csv"))


def test_help_names_the_presets_and_options():
    process = study("study", "--help")
    assert process.returncode == 0
    for word in ("quick", "laptop", "paper", "--sparsities", "--resnet18.epochs", "1/255", "--dask", "--shard"):
        assert word in process.stdout


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--preset", "huge"], ["huge", "quick", "laptop", "paper"]),
        (["--sparsitys", "0.5"], ["--sparsitys", "--sparsities"]),
        (["--sparsities", "1.0"], ["sparsit", "1.0", "[0, 1)"]),
        (["--epsilons", "-1"], ["epsilon", "-1"]),
        (["--figures", "14"], ["14", "10a"]),
        (["--figures", "12a"], ["12a", "experiments/study.py"]),
        (["--scope", "both"], ["both", "layer", "global"]),
        (["--pixels", "12"], ["12", "8 x 8"]),
        (["--device", "tpu"], ["tpu", "cpu", "gpu"]),
        (["--figures", "10a", "--alexnet.pixels", "16"], ["AlexNet", "63"]),
        (["--batch-sizes", "0", "0"], ["batch_size", "0"]),
        (["--batch-sizes", "2000", "2000"], ["2000", "1437"]),
        (["--epsilons"], ["--epsilons", "at least one"]),
        (["--attack-part", "0"], ["--attack-part", "0"]),
        (["--fc5.epochs", "0"], ["0 epochs"]),
        (["--prune-between", "0.7", "0.2"], ["0.7", "0.2"]),
        (["--shard", "3/2"], ["3/2", "i/N"]),
        (["--only", "vgg"], ["vgg", "fc5-b"]),
        (["--workers", "0"], ["workers", "0"]),
        (["--certify", "alexnet"], ["--certify alexnet", "64 pixels", "choose fc5"]),
        (["--certify", "resnet18"], ["--certify resnet18", "16 pixels", "--pixels 8 --crop 8"]),
        (["--certify", "fc5", "--band-epsilons", "300"], ["--band-epsilons", "300"]),
        (["--attacks", "cw"], ["cw", "fgsm", "pgd", "apgd", "auto"]),
        (["--attacks", "pgd", "--pgd.steps", "0"], ["steps is 0", "at least 1"]),
        (["--attacks", "auto", "--auto.every", "0"], ["every is 0"]),
        (["--workers", "2", "--dask", "tcp://127.0.0.1:9"], ["either 2 workers or the Dask cluster"]),
    ],
)
def test_bad_settings_are_refused_before_training(args, words, tmp_path):
    process = study("pruning", *args, "--out", str(tmp_path / "out"))
    assert process.returncode != 0
    said = process.stdout + process.stderr
    assert "Traceback" not in said
    for word in words:
        assert word in said
    assert not (tmp_path / "out").exists()


def test_a_study_without_figures_is_refused(tmp_path):
    """A matrix of transfer has no worst case, and nothing else was asked for."""
    process = study("transfer", "--attacks", "auto", "--out", str(tmp_path / "out"))
    assert process.returncode != 0
    assert "error: --attacks auto: only figures 8, 9, 10a" in process.stderr
    assert not (tmp_path / "out").exists()


def test_missing_imagenette_says_how_to_get_it(tmp_path):
    environment = {k: v for k, v in os.environ.items() if k != "MINIDL_DATA"} | {"HOME": str(tmp_path)}
    process = study("pruning", "--preset", "laptop", "--root", str(tmp_path), env=environment)
    assert process.returncode != 0
    assert "Traceback" not in process.stderr
    assert "download" in process.stderr
    assert "MINIDL_DATA" in process.stderr


def test_sparsifiers_side_by_side(tmp_path):
    """A dense network and one for each way and sparsity; a panel for each sparsity; one seed decides nothing."""
    few = "--sparsifying.sparsities 0.9 0.5 0.9 --sparsifying.ways magnitude variational l0 l0"
    few += " --fc5.epochs 1 --attacks fgsm pgd --attack-part 0.1 --pgd.steps 2"
    process = study("sparsifiers", *TINY, *few.split(), "--out", str(tmp_path))
    assert process.returncode == 0, process.stderr
    assert "7 of 7 networks are trained and attacked" in process.stdout
    results = report.Results.load(tmp_path)
    pruned = [f"{way} {part} %" for part in (50, 90) for way in ("magnitude", "variational", "l0")]
    assert list(dict.fromkeys(row["pruned"] for row in results.rows)) == ["none", *pruned]
    assert {row["achieved_sparsity"].__round__(2) for row in results.rows} == {0, 0.5, 0.9}
    panels = report.figures.panels_of(results, "17-pgd")
    assert [panel.title for panel in panels] == ["sparsity 50 %", "sparsity 90 %"]
    for panel in panels:
        assert [line.label for line in panel.lines] == ["dense", "magnitude", "variational dropout", "l0"]
    half = dataclasses.replace(results, rows=[row for row in results.rows if row["pruned"] != "variational 50 %"])
    first, second = report.figures.panels_of(half, "17-pgd")
    assert [line.label for line in first.lines] == [line.label for line in second.lines]  # so that colours agree
    assert [line.label for line in first.lines if not line.rows] == ["variational dropout"]
    assert all(line.rows for line in second.lines)
    claim = results.claims[-1]
    assert (claim["claim"], claim["figure"], claim["verdict"]) == ("C10", "17-pgd", "undecided")


@pytest.mark.parametrize(
    ("script", "settings", "message"),
    [
        ("study", "--figures 17", "experiments/sparsifiers.py"),
        ("defences", "--figures 9", "experiments/study.py"),
        ("sparsifiers", "--sparsifying.ways", "at least one of its ways"),
        ("sparsifiers", "--sparsifying.sparsities 1.5", "the sparsity is 1.5"),
    ],
)
def test_what_a_study_of_ours_refuses(script, settings, message, tmp_path):
    process = study(script, *settings.split(), "--out", str(tmp_path / "out"))
    assert process.returncode == 1
    assert message in process.stderr
    assert "Traceback" not in process.stderr
    assert not (tmp_path / "out").exists()


def test_defences_side_by_side(tmp_path):
    """Each network trained once, the teacher among them, and attacked in four ways; one seed decides nothing."""
    few = "--fc5.epochs 1 --hardening.steps 2 --pgd.steps 2 --apgd.steps 2 --auto.steps 1 --auto.queries 2".split()
    process = study("defences", *TINY, *few, "--attack-part", "0.1", "--out", str(tmp_path))
    assert process.returncode == 0, process.stderr
    assert "8 of 8 networks are trained and attacked" in process.stdout
    rows = report.read_csv(tmp_path / "results.csv")
    assert {str(row["figure"]) for row in rows} == {"16", "16-pgd", "16-apgd", "16-auto"}
    defences = ["none", "FGSM", "FGSM-RS", "N-FGSM", "PGD-2", "nuclear + l1", "T = 20", "distilled, T = 20"]
    assert list(dict.fromkeys(row["defence"] for row in rows)) == defences
    claim = report.read_csv(tmp_path / "claims.csv")[-1]
    assert (claim["claim"], claim["figure"], claim["verdict"]) == ("C14", "16-auto", "undecided")
    for name in ("figure-16.png", "figure-16-auto.png"):
        assert (tmp_path / "figures" / name).is_file()
    again = study("defences", *TINY, *few, "--attack-part", "0.1", "--out", str(tmp_path), "--check")
    assert again.returncode == 0, again.stdout
