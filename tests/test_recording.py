"""Recorded steps give the bits of steps that are done kernel by kernel, whatever else the card is asked for in between.

A recording writes where it wrote when it was recorded. So what is to outlive a replay must lie where no recording
works; each test here has something that has to.
"""

import warnings
from typing import ClassVar

import numpy as np
import pytest

import minidl as md
from minidl import functional as F
from minidl import kernels, nn
from minidl.backend import array_module, card, is_array, to_device, to_numpy
from minidl.backend.cuda import constant
from minidl.backend.memory import card_memory, lasting, release_memory
from minidl.backend.recording import Replayed, compare_replays, fresh, is_capturing
from minidl.data import Loader
from minidl.objectives import Adversarial, Distillation

pytestmark = pytest.mark.gpu
emulated = pytest.mark.skipif(
    not (md.gpu_available() and hasattr(card().cuda.memory, "TOTAL_BYTES")), reason="a card's memory has its size"
)


@pytest.fixture(autouse=True)
def recorded_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        yield


def on_card(values, dtype=np.float32):
    return to_device(np.asarray(values, dtype), "gpu")


def images_and_labels(count=40, size=6, seed=0):
    rng = np.random.default_rng(seed)
    return rng.random((count, size, size, 3), np.float32), rng.integers(3, size=count)


def small(seed=0, dropout=0.0):
    md.manual_seed(seed)
    layers = (nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2))
    head = (nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Dropout(dropout), nn.Linear(32, 3))
    return nn.Sequential(nn.Normalize(0.3 + seed / 10, 0.2), *layers, *head).to("gpu")


def assert_same_bits(ours, theirs, what=""):
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        np.testing.assert_array_equal(to_numpy(value), to_numpy(theirs[name]), err_msg=f"{what} {name}")


# what a step is made of


def test_numbers_outlive_what_was_computed_before_them():
    drawn = iter(range(1, 100))

    def step(x):
        for _ in range(3):  # whose memory is free when the number wants some
            x = x * 2
        return [x * fresh(lambda: next(drawn), np.float64, x)]

    replayed = Replayed(step)
    for i in range(1, 6):
        np.testing.assert_array_equal(to_numpy(replayed(on_card(np.full(64, i), np.float64))[0]), 8 * i * i)


def test_what_is_kept_in_the_ordinary_call_outlives_other_recordings():
    """Momentum, constants, whatever: the first call of one step, while another step's recording is alive."""
    busy, kept = Replayed(lambda x: [((x * 2) * 3 + 1).sum()]), []

    def step(x):
        if not kept:
            kept.extend(array_module(x).full_like(x, 7) for _ in range(4))
        return [sum(kept) * x]

    keeps, x = Replayed(step), on_card(np.ones(300))
    for _ in range(3):
        busy(x)
    for _ in range(4):
        busy(x)
        np.testing.assert_array_equal(to_numpy(keeps(x)[0]), np.full(300, 28))
        busy(x)
        for array in kept:
            np.testing.assert_array_equal(to_numpy(array), np.full(300, 7))


def test_inputs_and_results_outlive_other_recordings():
    def step(x):
        return [(x + 1) * 2 - 3, (x * x).sum()]

    x, steps, results = np.arange(500.0), [Replayed(step) for _ in range(3)], {}
    for turn in range(5):
        for i, replayed in enumerate(steps):
            results[i] = (turn + i, replayed(on_card(x + turn + i, np.float64)))
            for shift, (y, total) in results.values():
                np.testing.assert_array_equal(to_numpy(y), (x + shift + 1) * 2 - 3)
                assert float(total) == ((x + shift) ** 2).sum()


def test_constants_outlive_recordings():
    """Each step has its constants, sent for the first time while recordings of other steps are alive."""

    def step_with(numbers):
        def step(x):
            parts = [x + i for i in range(6)]
            return [sum(parts) * constant(numbers, np.float64, x)]

        return Replayed(step)

    x, steps = on_card(np.ones(40), np.float64), []
    for first in range(5):
        steps.append((np.arange(40.0) + 100 * first, step_with(np.arange(40.0) + 100 * first)))
        for numbers, step in steps * 3:
            np.testing.assert_array_equal(to_numpy(step(x)[0]), 21 * numbers)


