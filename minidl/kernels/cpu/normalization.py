"""Batch normalisation, with the residual and the ReLU that follow it, in one pass over memory for each step.

Images are rows of C numbers, one row for each pixel, and every step is one of two tasks: sums over the rows, or a new
row from each. Sums are taken in float64, in a fixed number of blocks: exact enough for channels whose mean is large
beside their deviation, and the same with any number of threads.
"""

import numpy as np

from .memory import empty
from .parallel import Doubles, Floats, share, task

BLOCKS = 64


@task
def _sum(
    block, a: Floats, a_shift: Floats, b: Floats, b_shift: Floats, gated, y: Floats, dz: Floats, rows, C, sums: Doubles
):  # fmt: skip
    """The sums of a - a_shift and of (a - a_shift)(b - b_shift) over a block of rows.

    If ``gated``, a counts only where y is positive, and dz keeps what counts.
    """
    total, product = block * 2 * C, block * 2 * C + C
    for i in range(2 * C):
        sums[total + i] = 0
    first, last = share(block, BLOCKS, rows)
    for row in range(first, last):
        for c in range(C):
            i = row * C + c
            value = a[i]
            if gated:
                value = value if y[i] > 0 else np.float32(0)
                dz[i] = value
            shifted = np.float64(value) - np.float64(a_shift[c])
            sums[total + c] += shifted
            sums[product + c] += shifted * (np.float64(b[i]) - np.float64(b_shift[c]))


def _sums(
    a: np.ndarray, a_shift: np.ndarray, b: np.ndarray, b_shift: np.ndarray, y: np.ndarray, dz: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    sums = empty((BLOCKS, 2, a.shape[-1]), np.float64)
    gated, out = (False, a) if dz is None else (True, dz)
    _sum.run(BLOCKS, a, a_shift, b, b_shift, gated, y, out, a.size // a.shape[-1], a.shape[-1], sums)
    total, product = sums.sum(axis=0)
    return total, product


@task
def _map(
    block, x: Floats, mean: Floats, scale: Floats, shift: Floats, other: Floats, factor: Floats, has_other, relu, rows,
    C, y: Floats,
):  # fmt: skip
    """y = scale (x - mean) + shift + factor other, and then ReLU, where asked for."""
    first, last = share(block, BLOCKS, rows)
    for row in range(first, last):
        for c in range(C):
            i = row * C + c
            value = (x[i] - mean[c]) * scale[c] + shift[c]
            if has_other:
                value += factor[c] * other[i]
            if relu and value <= 0:  # NaN is not: it must not turn into 0
                value = np.float32(0)
            y[i] = value


def _mapped(
    x: np.ndarray, mean: np.ndarray, scale: np.ndarray, shift: np.ndarray, other: np.ndarray | None = None,
    factor: np.ndarray | None = None, relu: bool = False,
) -> np.ndarray:  # fmt: skip
    y = empty(x.shape)
    numbers = [np.asarray(a, np.float32) for a in (mean, scale, shift)]
    extra = (x, mean, False) if other is None else (other, np.asarray(factor, np.float32), True)
    _map.run(BLOCKS, x, *numbers, *extra, relu, x.size // x.shape[-1], x.shape[-1], y)
    return y


def moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    rows = x.size // x.shape[-1]
    pivot = x.reshape(rows, -1)[0]  # sums of x - pivot, so that nothing cancels where x hardly varies
    mean, square = (total / rows for total in _sums(x, pivot, x, pivot, x, None))
    return (pivot + mean).astype(np.float32), np.maximum(square - mean**2, 0).astype(np.float32)


def normalize(
    x: np.ndarray, mean: np.ndarray, var: np.ndarray, gamma: np.ndarray, beta: np.ndarray, eps: float,
    residual: np.ndarray | None, relu: bool,
) -> np.ndarray:  # fmt: skip
    return _mapped(x, mean, gamma / np.sqrt(var + np.float32(eps)), beta, residual, np.ones_like(gamma), relu)


def normalize_grad(
    dy: np.ndarray, x: np.ndarray, y: np.ndarray, mean: np.ndarray, var: np.ndarray, gamma: np.ndarray, eps: float,
    relu: bool, training: bool,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    rows, dz = x.size // x.shape[-1], empty(x.shape) if relu else dy
    dbeta, product = _sums(dy, np.zeros_like(mean), x, mean, y, dz if relu else None)
    inv_std = 1 / np.sqrt(var + eps, dtype=np.float64)
    dgamma, scale = product * inv_std, gamma * inv_std
    # dx = gamma inv_std (dz - dbeta / rows - (x - mean) inv_std dgamma / rows); the last two only when training
    part = training / rows * scale
    dx = _mapped(x, mean, -part * inv_std * dgamma, -part * dbeta, dz, scale)
    return dx, dgamma.astype(np.float32), dbeta.astype(np.float32), dz


@task
def _scale_positive(block, dy: Floats, y: Floats, scale: Floats, rows, C, keep, dz: Floats, dx: Floats):
    """dx = scale dy where y is positive, else 0; dz the same without scale, if it shall be kept."""
    first, last = share(block, BLOCKS, rows)
    for row in range(first, last):
        for c in range(C):
            i = row * C + c
            value = dy[i] if y[i] > 0 else np.float32(0)
            if keep:
                dz[i] = value
            dx[i] = scale[c] * value


def normalize_grad_fixed(
    dy: np.ndarray, y: np.ndarray, var: np.ndarray, gamma: np.ndarray, eps: float, relu: bool, residual: bool
) -> tuple[np.ndarray, np.ndarray | None]:
    zero, scale = np.zeros_like(gamma), gamma / np.sqrt(var + np.float32(eps))
    if not relu:
        return _mapped(dy, zero, scale, zero), dy if residual else None
    dx = empty(y.shape)
    dz = empty(y.shape) if residual else dx
    _scale_positive.run(BLOCKS, dy, y, scale, y.size // y.shape[-1], y.shape[-1], residual, dz, dx)
    return dx, dz if residual else None
