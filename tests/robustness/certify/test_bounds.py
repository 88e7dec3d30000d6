"""Bounds of margins: below the exact ones, around every point there is, and what they are where that is known."""

import itertools

import numpy as np
import pytest

import minidl as md
from minidl import nn
from minidl import robustness as R
from minidl.lines import relu_lines
from minidl.nn import activation
from minidl.robustness.certify import way

from .exact import least_margin, margins, nearby, perceptron
from .networks import IMAGES, networks

NETWORKS = networks()
each = pytest.mark.parametrize("name", NETWORKS)


def assert_no_point_lies_outside(model, images, epsilon, norm="inf", count=2500, **settings):
    """Of ``count`` random points of each region no margin lies outside the bounds, but for the points' own rounding."""
    bounds = R.linear_bounds(model, images, epsilon, norm, **settings)
    rng = np.random.default_rng(2)
    for b, image in enumerate(images):
        found = margins(model, nearby(image, epsilon, count, rng, norm), bounds.classes[b], bounds.others[b])
        off = 1e-5 * max(1, abs(found).max())
        assert (found >= bounds.lower[b] - off).all()
        assert (found <= bounds.upper[b] + off).all()
    return bounds


def exact_cases(rng):
    """(model, image, epsilon): tiny networks of two inputs, and of the 64 pixels of a digit with 8 to 20 neurons."""
    digits = md.data.digits("val").images
    for k in range(125):
        yield perceptron((2, 8, 8, 3), rng), rng.random((1, 2, 1)).astype(np.float32), (0.01, 0.05, 0.2)[k % 3]
    for k in range(125):
        sizes = (64, int(rng.integers(4, 11)), int(rng.integers(4, 11)), 3)
        image = digits[k].reshape(1, 64, 1)
        yield perceptron(sizes, rng, scale=2), image, (0.005, 0.02, 0.06)[k % 3]


def assert_below_exact(model, image, epsilon, steps=0):
    """What the bounds are, and the exact margins (K - 1,), none of which a bound exceeds."""
    bounds = R.linear_bounds(model, image[None], epsilon, steps=steps)
    exact = np.array([least_margin(model, image, epsilon, bounds.classes[0], other) for other in bounds.others[0]])
    assert (bounds.lower[0] <= exact + 1e-6).all()  # of the programming; the region itself is 2^-24 wider
    return bounds, exact


def test_bounds_are_below_the_exact_margins_of_mixed_integer_programming(rng):
    counted, close, gap = 0, [], []
    for model, image, epsilon in exact_cases(rng):
        bounds, exact = assert_below_exact(model, image, epsilon)
        better = R.linear_bounds(model, image[None], epsilon, steps=3)
        boxes = R.interval_bounds(model, image[None], epsilon)
        assert (better.lower[0] <= exact + 1e-6).all()
        assert (boxes.lower[0] <= exact + 1e-6).all()
        assert (better.lower >= bounds.lower).all()
        counted += len(exact)
        if epsilon <= 0.01:
            close += list(exact - bounds.lower[0] <= 0.3 * np.abs(exact))
        gap.append((exact - bounds.lower[0]).mean())
    assert counted == 500
    assert np.mean(close) > 0.95  # where an exact margin is next to 0, no bound is within 30 % of it
    assert np.median(gap) < 0.1


@each
@pytest.mark.parametrize(("norm", "epsilon"), [("inf", 0.02), ("inf", 0.15), ("2", 0.1), ("2", 1.0)])
def test_no_point_lies_outside(name, norm, epsilon):
    assert_no_point_lies_outside(NETWORKS[name], IMAGES, epsilon, norm)


@each
def test_better_slopes_are_sound_and_never_worse(name):
    plain = R.linear_bounds(NETWORKS[name], IMAGES, 0.15)
    better = assert_no_point_lies_outside(NETWORKS[name], IMAGES, 0.15, steps=20)
    assert (better.lower >= plain.lower).all()


def test_better_slopes_help():
    plain, better = (R.linear_bounds(NETWORKS["perceptron"], IMAGES, 0.2, steps=steps) for steps in (0, 20))
    assert (better.lower - plain.lower).mean() > 0.1


def test_more_steps_are_never_worse():
    lowers = [R.linear_bounds(NETWORKS["residual"], IMAGES, 0.2, steps=steps).lower for steps in (0, 1, 5, 20)]
    assert all((later >= earlier).all() for earlier, later in itertools.pairwise(lowers))


