"""A study's folder comes back as it was written, whatever state it is in; what is wrong with it is said."""

import json
import sys

import numpy as np
import pytest

from minidl.report import Outcome, Results
from tests.report.synthetic import write_study


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Of figure 9's eighteen runs the first two are not finished."""
    return write_study(tmp_path_factory.mktemp("study"), figures=("9", "13a"), unfinished=(0, 1))


@pytest.fixture
def small(tmp_path):
    return write_study(tmp_path, figures=("13a",), seeds=(0,), images=20)


def test_rows_are_numbers_and_names(folder):
    results = Results.load(folder)
    rows = results.rows_of("9")
    assert len(rows) == 16 * 7
    assert rows[0]["figure"] == "9"
    assert rows[0]["low_rank"] == "none"
    assert type(rows[0]["accuracy"]) is float
    assert type(rows[0]["count"]) is int
    assert len(results.rows) == 2 * (len(rows) + len(results.rows_of("13a")))
    assert [claim["verdict"] for claim in results.claims] == ["undecided", "holds"]


def test_what_is_missing_is_known(folder):
    results = Results.load(folder)
    nine = results.figures["9"]["runs"]
    assert results.missing == {"9": nine[:2], "13a": nine[:2]}  # no sparsity and T = 1: the same networks
    assert set(results.runs) == {*nine[2:], *results.figures["13a"]["runs"][2:]}
    assert results.runs[nine[2]]["run"]["seed"] == 2


def test_curves_reach_as_far_as_the_training(folder):
    results = Results.load(folder)
    assert [row["epoch"] for row in results.curve(results.figures["9"]["runs"][0])] == [*range(15)]
    assert len(results.curve(results.figures["9"]["runs"][2])) == 30
    with pytest.raises(ValueError, match="no figure of .* has a run '../9'"):
        results.curve("../9")


def test_an_outcome_agrees_with_the_table(folder):
    results = Results.load(folder)
    run = results.figures["13a"]["runs"][-1]
    outcome = results.outcome(run, results.figures["13a"]["attacks"]["paired"][run])
    rows = [row for row in results.rows_of("13a", "paired") if row["run"] == run]
    assert outcome.right.mean(axis=1).tolist() == [row["accuracy"] for row in rows]
    assert outcome.epsilons.tolist() == [row["epsilon"] for row in rows]
    assert outcome.vanished_gradient.mean() == rows[0]["vanished_gradients"]


def test_an_empty_study_is_a_study(tmp_path):
    (tmp_path / "study.json").write_text('{"format": 1, "figures": []}', encoding="utf-8")
    results = Results.load(tmp_path)
    assert (results.rows, results.claims, results.runs, results.missing) == ([], [], {}, {})


def test_a_folder_that_is_none(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        Results.load(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"no study\.json, so it is not a study's folder"):
        Results.load(tmp_path)


@pytest.mark.parametrize("name", ["study.json", "runs/{run}/run.json"])
def test_a_newer_format(small, name):
    path = small / name.format(run=next(iter(Results.load(small).runs)))
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | {"format": 4}), encoding="utf-8")
    with pytest.raises(ValueError, match=r"a newer minidl \(format 4, this one reads formats up to 3\)"):
        Results.load(small)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"figures": []}', '{"format": "1"}', "\0", "[" * 100_000])
@pytest.mark.parametrize("name", ["study.json", "runs/{run}/run.json"])
def test_damaged_json(small, name, text):
    path = small / name.format(run=next(iter(Results.load(small).runs)))
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=rf"{path.name} is damaged .*: delete it and run the study again"):
        Results.load(small)


@pytest.mark.parametrize(
    "figures",
    [
        7,
        [{}],
        [{"figure": "9", "runs": ["../a"], "attacks": {}}],
        [{"figure": "9", "runs": ["a"], "attacks": {"fresh": {"b": "x"}}}],
        [{"figure": "9", "runs": ["a"], "attacks": {"fresh": {"a": "../../x"}}}],
        [{"figure": "../9", "runs": [], "attacks": {}}],
    ],
)
def test_figures_that_cannot_be(tmp_path, figures):
    (tmp_path / "study.json").write_text(json.dumps({"format": 1, "figures": figures}), encoding="utf-8")
    with pytest.raises(ValueError, match=r"study\.json is damaged"):
        Results.load(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("accuracy,", "exactness,", "no column accuracy"),
        (",20,", ",twenty,", "twenty"),
        ("flags\n", "flags,more\n", "shorter"),
    ],
)
def test_a_damaged_table(small, old, new, why):
    path = small / "results.csv"
    path.write_text(path.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ValueError, match=rf"results\.csv is damaged \(.*{why}.*delete it and run the study again"):
        Results.load(small)


def outcome_of(folder):
    results = Results.load(folder)
    run, attack = next(iter(results.figures["13a"]["attacks"]["fresh"].items()))
    return results, run, attack, folder / "runs" / run / "attacks" / f"{attack}.npz"


def test_a_damaged_or_absent_outcome(small):
    results, run, attack, path = outcome_of(small)
    whole = path.read_bytes()
    middle = len(whole) // 2
    for content in (b"", whole[:middle], b"not an archive", whole[:40] + b"\xff" * 40 + whole[80:]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=rf"{attack}\.npz is damaged .*: delete it and run the study again"):
            results.outcome(run, attack)
    path.unlink()
    with pytest.raises(FileNotFoundError, match="run the study"):
        results.outcome(run, attack)
    with pytest.raises(ValueError, match="not the name of a run or of an attack"):
        results.outcome(run, "../../study")


class Bomb:
    def __reduce__(self):
        return sys.exit, ("executed",)


def test_nothing_is_executed(small):
    results, run, attack, path = outcome_of(small)
    with np.load(path) as file:
        arrays = dict(file)
    np.savez(path, **arrays | {"labels": np.array([Bomb()], object)})
    with pytest.raises(ValueError, match="damaged"):
        results.outcome(run, attack)


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("right", np.ones((2, 4), bool)),
        ("right", np.ones((2, 3))),
        ("labels", np.ones((3, 1), int)),
        ("epsilons", np.array([0.1, 0.2])),
        ("epsilons", np.array([0.0, 0.0])),
        ("epsilons", np.float64(0)),
        ("indices", np.zeros(0, int)),
    ],
)
def test_an_outcome_is_checked(name, array):
    good = {
        "epsilons": np.array([0.0, 0.1]),
        "indices": np.arange(3),
        "labels": np.arange(3),
        "right": np.ones((2, 3), bool),
        "zero_gradient": np.zeros(3, bool),
        "vanished_gradient": np.zeros(3, bool),
    }
    assert Outcome(**good).right.all()
    with pytest.raises(ValueError, match="expected"):
        Outcome(**good | {name: array})
