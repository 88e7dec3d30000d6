"""Accuracy curves and their bands: known numbers, the meaning of the drop, and coverage."""

import copy
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidl import nn
from minidl.robustness import (
    ZeroGradientWarning,
    accuracy_curve,
    apgd,
    auto_attack,
    fgsm,
    paired_difference_interval,
    pgd,
    square,
    wilson_interval,
)
from tests.robustness.test_doctor import Ridge
from tests.robustness.twins import digits_cnn


def test_on_72_images_the_interval_of_the_drop_holds_a_little_less_often_than_95_times_in_100():
    """Exactly, over all outcomes, where the coverage is about the least: docs/statistics.md says so."""
    count, both, lost = 72, 0.45, 0.06  # right before and after; before alone
    a, b = (values.ravel() for values in np.indices((count + 1, count + 1)))
    a, b = a[a + b <= count], b[a + b <= count]
    log_factorial = np.cumsum(np.log(np.maximum(np.arange(count + 1), 1)))
    ways = log_factorial[count] - log_factorial[a] - log_factorial[b] - log_factorial[count - a - b]
    weights = np.exp(ways + a * np.log(both) + b * np.log(lost) + (count - a - b) * np.log(1 - both - lost))
    outcomes = [(np.arange(count) < i + j, np.arange(count) < i) for i, j in zip(a, b, strict=True)]
    low, high = np.array([paired_difference_interval(*outcome) for outcome in outcomes]).T
    assert np.isclose(weights.sum(), 1)
    assert np.isclose(weights[(low <= lost) & (lost <= high)].sum(), 0.931, atol=0.001)


def brighter_first(margins):
    """Images of two pixels that a linear model takes for class 0 by the given margin, and that model, in float64."""
    layer = nn.Linear(2, 2)
    layer.weight.data, layer.bias.data = np.array([[1.0, -1], [-1, 1]]), np.zeros(2)
    margins = np.asarray(margins, float)
    images = np.stack([0.5 + margins / 2, 0.5 - margins / 2], axis=1)
    return nn.Sequential(nn.Flatten(), layer), images.reshape(-1, 1, 2, 1)


# Curves


def test_accuracy_counts_all_images_and_wrong_ones_as_broken():
    margins = [-0.3, 0.05, 0.1, 0.3, 0.5]  # an image of margin m falls at epsilon m / 2; the first is wrong already
    model, images = brighter_first(margins)
    curve = accuracy_curve(model, images, np.zeros(5, int), [0, 0.03, 0.06, 0.2, 0.3])
    np.testing.assert_allclose(curve.accuracy, [0.8, 0.6, 0.4, 0.2, 0])
    np.testing.assert_allclose(curve.drop, [0, 0.2, 0.4, 0.6, 0.8], atol=1e-15)
    assert curve.clean_accuracy == 0.8
    assert curve.count == 5
    assert curve.zero_gradients == 0


def test_drop_is_from_epsilon_zero_even_where_zero_is_not_asked_for():
    model, images = brighter_first([0.1, 0.3])
    curve = accuracy_curve(model, images, np.zeros(2, int), 0.1)
    assert curve.epsilons.tolist() == [0.1]
    assert curve.clean_accuracy == 1
    assert curve.drop.tolist() == [0.5]


def test_curve_is_what_fgsm_says_in_any_batches():
    rng = np.random.default_rng(0)
    model, images = brighter_first(rng.normal(0.2, 0.2, 50).clip(-1, 1))
    labels, epsilons = rng.integers(0, 2, 50), np.array([0, 0.01, 0.1, 0.4])
    for loss in ("cross_entropy", "margin"):
        success = fgsm(model, images, labels, epsilons, loss=loss).success
        for batch_size in (7, 64):
            curve = accuracy_curve(model, images, labels, epsilons, loss=loss, batch_size=batch_size)
            np.testing.assert_array_equal(curve.right, ~success)
            np.testing.assert_array_equal(curve.accuracy, 1 - success.mean(axis=1))
            assert curve.zero_gradient.tolist() == curve.vanished_gradient.tolist() == [False] * 50


