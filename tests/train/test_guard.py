"""The guard: what it sees, what it keeps, when it speaks; and catastrophic overfitting, shown happening."""

import warnings

import numpy as np
import pytest

import minidl as md
from minidl import nn
from minidl.objectives import Adversarial
from minidl.robustness import fgsm, pgd
from minidl.train import CatastrophicOverfittingError, CatastrophicOverfittingWarning, Epoch, Guard
from minidl.train.guard import Watched


def perceptron(pixels=64, width=32):
    rng = np.random.default_rng(0)
    layers = (nn.Linear(pixels, width, rng=rng), nn.ReLU(), nn.Linear(width, width, rng=rng), nn.ReLU())
    return nn.Sequential(nn.Normalize(0.5, 0.5), nn.Flatten(), *layers, nn.Linear(width, 10, rng=rng))


def fitted(guarded=True, epochs=4, epsilon=0.05, **settings):
    md.manual_seed(0)
    train, val = md.data.digits("train"), md.data.digits("val")
    model = perceptron()
    guard = Guard(model, val.images[:90], val.labels[:90], epsilon, **settings) if guarded else None
    batches, optimizer = md.data.Loader(*train, 64, seed=0), md.optim.SGD(model.parameters(), 0.05, momentum=0.9)
    objective = Adversarial(epsilon)
    md.fit(model, batches, optimizer, epochs, objective=objective, on_epoch=guard, progress=False)
    return model, guard


def row(epoch):
    return Epoch(epoch, 0, 0, 0, 0, 0)


def test_what_it_sees_are_the_attacks_accuracies():
    model, guard = fitted(seed=3, steps=4)
    assert [seen.epoch for seen in guard.history] == [0, 1, 2, 3]
    images, labels = guard.images, guard.labels
    last = guard.history[-1]
    clean, once = 1 - fgsm(model, images, labels, [0, 0.05]).success.mean(axis=1)
    assert (last.accuracy, last.fgsm) == (clean, once)
    assert last.pgd == 1 - pgd(model, images, labels, 0.05, 4, seed=3).success.mean()
    assert guard.best.pgd == max(seen.pgd for seen in guard.history)
    assert guard.fallen is None


def test_the_training_is_the_same_to_the_bit():
    (with_it, _), (without, _) = fitted(), fitted(guarded=False)
    for a, b in zip(with_it.parameters(), without.parameters(), strict=True):
        np.testing.assert_array_equal(a.data, b.data)


def test_the_best_epoch_is_kept_beside_the_last():
    model, guard = fitted()
    best = guard.best
    for parameter in model.parameters():
        parameter.data *= 0.5
    lost = guard.model.state_dict()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CatastrophicOverfittingWarning)
        for parameter in model.parameters():
            parameter.data[...] = 0
        guard(row(9))
    assert guard.best == best
    guard.restore()
    again = guard._look(best.epoch)
    assert again == best
    assert any((model.state_dict()[name] != lost[name]).any() for name in lost)


def test_a_fall_is_told_of_once_and_ends_a_training_where_it_shall():
    model, guard = fitted()
    best = guard.best
    assert best.pgd > 0.4
    for parameter in model.parameters():
        parameter.data[...] = 0
    with pytest.warns(
        CatastrophicOverfittingWarning, match=rf"in epoch 8 .* PGD of 5 steps is .*%, and {best.pgd:.1%} at"
    ):
        guard(row(7))
    assert guard.fallen.epoch == 7
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        guard(row(8))
    guard.fallen, guard.stop = None, True
    with pytest.raises(CatastrophicOverfittingError, match="try a lower learning rate"):
        guard(row(9))


def test_of_the_best_epoch_nobody_is_sent_back_to_it():
    """FGSM may be far ahead of PGD in an epoch that is the best so far."""
    _, guard = fitted()
    now, words = Watched(3, 0.95, 0.8, 0.2), r"in epoch 4 .* is 20\.0%, and was no better before"
    with pytest.warns(CatastrophicOverfittingWarning, match=words) as told:
        guard._tell(now, now)
    assert "restore" not in str(told[0].message)


def test_bad_settings():
    model, (images, labels) = perceptron(), md.data.digits("val")
    with pytest.raises(ValueError, match=r"Guard: epsilon is 0, and must be in \(0, 1\]"):
        Guard(model, images, labels, 0)
    with pytest.raises(ValueError, match="Guard: fall is 20"):
        Guard(model, images, labels, 0.1, fall=20)
    with pytest.raises(ValueError, match=r"labels have shape \(3,\)"):
        Guard(model, images, labels[:3], 0.1)
    with pytest.raises(RuntimeError, match="Guard: no epoch has ended yet"):
        Guard(model, images[:5], labels[:5], 0.1).restore()


def framed(images):
    """Digits on grey, in a grey frame: pixels that say nothing, on which one step of an attack can write the answer."""
    return np.pad(0.4 + 0.6 * images, ((0, 0), (4, 4), (4, 4), (0, 0)), constant_values=0.4).astype(np.float32)


@pytest.mark.slow
def test_catastrophic_overfitting_is_there_without_a_random_start_and_told_of():
    """Andriushchenko and Flammarion 2020: right under FGSM, lost under PGD; and not so from a random start."""
    train, val = md.data.digits("train"), md.data.digits("val")
    found, guards = {}, {}
    for start in ("image", "random"):
        md.manual_seed(0)
        model = perceptron(256, 256)
        guards[start] = Guard(model, framed(val.images[:200]), val.labels[:200], 0.12)
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            md.fit(
                model,
                md.data.Loader(framed(train.images), train.labels, 64, seed=0),
                md.optim.SGD(model.parameters(), 0.1, momentum=0.9),
                24,
                objective=Adversarial(0.12, start=start),
                on_epoch=guards[start],
                progress=False,
            )
        assert [w.category for w in told] == [CatastrophicOverfittingWarning] * (start == "image")
        images, labels = framed(val.images), val.labels
        once, many = fgsm(model, images, labels, 0.12), pgd(model, images, labels, 0.12, steps=20, restarts=2)
        found[start] = 1 - once.success.mean(), 1 - many.success.mean()
    (once, many), (other_once, other_many) = found["image"], found["random"]
    assert once > 0.6
    assert many < 0.08
    assert other_many > 0.2
    assert other_once - other_many < 0.4
    assert guards["image"].fallen.fgsm > guards["image"].fallen.pgd + 0.4
