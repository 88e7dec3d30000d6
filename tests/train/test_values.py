"""What an objective, a follower or an optimiser keeps is the training's, in whatever it keeps it."""

import collections
import random
import warnings
from dataclasses import dataclass, field

import numpy as np
import pytest

import minidl as md
from minidl import functional as F
from minidl import nn, optim
from minidl.checkpoint import load_checkpoint, save_checkpoint
from minidl.train import NonFiniteLossError, State, StateWarning

IMAGES, LABELS = md.data.digits("val")


def network(seed=0):
    rng = np.random.default_rng(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10, rng=rng))


class Averages:
    """What follows a step: the running mean of each parameter, and things in every kind of place."""

    def __init__(self, model):
        self.model = model
        self.means = {name: parameter.data.copy() for name, parameter in model.named_parameters()}
        self.last, self.pair = [], (0, np.zeros(2))
        self.streams = {"a/b": [np.random.default_rng(1)]}
        self.drawn, self.counts = np.float32(0), collections.defaultdict(int)
        self.deep = {"a": {"b": [np.zeros(3)], "~": "x"}, "a/b": np.zeros(1)}

    def step(self, t):
        for name, parameter in self.model.named_parameters():
            self.means[name] *= 0.9
            self.means[name] += 0.1 * parameter.data
        self.last = [*self.last[-2:], self.model[1].bias.data.copy()]
        self.pair = self.pair[0] + 1, self.pair[1] + 1
        self.drawn = self.drawn * 0.9 + np.float32(self.streams["a/b"][0].random())
        self.counts[f"step {t % 3}"] += 1
        self.deep["a"]["b"][0] += 2
        self.deep["a/b"] += 3

    def all(self):
        return {name: value for name, value in vars(self).items() if name not in ("model", "streams")}


def bits(value):
    if isinstance(value, dict):
        return {key: bits(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value), [bits(part) for part in value]
    return (value.dtype, value.tobytes()) if isinstance(value, np.ndarray | np.generic) else value


def train(model, follower, epochs, first=0, batches=None):
    optimizer = optim.SGD(model.parameters(), 0.1)
    batches = batches or md.data.Loader(IMAGES[:96], LABELS[:96], 32, shuffle=False)
    md.fit(model, batches, optimizer, epochs, after_step=[follower], first_epoch=first, progress=False)
    return optimizer


def test_what_lies_in_lists_and_dictionaries_is_taken_up_again_to_the_bit(tmp_path):
    whole = network()
    expected = Averages(whole)
    train(whole, expected, 3)
    first = network()
    follower = Averages(first)
    optimizer = train(first, follower, 1)
    save_checkpoint(tmp_path / "c", first, optimizer, {}, after_step=[follower])
    second = network(1)
    again = Averages(second)
    known = again.means, again.deep["a"]["b"][0]
    load_checkpoint(tmp_path / "c", second, optim.SGD(second.parameters(), 0.1), after_step=[again])
    assert again.means is known[0]  # who else knows them sees them change
    assert again.deep["a"]["b"][0] is known[1]
    assert bits(again.all()) == bits(follower.all())
    train(second, again, 3, first=1)
    assert bits(again.all()) == bits(expected.all())
    assert again.counts["new"] == 0  # still a defaultdict


def test_a_lost_loss_puts_them_back():
    class Lost(list):
        """Batches whose second epoch gives NaN."""

        epoch = 0

        def __iter__(self):
            self.epoch += 1
            yield from ((x if self.epoch == 1 else x * np.float32(np.nan), y) for x, y in super().__iter__())

    model = network()
    follower = Averages(model)
    batches = Lost([(IMAGES[:32], LABELS[:32])] * 2)
    expected = network()
    once = Averages(expected)
    with pytest.raises(NonFiniteLossError):
        train(model, follower, 2, batches=batches)
    optimizer = optim.SGD(expected.parameters(), 0.1)
    state = State(expected, optimizer, after_step=[once])
    start = state.capture()
    once.step(0)
    state.restore(start)
    assert bits(once.all()) == bits(Averages(network()).all()) == bits(follower.all())


def test_an_array_of_another_precision_is_exchanged_not_rounded():
    model, follower = network(), Averages(network())
    state = State(model, optim.SGD(model.parameters(), 0.1), after_step=[follower])
    follower.means["1.bias"] = np.full(10, 0.1)
    snapshot = state.capture()
    follower.means["1.bias"] = np.zeros(10, np.float32)
    state.restore(snapshot)
    np.testing.assert_array_equal(follower.means["1.bias"], np.full(10, 0.1))


@dataclass(slots=True)
class Slotted:
    """An objective without a __dict__."""

    calls: int = 0
    centre: np.ndarray = field(default_factory=lambda: np.zeros(10))

    def __call__(self, model, images, labels):
        self.calls += 1
        self.centre = self.centre + 1
        logits = model(images)
        return F.cross_entropy(logits, labels), logits


def test_an_object_with_slots_has_a_state_too():
    model, objective = network(), Slotted()
    state = State(model, optim.SGD(model.parameters(), 0.1), objective)
    before = state.capture()
    objective(model, md.Tensor(IMAGES[:4]), LABELS[:4])
    state.restore(before)
    assert objective.calls == 0
    np.testing.assert_array_equal(objective.centre, 0)


@pytest.mark.parametrize(
    "value",
    [
        {1: 2.0},
        collections.deque([0.5]),
        [nn.ReLU(), np.zeros(3)],
        {np.float32(1)},
        random.Random(0),
        np.random.RandomState(0),
        [md.Tensor([1.0])],
    ],
    ids=["keys", "deque", "strangers", "set", "Random", "RandomState", "Tensor"],
)
def test_what_would_be_lost_is_told(value):
    class Follower:
        def __init__(self):
            self.kept = value

    class Knowing(Follower):
        transient = ("kept",)

    model = network()
    optimizer = optim.SGD(model.parameters(), 0.1)
    with pytest.warns(StateWarning, match=r"Follower\.kept holds numbers, arrays or random numbers that are no part"):
        State(model, optimizer, after_step=[Follower()]).capture()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        State(model, optimizer, after_step=[Knowing()]).capture()
