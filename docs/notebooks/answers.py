"""The judges of the exercises of lessons 0 to 8; those of 9 to 16 are in answers_9_to_16.py."""

from __future__ import annotations

from typing import Any

import answers_9_to_16  # registers its judges
import numpy as np
from answers_9_to_16 import passes
from judge import Looks, exercise, judge

__all__ = ["answers_9_to_16", "judge"]
rng = np.random.default_rng(0)
CORNERS = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])


def sigmoid(s: Any) -> Any:
    return 1 / (1 + np.exp(-np.asarray(s)))


@exercise("0.1")
def tanh_operation(operation: Any) -> Looks:
    x = np.array([0.3, -2.0])
    y = operation(x)
    slope = 1 - np.tanh(x) ** 2
    yield np.allclose(y.data, np.tanh(x)), "Is the value np.tanh(x)?"
    dy = np.ones(2)
    yield np.allclose(y.vjps[0](dy), slope), "For dy = 1 the gradient is to be the slope at x."
    yield np.allclose(y.vjps[0](3 * dy), 3 * slope), "What arrives, dy, takes part as well."


def _slope(y: Any, x: Any, last_first: bool) -> float:
    gradients, slope = {y: np.ones_like(y.data)}, 0.0
    while gradients:
        order = sorted(gradients, key=lambda t: t.number) if last_first else list(gradients)
        tensor = order[-1] if last_first else order[0]
        d = gradients.pop(tensor)
        slope = float(d) if tensor is x else slope
        for source, vjp in zip(tensor.sources, tensor.vjps):
            gradients[source] = gradients.get(source, 0) + vjp(d)
    return slope


@exercise("0.2")
def order_matters(computation: Any, tensor: Any) -> Looks:
    x = tensor(2.0)
    y = computation(x)
    yield y is not x and y.sources, "It should compute something from x, with + and *."
    right, other = _slope(y, x, True), _slope(y, x, False)
    look = "Both orders agree here. When is a gradient handed on before it is complete?"
    yield not np.isclose(right, other), look


@exercise("0.3")
def forgetting(backward: Any, tensor: Any) -> Looks:
    x = tensor(3.0)
    y = x * x
    z = y * y
    backward(z)
    yield x.grad is not None and np.isclose(x.grad, 108), "x ** 4 at 3 has another slope now."
    held = any(t.vjps or t.sources for t in (y, z))
    yield not held, "A result still holds its sources or its functions, and these the arrays."


@exercise("1.1")
def and_neuron(w: Any, b: Any) -> Looks:
    said = sigmoid(CORNERS @ np.asarray(w, float) + b)
    yield said[3] > 0.9, "(1, 1) is no clear yes. Is its sum well above 0?"
    yield said[0] < 0.1, "(0, 0) is no clear no. What is left of the sum there?"
    yield said[1:3].max() < 0.1, "A corner with a single 1 is no clear no. Is its sum below 0?"


@exercise("1.2")
def exclusive_or(xor: Any) -> Looks:
    said = np.ravel(xor(CORNERS))
    yield said.shape == (4,), "It should give one number for each of the four corners."
    yield np.allclose(said[[0, 3]], 0), "Equal inputs are to give 0. Which neuron answers there?"
    yield np.allclose(said[1:3], 1), "One neuron is for (0, 1), another for (1, 0)."


@exercise("1.3")
def softplus_slope(slope: Any) -> Looks:
    x, h = np.linspace(-3, 3, 13), 1e-5
    quotient = (np.log1p(np.exp(x + h)) - np.log1p(np.exp(x - h))) / (2 * h)
    yield np.isclose(slope(0.0), 0.5), "At 0 a difference quotient gives a half."
    yield np.allclose(slope(x), quotient), "Right at 0, but at 3? Is softplus steep or flat there?"


@exercise("2.1")
def count(number: int) -> Looks:
    without = 64 * 30 + 30 * 20 + 20 * 10
    yield number != without, "These are the weights. What else has each neuron?"
    yield number == without + 60, "How many numbers come into each layer, and how many go out?"


@exercise("2.2")
def how_wide(n: int) -> Looks:
    x = np.linspace(-3, 3, 1001)

    def f(x: Any) -> Any:
        return np.sin(x) + 0.4 * np.sin(4 * x)

    def error(n: int) -> float:
        knots = np.linspace(-3, 3, n + 1)
        return np.abs(f(x) - np.interp(x, knots, f(knots))).max()

    yield error(n) < 0.01, f"With {n} neurons the largest error is {error(n):.4f}."
    yield error(n - 1) >= 0.01, "One neuron fewer would do as well."


