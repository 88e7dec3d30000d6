"""The judges of the exercises of lessons 9 to 16."""

from __future__ import annotations

from typing import Any

import numpy as np
from judge import Looks, exercise

import minidl as md

rng = np.random.default_rng(0)


def passes(operation: Any, *arrays: Any) -> bool:
    """Whether an operation's gradients are those of its difference quotients."""
    try:
        return bool(md.testing.check_gradients(operation, *arrays))
    except AssertionError:
        return False


def matrices(model: Any) -> list[Any]:
    return [p.data for p in model.parameters() if p.ndim == 2]


@exercise("9.1")
def at_random(cut: Any, model: Any) -> Looks:
    before = [w.copy() for w in matrices(model)]
    after = matrices(cut(model, 0.5))
    kept = all(np.array_equal(w, b) for w, b in zip(matrices(model), before))
    yield kept, "It changes the network that it is given. Make a copy first."
    parts = [np.mean(w == 0) for w in after]
    yield max(abs(p - 0.5) for p in parts) < 0.05, f"Of half the weights, {parts[0]:.0%} are zero."
    small = [np.abs(b[w == 0]).mean() < 0.8 * np.abs(b).mean() for w, b in zip(after, before)]
    yield not any(small), "The weights that are cut are small ones: that is magnitude again."


@exercise("9.2")
def one_order(lost: dict[str, float]) -> Looks:
    yield len(set(np.round(list(lost.values()), 3))) > 1, "All layers lose the same. Which scope?"
    inner, outer = [lost[f"fc{i}"] for i in (2, 3, 4)], [lost["fc1"], lost["fc5"]]
    yield min(inner) > max(outer), "Did you train to the end? The layers in the middle lose most."


@exercise("9.3")
def pruned(train: Any, make: Any) -> Looks:
    start = make()
    ended = matrices(train(make(), 0.9))
    part = np.mean(np.concatenate([w.ravel() for w in ended]) == 0)
    yield part > 0.899, f"At the end {part:.0%} are zero. What moves a weight that is zero?"
    moved = any(np.abs(w - b)[w != 0].max() > 1e-3 for w, b in zip(ended, matrices(start)))
    yield moved, "Nothing was trained."


@exercise("10.1")
def separable(names: Any) -> Looks:
    yield not set(names) & {"sharpen", "diagonal"}, "One of yours has a second singular value."
    yield (
        set(names) == {"mean", "bell"},
        "One is missing. Above which size is a value not rounding?",
    )


@exercise("10.2")
def lost_by_the_cut(distance: float, by_values: float) -> Looks:
    yield distance > 0, "What is the distance of `best` from `weight`?"
    look = (
        f"{by_values:.4g}, and the distance is {distance:.4g}: square, sum up, and take the root."
    )
    yield np.isclose(distance, by_values, rtol=1e-3), look


@exercise("10.3")
def ranks(right: int, wrong: int) -> Looks:
    yield right == 8, "Of `best` it is 8, once the axes are in the order (c, h), (w, n)."
    yield wrong > 8, "Bring the axes of the wrong one into (13)'s order as well, and count again."


@exercise("11.1")
def the_limit(approximation: Any) -> Looks:
    g = np.array([-4.0, 5.0, 6.0])
    said = approximation(g, 1000)
    yield np.isclose(np.sum(said), 1), "Do they sum to 1?"
    e = np.exp(g / 1000)
    yield np.allclose(said, e / e.sum(), atol=1e-4), "At T = 1000 it is off by more than 1e-4."
    yield not np.allclose(said, e / e.sum(), atol=1e-12), "Without exponentials, please."


@exercise("11.2")
def fake_defence(before: float, after: float) -> Looks:
    yield 0 <= before <= 100 and 0 <= after <= 100, "Accuracies, in percent."
    look = "It should look far more robust. Is T = 1 in the attack?"
    yield after > before + 30, look


@exercise("11.3")
def stable_loss(loss: Any) -> Looks:
    for g, T in (([2.0, 1.0], 1.0), ([2.0, 1.0], 5.0)):
        z = np.array(g) / T
        yield np.isclose(loss(np.array(g), 1, T), np.log(np.exp(z).sum()) - z[1]), "At (2, 1)?"
    with np.errstate(all="ignore"):
        up, down = loss(np.array([0.0, 1000.0]), 1, 1.0), loss(np.array([0.0, -1000.0]), 1, 1.0)
    yield (
        np.isclose(up, 0, atol=1e-9),
        "At (0, 1000): what may be taken off all logits?",
    )
    yield np.isclose(down, 1000), "At (0, -1000) a logarithm is taken of 0. Can it be avoided?"


@exercise("12.0")
def layer_norm(operation: Any) -> Looks:
    x = rng.standard_normal((4, 6))
    deviation = np.sqrt(x.var(axis=1, keepdims=True) + 1e-5)
    right = (x - x.mean(axis=1, keepdims=True)) / deviation
    yield np.allclose(operation(x).data, right), "The value was right: leave it."
    yield passes(operation, x), "The mean is seen to. What else depends on x?"


