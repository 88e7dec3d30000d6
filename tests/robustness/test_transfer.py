"""Transfer: who is counted, the white-box diagonal, and two rows compared."""

from functools import partial

import numpy as np
import pytest

import minidl as md
from minidl import nn
from minidl.robustness import fgsm, mcnemar, pgd, transfer, wilson_interval
from tests.robustness.twins import answers, cnn, digits_cnn


@pytest.fixture(scope="module")
def models():
    model, images, labels = digits_cnn(100, np.float32)
    other = cnn(np.random.default_rng(7))
    loader = md.data.Loader(*md.data.digits("train"), batch_size=64, seed=1)
    md.fit(other, loader, md.optim.SGD(other.parameters(), lr=0.05, momentum=0.9), epochs=1, progress=False)
    return {"one": model, "two": other}, images, labels


@pytest.mark.parametrize("attack", [fgsm, partial(pgd, steps=5)], ids=["fgsm", "pgd"])
def test_the_rates_are_counted_by_hand(models, attack):
    nets, images, labels = models
    matrix = transfer(nets, images, labels, 0.1, attack=attack, batch_size=30)
    assert matrix.names == ("one", "two")
    for i, a in enumerate(nets.values()):
        moved = attack(a, images, labels, 0.1).adversarial[0]
        for j, b in enumerate(nets.values()):
            both = (answers(a, images) == labels) & (answers(b, images) == labels)
            wrong = answers(b, moved) != labels
            assert matrix.counts[i, j] == both.sum()
            assert matrix.rate[i, j] == pytest.approx(wrong[both].mean())
            low, high = wilson_interval(wrong[both].sum(), both.sum())
            assert (matrix.low[i, j], matrix.high[i, j]) == (low, high)
            fell = both & (answers(a, moved) != labels)
            assert matrix.passed_on[i, j] == pytest.approx(wrong[fell].mean())
    assert matrix.rate[0, 0] > matrix.rate[0, 1] > 0
    assert (np.diag(matrix.passed_on) == 1).all()
    assert str(matrix).splitlines()[1].split() == ["one", *(f"{r:.1%}" for r in matrix.rate[0])]


def test_a_network_transfers_to_its_copy_as_to_itself(models):
    nets, images, labels = models
    matrix = transfer({"a": nets["one"], "b": nets["one"]}, images, labels, 0.1)
    assert (matrix.rate == matrix.rate[0, 0]).all()
    assert matrix.compare("a", "b", on="b") == mcnemar(np.ones(0, bool), np.ones(0, bool))


def test_rows_are_compared_on_the_images_that_all_have_right(models):
    nets, images, labels = models
    matrix = transfer(nets, images, labels, 0.1)
    right = matrix.right.all(axis=0)
    expected = mcnemar(~matrix.fooled[0, 1][right], ~matrix.fooled[1, 1][right])
    assert matrix.compare("one", "two", on="two") == expected
    assert expected.only_a > expected.only_b  # more survive what was made on the other network
    with pytest.raises(ValueError, match="'three' is not among the models: one, two"):
        matrix.compare("one", "three", on="two")


def test_without_images_that_both_have_right_there_is_nothing_to_measure():
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    images = np.full((2, 2, 2, 1), 0.5, np.float32)
    with pytest.raises(ValueError, match="no image that both 'a' and 'a' have right"):
        transfer({"a": model}, images, 1 - answers(model, images), 0.1)
    with pytest.raises(TypeError, match="mapping from names"):
        transfer([model], images, [0, 0], 0.1)