@exercise("2.3")
def layer_input(z: Any, W: Any) -> Looks:
    z, W = np.atleast_2d(z), np.asarray(W)
    yield z.shape[1:] == W.shape[:1], "The right layer does not run on these: compare the shapes."
    yield W.shape[0] == W.shape[1], "Here the wrong layer fails, and does not hide. When does it?"
    yield not np.allclose(z @ W, z @ W.T), "Both layers agree on these. When is W.T another matrix?"


@exercise("3.1")
def loss_from_logits(loss: Any) -> Looks:
    g = np.array([-1.0, 2.0, 1.0])
    right = -g + np.log(np.exp(g).sum())
    yield (
        np.isclose(loss(g, 2), right[2]),
        "At (-1, 2, 1) and the third class: what does (20) give?",
    )
    yield np.allclose([loss(g, 0), loss(g, 1)], right[:2]), "It is right for one class alone."
    with np.errstate(all="ignore"):
        large = loss(np.array([1000.0, 999.0, 0.0]), 2)
    yield np.isclose(large, 1000.3132617), "At `large`: which number may one take off all logits?"


@exercise("3.2")
def softmax_check(check: Any, right: Any, wrong: Any) -> Looks:
    yield check(right), "Even the right softmax does not pass."
    yield not check(wrong), "The wrong one passes too. What should hold for each image by itself?"


@exercise("3.3")
def two_classes(number: Any) -> Looks:
    g = np.random.default_rng(1).standard_normal((100, 2))
    e = np.exp(g)
    p = e[:, 0] / e.sum(axis=1)
    said = sigmoid(number(g))
    yield np.shape(said) == (100,), "One number for each pair of logits."
    yield not np.allclose(said, 1 - p), "That is the probability of the other class."
    yield np.allclose(said, p), "Add 5 to both logits: softmax stays the same. Does your number?"


@exercise("4.1")
def logistic(derivatives: Any) -> Looks:
    for x, y, w, b in ((-0.7, 1.0, 2.0, -1.0), (1.5, -1.0, 0.3, 0.2)):
        p = sigmoid(-y * (w * x + b))
        dw, db = derivatives(x, y, w, b)
        yield np.isclose(abs(db), p), "Begin with s = w x + b. What is dL/ds, but for its sign?"
        yield np.isclose(db, -y * p), "If y = 1, a larger b makes the loss smaller. And if y = -1?"
        yield np.isclose(dw, -y * p * x), "How does s change with w?"


@exercise("4.2")
def fair_rate(rate: float) -> Looks:
    look = (
        "How large is v in the end, if the gradient stays as it is? Which rate does that amount to?"
    )
    yield np.isclose(rate, 3), look


@exercise("4.3")
def tanh_layer(operation: Any) -> Looks:
    X, W = rng.standard_normal((4, 3)), rng.standard_normal((3, 2))
    yield np.allclose(operation(X, W).data, np.tanh(X @ W)), "The value was right: leave it."
    yield passes(operation, X, W), "1 - a ** 2 is tanh's slope. But which number is a?"


@exercise("5.1")
def bound(bound_of: Any) -> Looks:
    one = np.array([[2.0]])
    yield np.isclose(bound_of([one]), 0.5), "One neuron, weight 2. How steep is a sigmoid at most?"
    yield np.isclose(bound_of([one, one]), 0.25), "Two layers in a row: what do factors do?"
    yield (
        np.isclose(bound_of([np.eye(3)]), 0.25),
        "np.eye(3) stretches no vector. Which norm is it?",
    )


@exercise("5.2")
def shortcuts(with_shortcuts: float, without: float) -> Looks:
    yield with_shortcuts > 1e10 * without, "It vanishes still. Does x go past each block unchanged?"
    yield with_shortcuts < 1, "It explodes. Is 1/2 taken off, so that nothing is added on average?"


@exercise("5.3")
def wrong_dropout(training: float, evaluation: float) -> Looks:
    yield abs(evaluation - 1) < 1e-6, "Give it ones in evaluation: nothing is dropped."
    yield abs(training - 0.5) < 0.05, "Give it many ones while it trains, and take the mean."