def test_what_a_recording_makes_to_stay_does():
    """Its memory is no recording's, and outlives them all."""
    kept = []

    def step(x):
        y = (x + 1) * 2
        del x
        if is_capturing():
            with lasting():
                kept.append(array_module(y).empty(y.shape, y.dtype))
        return [y * 3 - 1]

    x = on_card(np.ones(200))
    recorded = [Replayed(step) for _ in range(3)]
    for _ in range(4):
        for replayed in recorded:
            np.testing.assert_array_equal(to_numpy(replayed(x)[0]), 11)
        for i, array in enumerate(kept):
            array.fill(i)
    recorded.clear()
    release_memory()
    later = [x + 2 for _ in range(9)]
    for i, array in enumerate(kept):
        np.testing.assert_array_equal(to_numpy(array), i)
    assert len(kept) == 3
    assert float(sum(later).sum()) == 27 * 200


@pytest.mark.parametrize("mode", kernels.PRECISIONS)
def test_products_are_recorded_in_the_precision_that_is_set(mode):
    md.set_precision(mode)
    rng = np.random.default_rng(0)

    def step(x, y):
        a, b = md.Tensor(x, requires_grad=True), md.Tensor(y, requires_grad=True)
        z = a @ b
        (z * z).sum().backward()
        return [z.data, a.grad, b.grad]

    for shapes in (((30, 40), (40, 20)), ((2, 1, 9, 40), (3, 40, 5))):
        x, y = (rng.standard_normal(shape) for shape in shapes)
        recorded, there = Replayed(step), (on_card(x), on_card(y))
        for _ in range(3):
            z, *slopes = recorded(*there)
            for got, wanted in zip(slopes, step(*there)[1:], strict=True):
                np.testing.assert_array_equal(to_numpy(got), to_numpy(wanted))
        error = abs(to_numpy(z) - x.astype(np.float32).astype(float) @ y.astype(np.float32)).max() / abs(x @ y).max()
        least, most = {"exact": (0, 1e-6), "fast": (1e-5, 2e-3), "bfloat16": (2e-4, 8e-3)}[mode]
        assert least <= error <= most


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_the_gradient_of_indexing_has_the_same_bits_each_time(dtype):
    """Places that are picked often: what is added to each has its order."""
    rng = np.random.default_rng(0)
    values, picks = rng.standard_normal((7, 5)).astype(dtype), rng.integers(-7, 7, size=900)
    for index in (picks, to_device(picks, "gpu"), (picks, 2), (slice(None), picks % 5), np.arange(7) % 2 == 0):
        here = md.Tensor(values, requires_grad=True)
        y = here[to_numpy(index) if is_array(index) else index]
        dy = rng.standard_normal(y.shape).astype(dtype)
        y.backward(dy)
        slopes = []
        for _ in range(5):
            x = md.Tensor(to_device(values, "gpu"), requires_grad=True)
            x[index].backward(to_device(dy, "gpu"))
            slopes.append(to_numpy(x.grad))
        assert len({slope.tobytes() for slope in slopes}) == 1
        np.testing.assert_allclose(slopes[0], here.grad, atol={"float16": 0.5}.get(dtype, 1e-4))


# a hundred programs


