"""APGD: the trace of the authors' own code over 100 steps, its two ratios, and what it promises."""

import itertools
import sys

import numpy as np
import pytest

import minidl as md
from minidl import nn, testing
from minidl.robustness import apgd, pgd
from minidl.robustness.attacks.apgd import Apgd, Ascent, checkpoints
from minidl.robustness.attacks.losses import dlr, targeted_dlr
from minidl.robustness.attacks.victim import attacked
from tests.robustness.twins import answers, digits_cnn, to_torch, torch_cnn

# The losses


@pytest.mark.parametrize("classes", [4, 5, 10])
def test_the_ratios_are_the_papers(classes):
    rng = np.random.default_rng(0)
    z, y = 3 * rng.standard_normal((50, classes)), rng.integers(0, classes, 50)
    t = (y + rng.integers(1, classes, 50)) % classes
    for i, (row, c) in enumerate(zip(z, y, strict=True)):
        ordered, rival = sorted(row, reverse=True), max(v for k, v in enumerate(row) if k != c)
        ratio = -(row[c] - rival) / (ordered[0] - ordered[2])
        towards = -(row[c] - row[t[i]]) / (ordered[0] - (ordered[2] + ordered[3]) / 2)
        assert dlr(md.Tensor(z[i : i + 1]), y[i : i + 1]).item() == pytest.approx(ratio)
        assert targeted_dlr(md.Tensor(z[i : i + 1]), y[i : i + 1], t[i : i + 1]).item() == pytest.approx(towards)


@pytest.mark.parametrize("classes", [4, 7])
def test_the_ratios_gradients(classes):
    rng = np.random.default_rng(1)
    z = np.stack([rng.permutation(classes) for _ in range(6)]) + 0.3 * rng.random((6, classes))  # no ties nearby
    y = np.arange(6) % classes
    testing.check_gradients(lambda logits: dlr(logits, y), z)
    testing.check_gradients(lambda logits: targeted_dlr(logits, y, (y + 1) % classes), z)


def test_no_scale_hides_the_ratio():
    z = np.random.default_rng(0).standard_normal((5, 6))
    y = np.arange(5)
    np.testing.assert_allclose(dlr(md.Tensor(1e6 * z + 7), y).data, dlr(md.Tensor(z), y).data, rtol=1e-6)


# The authors' code


def ours(loss, images, labels, targets, model, epsilon, steps):
    """The run, its start, and the losses and step sizes (steps, B) on its way."""
    with attacked("apgd", model, images, labels) as victim:
        climb, index = Apgd(victim, loss, steps, 1, 0, False), np.arange(len(images))
        start = climb.start(images, index, epsilon, 0)
        ascent = Ascent(climb, images, index, [labels] if targets is None else [labels, targets], start, epsilon)
        trace = []
        while ascent.step():
            trace.append((ascent.loss, ascent.size))
    return ascent, start, *(np.array(part) for part in zip(*trace, strict=True))


def theirs(loss, images, labels, targets, model, epsilon, steps, start):
    """What the authors' code returns, its losses (steps, B), and its step sizes before each checkpoint."""
    import torch
    from pyautoattack.autopgd_base import APGDAttack, APGDAttack_targeted

    name, kind = {
        "cross_entropy": ("ce", APGDAttack),
        "dlr": ("dlr", APGDAttack),
        "targeted_dlr": (None, APGDAttack_targeted),
    }[loss]
    attack = kind(torch_cnn(model), n_iter=steps, eps=epsilon, **({"loss": name} if name else {}))
    points, sizes, net, check = [], [], attack.model, attack.check_oscillation

    def watched_net(x):
        points.append(x.detach().clone())
        return net(x)

    def watched_check(*args, **settings):  # the step sizes are a variable of the function that asks
        sizes.append(sys._getframe(1).f_locals["step_size"].flatten().numpy().copy())
        return check(*args, **settings)

    attack.model, attack.check_oscillation = watched_net, watched_check
    x, y = to_torch(images), torch.from_numpy(labels)
    attack.init_hyperparam(x)
    attack.y_target = None if targets is None else torch.from_numpy(targets)
    result = [part.detach().numpy() for part in attack.attack_single_run(x, y, to_torch(start))]
    each = {
        "cross_entropy": lambda z: torch.nn.functional.cross_entropy(z, y, reduction="none"),
        "dlr": lambda z: attack.dlr_loss(z, y),
        "targeted_dlr": lambda z: attack.dlr_loss_targeted(z, y),
    }[loss]
    with torch.no_grad():
        return result, np.array([each(net(p)).numpy() for p in points[1:]]), np.array(sizes)


