"""Batch normalisation, with the residual and the ReLU that follow it, in one pass over memory for each step.

Images are rows of C numbers, one row for each pixel. Sums over rows are taken in float64, in a fixed number of blocks:
exact enough for channels whose mean is large beside their deviation, and the same with any number of threads.
"""

import numpy as np

from .memory import empty
from .parallel import Doubles, Floats, share, task

BLOCKS = 64


@task
def _moments(block, x: Floats, rows, C, sums: Doubles):
    """sums[block] = the sum of x - pivot and of its square, where the pivot is the first row, in this block of rows."""
    total, square = block * 2 * C, block * 2 * C + C
    for i in range(2 * C):
        sums[total + i] = 0
    first, last = share(block, BLOCKS, rows)
    for row in range(first, last):
        for c in range(C):
            value = np.float64(x[row * C + c]) - np.float64(x[c])
            sums[total + c] += value
            sums[square + c] += value * value


def moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    C = x.shape[-1]
    rows = x.size // C
    sums = empty((BLOCKS, 2, C), np.float64)
    _moments.run(BLOCKS, x, rows, C, sums)
    mean, square = sums.sum(axis=0) / rows  # of x - pivot, so that nothing cancels where x hardly varies
    var = np.maximum(square - mean**2, 0)
    return (x.reshape(rows, C)[0] + mean).astype(np.float32), var.astype(np.float32)


@task
def _normalize(
    block, x: Floats, mean: Floats, scale: Floats, beta: Floats, residual: Floats, has_residual, relu, rows, C,
    y: Floats,
):  # fmt: skip
    first, last = share(block, BLOCKS, rows)
    for row in range(first, last):
        for c in range(C):
            i = row * C + c
            value = (x[i] - mean[c]) * scale[c] + beta[c]
            if has_residual:
                value += residual[i]
            if relu and value <= 0:  # NaN is not: it must not turn into 0
                value = np.float32(0)
            y[i] = value


def normalize(
    x: np.ndarray, mean: np.ndarray, var: np.ndarray, gamma: np.ndarray, beta: np.ndarray, eps: float,
    residual: np.ndarray | None, relu: bool,
) -> np.ndarray:  # fmt: skip
    C = x.shape[-1]
    y = empty(x.shape)
    scale = gamma / np.sqrt(var + np.float32(eps))
    with_residual = residual is not None
    other = residual if with_residual else x
    _normalize.run(BLOCKS, x, mean, scale, beta, other, with_residual, relu, x.size // C, C, y)
    return y


@task
def _grad_sums(block, dy: Floats, x: Floats, y: Floats, mean: Floats, relu, rows, C, dz: Floats, sums: Doubles):
    """dz, the gradient before the ReLU, and for a block of rows the sums of dz and of dz * (x - mean)."""
    total, moment = block * 2 * C, block * 2 * C + C
    for i in range(2 * C):
        sums[total + i] = 0
    first, last = share(block, BLOCKS, rows)
    for row in range(first, last):
        for c in range(C):
            i = row * C + c
            value = dy[i]
            if relu:
                value = value if y[i] > 0 else np.float32(0)
                dz[i] = value
            sums[total + c] += value
            sums[moment + c] += np.float64(value) * np.float64(x[i] - mean[c])


@task
def _grad_input(block, dz: Floats, x: Floats, mean: Floats, factors: Floats, rows, C, dx: Floats):
    first, last = share(block, BLOCKS, rows)
    for row in range(first, last):
        for c in range(C):
            i = row * C + c
            dx[i] = factors[c] * dz[i] - factors[C + c] - factors[2 * C + c] * (x[i] - mean[c])


def normalize_grad(
    dy: np.ndarray, x: np.ndarray, y: np.ndarray, mean: np.ndarray, var: np.ndarray, gamma: np.ndarray, eps: float,
    relu: bool, training: bool,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    C = x.shape[-1]
    rows = x.size // C
    dz, dx = empty(x.shape) if relu else dy, empty(x.shape)
    sums = empty((BLOCKS, 2, C), np.float64)
    _grad_sums.run(BLOCKS, dy, x, y, mean, relu, rows, C, dz, sums)
    dbeta, moment = sums.sum(axis=0)
    inv_std = 1 / np.sqrt(var + eps, dtype=np.float64)
    dgamma = moment * inv_std
    # dx = gamma inv_std (dz - dbeta / rows - (x - mean) inv_std dgamma / rows); the last two only when training
    factors = np.stack([np.ones(C), dbeta / rows * training, dgamma * inv_std / rows * training]) * (gamma * inv_std)
    _grad_input.run(BLOCKS, dz, x, mean, factors.astype(np.float32), rows, C, dx)
    return dx, dgamma.astype(np.float32), dbeta.astype(np.float32), dz


@task
def _grad_fixed(block, dy: Floats, y: Floats, scale: Floats, relu, rows, C, dz: Floats, dx: Floats):
    first, last = share(block, BLOCKS, rows)
    for row in range(first, last):
        for c in range(C):
            i = row * C + c
            value = dy[i]
            if relu:
                value = value if y[i] > 0 else np.float32(0)
                dz[i] = value
            dx[i] = scale[c] * value


def normalize_grad_fixed(
    dy: np.ndarray, y: np.ndarray, var: np.ndarray, gamma: np.ndarray, eps: float, relu: bool
) -> tuple[np.ndarray, np.ndarray]:
    C = y.shape[-1]
    dz, dx = empty(y.shape) if relu else dy, empty(y.shape)
    _grad_fixed.run(BLOCKS, dy, y, gamma / np.sqrt(var + np.float32(eps)), relu, y.size // C, C, dz, dx)
    return dx, dz