class Program:
    """A few arrays that it changes, and random operations on them and on what it is given."""

    def __init__(self, seed):
        rng = np.random.default_rng(seed)
        self.rng = np.random.default_rng(seed)  # dropout's
        self.count = 0
        self.arrays = {f"array {i}": on_card(rng.standard_normal((8, 8))) for i in range(3)}
        self.plan = [
            (rng.choice(list(self.OPERATIONS)), *rng.integers(100, size=3)) for _ in range(int(rng.integers(8, 30)))
        ]

    def _draw(self):
        self.count += 1
        return self.count / 8

    OPERATIONS: ClassVar = {
        "sum": lambda self, a, b: a + b,
        "product": lambda self, a, b: a * b / 4,
        "matrices": lambda self, a, b: kernels.of(a).matmul(a, b) / 8,
        "relu": lambda self, a, b: F.relu(md.Tensor(a)).data - b / 2,
        "dropout": lambda self, a, b: F.dropout(md.Tensor(a), 0.25, rng=self.rng).data,
        "a number": lambda self, a, b: (a * fresh(self._draw, np.float64, a)).astype(np.float32),
        "columns": lambda self, a, b: a - b.mean(axis=0),
        "turned": lambda self, a, b: array_module(a).ascontiguousarray(a.T).clip(-4, 4),
        "larger": lambda self, a, b: array_module(a).concatenate([a, b]).reshape(2, 8, 8).sum(axis=0) / 2,
    }

    def __call__(self, x):
        live = [x, *self.arrays.values()]
        for name, first, second, third in self.plan:
            value = self.OPERATIONS[name](self, live[first % len(live)], live[second % len(live)])
            if third % 4 == 0:  # into an array that lasts
                target = list(self.arrays.values())[third % 3]
                target += value.clip(-1, 1) / 16
            elif third % 4 == 1 and len(live) > 5:  # and something is forgotten
                live[4 + third % (len(live) - 4)] = value
            else:
                live.append(value)
        return [sum(live), live[-1].sum(), live[-1]]


@pytest.mark.parametrize("seed", range(0, 100, 2))
def test_random_programs_in_turns(seed):
    """Two at a time, of which each is recorded and replayed while the other is."""
    ours, theirs = ([Program(seed), Program(seed + 1)] for _ in range(2))
    recorded = [Replayed(program, writes=lambda p=program: p.arrays) for program in ours]
    rng = np.random.default_rng(seed)
    for turn in range(6):
        x = on_card(rng.standard_normal((8, 8)))
        got = [step(x) for step in recorded]
        wanted = [program(x) for program in theirs]
        for i in range(2):
            for j, (a, b) in enumerate(zip(got[i], wanted[i], strict=True)):
                np.testing.assert_array_equal(to_numpy(a), to_numpy(b), err_msg=f"turn {turn}: {i}, {j}")
            assert_same_bits(ours[i].arrays, theirs[i].arrays, f"turn {turn}:")
            assert ours[i].count == theirs[i].count
            assert ours[i].rng.bit_generator.state == theirs[i].rng.bit_generator.state


# trainings


class ByHand:
    """A training step by hand, as ``fit`` does it."""

    def __init__(self, seed, recorded, method=md.optim.SGD, **settings):
        self.model = small(seed, dropout=0.25).train()
        self.optimizer = method(self.model.parameters(), lr=0.05, **settings)
        self.step = Replayed(self._step, self._reads, writes=self.arrays) if recorded else self._step

    def _step(self, images, labels):
        loss = F.cross_entropy(self.model(md.Tensor(images)), labels)
        self.model.zero_grad()
        loss.backward()
        self.optimizer.step()
        return [loss.data, *(p.grad for p in self.model.parameters())]

    def _reads(self):
        return tuple(a.data.ptr for a in self.arrays().values())

    def arrays(self):
        state = [a for arrays in self.optimizer.state for a in arrays]
        return {
            **{f"weight {i}": p.data for i, p in enumerate(self.model.parameters())},
            **{f"state {i}": a for i, a in enumerate(state)},
            "mean": self.model[2].running_mean,
            "variance": self.model[2].running_var,
        }


def clipped(parameters, **settings):
    """Gradients are longer than this: a recorded step shortens them too, by a factor of its own each time."""
    optimizer = md.optim.AdamW(parameters, **settings)
    optimizer.max_norm = 0.01
    return optimizer


METHODS = {"momentum": (md.optim.SGD, {"momentum": 0.9}), "Adam": (md.optim.Adam, {})}
METHODS |= {"AdamW, clipped": (clipped, {"weight_decay": 0.1})}


