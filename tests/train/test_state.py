"""The state of a training is one thing: whole, known by names, and put back or refused as a whole."""

import dataclasses
import json

import numpy as np
import pytest

import minidl as md
from minidl import functional as F
from minidl import nn, optim
from minidl.backend import default_rng
from minidl.checkpoint import load_checkpoint, save_checkpoint
from minidl.compress import MagnitudePruner, low_rank, sparsity
from minidl.objectives import CrossEntropy
from minidl.train import NonFiniteLossError, State, StateError

IMAGES, LABELS = md.data.digits("val")


def network(seed=0):
    rng = np.random.default_rng(seed)
    return nn.Sequential(
        nn.Flatten(), nn.Dropout(0.5), nn.Linear(64, 20, rng=rng), nn.ReLU(), nn.Linear(20, 10, rng=rng)
    )


def loader(count=192):
    return md.data.Loader(IMAGES[:count], LABELS[:count], 64, pad=1, seed=3)


def weights(model):
    return {name: array.tobytes() for name, array in model.state_dict().items()}


# What is put back, is put back whole


class Noisy:
    """An objective with chance and numbers of its own."""

    def __init__(self):
        self.rng, self.calls, self.centre = np.random.default_rng(9), 0, np.zeros(10, np.float32)

    def __call__(self, model, images, labels):
        self.calls += 1
        logits = model(images + self.rng.normal(0, 0.05, images.shape).astype(np.float32))
        self.centre += 0.1 * (logits.data.mean(axis=0) - self.centre)
        return F.cross_entropy(logits - self.centre, labels), logits


class Shrinking:
    """What follows a step: weights that shrink, by a rate that changes."""

    def __init__(self, model):
        self.weights, self.rate, self.history = {"0": model[2].weight}, 1e-3, []

    def step(self, t):
        self.rate *= 1.01
        self.history.append(t)
        for weight in self.weights.values():
            weight.data *= 1 - self.rate

    def figures(self):
        return {"rate": f"{self.rate:.2g}"}


class OwnMomentum(optim.Optimizer):
    """An optimiser of one's own, as the documentation shows how: it knows nothing of masks, and counts its steps."""

    def __init__(self, parameters):
        super().__init__(parameters, lr=0.05, weight_decay=0.0, decay_all=True)

    def _update(self, parameter, state, weight_decay):
        self.updates = getattr(self, "updates", 0) + 1
        if not state:
            state.append(np.zeros_like(parameter.data))
        state[0] *= 0.9
        state[0] += parameter.grad
        parameter.data -= self.lr * state[0]


OPTIMIZERS = {
    "SGD": lambda p: optim.SGD(p, lr=0.05, momentum=0.9),
    "Adam": lambda p: optim.Adam(p, lr=1e-3),
    "of one's own": OwnMomentum,
}


def parts(kind):
    md.manual_seed(4)
    model = network()
    optimizer = OPTIMIZERS[kind](model.parameters())
    followers = [MagnitudePruner(model, 0.9, start=1, every=2, count=4), Shrinking(model)]
    return model, optimizer, {"batches": loader(), "objective": Noisy(), "after_step": followers}


def train(model, optimizer, others, until, first=0):
    batches = others["batches"]
    return md.fit(
        model,
        batches,
        optimizer,
        until,
        objective=others["objective"],
        after_step=others["after_step"] if until == 4 else [Unhurried(f) for f in others["after_step"]],
        schedule=lambda t: 0.05 / (1 + t) if isinstance(optimizer, optim.SGD) else optimizer.lr,
        first_epoch=first,
        progress=False,
    )


