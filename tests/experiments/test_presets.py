"""The preset ``whole`` is the whole report: every panel, level, batch and attack of it, trained once each."""

import dataclasses
import sys
from collections import Counter
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "experiments"))
import defences
import sparsifiers
import study
from common import command, figures_of, preset_of

from minidl.report.claims import CLAIMS
from minidl.report.reported import MODELS
from minidl.study import Figure, all_work


@pytest.fixture(scope="module")
def whole():
    return preset_of("whole", study.FIGURES)


@pytest.fixture(scope="module")
def figures(whole):
    return figures_of(whole, study.FIGURES)


def test_every_panel_is_there_under_each_attack(figures):
    names = {figure.figure for figure in figures}
    assert {"8", "9", "10a", "10b", "11", "12a", "12b", "12c", "13a", "13b", "13c", "14"} <= names
    for claim in CLAIMS.values():
        twins = {figure.method for figure in figures if isinstance(figure, Figure) and claim.figure in figure.of}
        assert "auto" in twins
        assert "pgd" in twins


def test_levels_and_batches_are_the_reports(whole, figures):
    shown = {figure.figure: figure for figure in figures if isinstance(figure, Figure)}
    for name, size in {"8": 512, "9": 128, "10a": 128, "10b": 512, "11": 512, "12a": 512, "13a": 128}.items():
        assert {run.batch_size for run in shown[name].runs} == {size}
    for name in ("8", "9", "10a", "10b", "11"):
        assert [*dict.fromkeys(run.sparsity for run in shown[name].runs)] == [0, 0.5, 0.8, 0.9, 0.95, 0.98]
    for name in ("12a", "12b"):
        assert [*dict.fromkeys(run.low_rank for run in shown[name].runs)] == ["none", "LR1", "LR2"]
    assert [*dict.fromkeys(run.ranks for run in shown["12c"].runs)] == ["none", "LR1", "LR1, condition 2"]
    assert [*dict.fromkeys(run.temperature for run in shown["13a"].runs)] == [1, 20, 50, 70, 90]
    assert {run.crop for figure in figures for run in figure.runs} == {64}


def test_each_network_is_trained_once(whole, figures):
    """39 a seed: what several figures show is one run with all of their attacks."""
    work = all_work(figures)
    assert Counter(piece.run.seed for piece in work) == dict.fromkeys(range(5), 39)
    dense = next(piece for piece in work if str(piece.run) == "resnet18, batch 128, seed 0")
    assert {attack.method for attack in dense.attacks} == {"fgsm", "pgd", "auto"}
    assert next(attack for attack in dense.attacks if attack.method == "auto").every == 4  # a part of the images


def test_its_own_attacks_need_no_words_on_the_command_line(whole):
    assert command("study", whole, whole, MODELS) == "python experiments/study.py --preset whole"
    assert preset_of("laptop", study.FIGURES).attacks == ("fgsm",)
    assert preset_of("laptop", study.FIGURES, ("fgsm", "apgd")).attacks == ("fgsm", "apgd")


@pytest.mark.parametrize("ours", [defences, sparsifiers])
@pytest.mark.parametrize("preset", ["quick", "laptop", "whole", "paper"])
def test_studies_of_our_own_are_in_each_preset(ours, preset):
    """Even where the preset's figures are the report's; what differs from it is on the command line."""
    default = preset_of(preset, ours.FIGURES, ours.ATTACKS)
    assert default.figures == tuple(ours.FIGURES)
    names = {figure.figure for figure in figures_of(default, ours.FIGURES)}
    assert {f"{name}-{method}" for name in ours.FIGURES for method in ("pgd", "auto")} <= names
    changed = dataclasses.replace(default, seeds=(0, 1, 2), attack_part=1.0)
    assert "--seeds 0 1 2 --attack-part 1.0" in command("x", changed, dataclasses.replace(default, seeds=(0,)), MODELS)