def test_bands_are_the_intervals_of_the_counts():
    rng = np.random.default_rng(0)
    model, images = brighter_first(rng.uniform(-0.2, 0.8, 40))
    labels, epsilons = np.zeros(40, int), [0, 0.05, 0.2]
    curve = accuracy_curve(model, images, labels, epsilons, confidence=0.9)
    right = ~fgsm(model, images, labels, epsilons).success
    np.testing.assert_array_equal(curve.accuracy_band, wilson_interval(right.sum(axis=1), 40, 0.9))
    assert curve.drop_band.shape == (2, 3)
    np.testing.assert_array_equal(curve.drop_band[:, 0], 0)  # at epsilon 0 the drop is 0 by definition
    for e in (1, 2):
        np.testing.assert_array_equal(curve.drop_band[:, e], paired_difference_interval(right[0], right[e], 0.9))
        assert curve.drop_band[0, e] < curve.drop[e] < curve.drop_band[1, e]


def test_temperature_reaches_the_attack():
    """A cold attacker follows the slope of the second largest logit; a hot one follows the steepest of all."""
    layer = nn.Linear(2, 3)
    layer.weight.data = np.array([[0.0, 1.0, -3.0], [0.0, 0.0, 0.0]])
    layer.bias.data = np.array([1.05, 0.0, 1.2])  # at pixel 0.5 the logits are 1.05, 0.5 and -0.3
    model, image = nn.Sequential(nn.Flatten(), layer), np.full((1, 1, 2, 1), 0.5)
    cold, hot = (accuracy_curve(model, image, np.array([0]), [0.5], temperature=t) for t in (0.05, 100))
    assert cold.accuracy.tolist() == [1.0]  # at pixel 1 they are 1.05, 1 and -1.8
    assert hot.accuracy.tolist() == [0.0]  # at pixel 0 they are 1.05, 0 and 1.2


def test_zero_gradients_warn_and_are_counted():
    model, images = brighter_first([0.1, 0.2, 0.3])
    model[1].weight.data[...] = 0
    with pytest.warns(ZeroGradientWarning, match="accuracy_curve.*3 of 3"):
        curve = accuracy_curve(model, images, np.zeros(3, int), [0.1])
    assert curve.zero_gradients == curve.vanished_gradients == 1
    assert curve.zero_gradient.tolist() == curve.vanished_gradient.tolist() == [True] * 3


@pytest.mark.parametrize("confidence", [0, 1, 95, float("nan")])
def test_confidence_is_a_probability(confidence):
    model, images = brighter_first([0.1])
    with pytest.raises(ValueError, match="confidence"):
        accuracy_curve(model, images, np.zeros(1, int), [0.1], confidence=confidence)


# Intervals


@pytest.mark.parametrize(
    ("successes", "count", "interval"),
    [(81, 263, (0.2553, 0.3662)), (15, 148, (0.0624, 0.1605)), (0, 20, (0, 0.1611)), (1, 29, (0.0061, 0.1718))],
)
def test_wilson_gives_newcombes_published_numbers(successes, count, interval):
    np.testing.assert_allclose(wilson_interval(successes, count), interval, atol=5e-5)


def test_wilson_ends_are_the_roots_of_the_score_test():
    """Wilson's ends p are where |k / n - p| = z sqrt(p (1 - p) / n)."""
    for confidence, z in ((0.95, 1.959964), (0.99, 2.575829)):
        for k in (1, 17, 39):
            for p in wilson_interval(k, 40, confidence):
                assert abs(k / 40 - p) == pytest.approx(z * np.sqrt(p * (1 - p) / 40), rel=1e-6)


@given(st.integers(1, 2000), st.floats(0, 1), st.floats(0.01, 0.999))
def test_wilson_holds_the_proportion_and_stays_in_bounds(count, part, confidence):
    successes = round(part * count)
    low, high = wilson_interval(successes, count, confidence)
    assert 0 <= low <= successes / count <= high <= 1
    assert (low == 0) == (successes == 0)
    assert (high == 1) == (successes == count)


