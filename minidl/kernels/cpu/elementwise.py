"""What goes number by number: ReLU and the optimisers' steps, each in one pass over memory."""

import numpy as np

from .memory import empty
from .parallel import Bytes, Floats, task

PART = 1 << 14  # numbers in one task


def _parts(x: np.ndarray) -> int:
    return -(-x.size // PART)


@task
def _where_positive(part, x: Floats, sign: Floats, size, y: Floats):
    for i in range(part * PART, min(size, (part + 1) * PART)):
        y[i] = np.float32(0) if sign[i] <= 0 else x[i]  # NaN is not: it stays


def relu_grad(dy: np.ndarray, y: np.ndarray) -> np.ndarray:
    dx = empty(y.shape)
    _where_positive.run(_parts(y), dy, y, y.size, dx)
    return dx


def relu(x: np.ndarray) -> np.ndarray:
    return relu_grad(x, x)


@task
def _sgd(
    part, weight: Floats, grad: Floats, velocity: Floats, has_velocity, mask: Bytes, has_mask, nesterov, size,
    rates: Floats,
):  # fmt: skip
    lr, momentum, weight_decay = rates[0], rates[1], rates[2]
    for i in range(part * PART, min(size, (part + 1) * PART)):
        keep = mask[i] != 0 if has_mask else True
        step = grad[i] + weight_decay * weight[i]
        if has_velocity:
            speed = momentum * velocity[i] + step
            velocity[i] = speed if keep else np.float32(0)
            step = step + momentum * speed if nesterov else speed
        weight[i] = weight[i] - lr * step if keep else np.float32(0)


def sgd_step(
    weight: np.ndarray, grad: np.ndarray, velocity: np.ndarray | None, mask: np.ndarray | None, lr: float,
    momentum: float, weight_decay: float, nesterov: bool,
) -> None:  # fmt: skip
    rates = np.array([lr, momentum, weight_decay], np.float32)
    speed, has_velocity = (weight, False) if velocity is None else (velocity, True)
    kept, has_mask = (weight, False) if mask is None else (mask, True)
    _sgd.run(_parts(weight), weight, grad, speed, has_velocity, kept, has_mask, nesterov, weight.size, rates)


@task
def _adam(
    part, weight: Floats, grad: Floats, mean: Floats, square: Floats, mask: Bytes, has_mask, size, rates: Floats
):  # fmt: skip
    lr, rest1, rest2, eps, weight_decay, correction = rates[0], rates[1], rates[2], rates[3], rates[4], rates[5]
    for i in range(part * PART, min(size, (part + 1) * PART)):
        keep = mask[i] != 0 if has_mask else True
        slope = grad[i] + weight_decay * weight[i]
        mean[i] += rest1 * (slope - mean[i])
        square[i] += rest2 * (slope * slope - square[i])
        step = lr * mean[i] / (np.sqrt(square[i] * correction) + eps)
        weight[i] = weight[i] - step if keep else np.float32(0)


def adam_step(
    weight: np.ndarray, grad: np.ndarray, mean: np.ndarray, square: np.ndarray, mask: np.ndarray | None, lr: float,
    beta1: float, beta2: float, eps: float, weight_decay: float, step: int,
) -> None:  # fmt: skip
    # 1 - beta is taken in float64: a beta of 0.99999999 is 1 in float32
    corrections = lr / (1 - beta1**step), 1 / (1 - beta2**step)
    rates = np.array([corrections[0], 1 - beta1, 1 - beta2, eps, weight_decay, corrections[1]], np.float32)
    kept, has_mask = (weight, False) if mask is None else (mask, True)
    _adam.run(_parts(weight), weight, grad, mean, square, kept, has_mask, weight.size, rates)