@pytest.mark.parametrize("method", METHODS)
def test_two_models_in_turns(method):
    images, labels = images_and_labels(36)
    ends = []
    for recorded in (True, False):
        both = [ByHand(seed, recorded, METHODS[method][0], **METHODS[method][1]) for seed in (0, 1)]
        losses = []
        for start in (*range(0, 36, 8), *range(0, 36, 8), *range(0, 36, 8)):  # the last batch has 4
            for training in both:
                batch = on_card(images[start : start + 8]), labels[start : start + 8]
                losses.append(float(training.step(*batch)[0]))
        ends.append((losses, *(training.arrays() for training in both)))
    assert ends[0][0] == ends[1][0]
    for ours, theirs in zip(ends[0][1:], ends[1][1:], strict=True):
        assert_same_bits(ours, theirs)


def test_adversarial_training_by_two_recordings():
    images, labels = images_and_labels(36)
    ends = []
    for recorded in (True, False):
        training = ByHand(0, recorded, momentum=0.9)

        def climb(pixels, labels, model=training.model):
            x = md.Tensor(pixels, requires_grad=True)
            F.cross_entropy(model(x), labels, reduction="sum").backward(inputs=[x])
            return [x.grad]

        attack, losses = Replayed(climb) if recorded else climb, []
        for start in (*range(0, 36, 8), *range(0, 36, 8), *range(0, 36, 8)):
            x, y = on_card(images[start : start + 8]), labels[start : start + 8]
            training.model.eval()
            (slope,) = attack(x, y)
            training.model.train()
            x = (x + 0.03 * array_module(x).sign(slope)).clip(0, 1)
            losses.append(float(training.step(x, y)[0]))
        ends.append((losses, training.arrays()))
    assert ends[0][0] == ends[1][0]
    assert_same_bits(ends[0][1], ends[1][1])


OBJECTIVES = {
    "FGSM-RS": lambda: Adversarial(0.05, rng=np.random.default_rng(1)),
    "N-FGSM": lambda: Adversarial(0.05, start="wide", rng=np.random.default_rng(1)),
    "PGD": lambda: Adversarial(0.05, steps=3, rng=np.random.default_rng(1)),
    "distillation": lambda: Distillation(small(9), 20),
    "a mix": lambda: Distillation(small(9), 4, 0.5),
    "both": lambda: Adversarial(0.05, loss=Distillation(small(9), 4, 0.5), rng=np.random.default_rng(1)),
}


def fitted(
    recorded,
    method="momentum",
    epochs=4,
    on_epoch=None,
    batch_size=8,
    dropout=0.0,
    prune=False,
    seed=0,
    objective=None,
    noisy=None,
):
    """The weights and the losses of a training; kernel by kernel where it is not ``recorded``."""
    model, (images, labels) = small(seed, dropout), images_and_labels()
    extras = {"objective": OBJECTIVES[objective]()} if objective else {}
    if noisy is not None:
        model = getattr(md.compress, noisy)(model)
        after = [md.compress.NoisePruner(model, at=13, sparsity=0.5)]
        extras = {"objective": md.objectives.Penalized(0.01, ramp=(2, 9)), "after_step": after}
    optimizer = METHODS[method][0](model.parameters(), lr=0.05, **METHODS[method][1])
    watch = None if on_epoch is None else lambda epoch: on_epoch(epoch.epoch, model, recorded)
    curve = md.fit(
        model,
        Loader(on_card(images), labels, batch_size, seed=0),
        optimizer,
        epochs,
        pruner=md.compress.MagnitudePruner(model, 0.5, 3, 4, 3) if prune else None,
        progress=False,
        on_epoch=watch,
        record=recorded,
        **extras,
    )
    state = {f"state {i}.{j}": a for i, s in enumerate(optimizer.state) for j, a in enumerate(s)}
    return {**model.state_dict(), **state, "losses": np.array([row.loss for row in curve])}


def assert_recorded_as_it_is(**settings):
    assert_same_bits(fitted(True, **settings), fitted(False, **settings))