def test_wilson_refuses_what_cannot_be():
    for successes, count in ((-1, 5), (6, 5), (0, 0), ([1, 9], 5)):
        with pytest.raises(ValueError, match=r"cannot be|count is 0"):
            wilson_interval(successes, count)


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int16, np.float16])
def test_counts_of_small_types_do_not_overflow(kind):
    """100 of 120: 120 squared is beyond all of these types."""
    if kind is np.float16:
        with pytest.raises(TypeError, match="wilson_interval: successes must be whole numbers, and are float16"):
            wilson_interval(kind(100), 120)
    else:
        np.testing.assert_array_equal(wilson_interval(kind(100), kind(120)), wilson_interval(100, 120))
        assert wilson_interval(100, 120).round(4).tolist() == [0.7565, 0.8894]


@pytest.mark.parametrize("wrong", [np.repeat([1, 0, 0], [14, 5, 22]), np.repeat([1.0, 0.0, 0.0], [14, 5, 22])])
def test_paired_interval_asks_for_truth_values(wrong):
    """Differences of ones and zeros are ones and zeros: but the counts of a table are of truth values."""
    right = np.repeat([True, True, False], [14, 5, 22])
    for before, after in ((right, wrong), (wrong, right)):
        with pytest.raises(
            TypeError, match=f"interval: before and after must be boolean.*{before.dtype} and {after.dtype}"
        ):
            paired_difference_interval(before, after)
    np.testing.assert_allclose(paired_difference_interval(right, wrong == 1), (0.011, 0.226), atol=5e-4)


def test_paired_interval_asks_for_the_same_images():
    right = np.repeat([True, True, False], [14, 5, 22])
    with pytest.raises(ValueError, match=r"the same images in the same order, and have shapes \(41,\) and \(1,\)"):
        paired_difference_interval(right, right[:1])
    with pytest.raises(ValueError, match="paired_difference_interval: the number of images is 0"):
        paired_difference_interval(right[:0], right[:0])


def table(both, lost, gained, neither):
    """The answers before and after, from the four counts of a paired table."""
    counts = [both, lost, gained, neither]
    return np.repeat([True, True, False, False], counts), np.repeat([True, False, True, False], counts)


@pytest.mark.parametrize(
    ("counts", "interval"),
    [
        ((14, 5, 0, 22), (0.011, 0.226)),  # Altman et al., "Statistics with confidence" (2000), table 6.2
        ((1, 1, 7, 12), (-0.507, -0.026)),  # Fagerland et al., "Statistical analysis of contingency tables", chapter 8
    ],
)
def test_paired_interval_gives_published_numbers(counts, interval):
    np.testing.assert_allclose(paired_difference_interval(*table(*counts)), interval, atol=5e-4)


@given(st.lists(st.integers(0, 60), min_size=4, max_size=4).filter(any))
def test_paired_interval_holds_the_difference_and_turns_with_it(counts):
    before, after = table(*counts)
    low, high = paired_difference_interval(before, after)
    difference = before.mean() - after.mean()
    assert low - 1e-12 <= difference <= high + 1e-12
    np.testing.assert_allclose(paired_difference_interval(after, before), [-high, -low], atol=1e-12)


def test_paired_interval_covers_the_true_difference():
    """Of the intervals of 1000 random samples, about 95 % hold the truth."""
    rng, count = np.random.default_rng(0), 150
    lost, gained = 0.25, 0.02
    held = 0
    for _ in range(1000):
        outcome = rng.choice(4, count, p=[0.8 - lost, lost, gained, 0.2 - gained])
        low, high = paired_difference_interval(outcome <= 1, (outcome == 0) | (outcome == 2))
        held += low <= lost - gained <= high
    assert 0.93 < held / 1000 < 0.98


def test_paired_interval_is_narrower_than_that_of_two_samples():
    before, after = table(80, 20, 1, 49)
    low, high = paired_difference_interval(before, after)
    z, p, q = 1.96, before.mean(), after.mean()
    assert high - low < 2 * z * np.sqrt((p * (1 - p) + q * (1 - q)) / 150)


