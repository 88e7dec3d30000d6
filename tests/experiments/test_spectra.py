"""Singular values of a study's networks: what is cut, what is written, and claims on networks that are made up."""

import csv
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import minidl as md
from minidl import nn
from minidl.records import Outcome
from minidl.report.evidence import Lines
from tests.experiments.test_studies import TINY, study

sys.path.insert(0, str(Path(__file__).parents[2] / "experiments"))
import decomposed
import verdicts

rng = np.random.default_rng(0)


def rows(path):
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


def spectra(*args):
    return study("spectra", *map(str, args))


def test_of_a_small_study_of_defences(tmp_path):
    few = "--fc5.epochs 1 --hardening.steps 2 --hardening.every 1 --hardening.nuclear 1 --attacks pgd".split()
    folder, out = tmp_path / "defences", tmp_path / "defences-spectra"
    assert study("defences", *TINY, *few, "--out", str(folder)).returncode == 0
    done = spectra(folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Run at least 3") == 2
    claims = rows(out / "claims.csv")
    assert [(claim["claim"], claim["verdict"]) for claim in claims] == [("C11", "undecided"), ("C12", "undecided")]
    table = rows(out / "spectra.csv")
    assert {row["network"] for row in table} == {*verdicts.DEFENCES, verdicts.MADE}
    whole = {row["network"]: float(row["effective_rank"]) for row in table if row["layer"] == "all"}
    assert whole["nuclear + l1"] < whole["none"]
    assert (out / "figure-18.png").stat().st_size > 10_000
    written = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.suffix in (".npz", ".safetensors")}
    assert len(written) == 2
    assert spectra(folder).returncode == 0  # all is there
    assert {path: path.stat().st_mtime_ns for path in written} == written
    refused = spectra(folder, "--out", folder)
    assert refused.returncode == 1
    assert "the study's own folder" in refused.stderr
    theirs, other = (next(folder.glob(f"runs/*{kind}*/weights.safetensors")) for kind in ("FGSM-RS", "PGD-2"))
    theirs.write_bytes(other.read_bytes())
    changed = spectra(folder)
    assert changed.returncode == 1
    assert "has not the weights that were attacked" in changed.stderr


@pytest.mark.parametrize(
    ("make", "message"),
    [(lambda folder: None, "there is no folder"), (lambda folder: folder.mkdir(), "holds no study.json")],
)
def test_a_folder_without_a_study_is_told(tmp_path, make, message):
    make(tmp_path / "x")
    done = spectra(tmp_path / "x")
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def network():
    layers = nn.Conv2d(3, 16, 3, 2, 1, rng=rng), nn.Conv2d(16, 8, 1, bias=False, rng=rng), nn.ReLU()
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5, rng=rng))


def singular_values(model):
    kernels = {name: layer.weight.data for name, layer in model.named_modules() if hasattr(layer, "weight")}
    return {
        name: np.linalg.svd(w if w.ndim == 2 else w.reshape(len(w), -1), compute_uv=False)
        for name, w in kernels.items()
    }


def test_kernels_are_cut_to_the_least_rank_that_reaches_the_goal():
    model, goals = network(), {"0": 5.0, "1": 3.0, "5": 2.0}
    before = singular_values(model)
    small = decomposed.composed_layers(decomposed.cut(model, goals))
    after, ranks = singular_values(small), decomposed.kernel_ranks(small)
    assert set(after) == set(ranks) == set(goals)
    for name, goal in goals.items():
        s = after[name]
        rank = int((s > 1e-6 * s[0]).sum())
        assert rank < len(s)
        np.testing.assert_allclose(s[:rank], before[name][:rank], rtol=1e-5)
        reached = [s[:k].sum() ** 2 / (s[:k] ** 2).sum() for k in (rank - 1, rank)]
        assert reached[0] < goal <= reached[1] + 1e-6
        assert ranks[name] == pytest.approx(reached[1], rel=1e-5)


def test_pairs_compute_what_they_are_composed_to():
    small, images = decomposed.cut(network(), {"0": 5.0, "1": 3.0, "5": 2.0}), md.Tensor(rng.random((2, 8, 8, 3)))
    images = md.Tensor(images.data.astype(np.float32))
    pairs = small(images).data
    np.testing.assert_allclose(decomposed.composed_layers(small)(images).data, pairs, rtol=1e-4, atol=1e-5)


def test_what_has_no_rank_to_spare_stays():
    model = network()
    layers = list(model)
    decomposed.cut(model, {"0": 1e9, "1": 1e9})
    assert list(model) == layers


SEEDS = (0, 1, 2)


def lines(**accuracies):
    """Networks of three seeds that are right as often as they are told to, on 400 images."""
    levels, outcomes = [*verdicts.DEFENCES, verdicts.MADE], {}
    for level in levels:
        for seed in SEEDS:
            order = np.random.default_rng(seed).permutation(400)  # nested: the same images for all networks
            right = np.array([order < part * 400 for part in accuracies.get(level.split()[0], (0.9, 0.7))])
            none = np.zeros(400, bool)
            outcomes[level, seed] = Outcome(np.array([0, 0.1]), np.arange(400), np.arange(400) % 10, right, none, none)
    return Lines("16-pgd", "defence", levels, [*SEEDS], np.array([0, 0.1]), outcomes, [])


def measured(rank, sparsity):
    """Of the adversarially trained network, beside a dense one's 0.8 and 0.3."""

    def spectrum(line, seed):
        ours = {"none": (0.8, 0.3), "FGSM-RS": (rank, sparsity)}[line]
        return SimpleNamespace(effective_rank=ours[0] + seed / 1000, effective_sparsity=ours[1] + seed / 1000)

    return spectrum


@pytest.mark.parametrize(
    ("claim", "networks", "spectrum", "verdict"),
    [
        ("C11", lines(), measured(0.6, 0.5), "holds"),
        ("C11", lines(), measured(0.85, 0.5), "fails"),
        ("C11", lines(), measured(0.6, 0.2), "fails"),
        ("C12", lines(nuclear=(0.9, 0.85)), measured(0.8, 0.3), "holds"),
        ("C12", lines(nuclear=(0.9, 0.6)), measured(0.8, 0.3), "fails"),
    ],
)
def test_verdicts_on_what_is_made_up(claim, networks, spectrum, verdict):
    found = {row["claim"]: row for row in verdicts.verdicts(networks, spectrum)}
    assert found[claim]["verdict"] == verdict, found[claim]["reason"]
    assert found[claim]["seeds"] == 3