@exercise("6.1")
def alexnet(side: int, weights: int) -> Looks:
    yield side != 54, "There is padding on both sides."
    yield side == 55, "Put 224 + 2 P for H into the formula. Does it round down before it adds 1?"
    yield weights != 64 * 11 * 11, "The image has colours."
    yield weights == 64 * 11 * 11 * 3, "N x k x k x C."


def convolve(image: Any, kernel: Any, stride: int) -> Any:
    windows = np.lib.stride_tricks.sliding_window_view(image, np.shape(kernel))
    return (windows[::stride, ::stride] * kernel).sum(axis=(2, 3))


@exercise("6.2")
def diagonals(kernel: Any) -> Looks:
    falling, rising = np.eye(12), np.eye(12)[::-1]
    yield np.shape(kernel) == (3, 3), "It should be 3 x 3."
    yield abs(np.sum(kernel)) < 1e-9, "An even area gives the sum of the kernel's weights."
    strong, weak = (convolve(image, kernel, 1).max() for image in (falling, rising))
    yield strong > 0 and strong >= 2 * weak, f"It answers {strong:.2g} to the one and {weak:.2g}."


@exercise("6.3")
def quick(mended: Any) -> Looks:
    kernel = rng.standard_normal((3, 3))
    for shape in ((6, 6), (6, 9), (9, 6)):
        image = rng.random(shape)
        said, right = mended(image, kernel, 1), convolve(image, kernel, 1)
        yield np.shape(said) == right.shape, f"{shape} gives {np.shape(said)}. What counts columns?"
        yield np.allclose(said, right), "The shape is right, and the numbers are not."
    said, right = (f(image, kernel, 2) for f in (mended, convolve))
    same = np.shape(said) == right.shape and np.allclose(said, right)
    yield same, "It is wrong with stride 2. On square images it was right: keep that."


@exercise("7.1")
def pooled(side: int) -> Looks:
    yield side == 6, "Put H = 13, k = 3 and s = 2 into lesson 6's formula. Which way does it round?"


@exercise("7.2")
def pool(pool: Any) -> Looks:
    x = rng.standard_normal((2, 6, 12, 3))
    for m in (2, 3):
        said = pool(x, m)
        yield np.shape(said) == (2, 6 // m, 12 // m, 3), "Both sides shrink by m, B and C stay."
        blocks = [x[:, i::m, j::m] for i in range(m) for j in range(m)]
        yield np.allclose(said, np.max(blocks, axis=0)), "Each window is m rows and m columns."


@exercise("7.3")
def average_pool(operation: Any) -> Looks:
    x = rng.standard_normal((2, 4, 6, 3))
    mean = x.reshape(2, 2, 2, 3, 2, 3).mean(axis=(2, 4))
    yield np.allclose(operation(x).data, mean), "The value was right: leave it."
    yield passes(operation, x), "If one pixel rises by 1, by how much does the mean of four rise?"


@exercise("8.1")
def targeted(images: Any, moved: Any, read: Any) -> Looks:
    far = np.abs(moved - images).max()
    yield far < 48 / 255 + 1e-6, f"A pixel has moved by {255 * far:.0f}/255."
    yield np.min(moved) >= 0 and np.max(moved) <= 1, "These are no images: cut them to [0, 1]."
    before, after = (np.mean(read(x) == 8) for x in (images, moved))
    yield after > before + 0.1, "Hardly one is read as an 8. The loss of which label, up or down?"


@exercise("8.2")
def transfer(same_kind: float, perceptron: float, noise: float) -> Looks:
    parts = np.array([same_kind, perceptron, noise])
    yield (parts >= 0).all() and (parts <= 1).all(), "Parts of those that were right before."
    yield same_kind > noise, "Noise does as much. Were the images made to fool `model`?"
    yield same_kind > perceptron, "A stranger should be fooled less often. Is it trained?"


@exercise("8.3")
def wrong_fgsm(attack: Any, images: Any, labels: Any, loss: Any) -> Looks:
    before, after = loss(images, labels), loss(attack(images, labels, 16 / 255), labels)
    yield after > before, f"It takes the loss from {before:.2f} to {after:.2f}. Which way is up?"
    look = "It rises, but not by much. Whose loss is climbed: that of the label?"
    yield after > 2 * before, look