# Other attacks than FGSM


@pytest.mark.parametrize(
    "attack",
    [
        partial(pgd, steps=5, stop_early=True),
        partial(apgd, steps=5),
        partial(square, queries=20),
        partial(auto_attack, parts=("apgd_ce", "square"), steps=5, queries=20),
    ],
    ids=["pgd", "apgd", "square", "auto_attack"],
)
def test_the_curve_of_another_attack_is_what_it_breaks(attack):
    model, images, labels = digits_cnn(40, np.float32)
    labels = np.where(np.arange(40) < 3, (labels + 1) % 10, labels)
    epsilons = [0.15, 0, 0.08]
    curve = accuracy_curve(model, images, labels, epsilons, attack=attack, batch_size=15)
    for e, epsilon in enumerate(epsilons):
        alone = attack(model, images, labels, epsilon)
        np.testing.assert_array_equal(curve.right[e], ~np.atleast_2d(alone.success)[0])
    assert curve.clean_accuracy == curve.accuracy[1] == 37 / 40
    assert curve.accuracy[0] < curve.accuracy[2] <= curve.accuracy[1]
    assert curve.zero_gradients == 0


def test_fgsm_by_name_is_fgsm():
    model, images, labels = digits_cnn(20, np.float32)
    curves = [accuracy_curve(model, images, labels, [0.1], attack=a) for a in (None, fgsm)]
    np.testing.assert_array_equal(curves[0].right, curves[1].right)


def test_fgsm_with_settings_is_fgsm_too():
    """A larger step may overshoot: FGSM's curve rises again, however its settings were given."""
    image = np.array([0.45]).reshape(1, 1, 1, 1)  # class 1 lies between 0.5 and 0.52
    for settings in ({"loss": "margin"}, {"temperature": 5.0}):
        success = fgsm(Ridge(), image, [0], [0.06, 0.3], **settings).success[:, 0]
        by_partial = accuracy_curve(Ridge(), image, [0], [0.06, 0.3], attack=partial(fgsm, **settings))
        by_argument = accuracy_curve(Ridge(), image, [0], [0.06, 0.3], **settings)
        np.testing.assert_array_equal(success, [True, False])
        np.testing.assert_array_equal(by_partial.right[:, 0], ~success)
        np.testing.assert_array_equal(by_argument.right[:, 0], ~success)


@pytest.mark.parametrize("attack", [fgsm, pgd])
def test_an_attack_with_targets_measures_no_accuracy(attack):
    model, images, labels = digits_cnn(4, np.float32)
    with pytest.raises(ValueError, match="the attack has targets"):
        accuracy_curve(model, images, labels, 0.1, attack=partial(attack, targets=(labels + 1) % 10))


def test_the_loss_goes_to_the_attack():
    model, images, labels = digits_cnn(30, np.float32)
    hot = copy.deepcopy(model)
    hot[8].weight.data *= 90
    with pytest.warns(ZeroGradientWarning, match=r"accuracy_curve: .* for \d+ of 30 images") as caught:
        by_entropy = accuracy_curve(hot, images, labels, 0.1, attack=partial(pgd, steps=4), batch_size=8)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    by_margin = accuracy_curve(hot, images, labels, 0.1, loss="margin", attack=partial(pgd, steps=4))
    assert by_margin.accuracy[0] < by_entropy.accuracy[0]
    assert by_entropy.vanished_gradients >= by_entropy.zero_gradients > 0.5
    with pytest.raises(TypeError, match="loss"):
        accuracy_curve(hot, images, labels, 0.1, loss="margin", attack=square)


def test_an_attack_that_is_no_function_is_refused():
    model, images, labels = digits_cnn(2)
    with pytest.raises(TypeError, match="attack is 'pgd', and must be a function, such as robustness.pgd"):
        accuracy_curve(model, images, labels, [0.1], attack="pgd")
