"""Exact margins of tiny networks, by mixed-integer programming (Tjeng et al. 2019), and networks worth proving."""

import itertools

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp

from minidl import nn


def perceptron(sizes, rng, scale=1.0):
    """Linear layers with ReLUs between them, on images (1, sizes[0], 1), with random weights and biases."""
    layers = [nn.Flatten()]
    for n, m in itertools.pairwise(sizes):
        layer = nn.Linear(n, m)
        layer.weight.data[...] = scale * rng.standard_normal((n, m)) / np.sqrt(n)
        layer.bias.data[...] = 0.2 * rng.standard_normal(m)
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers[:-1]).eval()


def least_margin(model, image, epsilon, label, other):
    """The least logit[label] - logit[other] over all images within epsilon of this one (1, n, 1) and within [0, 1].

    The unknowns are the pixels, then each layer's y = max(z, 0) and a binary that says whether the neuron is on:
    y >= z, y <= z - low (1 - on), y <= high on; intervals give low and high.
    """
    weights = [(m.weight.data.astype(float), m.bias.data.astype(float)) for m in model if isinstance(m, nn.Linear)]
    x = image.ravel().astype(float)
    low, high = np.clip(x - epsilon, 0, 1), np.clip(x + epsilon, 0, 1)
    hidden = sum(w.shape[1] for w, _ in weights[:-1])
    count = len(x) + 2 * hidden
    lower, upper, integral = np.zeros(count), np.full(count, np.inf), np.zeros(count)
    lower[: len(x)], upper[: len(x)] = low, high
    rows, at_least = [], []
    start, at = 0, len(x)  # where the layer's inputs are, and where its outputs go
    for w, b in weights[:-1]:
        n, m = w.shape
        middle, radius = (low + high) / 2 @ w + b, (high - low) / 2 @ np.abs(w)
        low, high = middle - radius, middle + radius
        for j in range(m):
            y, on = at + j, at + m + j
            lower[on], upper[on], integral[on] = 0, 1, 1
            row = np.zeros(count)  # y - z >= b
            row[y], row[start : start + n] = 1, -w[:, j]
            rows.append(row)
            at_least.append(b[j])
            row = np.zeros(count)  # z - y - low (1 - on) >= ...: -y + z + low on >= low - b
            row[y], row[start : start + n], row[on] = -1, w[:, j], min(low[j], 0)
            rows.append(row)
            at_least.append(min(low[j], 0) - b[j])
            row = np.zeros(count)  # high on - y >= 0
            row[y], row[on] = -1, max(high[j], 0)
            rows.append(row)
            at_least.append(0)
        low, high = np.maximum(low, 0), np.maximum(high, 0)
        start, at = at, at + 2 * m
    w, b = weights[-1]
    goal = np.zeros(count)
    goal[start : start + len(w)] = w[:, label] - w[:, other]
    constraint = LinearConstraint(np.array(rows), np.array(at_least), np.inf)
    found = milp(goal, constraints=constraint, bounds=Bounds(lower, upper), integrality=integral)
    assert found.success, found.message
    return found.fun + b[label] - b[other]


def margins(model, images, classes, others):
    """(B, K - 1): of images near one, in the model's own precision."""
    logits = model(images).data.astype(float)
    return logits[:, [classes]] - logits[:, others]


def nearby(image, epsilon, count, rng, norm="inf"):
    """(count, H, W, C): points of the ball around an image (H, W, C), its corners and its inside, within [0, 1]."""
    steps = rng.uniform(-1, 1, (count, *image.shape))
    steps[: count // 2] = np.sign(steps[: count // 2])
    if norm == "2":
        steps /= np.sqrt((steps**2).sum(axis=(1, 2, 3), keepdims=True))
    return np.clip(image + epsilon * steps, 0, 1).astype(image.dtype)