@pytest.mark.parametrize("loss", ["cross_entropy", "dlr", "targeted_dlr"])
def test_the_trace_is_that_of_the_authors_code(loss):
    """Losses of all 100 steps, and the step sizes at every checkpoint, image by image."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("pyautoattack")
    model, images, labels = digits_cnn(20)
    targets = (labels + 1) % 10 if loss == "targeted_dlr" else None
    ascent, start, losses, sizes = ours(loss, images, labels, targets, model, 0.12, 100)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)  # they keep their losses in the default precision
    try:
        result, their_losses, their_sizes = theirs(loss, images, labels, targets, model, 0.12, 100, start)
    finally:
        torch.set_default_dtype(before)
    assert losses.shape == their_losses.shape == (100, 20)
    np.testing.assert_allclose(losses, their_losses, rtol=1e-6, atol=1e-9)
    np.testing.assert_array_equal(sizes[[k - 2 for k in checkpoints(100)]], their_sizes)
    top, right, top_loss, _ = result
    np.testing.assert_array_equal(ascent.best.success, right == 0)
    np.testing.assert_allclose(ascent.top, top.transpose(0, 2, 3, 1), rtol=0, atol=1e-9)
    np.testing.assert_allclose(ascent.top_loss, top_loss, rtol=1e-9)
    assert sizes[-1].min() < 0.24 / 30
    assert (sizes.min(axis=1) < sizes.max(axis=1)).any()  # each image has its own


def test_checkpoints_are_the_papers():
    assert list(checkpoints(100)) == [22, 41, 57, 70, 80, 87, 93, 99]
    assert checkpoints(1) == {1: 1}
    assert list(checkpoints(10)) == [2, 3, 4, 5, 6, 7, 8, 9, 10]


# What it promises

LOSSES = ("cross_entropy", "dlr", "targeted_dlr", "margin")


@pytest.mark.parametrize("loss", LOSSES)
def test_the_claimed_success_is_the_models_answer(loss):
    model, images, labels = digits_cnn(60, np.float32)
    labels = np.where(np.arange(60) < 3, (labels + 1) % 10, labels)
    whole, short = (
        apgd(model, images, labels, [0.1, 0, 0.05], loss=loss, steps=10, stop_early=stop) for stop in (False, True)
    )
    np.testing.assert_array_equal(short.success, whole.success)
    for attack in (whole, short):
        for moved, success, epsilon in zip(attack.adversarial, attack.success, attack.epsilons, strict=True):
            np.testing.assert_array_equal(answers(model, moved) != labels, success)
            assert abs(moved - images).max() <= epsilon + 1e-7
            assert moved.min() >= 0
            assert moved.max() <= 1
        assert (attack.success[0] >= attack.success[2]).all()
        assert (attack.success[2] >= attack.success[1]).all()
        np.testing.assert_array_equal(attack.adversarial[:, :3], np.broadcast_to(images[:3], (3, 3, 8, 8, 1)))


def test_it_is_no_weaker_than_pgd():
    model, images, labels = digits_cnn(60, np.float32)
    plain = pgd(model, images, labels, 0.1, steps=20).success.sum()
    for loss in LOSSES:
        assert apgd(model, images, labels, 0.1, loss=loss, steps=20, stop_early=True).success.sum() >= 0.9 * plain


def test_more_restarts_break_no_less():
    model, images, labels = digits_cnn()
    found = [apgd(model, images, labels, 0.1, steps=3, restarts=n).success for n in (1, 2, 3)]
    for fewer, more in itertools.pairwise(found):
        assert (more >= fewer).all()


def test_neither_the_batch_nor_the_seed_is_left_to_chance():
    model, images, labels = digits_cnn(24)
    expected = apgd(model, images, labels, 0.1, loss="targeted_dlr", steps=6, seed=1)
    again = apgd(model, images, labels, 0.1, loss="targeted_dlr", steps=6, seed=1)
    assert again.adversarial.tobytes() == expected.adversarial.tobytes()
    parts = apgd(model, images, labels, 0.1, loss="targeted_dlr", steps=6, seed=1, batch_size=5)
    np.testing.assert_allclose(parts.adversarial, expected.adversarial, rtol=0, atol=1e-9)
    np.testing.assert_array_equal(parts.success, expected.success)


@pytest.mark.parametrize("loss", ["dlr", "targeted_dlr"])
def test_three_classes_have_no_ratio(loss):
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    with pytest.raises(ValueError, match=r"3 classes.*fewer than 4 classes use loss='margin'"):
        apgd(model, np.full((2, 2, 2, 1), 0.5, np.float32), [0, 1], 0.1, loss=loss)
