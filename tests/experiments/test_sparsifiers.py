"""The study of sparsifiers on its smallest scale, and its claims on networks whose answers are made up."""

import csv
import dataclasses
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from minidl.records import Outcome
from minidl.report.evidence import Lines
from minidl.study import Attack

sys.path.insert(0, str(Path(__file__).parents[2] / "experiments"))
import decomposed
import sparsifiers
import verdicts


def rows(path):
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


def test_a_small_study(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sparsifiers, "BASE", dataclasses.replace(sparsifiers.BASE, epochs=1))
    monkeypatch.setattr(sparsifiers, "METHODS", ("magnitude", "variational", "l0"))
    attacks = {
        "FGSM": Attack((0, 16), images="paired"),
        "PGD-20": Attack((0, 16), images="paired", method="pgd", steps=2),
    }
    monkeypatch.setattr(sparsifiers, "ATTACKS", attacks)
    settings = ["--sparsities", "0.5", "--workers", "1", "--out", str(tmp_path)]
    sparsifiers.main(settings)
    table = rows(tmp_path / "results.csv")
    assert len(table) == 2 * 7 * 2
    assert {row["method"] for row in table} == {
        *sparsifiers.METHODS,
        "dense",
        "adversarial",
        "nuclear + l1",
        "decomposed",
    }
    claims = rows(tmp_path / "claims.csv")
    assert [(claim["claim"], claim["verdict"]) for claim in claims] == [(f"C{i}", "undecided") for i in (10, 11, 12)]
    assert capsys.readouterr().out.count("Run at least 3") == 3
    for figure in ("figure-17.png", "figure-18.png"):
        assert (tmp_path / figure).stat().st_size > 10_000
    ranks = {row["method"]: float(row["effective rank"]) for row in table}
    assert ranks["nuclear + l1"] < ranks["dense"]
    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.suffix in (".npz", ".safetensors")}
    sparsifiers.main(settings)  # all is there
    assert {path: path.stat().st_mtime_ns for path in written} == written


def test_a_network_is_cut_to_the_goals():
    study = sparsifiers.Study(Path("nowhere"), [0], [0.5])
    dense = study.problem.model(study.runs["dense", 0])
    goals = {name: 5.0 for name, layer in dense.named_modules() if isinstance(layer, decomposed.Linear)}
    made = decomposed.products(decomposed.cut(dense, goals))
    assert set(made) == set(goals)
    for matrix in made.values():
        s = np.linalg.svd(matrix, compute_uv=False)
        rank = int((s > 1e-6 * s[0]).sum())
        effective = np.cumsum(s) ** 2 / np.cumsum(s**2)
        assert effective[rank - 1] >= 5 - 1e-6
        assert effective[rank - 2] < 5


class MadeUp:
    """Networks of three seeds that are right as often as they are told to, on 400 images."""

    sparsities, seeds = (0.5, 0.98), (0, 1, 2)

    def __init__(self, accuracies=None, ranks=(0.8, 0.8), sparsities=(0.3, 0.3)):
        self.accuracies = accuracies or {}
        self.measured = {
            line: SimpleNamespace(effective_rank=rank, effective_sparsity=sparsity)
            for line, rank, sparsity in zip(("dense", "adversarial"), ranks, sparsities, strict=True)
        }

    def spectrum(self, line, seed):
        found = self.measured[line]
        return SimpleNamespace(**{name: value + seed / 1000 for name, value in vars(found).items()})

    def lines(self, levels, attack):
        assert attack == "PGD-20"
        outcomes = {}
        for level in levels:
            for seed in self.seeds:
                parts = self.accuracies.get(level, (0.9, 0.7))
                order = np.random.default_rng(seed).permutation(400)  # nested: the same images for all networks
                right = np.array([order < part * 400 for part in parts])
                none = np.zeros(400, bool)
                outcomes[level, seed] = Outcome(
                    np.array([0, 0.1]), np.arange(400), np.arange(400) % 10, right, none, none
                )
        return Lines("17", "method", levels, [*self.seeds], np.array([0, 0.1]), outcomes, [])


@pytest.mark.parametrize(
    ("study", "claim", "verdict"),
    [
        (MadeUp(), "C10", "holds"),
        (MadeUp({("l0", 0.5): (0.9, 0.5)}), "C10", "fails"),
        (MadeUp({("variational", 0.5): (0.8, 0.6)}), "C10", "fails"),
        (MadeUp({("variational", 0.98): (0.5, 0.3)}), "C10", "holds"),  # beyond 90 % nothing is claimed
        (MadeUp(ranks=(0.8, 0.6), sparsities=(0.3, 0.5)), "C11", "holds"),
        (MadeUp(ranks=(0.8, 0.85), sparsities=(0.3, 0.5)), "C11", "fails"),
        (MadeUp(ranks=(0.8, 0.6), sparsities=(0.3, 0.2)), "C11", "fails"),
        (MadeUp({"nuclear + l1": (0.9, 0.85)}), "C12", "holds"),
        (MadeUp({"nuclear + l1": (0.9, 0.6)}), "C12", "fails"),
    ],
)
def test_verdicts_on_what_is_made_up(study, claim, verdict):
    found = {row["claim"]: row for row in verdicts.verdicts(study)}
    assert found[claim]["verdict"] == verdict, found[claim]["reason"]
    assert found[claim]["seeds"] == 3
