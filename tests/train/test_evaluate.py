"""Classes that are drawn from their probabilities, as the report says that some do."""

import numpy as np
import pytest

import minidl as md
from minidl import functional as F
from minidl import nn
from minidl.train.evaluate import drawn


@pytest.fixture(scope="module")
def known():
    """A model whose logits are its images, and twenty of these with their labels."""
    rng = np.random.default_rng(0)
    images, labels = rng.random((20, 1, 4, 1)), rng.integers(4, size=20)
    return nn.Sequential(nn.Normalize(0, 0.25), nn.Flatten()).eval(), images, labels


def score(known, batch_size=20, **settings):
    model, images, labels = known
    batches = [(images[i : i + batch_size], labels[i : i + batch_size]) for i in range(0, 20, batch_size)]
    return md.evaluate(model, batches, progress=False, **settings)


@pytest.mark.parametrize("T", [0.5, 1.0, 4.0])
def test_classes_come_as_often_as_they_are_likely(known, T):
    model, images, labels = known
    p = F.softmax(model(images), T).data[np.arange(20), labels]
    accuracies = [score(known, temperature=T, stochastic=True, seed=seed).accuracy for seed in range(400)]
    deviation = np.sqrt((p * (1 - p)).sum()) / 20
    assert abs(np.mean(accuracies) - p.mean()) < 4 * deviation / np.sqrt(400)
    assert np.std(accuracies) == pytest.approx(deviation, rel=0.15)


def test_each_class_has_its_share(rng):
    logits = np.repeat(np.log([[0.1, 0.0001, 0.4, 0.4999]]), 40_000, axis=0)
    counts = np.bincount(drawn(logits, 1.0, rng), minlength=4) / 40_000
    np.testing.assert_allclose(counts, [0.1, 0.0001, 0.4, 0.4999], atol=0.01)


def test_a_class_that_cannot_be_is_never_drawn(rng):
    logits = np.array([[-2e4, 0, 0, -2e4]] * 1000, np.float32)
    assert set(drawn(logits, 1.0, rng)) == {1, 2}


def test_the_seed_and_nothing_else_decides(known):
    first = score(known, stochastic=True, seed=3)
    assert {score(known, size, stochastic=True, seed=3).accuracy for size in (20, 7, 1)} == {first.accuracy}
    assert len({score(known, stochastic=True, seed=seed).accuracy for seed in range(9)}) > 1
    assert score(known, stochastic=True).loss == score(known).loss


def test_at_a_low_temperature_the_likeliest_is_drawn(known):
    assert score(known, temperature=1e-4, stochastic=True).accuracy == score(known).accuracy


def test_the_seed_is_a_whole_number(known):
    with pytest.raises(ValueError, match="evaluate: seed is -1"):
        score(known, stochastic=True, seed=-1)