class Unhurried:
    """Without the check that a schedule ends in time: another process goes on."""

    def __init__(self, follower):
        self.step = follower.step


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_taken_up_again_by_another_process_it_ends_with_the_same_bits(kind, tmp_path):
    """Dropout draws from the default stream, as nn.Dropout does of its own accord."""
    whole = parts(kind)
    curve = train(*whole, until=4)
    first = parts(kind)
    start = train(*first, until=2)
    save_checkpoint(tmp_path / "c", first[0], first[1], {"epochs": 2}, **first[2])
    second = parts(kind)
    default_rng("dropout").random(5)  # whatever was drawn before
    assert load_checkpoint(tmp_path / "c", second[0], second[1], **second[2]) == {"epochs": 2}
    assert second[2]["batches"].next_epoch == 2
    rest = train(*second, until=4, first=2)
    assert [e.loss for e in start + rest] == [e.loss for e in curve]
    assert weights(second[0]) == weights(whole[0])
    for a, b in zip(second[2]["after_step"], whole[2]["after_step"], strict=True):
        assert {k: v for k, v in vars(a).items() if k != "weights"} == {
            k: v for k, v in vars(b).items() if k != "weights"
        }
    assert second[2]["objective"].calls == whole[2]["objective"].calls == 12
    np.testing.assert_array_equal(second[2]["objective"].centre, whole[2]["objective"].centre)


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_everything_that_training_changes_is_put_back(kind):
    model, optimizer, others = parts(kind)
    state = State(model, optimizer, others["objective"], others["after_step"], others["batches"])
    train(model, optimizer, others, until=1)
    before = state.capture()
    train(model, optimizer, others, until=4)
    others["objective"].came_later = 3
    after = state.capture()
    changed = {name for name in before.arrays if not np.array_equal(before.arrays[name], after.arrays[name])}
    assert {"model/2.weight", "objective/centre"} <= changed
    assert "mask/2.weight" in after.arrays.keys() - before.arrays.keys()
    assert any(name.startswith("memory/2.weight/") for name in changed)
    state.restore(before)
    again = state.capture()
    assert json.dumps(again.rest, default=str) == json.dumps(before.rest, default=str)
    assert again.arrays.keys() == before.arrays.keys()
    for name, array in before.arrays.items():
        np.testing.assert_array_equal(again.arrays[name], array, err_msg=name)
    assert not hasattr(others["objective"], "came_later")


def test_a_loss_that_is_lost_puts_all_of_it_back():
    """Model, masks, followers, objective, random streams and the loader are those of the start of an epoch."""
    model, optimizer, others = parts("SGD")
    seen = []
    state = State(model, optimizer, others["objective"], others["after_step"], others["batches"])
    with pytest.raises(NonFiniteLossError):
        md.fit(
            model,
            others["batches"],
            optimizer,
            4,
            objective=others["objective"],
            after_step=others["after_step"],
            schedule=lambda t: 0.01 if t < 8 else 1e30,
            on_epoch=lambda _: seen.append(state.capture()),
            progress=False,
        )
    back, good = state.capture(), seen[-1]
    assert others["batches"].next_epoch == 2
    for name, array in good.arrays.items():
        np.testing.assert_array_equal(back.arrays[name], array, err_msg=name)
    assert back.rest["streams"] == good.rest["streams"]
    assert back.rest["objective"] == good.rest["objective"]
    assert back.rest["after_step/1"] == good.rest["after_step/1"]


def test_a_generator_of_another_kind_is_kept_too(tmp_path):
    """Mersenne's twister has an array in its state."""
    rng = np.random.Generator(np.random.MT19937(3))
    model = nn.Sequential(nn.Dropout(0.5, rng), nn.Linear(2, 2))
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    save_checkpoint(tmp_path / "c", model, optimizer, {})
    want = rng.random(3)
    load_checkpoint(tmp_path / "c", model, optimizer)
    np.testing.assert_array_equal(rng.random(3), want)


# What does not fit is refused whole


def problems_of(change, tmp_path):
    """The message with which a checkpoint is refused by a training that ``change`` made different; nothing moved."""
    saved = parts("Adam")
    train(*saved, until=1)
    save_checkpoint(tmp_path / "c", saved[0], saved[1], {}, **saved[2])
    model, optimizer, others = change(*parts("Adam"))
    state = State(model, optimizer, **others)
    before = state.capture()
    with pytest.raises(ValueError, match="nothing was changed") as caught:
        load_checkpoint(tmp_path / "c", model, optimizer, **others)
    after = state.capture()
    assert json.dumps(after.rest, default=str) == json.dumps(before.rest, default=str)
    for name, array in before.arrays.items():
        np.testing.assert_array_equal(after.arrays[name], array)
    assert str(tmp_path / "c") in str(caught.value)
    return str(caught.value)


def other_model(model, optimizer, others):
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    return model, optim.Adam(model.parameters()), {"batches": others["batches"]}