@each
@pytest.mark.parametrize("norm", ["inf", "2"])
def test_at_epsilon_0_the_bound_is_the_margin(name, norm):
    model = NETWORKS[name]
    bounds = R.linear_bounds(model, IMAGES, 0, norm)
    for b, image in enumerate(IMAGES):
        exact = margins(model, image[None], bounds.classes[b], bounds.others[b])[0]
        assert bounds.lower[b] == pytest.approx(exact, abs=2e-6)  # the model's own float32
        assert bounds.upper[b] == pytest.approx(bounds.lower[b], abs=1e-9)
        assert (bounds.lower[b] <= bounds.upper[b]).all()


@each
def test_bounds_fall_with_epsilon(name):
    lowers = [R.linear_bounds(NETWORKS[name], IMAGES, epsilon).lower.min(axis=1) for epsilon in (0, 0.02, 0.1, 0.3)]
    assert all((later < earlier).all() for earlier, later in itertools.pairwise(lowers))


@each
def test_intervals_hold_every_point_and_are_wider(name):
    model = NETWORKS[name]
    boxes, lines = R.interval_bounds(model, IMAGES, 0.05), R.linear_bounds(model, IMAGES, 0.05)
    rng = np.random.default_rng(3)
    for b, image in enumerate(IMAGES):
        found = margins(model, nearby(image, 0.05, 2000, rng), boxes.classes[b], boxes.others[b])
        assert (found >= boxes.lower[b] - 1e-4).all()
        assert (found <= boxes.upper[b] + 1e-4).all()
    assert boxes.lower.mean() < lines.lower.mean()


def test_a_linear_model_has_a_closed_form():
    model = nn.Sequential(nn.Normalize(0.5, 0.25), nn.Flatten(), nn.Linear(4, 2)).eval()
    image = np.full((1, 2, 2, 1), 0.5)
    bounds = R.linear_bounds(model, image, 0.1, labels=np.array([0]))
    w, b = (p.data.astype(float) for p in (model[2].weight, model[2].bias))
    direction = (w[:, 0] - w[:, 1]) / 0.25
    assert bounds.lower.item() == pytest.approx(b[0] - b[1] - 0.1 * abs(direction).sum(), abs=1e-9)
    assert bounds.upper.item() == pytest.approx(b[0] - b[1] + 0.1 * abs(direction).sum(), abs=1e-9)
    ball = R.linear_bounds(model, image, 0.1, "2", labels=np.array([0]))
    assert ball.lower.item() == pytest.approx(b[0] - b[1] - 0.1 * np.sqrt((direction**2).sum()), abs=1e-9)


