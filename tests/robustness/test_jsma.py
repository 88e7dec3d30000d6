"""Papernot's saliency map: the pair by looking at all of them, the budget, and what it promises."""

import itertools

import numpy as np
import pytest

from minidl import nn
from minidl.robustness import ZeroGradientWarning, jsma
from minidl.robustness.attacks.jsma import best_pairs
from tests.robustness.twins import answers, digits_cnn


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_pair_is_the_best_of_all(sign):
    rng = np.random.default_rng(0)
    rise, fall, free = rng.standard_normal((30, 9)), rng.standard_normal((30, 9)), rng.random((30, 9)) < 0.7
    rise[0], fall[1], free[2] = -sign, sign, False  # none of these has a pair
    pairs, found = best_pairs(rise, fall, free, sign, 9)
    for i in range(30):
        worth = {
            (p, q): -(rise[i, p] + rise[i, q]) * (fall[i, p] + fall[i, q])
            for p, q in itertools.combinations(range(9), 2)
            if free[i, p] and free[i, q] and sign * (rise[i, p] + rise[i, q]) > 0 > sign * (fall[i, p] + fall[i, q])
        }
        assert found[i] == bool(worth)
        if worth:
            assert tuple(sorted(pairs[i])) == max(worth, key=worth.get)
    assert not found[:3].any()
    assert found.sum() > 15


def test_fewer_candidates_are_those_of_the_largest_slopes():
    rng = np.random.default_rng(0)
    rise, fall = rng.standard_normal((200, 40)), rng.standard_normal((200, 40))
    free = np.ones((200, 40), bool)
    (all_pairs, _), (some, found) = (best_pairs(rise, fall, free, 1.0, k) for k in (40, 12))
    assert found.all()
    assert (np.sort(all_pairs) == np.sort(some)).all(axis=1).mean() > 0.9


@pytest.mark.parametrize("theta", [1.0, -1.0])
def test_digits_become_their_targets(theta):
    model, images, labels = digits_cnn(30, np.float32)
    targets = (labels + 1) % 10
    targets[0] = labels[0]
    found = jsma(model, images, targets, theta=theta, gamma=0.5)
    np.testing.assert_array_equal(answers(model, found.adversarial) == targets, found.success)
    changed = (found.adversarial != images).reshape(30, -1).sum(axis=1)
    np.testing.assert_array_equal(changed[found.success], found.distance[found.success])
    np.testing.assert_array_equal(found.adversarial[~found.success], images[~found.success])
    assert found.distance[0] == 0
    assert changed.max() <= 32
    assert found.success.mean() > 0.3
    moved = found.adversarial[found.adversarial != images]
    assert (moved == (1 if theta > 0 else 0)).all()  # a whole step ends at the bound


def test_the_budget_is_a_number_of_pairs():
    model, images, labels = digits_cnn(20, np.float32)
    few, more = (jsma(model, images, (labels + 1) % 10, gamma=g) for g in (0.1, 0.3))
    assert few.distance[few.success].max(initial=0) <= 6  # floor(64 x 0.1 / 2) pairs
    assert more.success.sum() > few.success.sum()
    assert not jsma(model, images[1:2], (labels[1:2] + 1) % 10, gamma=0.03).success.any()  # less than one pair


def test_a_model_that_cannot_be_led_is_left_alone():
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    model[1].weight.data[...], model[1].bias.data[...] = 0, [1, 0, 0]
    images = np.full((2, 2, 2, 1), 0.5, np.float32)
    with pytest.warns(ZeroGradientWarning, match="jsma.* for 1 of 2 images.*No pixel changes their logits"):
        found = jsma(model, images, [1, 0], gamma=1.0)
    assert found.distance.tolist() == [np.inf, 0]
    np.testing.assert_array_equal(found.adversarial, images)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"theta": 0}, "theta is 0"),
        ({"theta": 2.0}, "theta is 2"),
        ({"gamma": 0}, "gamma is 0"),
        ({"gamma": 1.5}, "gamma is 1.5"),
        ({"candidates": 1}, "candidates is 1"),
        ({"targets": [11, 0]}, "out of range"),
    ],
)
def test_bad_settings_say_what_is_wrong(settings, message):
    model, images, labels = digits_cnn(2, np.float32)
    with pytest.raises(ValueError, match=message):
        jsma(**{"model": model, "images": images, "targets": labels} | settings)
