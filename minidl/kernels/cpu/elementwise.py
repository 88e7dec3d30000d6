"""What goes number by number: ReLU and the optimisers' steps, each in one pass over memory."""

from typing import Any

import numpy as np

from ...backend import Array
from ..cpu_runtime.memory import empty
from ..cpu_runtime.tasks import Task, at, task

PART = 1 << 14  # numbers in one part


def _run(kernel: Task, first: Array, *others: Any) -> None:
    """All parts of some arrays of one shape; what else there is, as it is."""
    flat = [a.reshape(-1) if isinstance(a, np.ndarray) else a for a in (first, *others)]
    kernel.run(-(-first.size // PART), *flat)


@task
def _where_positive(start, stop, x, sign, y):
    numbers, signs, results = at(x, 0), at(sign, 0), at(y, 0)
    for i in range(start * PART, min(stop * PART, x.size)):
        results[i] = np.float32(0) if signs[i] <= 0 else numbers[i]  # NaN is not: it stays


def relu_grad(dy: Array, y: Array) -> Array:
    dx = empty(y.shape)
    _run(_where_positive, dy, y, dx)
    return dx


def relu(x: Array) -> Array:
    return relu_grad(x, x)


@task
def _sgd(start, stop, weight, grad, velocity, mask, lr, momentum, weight_decay, nesterov):
    w, g, v, kept = at(weight, 0), at(grad, 0), at(velocity, 0), at(mask, 0)
    for i in range(start * PART, min(stop * PART, weight.size)):
        keep = True if mask is None else kept[i] != 0
        step = g[i] + weight_decay * w[i]
        if velocity is not None:
            speed = momentum * v[i] + step
            v[i] = speed if keep else np.float32(0)
            step = step + momentum * speed if nesterov else speed
        w[i] = w[i] - lr * step if keep else np.float32(0)


def sgd_step(
    weight: Array, grad: Array, velocity: Array | None, mask: Array | None, lr: float,
    momentum: float, weight_decay: float, nesterov: bool,
) -> None:  # fmt: skip
    _run(_sgd, weight, grad, velocity, mask, *map(np.float32, (lr, momentum, weight_decay)), nesterov)


@task
def _adam(start, stop, weight, grad, mean, square, mask, lr, rest1, rest2, eps, weight_decay, correction):
    w, g, m, s, kept = at(weight, 0), at(grad, 0), at(mean, 0), at(square, 0), at(mask, 0)
    for i in range(start * PART, min(stop * PART, weight.size)):
        keep = True if mask is None else kept[i] != 0
        slope = g[i] + weight_decay * w[i]
        m[i] = m[i] + rest1 * (slope - m[i]) if keep else np.float32(0)
        s[i] = s[i] + rest2 * (slope * slope - s[i]) if keep else np.float32(0)
        step = lr * m[i] / (np.sqrt(s[i] * correction) + eps)
        w[i] = w[i] - step if keep else np.float32(0)


def adam_step(
    weight: Array, grad: Array, mean: Array, square: Array, mask: Array | None, lr: float,
    beta1: float, beta2: float, eps: float, weight_decay: float, step: int,
) -> None:  # fmt: skip
    # 1 - beta is taken in float64: a beta of 0.99999999 is 1 in float32
    rates = lr / (1 - beta1**step), 1 - beta1, 1 - beta2, eps, weight_decay, 1 / (1 - beta2**step)
    _run(_adam, weight, grad, mean, square, mask, *map(np.float32, rates))
