"""Randomised smoothing: exact on a linear network, right as often as it says, and of the smoothed network only."""

from statistics import NormalDist

import numpy as np
import pytest

import minidl as md
from minidl import nn
from minidl import robustness as R

PHI = NormalDist()


def linear(direction, level=0.0):
    """Two classes, divided where direction . x = level."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(len(direction), 2)).eval()
    model[1].weight.data[...] = np.stack([direction, -np.asarray(direction)], axis=1)
    model[1].bias.data[...] = [-level, level]
    return model


DIRECTION = np.array([3.0, -4.0, 0.0, 0.0])
IMAGE = np.array([0.6, 0.3, 0.5, 0.5], np.float32).reshape(1, 2, 2, 1)
DISTANCE = (3 * 0.6 - 4 * 0.3) / 5  # 0.12, to where the other class begins


@pytest.mark.parametrize("sigma", [0.1, 0.25])
def test_on_a_linear_network_the_radius_is_the_distance(sigma):
    """Under noise the class's probability is Phi(distance / sigma), so that sigma Phi^-1 of it is the distance."""
    found = R.certify_smoothed(linear(DIRECTION), IMAGE, sigma, n=20_000)
    assert found.classes.tolist() == [0]
    true = PHI.cdf(DISTANCE / sigma)
    assert found.probability[0] < true
    assert found.probability[0] == pytest.approx(true - 3.3 * np.sqrt(true * (1 - true) / 20_000), abs=4e-3)
    assert found.radius[0] == pytest.approx(sigma * PHI.inv_cdf(found.probability[0]))
    assert DISTANCE - 0.02 < found.radius[0] < DISTANCE


def test_the_radius_is_too_large_no_more_often_than_alpha():
    """400 images at alpha = 0.1: more than 60 wrong ones would have a probability of about 0.001."""
    sigma, alpha, many = 0.25, 0.1, 400
    images = np.repeat(IMAGE, many, axis=0)
    found = R.certify_smoothed(linear(DIRECTION), images, sigma, n0=20, n=200, alpha=alpha)
    wrong = found.radius > DISTANCE
    assert 5 < wrong.sum() <= 60
    assert (found.classes[found.radius > 0] == 0).mean() > 0.95


def test_it_abstains_where_classes_are_about_as_likely():
    found = R.certify_smoothed(linear(DIRECTION, level=3 * 0.6 - 4 * 0.3), IMAGE, 0.2, n=1000)
    assert found.classes.tolist() == [-1]
    assert found.radius.tolist() == [0]


def test_the_largest_radius_is_what_the_draws_allow():
    found = R.certify_smoothed(linear(DIRECTION, level=-100), IMAGE, 0.5, n=10_000)
    assert found.radius[0] == pytest.approx(0.5 * PHI.inv_cdf(0.001 ** (1 / 10_000)), abs=1e-5)
    assert found.radius[0] / 0.5 == pytest.approx(3.2, abs=0.02)


def test_the_same_seed_gives_the_same_bits_and_batches_do_not_matter():
    images = np.random.default_rng(0).random((3, 2, 2, 1)).astype(np.float32)
    first, second = (R.certify_smoothed(linear(DIRECTION, 0.1), images, 0.3, n=500) for _ in range(2))
    assert np.array_equal(first.probability, second.probability)
    alone = R.certify_smoothed(linear(DIRECTION, 0.1), images[:1], 0.3, n=500, batch_size=37)
    assert alone.classes[0] == first.classes[0]
    other = R.certify_smoothed(linear(DIRECTION, 0.1), images, 0.3, n=500, seed=1)
    assert not np.array_equal(first.probability, other.probability)