NOISY = [{"noisy": "variational"}, {"noisy": "l0"}]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("settings", [{}, {"batch_size": 12}, {"dropout": 0.5}, {"prune": True}, *NOISY], ids=str)
def test_a_recorded_training_has_the_bits_of_one_that_is_not(method, settings):
    """A last batch of another size, dropout, masks that grow, weights that are random until they are pruned."""
    assert_recorded_as_it_is(method=method, **settings)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_recorded_objective_has_the_bits_of_one_that_is_not(objective):
    """Random starts are drawn anew, running statistics move once, and a teacher is asked each time."""
    assert_recorded_as_it_is(objective=objective, batch_size=12)


def test_random_starts_are_drawn_anew_in_each_replay():
    x, rng = on_card(np.zeros((64, 64))), np.random.default_rng(0)
    start = Replayed(lambda x: [kernels.of(x).uniform(x, rng)])
    drawn = [to_numpy(start(x)[0]).copy() for _ in range(5)]
    for i, numbers in enumerate(drawn):
        assert -1 <= numbers.min() < -0.99
        assert 0.99 < numbers.max() < 1
        assert abs(numbers.mean()) < 0.03
        assert all(abs(np.corrcoef(numbers.ravel(), other.ravel())[0, 1]) < 0.05 for other in drawn[:i])


def test_a_teacher_that_was_moved_is_read_where_it_is():
    """Its weights are others, at another place, from the third epoch on."""

    def trained(recorded):
        objective, model, (images, labels) = Distillation(small(9), 4), small(), images_and_labels(16)

        def change(epoch):
            if epoch.epoch == 1:
                objective.teacher.to("cpu").to("gpu")[8].weight.data[...] *= 2

        batches, descent = Loader(on_card(images), labels, 8, seed=0), md.optim.SGD(model.parameters(), 0.05)
        settings = {"objective": objective, "on_epoch": change, "record": recorded, "progress": False}
        md.fit(model, batches, descent, 4, **settings)
        return model.state_dict()

    assert_same_bits(trained(True), trained(False))


def test_an_attack_between_epochs():
    images, labels = images_and_labels(20, seed=1)

    def attack(epoch, model, recorded):
        md.robustness.accuracy_curve(model, images, labels, [0, 4 / 255], batch_size=8)

    assert_recorded_as_it_is(on_epoch=attack)


@pytest.mark.parametrize("method", METHODS)
def test_a_training_within_another(method):
    """And then the outer one goes on, and its constants, momentum and gradients are still its own."""
    inner = {}

    def another(epoch, model, recorded):
        inner[recorded, epoch] = fitted(recorded, method, epochs=3, seed=1 + epoch)

    assert_recorded_as_it_is(method=method, on_epoch=another)
    for (recorded, epoch), end in inner.items():
        assert_same_bits(end, inner[not recorded, epoch], f"within epoch {epoch}:")


def test_layers_that_are_frozen_and_freed():
    def freeze(epoch, model, recorded):
        model[1].weight.requires_grad = epoch % 2 == 1
        model[8].bias.requires_grad = epoch != 2

    assert_recorded_as_it_is(on_epoch=freeze, epochs=6)


def test_masks_that_change():
    def mask(epoch, model, recorded):
        if epoch < 3:
            model[8].weight.mask = np.arange(96).reshape(32, 3) % (4 - epoch) != 0

    assert_recorded_as_it_is(on_epoch=mask, epochs=6)


def test_gradients_outlive_their_recording():
    """And other recordings, and the next training's."""
    ends = []
    for recorded in (True, False):
        training = ByHand(0, recorded, momentum=0.9)
        images, labels = images_and_labels(8)
        for _ in range(4):
            training.step(on_card(images), labels)
        gradients = {str(i): to_numpy(p.grad) for i, p in enumerate(training.model.parameters())}
        training.step = None  # and with it the recording
        fitted(recorded, seed=1)
        release_memory()
        assert_same_bits(gradients, {str(i): p.grad for i, p in enumerate(training.model.parameters())})
        ends.append(gradients)
    assert_same_bits(*ends)


