"""The file that a matrix of transfer leaves: what is kept, whose it is, and that damage is never taken for a result."""

import random

import numpy as np
import pytest

from minidl.records import Attack, DamagedError, Layout, Transfer, TransferOutcome, read_transfer, write_transfer
from tests.adversity.damage import ANY, ARRAYS, move_time, swap

WHAT = Transfer((("dense", "a"), ("pruned", "b")), Attack((0, 16), images="paired", method="pgd"))
RUNS = {"a": {"weights": "0" * 64}, "b": {"weights": "1" * 64}}


def outcome(**changes):
    rng = np.random.default_rng(0)
    arrays = {"right": rng.random((2, 30)) < 0.9, "fooled": rng.random((2, 2, 30)) < 0.5}
    return TransferOutcome(**{"indices": np.arange(30), "labels": np.arange(30) % 10, **arrays, **changes})


@pytest.fixture
def layout(tmp_path):
    layout = Layout(tmp_path)
    write_transfer(layout.transfer(WHAT.name), outcome(), WHAT, [RUNS[run]["weights"] for _, run in WHAT.networks])
    return layout


def test_what_is_kept_is_read_back(layout):
    found, what = read_transfer(layout, WHAT.name, RUNS)
    assert what == WHAT
    for name, array in vars(outcome()).items():
        np.testing.assert_array_equal(getattr(found, name), array)


def test_it_is_of_these_weights_or_it_is_none(layout):
    assert read_transfer(layout, WHAT.name, RUNS | {"b": {"weights": "2" * 64}}) is None
    assert read_transfer(layout, WHAT.name, {"a": RUNS["a"]}) is None
    assert read_transfer(layout, "another", RUNS) is None


def test_its_name_stands_for_all_that_it_is():
    others = [
        Transfer(WHAT.networks[::-1], WHAT.attack),
        Transfer((("Dense", "a"), ("pruned", "b")), WHAT.attack),
        Transfer(WHAT.networks, Attack((0, 8), images="paired", method="pgd")),
        Transfer(WHAT.networks, Attack((0, 16), images="paired")),
    ]
    assert len({transfer.name for transfer in [WHAT, *others]}) == 5


@pytest.mark.parametrize(
    ("name", "array", "words"),
    [
        ("right", np.ones((2, 29), bool), "right has shape"),
        ("fooled", np.ones((2, 3, 30), bool), "fooled has shape"),
        ("fooled", np.ones((2, 2, 30)), "float64"),
        ("indices", np.zeros(30, int), "ascending"),
        ("labels", np.full(30, -1), "classes"),
    ],
)
def test_outcomes_that_cannot_be(name, array, words):
    with pytest.raises(ValueError, match=words):
        outcome(**{name: array})


class Alone:
    """What the damages ask of a study."""

    def __init__(self, out):
        self.out, self.files = out, {}


@pytest.mark.parametrize("seed", range(150))
def test_damage_is_never_taken_for_a_result(layout, seed):
    rng, path = random.Random(seed), layout.transfer(WHAT.name)
    damage = rng.choice([each for each in ANY + ARRAYS if each not in (move_time, swap)])
    damage(path, Alone(layout.path), rng)
    found, said = None, f"{path} is damaged (, so delete it and run the study again"
    try:
        found = read_transfer(layout, WHAT.name, RUNS)
    except DamagedError as error:
        said = str(error)
    assert f"{path} is damaged (" in said
    assert "delete it and run the study again" in said
    if found is not None:  # what was hit is no part of what is read
        np.testing.assert_array_equal(found[0].fooled, outcome().fooled)
        np.testing.assert_array_equal(found[0].right, outcome().right)


def test_networks_that_share_nothing_have_no_matrix():
    """They are kept all the same: what was seen is seen, and there is no rate of no images."""
    from minidl.report.transfers import matrices

    class Study:
        def __init__(self):
            self.transfers = {"14": {"seeds": [{"transfer": "a", "networks": {"dense": "a", "pruned": "b"}}]}}

        def transfer(self, name):
            return outcome(right=np.array([[True] * 15 + [False] * 15, [False] * 15 + [True] * 15]))

    assert matrices(Study(), "14") == []