@exercise("12.1")
def softplus(operation: Any) -> Looks:
    x = np.linspace(-3, 3, 7)
    yield np.allclose(operation(x).data, np.log1p(np.exp(x))), "The value is not log(1 + e^x)."
    yield passes(operation, x), "The gradient: lesson 1, exercise 3, had this slope."
    with np.errstate(all="ignore"):
        far = operation(np.array([1000.0, -1000.0])).data
    yield np.allclose(far, [1000, 0]), "At 1000 it overflows. Write it with exp(-|x|)."


@exercise("12.2")
def largest(operation: Any) -> Looks:
    x = rng.standard_normal((5, 4))
    yield np.shape(operation(x).data) == (5,), "One value for each row."
    yield np.allclose(operation(x).data, x.max(axis=1)), "The largest of each row."
    yield passes(operation, x), "dy[r] goes to one place of row r. The others get 0."


@exercise("12.3")
def slow_conv(operation: Any) -> Looks:
    x, weight = rng.standard_normal((1, 5, 5, 2)), rng.standard_normal((3, 3, 3, 2))
    right = md.functional.conv2d(x, weight).data
    yield np.shape(operation(x, weight).data) == right.shape, "No padding, and stride 1."
    yield np.allclose(operation(x, weight).data, right), "F.conv2d gives other numbers."
    yield passes(operation, x, weight), "Two functions: for the image first, then for the kernels."


@exercise("13.1")
def one_step_is_enough(fgsm: Any, pgd: Any) -> Looks:
    yield np.shape(fgsm) == np.shape(pgd), "For each epsilon and image, whether it is broken."
    yield np.any(fgsm) and not np.all(fgsm), "All or none is broken. Try other epsilons."
    yield np.array_equal(fgsm, pgd), "They differ. Is the network linear, without a hidden layer?"


@exercise("13.2")
def how_far(far: float, epsilon: float) -> Looks:
    look = "Measure how far it has moved from the *original* images, at most."
    yield far > 2 * epsilon, look


@exercise("13.3")
def scaled(entropy: Any, dlr: Any) -> Looks:
    """Each: what stands before, and after."""
    yield entropy[1] > entropy[0] + 0.2, "On the cross-entropy far more should stand. Is T = 1?"
    yield abs(dlr[1] - dlr[0]) < 0.02, "Multiply its weights *and* its bias: no answer may change."


@exercise("14.1")
def bare(fgsm: float, pgd: float) -> Looks:
    yield fgsm >= pgd - 0.02, "PGD is the stronger attack. Which number is which?"
    yield fgsm - pgd < 0.25, "A gulf. Is the frame gone, in training and in what you attack?"


@exercise("14.2")
def saved(by_saving: float, at_each_step: float) -> Looks:
    look = "Attack the new network, on unseen digits: images made for another one do not count."
    yield by_saving < at_each_step - 0.05, look


@exercise("14.3")
def border(parts: Any) -> Looks:
    yield np.shape(parts) == (3,), "Three parts, for steps of 1/2, 1 and 2 epsilon."
    off = np.abs(np.array(parts) - [0.25, 0.5, 1])
    yield off.max() < 0.06, f"Number {1 + off.argmax()} is off. Which pixels have moved by epsilon?"


@exercise("15.1")
def wrong_sign(at_3: float, at_minus_3: float) -> Looks:
    yield at_minus_3 < 0.001, "At -3, the noise is small beside the weight: log alpha, not alpha."
    yield abs(at_3 - 0.41) < 0.02, "The noise has deviation sqrt(alpha), and is added to 1."


@exercise("15.2")
def fully_open(part: float) -> Looks:
    yield not abs(part - 0.832) < 0.01, "That is P(z > 0)."
    yield abs(part - 0.168) < 0.01, "For which s is z = 1? Then take the sigmoid's inverse of that."


@exercise("15.3")
def gates(mended: Any) -> Looks:
    nu = np.linspace(-8, 8, 101)
    z = np.asarray(mended(nu))
    yield z.min() >= 0 and z.max() <= 1, "A gate is between 0 and 1."
    yield (z == 0).any(), "None is exactly 0. What makes a zero, if a sigmoid never does?"
    right = md.compress.hard_concrete(nu, training=False).data
    yield np.allclose(z, right, atol=1e-6), "The ends: from which gamma to which zeta?"


@exercise("16.1")
def slopes(mean: float, least: float) -> Looks:
    yield least >= 0, "With steps, no margin is to be lower. Which is less which?"
    yield mean > 0, "Nothing is gained. Did you give steps=20?"


@exercise("16.2")
def no_argmax(changed: int) -> Looks:
    yield changed == 0, "Divide the last layer's weights *and* bias: what happens to each margin?"


@exercise("16.3")
def bold(timid: int, by_margins: int) -> Looks:
    yield timid > 0, "At this epsilon some should be proved even timidly: 12/255, pruned network."
    yield by_margins > timid, "Bound a difference of two logits, not each by itself."