# trust, and check


@pytest.fixture
def each_replay_is_compared():
    compare_replays(every=1)
    yield
    compare_replays(every=0)


def test_a_recording_that_does_something_else_is_thrown_away():
    """Here a step that counts for itself, of which a recording knows but one number."""
    count, total = [0], on_card(np.zeros(3))

    def step(x):
        count[0] += 1
        total.__iadd__(x * count[0])
        return [x + 1, x * count[0]]

    replayed, x, expected = Replayed(step, writes=lambda: {"the total": total}), on_card(np.ones(3)), 0
    for turn in range(1, 5):
        if turn == 2:
            with pytest.warns(RuntimeWarning, match="gave other bits than the step itself, first in result 1: the rec"):
                _, product = replayed(x)
        else:
            _, product = replayed(x)
        factor = turn + (turn > 2)  # Python ran once more, to record
        expected += factor
        np.testing.assert_array_equal(to_numpy(product), factor)
        np.testing.assert_array_equal(to_numpy(total), expected)


def test_arrays_that_differ_have_names():
    count, total = [0], on_card(np.zeros(3))

    def step(x):
        count[0] += 1
        total.__iadd__(x * count[0])
        return [x + 1]

    replayed, x = Replayed(step, writes=lambda: {"the total": total}), on_card(np.ones(3))
    replayed(x)
    with pytest.warns(RuntimeWarning, match="first in the total"):
        replayed(x)
    np.testing.assert_array_equal(to_numpy(total), 1 + 2)


def test_what_a_step_does_not_tell_of_is_noticed():
    hidden = on_card(np.zeros(3))

    def step(x):
        hidden.__iadd__(x)
        return [hidden * 2]

    replayed, x = Replayed(step), on_card(np.ones(3))
    replayed(x)
    with pytest.warns(RuntimeWarning, match="first in result 0"):
        np.testing.assert_array_equal(to_numpy(replayed(x)[0]), 4)


def test_a_number_that_only_a_recording_draws_is_noticed():
    def step(x):
        return [x * fresh(lambda: 2.0, np.float64, x) if is_capturing() else x * 2]

    replayed, x = Replayed(step), on_card(np.ones(3), np.float64)
    replayed(x)
    with pytest.warns(RuntimeWarning, match="gave other bits"):
        replayed(x)
    np.testing.assert_array_equal(to_numpy(replayed(x)[0]), 2)


def test_each_replay_is_compared_where_one_asks_for_it(each_replay_is_compared):
    """Something that a recording reads is changed behind its back."""
    calls, weight = [], [on_card(np.ones(3))]

    def step(x):
        calls.append(1)
        return [x * weight[0]]

    replayed, x = Replayed(step), on_card(np.arange(3))
    for _ in range(4):
        replayed(x)
    assert len(calls) == 5  # and once to record
    weight.append(weight[0])  # the recording's
    weight[0] = on_card(np.full(3, 5))
    with pytest.warns(RuntimeWarning, match="first in result 0"):
        np.testing.assert_array_equal(to_numpy(replayed(x)[0]), 5 * np.arange(3))
    np.testing.assert_array_equal(to_numpy(replayed(x)[0]), 5 * np.arange(3))


@pytest.mark.parametrize("method", METHODS)
def test_comparing_changes_no_bit(method, each_replay_is_compared):
    assert_recorded_as_it_is(method=method, dropout=0.5, batch_size=12)


def test_gradients_are_those_of_the_last_step_though_it_was_compared(each_replay_is_compared):
    slopes = []
    for recorded in (True, False):
        model, (images, labels) = small(), images_and_labels(8)
        optimizer = md.optim.SGD(model.parameters(), lr=0.05)
        batches = Loader(on_card(images), labels, 8, seed=0)
        md.fit(model, batches, optimizer, 5, progress=False, record=recorded)
        slopes.append({str(i): to_numpy(p.grad) for i, p in enumerate(model.parameters())})
    assert_same_bits(*slopes)