def test_margins_are_bounded_and_not_each_logit():
    """Two logits that move together have a margin that does not move at all."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(1, 2)).eval()
    model[1].weight.data[...], model[1].bias.data[...] = [[5, 5]], [1, 0]
    bounds = R.linear_bounds(model, np.full((1, 1, 1, 1), 0.5), 0.3)
    assert bounds.lower.item() == pytest.approx(1, abs=1e-9)
    assert R.interval_bounds(model, np.full((1, 1, 1, 1), 0.5), 0.3).lower.item() == pytest.approx(1, abs=1e-9)


def test_the_box_ends_where_pixels_do():
    model = nn.Sequential(nn.Flatten(), nn.Linear(1, 2)).eval()
    model[1].weight.data[...], model[1].bias.data[...] = [[1, 0]], [0, 0]
    bounds = R.linear_bounds(model, np.full((1, 1, 1, 1), 0.9), 0.3, labels=np.array([0]))
    assert (bounds.lower.item(), bounds.upper.item()) == pytest.approx((0.6, 1.0), abs=1e-9)


@each
def test_bounds_do_not_depend_on_the_batch(name):
    model = NETWORKS[name]
    together, alone = R.linear_bounds(model, IMAGES, 0.1), R.linear_bounds(model, IMAGES[1:], 0.1)
    assert together.lower[1:] == pytest.approx(alone.lower, abs=1e-9)
    assert R.linear_bounds(model, IMAGES, 0.1, batch_size=1).lower == pytest.approx(together.lower, abs=1e-9)


def test_a_model_in_float64_has_the_same_bounds_and_nothing_is_touched():
    model = networks()["pooling"]
    before = model.state_dict()
    bounds = R.linear_bounds(model, IMAGES, 0.1)
    after = model.state_dict()
    assert all(np.array_equal(before[key], after[key]) for key in before)
    assert model[0].weight.dtype == np.float32
    double = R.linear_bounds(model.astype(np.float64), IMAGES, 0.1)
    assert double.lower == pytest.approx(bounds.lower, abs=1e-9)


@pytest.mark.parametrize("wrong", ["below", "above", "height"])
def test_a_wrong_line_is_found_by_these_tests(wrong, monkeypatch, rng):
    def lines(low, high):
        right = relu_lines(low, high)
        undecided = right.at_above > 0
        if wrong == "below":
            return right._replace(below=np.where(undecided, 1.2, right.below))
        if wrong == "above":
            return right._replace(above=np.where(undecided, 0.8 * right.above, right.above))
        return right._replace(at_above=0.5 * right.at_above)

    monkeypatch.setattr(activation, "relu_lines", lines)
    with pytest.raises(AssertionError):
        for _ in range(100):
            assert_below_exact(perceptron((2, 8, 8, 3), rng), rng.random((1, 2, 1)).astype(np.float32), 0.2)


@each
def test_with_rounding_in_float32_bounds_are_a_little_lower(name):
    plain = R.linear_bounds(NETWORKS[name], IMAGES, 0.05)
    wider = R.linear_bounds(NETWORKS[name], IMAGES, 0.05, arithmetic="float32")
    assert (wider.lower < plain.lower).all()
    assert (wider.lower > plain.lower - 1e-2 * (1 + abs(plain.lower))).all()
    exact = R.linear_bounds(NETWORKS[name], IMAGES, 0, arithmetic="float32")  # now without any allowance by the test
    for b, image in enumerate(IMAGES):
        found = margins(NETWORKS[name], image[None], exact.classes[b], exact.others[b])[0]
        assert (exact.lower[b] <= found).all()
        assert (found <= exact.upper[b]).all()


def test_bounds_of_float64_are_moved_outward_by_more_than_their_rounding():
    """A sum that cancels: 10^8 less 10^8 and a little. What rounding may have lost is taken off."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2)).eval().astype(np.float64)
    model[1].weight.data[...] = 0
    model[1].weight.data[:, 0] = [1e8, -1e8, 1, 0]
    model[1].bias.data[...] = 0
    image = np.array([1 / 3, 1 / 3, 1e-12, 0]).reshape(1, 2, 2, 1)
    bounds = R.linear_bounds(model, image, 0, labels=np.array([0]))
    assert bounds.lower.item() < 0 < bounds.upper.item()  # 1e-12 is less than products of 10^8 are known to


def test_the_last_product_in_float32_is_never_above_that_in_float64(monkeypatch):
    rng = np.random.default_rng(0)
    layers = [
        nn.Normalize((0.5, 0.4, 0.3), (0.2, 0.3, 0.2)),
        nn.Flatten(),
        nn.Linear(3 * 16 * 16, 60),
        nn.ReLU(),
        nn.Linear(60, 50),
        nn.ReLU(),
    ]
    model = nn.Sequential(*layers, nn.Linear(50, 10)).eval()
    images, labels = rng.random((6, 16, 16, 3)).astype(np.float32), rng.integers(0, 10, 6)
    for epsilon in (0, 1e-6, 0.5 / 255, 4 / 255):
        monkeypatch.setattr(way, "WORTH", 1 << 20)
        exact = R.linear_bounds(model, images, epsilon, labels=labels)
        monkeypatch.setattr(way, "WORTH", 1)
        charged = R.linear_bounds(model, images, epsilon, labels=labels)
        lost = exact.lower - charged.lower
        assert (lost >= -1e-12).all()
        assert lost.max() <= 1e-3 * (exact.upper - exact.lower).max() + 1e-9
        assert (charged.upper >= exact.upper - 1e-12).all()
        assert epsilon < 1e-3 or lost.max() > 0  # it was taken


@pytest.mark.parametrize("size", [1e25, 1e-45])
def test_a_product_that_float32_cannot_hold_is_bounded_all_the_same(monkeypatch, size):
    monkeypatch.setattr(way, "WORTH", 1)
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 3)).eval().astype(np.float64)
    model[1].weight.data *= size
    images = np.random.default_rng(0).random((2, 2, 2, 3))
    for corner in (-0.1, 0.1):
        bounds = R.linear_bounds(model, images, 0.1, labels=np.zeros(2, int))
        margins = model(md.Tensor((images + corner).clip(0, 1))).data
        assert (bounds.lower <= margins[:, :1] - margins[:, 1:] + 1e-9 * max(1, size)).all()
        assert np.isfinite(bounds.lower).all()