def test_the_smoothed_network_is_another_one():
    """A class that only holds in a thin slice is lost under noise: what is certified is the smoothed network."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 2)).eval()
    model[1].weight.data[...], model[1].bias.data[...] = [[1, -1]], [-0.52, 0.48]
    model[3].weight.data[...], model[3].bias.data[...] = [[0, 1], [0, 1]], [0.01, 0]  # 0 next to x = 0.5
    image = np.full((1, 1, 1, 1), 0.5, np.float32)
    assert model(image).data.argmax() == 0
    assert R.smooth(model, 0.2)(image).data.argmax() == 1
    assert R.certify_smoothed(model, image, 0.2, n=1000).classes.tolist() == [1]


def test_smooth_counts_votes():
    images = np.random.default_rng(0).random((4, 2, 2, 1)).astype(np.float32)
    model = R.smooth(linear(DIRECTION), 0.25, draws=2000)
    parts = model(images).data
    true = [PHI.cdf((DIRECTION @ image.ravel()) / 5 / 0.25) for image in images]
    assert parts[:, 0] == pytest.approx(true, abs=0.05)
    assert parts.sum(axis=1) == pytest.approx(1)
    assert np.array_equal(model(images[2:]).data, parts[2:])  # a fixed function, image by image
    assert model(md.Tensor(images)).shape == (4, 2)


def test_any_network_will_do():
    layers = nn.Conv2d(1, 4, 3), nn.LocalResponseNorm(3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 4)
    model, image = nn.Sequential(*layers).eval(), np.full((1, 6, 6, 1), 0.5, np.float32)
    with pytest.raises(NotImplementedError, match="LocalResponseNorm|local_response_norm"):
        R.linear_bounds(model, image, 0.1)
    found = R.certify_smoothed(model, image, 0.1, n0=20, n=50, batch_size=25)
    assert found.classes[0] in (-1, 0, 1, 2, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sigma": 0}, "sigma is 0"),
        ({"sigma": np.nan}, "sigma is nan"),
        ({"n": 0}, "n is 0"),
        ({"n0": 0}, "n0 is 0"),
        ({"alpha": 0}, "alpha is 0"),
        ({"alpha": 1}, "alpha is 1"),
        ({"seed": -1}, "seed is -1"),
        ({"images": 255 * IMAGE}, r"must lie in \[0, 1\]"),
        ({"model": linear(DIRECTION).train()}, "training mode"),
    ],
)
def test_what_cannot_be_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        R.certify_smoothed(**({"model": linear(DIRECTION), "images": IMAGE, "sigma": 0.1} | change))


@pytest.mark.parametrize("count", [1, 7, 100, 10_000])
def test_the_exact_lower_bound_of_a_proportion(count):
    from scipy.stats import beta

    for successes in {0, 1, count // 2, count - 1, count}:
        for alpha in (0.001, 0.05):
            true = beta.ppf(alpha, successes, count - successes + 1) if successes else 0
            found = R.clopper_pearson_lower(successes, count, alpha)
            assert found <= true
            assert found == pytest.approx(true, abs=3e-9)
    with pytest.raises(ValueError, match="cannot be"):
        R.clopper_pearson_lower(count + 1, count, 0.05)


def test_the_loader_adds_noise_while_it_augments():
    images, labels = md.data.digits("train")
    settings = {"batch_size": 256, "pad": 1, "seed": 3}
    plain, noisy, again = (md.data.Loader(images, labels, noise=noise, **settings) for noise in (0, 0.25, 0.25))
    for (x, y), (z, w), (v, _) in zip(plain.epoch(2), noisy.epoch(2), again.epoch(2), strict=True):
        assert np.array_equal(y, w)
        assert np.array_equal(z, v)
        assert z.dtype == np.float32
        assert (z - x).std() == pytest.approx(0.25, rel=0.03)
        assert abs((z - x).mean()) < 0.01
    first, second = (next(iter(noisy.epoch(epoch)))[0] - next(iter(plain.epoch(epoch)))[0] for epoch in (0, 1))
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.05
    still = md.data.Loader(images, labels, 64, shuffle=False, noise=0.25)
    assert np.array_equal(next(iter(still))[0], images[:64])
    with pytest.raises(ValueError, match="noise is -1"):
        md.data.Loader(images, labels, 64, noise=-1)