def test_how_often_is_a_whole_number():
    for wrong in (-1, 0.5, None):
        with pytest.raises((TypeError, ValueError), match="compare_replays: every is"):
            compare_replays(wrong)


def test_a_step_within_a_step_is_part_of_it():
    """As an attack within a training step: one recording, of both."""
    inner = Replayed(lambda x: [x * fresh(lambda: 3.0, np.float64, x)])
    outer = Replayed(lambda x: [inner(x)[0] + 1])
    for i in range(5):
        x = on_card(np.full(3, i), np.float64)
        np.testing.assert_array_equal(to_numpy(outer(x)[0]), 3 * i + 1)
        np.testing.assert_array_equal(to_numpy(inner(x)[0]), 3 * i)


# memory


def test_memory_is_given_back():
    release_memory()
    used = card().get_default_memory_pool().used_bytes()
    for _ in range(3):
        fitted(True)
    release_memory()
    assert card_memory() - used < 2 << 20


@pytest.mark.parametrize("room", [400_000, 800_000, 1_500_000, 3_000_000, 6_000_000])
def test_a_card_that_is_nearly_full(room):
    """Trained to the same bits, or told which batch would fit; and then that does. No pool passes the limit."""
    images, labels = images_and_labels(40, size=16)
    there = on_card(images)

    def fit(batch_size, recorded=True):
        model = small()
        optimizer = md.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        batches = Loader(there, labels, batch_size, seed=0)
        md.fit(model, batches, optimizer, 4, progress=False, record=recorded)
        return model.state_dict()

    fit(2)  # from now on cuBLAS has its memory
    pool, batch_size = card().get_default_memory_pool(), 24
    release_memory()
    limit, start = pool.get_limit(), card_memory()
    pool.set_limit(size=start + room)
    try:
        try:
            ours = fit(batch_size)
        except MemoryError as error:
            batch_size = int(str(error).split("a batch of ")[2].split()[0])
            ours = fit(batch_size)
        assert (batch_size <= 24, card_memory() <= start + room) == (True, True)
    finally:
        pool.set_limit(size=limit)
    assert_same_bits(ours, fit(batch_size, recorded=False))


@pytest.fixture
def memory_left(monkeypatch):
    """Leave that many bytes of the card's memory: what the pools keep counts as taken."""

    def leave(size):
        memory = card().cuda.memory
        monkeypatch.setattr(memory, "TOTAL_BYTES", memory.TOTAL_BYTES - card().cuda.runtime.memGetInfo()[0] + size)

    release_memory()
    return leave


@emulated
def test_a_recording_gets_what_the_default_pool_does_not_use(memory_left):
    def step(x):
        return [((x * 2).reshape(-1, 2) + 1).sum()]

    replayed, x = Replayed(step), on_card(np.ones(250_000))  # 1 MB
    kept = on_card(np.ones(1_500_000))
    memory_left(500_000)
    del kept  # 6 MB, which the default pool keeps
    for _ in range(4):
        assert float(replayed(x)[0]) == 750_000


@emulated
def test_a_training_on_a_card_that_is_full(memory_left):
    """Not its pools' limit: the card's own memory, which raises another error."""
    images, labels = images_and_labels(40, size=16)
    fitted(True)
    there = on_card(images)
    release_memory()
    memory_left(1_000_000)

    def fit(batch_size):
        model = small()
        optimizer = md.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        md.fit(model, Loader(there, labels, batch_size, seed=0), optimizer, 3, progress=False)

    with pytest.raises(MemoryError, match=r"fit: a batch of 40 images does not fit .* a batch of \d+ would") as error:
        fit(40)
    fit(int(str(error.value).split("a batch of ")[2].split()[0]))


@emulated
def test_a_workspace_that_does_not_fit_is_a_memory_error(memory_left):
    from minidl.kernels.gpu.cublas import Handle

    memory_left(1_000_000)
    with pytest.raises(MemoryError):
        Handle(card())