CHANGES = {
    "other model": (
        other_model,
        ["missing: 1.weight", "unknown: 2.weight", "optimizer: made of 4 parameters there and"],
    ),
    "other optimiser": (
        lambda m, o, others: (m, optim.SGD(m.parameters(), 0.1), others),
        ["optimizer: Adam there, SGD here"],
    ),
    "some parameters": (
        lambda m, o, others: (m, optim.Adam(m[4].parameters()), others),
        ["made of 4 parameters there and of 2 here", "only there: 2.bias, 2.weight"],
    ),
    "other objective": (
        lambda m, o, others: (m, o, others | {"objective": CrossEntropy()}),
        ["objective: Noisy there, CrossEntropy here"],
    ),
    "other followers": (
        lambda m, o, others: (m, o, others | {"after_step": [*others["after_step"], Shrinking(m)]}),
        ["after_step/2: nothing there, Shrinking here"],
    ),
    "other seed": (
        lambda m, o, others: (m, o, others | {"batches": md.data.Loader(IMAGES[:192], LABELS[:192], 64, seed=4)}),
        ["batches: keys"],
    ),
    "other batches": (
        lambda m, o, others: (m, o, others | {"batches": md.data.Loader(IMAGES[:192], LABELS[:192], 32, seed=3)}),
        ["batches: batches: 3 there, 6 here"],
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_checkpoint_of_another_training_is_refused_with_every_difference(change, tmp_path):
    make, expected = CHANGES[change]
    message = problems_of(make, tmp_path)
    for part in expected:
        assert part in message


FORGERIES = {
    "a rate that is no number": (("optimizer", "values", "lr"), "x", "optimizer.lr: 'x' there"),
    "a rate of NaN": (("optimizer", "values", "lr"), float("nan"), "optimizer.lr: nan there"),
    "no rate": (("optimizer", "values", "lr"), None, "optimizer.lr: None there"),
    "a count that is a text": (("optimizer", "values", "steps"), "3", "optimizer.steps: '3' there"),
    "a stream that is none": (("streams", "dropout"), {"bit_generator": "PCG64"}, "random stream dropout"),
    "an optimiser that is a list": (("optimizer",), [], "optimizer: nothing there, Adam here"),
    "no names": (("optimizer", "parameters"), [], "made of 0 parameters there"),
    "values that are none": (("objective", "values"), 3, "objective.values: missing"),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_forged_numbers_are_refused(forgery):
    model, optimizer, others = parts("Adam")
    train(model, optimizer, others, until=1)
    state = State(model, optimizer, **others)
    snapshot = state.capture()
    path, value, expected = FORGERIES[forgery]
    place = snapshot.rest
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(StateError) as caught:
        state.restore(snapshot)
    assert expected in str(caught.value)


def test_forged_arrays_are_refused():
    model, optimizer, others = parts("Adam")
    train(model, optimizer, others, until=1)
    state = State(model, optimizer, **others)
    for name, array in {
        "memory/2.weight/mean": np.zeros((3, 3), np.float32),
        "mask/2.weight": np.ones((3, 3), bool),
        "mask/4.weight": np.ones((20, 10), np.float32),
        "mask/nothing": np.ones(3, bool),
        "memory/nothing/mean": np.ones(3, np.float32),
        "model/nothing": np.ones(3, np.float32),
    }.items():
        snapshot = state.capture()
        snapshot.arrays[name] = array
        assert state.problems(snapshot), name


def test_a_file_of_an_earlier_version_says_so(tmp_path):
    from safetensors.numpy import save_file

    from minidl.checkpoint import _checksum

    rest = json.dumps({"about": {}, "optimizer": {"lr": 0.1}, "generators": []})
    save_file({}, tmp_path / "c", {"rest": rest, "checksum": _checksum({}, rest)})
    model = network()
    with pytest.raises(ValueError, match="written by another version of minidl.*delete the file"):
        load_checkpoint(tmp_path / "c", model, optim.SGD(model.parameters(), 0.1))


# Pruning has one truth: the masks


def test_a_pruner_made_before_its_checkpoint_is_loaded(tmp_path):
    first = network()
    MagnitudePruner(first, 0.8, 0, 1, 1).step(1)
    save_checkpoint(tmp_path / "c", first, optim.SGD(first.parameters(), 0.1), {})
    model = network(1)
    pruner = MagnitudePruner(model, 0.8, 0, 1, 1)
    load_checkpoint(tmp_path / "c", model, optim.SGD(model.parameters(), 0.1))
    assert pruner.sparsity == pytest.approx(0.8, abs=1e-3)
    pruner.step(1)
    assert sparsity(model) == pytest.approx(0.8, abs=1e-3)


def test_a_pruner_goes_on_from_masks_that_were_put_back():
    """step(1), then back to before it, then step(1) again: the second prunes as the first did."""
    model = network()
    pruner = MagnitudePruner(model, 0.8, 0, 1, 1)
    state = State(model, optim.SGD(model.parameters(), 0.1), after_step=[pruner])
    before = state.capture()
    pruner.step(1)
    state.restore(before)
    assert pruner.sparsity == 0.0
    pruner.step(1)
    assert pruner.sparsity == pytest.approx(0.8, abs=1e-3)
    assert sparsity(model) == pytest.approx(0.8, abs=1e-3)


class Twice(nn.Module):
    def __init__(self):
        self.a = nn.Linear(64, 64)
        self.b = self.a

    def forward(self, x):
        return self.b(self.a(nn.Flatten()(x)))


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_a_layer_under_two_names_is_pruned_once(scope):
    model = Twice()
    pruner = MagnitudePruner(model, 0.5, 0, 1, 1, scope=scope)
    pruner.step(1)
    assert (model.a.weight.data == 0).mean() == 0.5 == pruner.sparsity == sparsity(model)
    assert list(pruner.layer_sparsity()) == ["a"]
    assert [name for name, _ in model.named_parameters()] == ["a.weight", "a.bias"]
    assert {"a.weight", "b.weight"} <= model.state_dict().keys()  # as PyTorch has it


def test_a_pruner_refuses_nan_by_name_and_prunes_nothing():
    model = network()
    model[4].weight.data[0] = np.nan
    pruner = MagnitudePruner(model, 0.5, 0, 1, 1)
    with pytest.raises(ValueError, match=r"weights of 4 are NaN"):
        pruner.step(1)
    assert model[2].weight.mask is None


def test_what_fails_after_a_step_leaves_no_broken_weights():
    class Fails:
        def step(self, t):
            if t == 1:
                model[2].weight.data[...] = np.nan
                raise ArithmeticError("weights that are not finite")

    model = network()
    optimizer, before = optim.SGD(model.parameters(), 0.1, momentum=0.9), weights(model)
    with pytest.raises(ArithmeticError, match="not finite"):
        md.fit(model, loader(), optimizer, 2, after_step=[Fails()], progress=False)
    assert weights(model) == before


# Masks hold


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_masked_weights_stay_zero_and_so_does_what_is_remembered_of_them(kind, rng):
    """Also where the mask is set in mid-training, when there are momenta already."""
    weight = md.Parameter(rng.standard_normal((6, 5)))
    optimizer = OPTIMIZERS[kind]([weight])
    for step in range(4):
        if step == 2:
            weight.mask = rng.random((6, 5)) < 0.5
        optimizer.zero_grad()
        ((weight + 1) * (weight + 1)).sum().backward()
        optimizer.step()
    hidden = ~weight.mask
    assert (weight.data[hidden] == 0).all()
    assert (weight.data[~hidden] != 0).all()
    for array in optimizer.state[0]:
        assert (array[hidden] == 0).all()
        assert (array[~hidden] != 0).all()


def test_a_subclass_of_sgd_that_updates_otherwise_keeps_masks_too():
    class Signs(optim.SGD):
        def _update(self, parameter, state, weight_decay):
            parameter.data -= self.lr * np.sign(parameter.grad)

    weight = md.Parameter(np.ones(4))
    weight.mask = np.array([True, False, True, False])
    optimizer = Signs([weight], lr=0.1)
    (weight * 2 + 1).sum().backward()
    optimizer.step()
    np.testing.assert_allclose(weight.data, [0.9, 0, 0.9, 0])
    assert not optimizer.is_minidls_own()
    assert optim.SGD([weight], lr=0.1).is_minidls_own()


def test_how_many_are_pruned_is_counted_for_each_mask_that_is_set():
    weight = md.Parameter(np.arange(1.0, 7))
    assert weight.pruned == 0
    weight.mask = weight.data > 2
    assert weight.pruned == 2
    weight.mask = weight.data > 4
    assert weight.pruned == 4
    weight.mask = None
    assert weight.pruned == 0


# What belongs to a training


@pytest.mark.parametrize(
    "name", ["training", "train", "forward", "parameters", "buffers", "says", "a.b", "__class__", "__call__"]
)
def test_names_that_every_module_has_are_refused(name):
    with pytest.raises(ValueError, match="cannot be called"):
        nn.Sequential(**{name: nn.Linear(2, 2)})
    module = nn.Module()
    with pytest.raises(ValueError, match="cannot be called"):
        setattr(module, name, md.Parameter(np.ones(2)))


def test_what_was_made_before_the_surgery_is_refused():
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(4 * 36, 10))
    optimizer, pruner = optim.SGD(model.parameters(), 0.1), MagnitudePruner(model, 0.5, 0, 1, 1)
    low_rank(model, [2])
    batches = [(IMAGES[:8], LABELS[:8])] * 3
    with pytest.raises(ValueError, match=r"of the 4 parameters that the optimiser has, 2 are not this model's"):
        md.fit(model, batches, optimizer, 1, progress=False)
    with pytest.raises(ValueError, match=r"of the 2 parameters that the MagnitudePruner has, 1 are not"):
        md.fit(model, batches, optim.SGD(model.parameters(), 0.1), 1, pruner=pruner, progress=False)
    head = optim.SGD(model[2].parameters(), 0.1)  # a part of the model is the model's
    before = model[0].vertical.weight.data.copy()
    md.fit(model, batches, head, 1, progress=False)
    np.testing.assert_array_equal(model[0].vertical.weight.data, before)


def test_low_rank_refuses_a_convolution_with_a_forward_of_its_own():
    class Scaled(nn.Conv2d):
        def forward(self, x):
            return super().forward(x) * 2

    with pytest.raises(ValueError, match="low_rank: 0 is a Scaled with a forward of its own"):
        low_rank(nn.Sequential(Scaled(1, 4, 3)), [2])


def test_more_batches_than_their_length_put_everything_back():
    class Longer(list):
        def __len__(self):
            return 2

    model = network()
    optimizer, before = optim.SGD(model.parameters(), 0.1), weights(model)
    with pytest.raises(ValueError, match=r"more than the 2 batches"):
        md.fit(model, Longer([(IMAGES[:8], LABELS[:8])] * 4), optimizer, 1, progress=False)
    assert weights(model) == before


def test_objective_and_temperature_are_two_names_of_one_thing():
    curves = []
    for how in ({"temperature": 5.0}, {"objective": md.objectives.CrossEntropy(5.0)}):
        model = network()
        md.manual_seed(1)
        curves.append(md.fit(model, loader(), optim.SGD(model.parameters(), 0.1), 2, progress=False, **how))
    first, second = ([dataclasses.replace(e, images_per_second=0) for e in curve] for curve in curves)
    assert first == second
    with pytest.raises(ValueError, match="give one of the two"):
        md.fit(model, loader(), optim.SGD(model.parameters(), 0.1), 1, temperature=2, objective=CrossEntropy())


def test_what_cannot_follow_a_step_is_named():
    model = network()
    with pytest.raises(TypeError, match=r"needs a method step\(t\), and 3 has none"):
        md.fit(model, loader(), optim.SGD(model.parameters(), 0.1), 1, after_step=[3])


# What a recorded step reads


def test_what_changes_from_step_to_step_is_not_read_by_name():
    """An attribute that happens to be called as one of Adam's is looked at; Adam's own rate and count are not."""

    class Layer(nn.Module):
        def __init__(self):
            self.steps, self.lr, self.inner = 1, 2.0, nn.Linear(2, 2)

    model = Layer()
    optimizer = optim.Adam(model.parameters())
    state = State(model, optimizer, CrossEntropy())
    start = state.reads()
    optimizer.lr, optimizer.steps = 0.5, 7
    assert state.reads() == start
    for owner, name, value in [
        (model, "steps", 2),
        (model, "lr", 3.0),
        (model, "training", False),
        (optimizer, "eps", 1e-3),
        (optimizer, "betas", (0.5, 0.9)),
        (state._parts["objective"], "temperature", 4.0),
        (model.inner.weight, "requires_grad", False),
        (model.inner.weight, "data", np.ones((2, 2), np.float32)),
        (model.inner, "scale", np.ones(3)),
    ]:
        before = state.reads()
        setattr(owner, name, value)
        assert state.reads() != before, name
    before = state.reads()
    model.inner.scale[1] = 5  # a number on the CPU is sent to the card as it is
    assert state.reads() != before
    before = state.reads()
    model.inner.weight.mask = np.ones((2, 2), bool)
    assert state.reads() != before
    with md.settings(precision="exact"):
        assert state.reads() != before


def test_only_what_is_minidls_own_is_recorded_by_default():
    from minidl.train.loop import Training

    class Own(nn.Module):
        def __init__(self):
            self.layer = nn.Linear(64, 10)

        def forward(self, x):
            return self.layer(nn.Flatten()(x))

    def records(model, objective=None, record=None):
        optimizer = optim.SGD(model.parameters(), 0.1)
        return Training(model, optimizer, objective or CrossEntropy(), [], loader(), None, record)._step._records

    assert records(network())
    assert not records(Own())
    assert records(Own(), record=True)
    assert not records(network(), record=False)
    assert not records(network(), objective=Noisy())


# Looking at a model that is lost


def test_logits_that_are_nan_are_wrong_and_said_to_be():
    model = network()
    model[4].weight.data[...] = np.nan
    with pytest.warns(RuntimeWarning, match="NaN or infinite for 360 of 360 images"):
        score = md.evaluate(model, [(IMAGES, LABELS)], progress=False)
    assert score.accuracy == 0


# what a recorded step reads


class Slotted(nn.Module):
    """A setting that is no attribute of its ``__dict__``, and settings within others."""

    __slots__ = ("kept",)

    def __init__(self):
        self.kept, self.ranks, self.table, self.numbers = 1, [[3, 4], 5], {"a": {"b": 2}}, np.arange(3.0)


def test_reads_differ_where_a_step_would_compute_something_else():
    model = nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.5), Slotted(), nn.BatchNorm2d(3))
    optimizer = md.optim.Adam(model.parameters(), lr=0.1)
    teacher = nn.Linear(4, 3)
    state = State(model, optimizer, md.objectives.Distillation(teacher, 4))

    def prune():
        model[0].weight.mask[0, 0] = False  # in place, where a recorded step reads it

    def mask():
        model[0].weight.mask = np.ones((4, 3), bool)

    def remember():
        optimizer.state[0].append(np.zeros((4, 3), np.float32))

    changes = {
        "a number": lambda: setattr(model[1], "p", 0.25),
        "a slot": lambda: setattr(model[2], "kept", 2),
        "in a list": lambda: model[2].ranks[0].append(5),
        "in a dictionary": lambda: model[2].table["a"].update(b=3),
        "a small array": lambda: model[2].numbers.__setitem__(0, 7.0),
        "another array": lambda: setattr(model[3], "running_mean", np.ones(3, np.float32)),
        "a mask": mask,
        "weights": lambda: setattr(model[0].weight, "data", model[0].weight.data * 2),
        "what is trained": lambda: setattr(model[0].bias, "requires_grad", False),
        "what is remembered": remember,
        "a layer": lambda: setattr(model, "more", nn.Dropout(0.1)),
        "a setting of the optimiser": lambda: setattr(optimizer, "weight_decay", 0.5),
        "the mode": model.eval,
        "the teacher's weights": lambda: setattr(teacher.bias, "data", teacher.bias.data + 1),
        "the precision": lambda: md.set_precision("exact"),
    }
    before = state.reads()
    for what, change in changes.items():
        assert state.reads() == before, what
        change()
        now = state.reads()
        assert now != before, what
        before = now
    for same in (prune, lambda: setattr(optimizer, "lr", 0.3), lambda: setattr(optimizer, "steps", 1000)):
        same()
        assert state.reads() == before


def test_reads_are_not_worked_out_anew_where_nothing_has_changed(monkeypatch):
    model = md.models.fc5(image_size=4)
    state = State(model, md.optim.SGD(model.parameters(), lr=0.1), md.objectives.CrossEntropy())
    once = state.reads()
    monkeypatch.setattr("minidl.train.reads._identity", None)  # whoever calls it fails
    assert state.reads() is once
