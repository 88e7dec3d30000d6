"""Equal settings are one value and have one name, whatever type they come in."""

import dataclasses
import json
from fractions import Fraction
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from minidl.records import Attack, Pruning, Run, read_attack, read_run
from minidl.records.format import Layout
from minidl.records.setting import always_named, from_record, settle, short_hash

ROOT = Path(__file__).parents[2] / "docs" / "results"
RUN = Run("digits", 16, 16, "fc5", 64, epochs=20, lr=0.1, seed=3, pruning=Pruning(0.5, between=(0, 1)), temperature=20)
ATTACK = Attack((0, 8, 16), temperature=20, part=0.5)


def test_the_names_that_are_published_stay():
    """Of all runs and attacks in docs/results: the name is computed from the fields and compared with the folder's."""
    names = 0
    digits = ("quick", "defences-digits", "sparsifiers", "transfers-digits")
    for folder in (*digits, "imagenette-64px", "defences", "pruning"):
        layout = Layout(ROOT / folder)
        for path in (layout.path / "runs").iterdir():
            record = read_run(layout, path.name)
            names += 1
            for attack in (path / "attacks").glob("*"):  # a matrix of transfer's control has none
                assert read_attack(layout, record, attack.stem) is not None
                names += 1
    assert names == 643


REAL = [float, np.float64, np.float32, np.float16, np.longdouble, np.array, lambda x: np.array(x, ">f8"), Fraction]
WHOLE = [int, float, np.int8, np.uint16, np.int64, np.float32, np.array, lambda x: np.array(x, ">i4"), Fraction]


@pytest.mark.parametrize("kind", REAL)
@pytest.mark.parametrize(("name", "value"), [("temperature", 20), ("lr", 0.125), ("weight_decay", 0.5)])
def test_real_settings_of_every_type(name, value, kind):
    one, other = (dataclasses.replace(RUN, **{name: of}) for of in (value, kind(value)))
    assert one == other
    assert one.name == other.name
    assert type(getattr(other, name)) is float
    json.dumps(dataclasses.asdict(other))


@pytest.mark.parametrize("kind", [np.float32, np.float16, np.longdouble])
def test_a_short_float_is_what_it_is_written_as(kind):
    assert dataclasses.replace(RUN, lr=kind("0.1")) == dataclasses.replace(RUN, lr=0.1)


@pytest.mark.parametrize("kind", WHOLE)
@pytest.mark.parametrize("name", ["pixels", "crop", "batch_size", "epochs", "seed"])
def test_whole_settings_of_every_type(name, kind):
    one, other = (dataclasses.replace(RUN, **{name: of}) for of in (48, kind(48)))
    assert one == other
    assert one.name == other.name
    assert type(getattr(other, name)) is int


@pytest.mark.parametrize(
    "epsilons",
    [
        (0.0, 8.0, 16.0),
        [0, 8, 16],
        np.array([0, 8, 16]),
        np.array([0, 8, 16], ">f4"),
        np.array([0, 0, 8, 8, 16, 16])[::2],
        range(0, 24, 8),
        (np.float32(0), -0.0 + 8, np.int8(16)),
        (-0.0, 8, 16),
    ],
)
def test_sequences_of_every_type(epsilons):
    found = dataclasses.replace(ATTACK, epsilons=epsilons)
    assert found == ATTACK
    assert found.name == ATTACK.name
    assert hash(found) == hash(ATTACK)


def test_texts_of_numpy():
    assert dataclasses.replace(RUN, model=np.str_("fc5"), low_rank=np.str_("none")).name == RUN.name
    assert type(dataclasses.replace(RUN, model=np.str_("fc5")).model) is str


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"temperature": True}, TypeError, "Run: temperature is True, and must be a number"),
        ({"temperature": "20"}, TypeError, "must be a number"),
        ({"temperature": np.array([20])}, TypeError, "must be a number"),
        ({"temperature": 10**400}, ValueError, "temperature is inf, and must be finite"),
        ({"lr": float("nan")}, ValueError, "lr is nan, and must be finite"),
        ({"temperature": 20 + 0j}, TypeError, "must be a number"),
        ({"epochs": 2.5}, TypeError, "Run: epochs is 2.5, and must be a whole number"),
        ({"epochs": float("nan")}, TypeError, "whole number"),
        ({"epochs": False}, TypeError, "whole number"),
        ({"model": "vgg"}, ValueError, "'vgg', and must be one of 'fc5', 'alexnet', 'resnet18'"),
        ({"pruning": 0.5}, TypeError, "must be a Pruning"),
        ({"low_rank": 8}, TypeError, "must be a text"),
    ],
)
def test_what_is_nothing_of_that_kind(changes, error, words):
    with pytest.raises(error, match=words):
        dataclasses.replace(RUN, **changes)


@pytest.mark.parametrize("epsilons", ["08", {0: 8}, 8, (0, "8"), (0, True)])
def test_what_is_no_sequence_of_numbers(epsilons):
    with pytest.raises(TypeError, match="Attack: epsilons"):
        Attack(epsilons)


def test_a_pair_is_two():
    with pytest.raises(ValueError, match="must have 2 entries"):
        Pruning(0.5, between=(0, 0.5, 1))


@dataclasses.dataclass(frozen=True)
class LaterPruning(Pruning):
    """Pruning, with fields that were added after the runs in docs/results."""

    again: int = 0
    order: Literal["magnitude", "random"] = "magnitude"
    layers: tuple[str, ...] = dataclasses.field(default_factory=tuple)


def test_a_field_that_is_added_within_a_field_renames_nothing():
    later = dataclasses.asdict(RUN.pruning) | {"between": (0.0, 1.0)}
    assert dataclasses.replace(RUN, pruning=LaterPruning(**later)).name == RUN.name
    assert dataclasses.replace(RUN, pruning=LaterPruning(**later, again=1)).name != RUN.name
    assert dataclasses.replace(RUN, pruning=LaterPruning(**later, layers=("fc1",))).name != RUN.name


@dataclasses.dataclass(frozen=True)
class Two:
    a: float = 1.0
    b: float = always_named(2.0)

    def __post_init__(self):
        settle(self)


def test_defaults_are_left_out_but_where_they_were_always_named():
    assert short_hash(Two()) == short_hash(Two(a=1)) != short_hash(Two(a=3))
    import hashlib

    assert short_hash(Two()) == hashlib.sha256(b'{"b": 2.0}').hexdigest()[:10]


@pytest.mark.parametrize("thing", [RUN, ATTACK, dataclasses.replace(RUN, pruning=None)])
def test_json_and_back(thing):
    found = json.loads(json.dumps(dataclasses.asdict(thing)))
    assert from_record(type(thing), found, "run") == thing


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ([], "expected an object"),
        ({}, "has no data, no pixels"),
        (dataclasses.asdict(RUN) | {"later": 1}, "an unknown 'later'"),
        (dataclasses.asdict(RUN) | {"pruning": {"sparsity": "x"}}, "Pruning: sparsity is 'x'"),
        (dataclasses.asdict(RUN) | {"pruning": [0.5]}, "run.pruning"),
    ],
)
def test_json_that_is_no_run(record, words):
    with pytest.raises((ValueError, TypeError), match=words):
        from_record(Run, record, "run")
