"""Batch normalisation, with the residual and the ReLU that follow it, in one pass over memory for each step.

Images are rows of C numbers, one row for each pixel, and every step is one of two tasks: sums over the rows, or a new
row from each. Sums are taken in float64, in a fixed number of blocks: exact enough for channels whose mean is large
beside their deviation, and the same with any number of threads.
"""

import numpy as np

from ...backend import Array
from ..cpu_runtime.memory import empty
from ..cpu_runtime.tasks import at, share, task

BLOCKS = 64


@task
def _sum(start, stop, a, a_shift, b, b_shift, y, dz, sums):
    """The sums of a - a_shift and of (a - a_shift)(b - b_shift) over a block of rows.

    Where y is given, a counts only where that is positive, and dz keeps what counts.
    """
    rows, C = a.size // a.shape[-1], a.shape[-1]
    for block in range(start, stop):
        total, product = at(sums, 2 * block * C), at(sums, (2 * block + 1) * C)
        for c in range(C):
            total[c], product[c] = 0, 0
        first, last = share(block, BLOCKS, rows)
        for row in range(first, last):
            of_a, of_b, of_y, of_dz = at(a, row * C), at(b, row * C), at(y, row * C), at(dz, row * C)
            for c in range(C):
                value = of_a[c]
                if y is not None:
                    value = value if of_y[c] > 0 else np.float32(0)
                    of_dz[c] = value
                shifted = np.float64(value) - np.float64(a_shift[c])
                total[c] += shifted
                product[c] += shifted * (np.float64(of_b[c]) - np.float64(b_shift[c]))


@task
def _map(start, stop, x, mean, scale, shift, factor, other, y, relu, z, dz):
    """z = scale (x - mean) + shift + factor other, and then ReLU, where asked for; or z = scale x, without a mean.

    Where y is given, x counts only where that is positive, and dz keeps what counts.
    """
    rows, C = x.size // x.shape[-1], x.shape[-1]
    first, last = share(start, BLOCKS, rows)[0], share(stop, BLOCKS, rows)[0]
    for row in range(first, last):
        i = row * C
        of_x, of_other, of_y, of_z, of_dz = at(x, i), at(other, i), at(y, i), at(z, i), at(dz, i)
        for c in range(C):
            value = of_x[c]
            if y is not None:
                value = value if of_y[c] > 0 else np.float32(0)
                if dz is not None:
                    of_dz[c] = value
            value = value * scale[c] if mean is None else (value - mean[c]) * scale[c] + shift[c]
            if other is not None:
                value += factor[c] * of_other[c]
            of_z[c] = np.float32(0) if relu and value <= 0 else value  # NaN is not: it must not turn into 0


def _sums(a: Array, a_shift: Array, b: Array, b_shift: Array, y: Array | None, dz: Array | None) -> Array:
    sums = empty((BLOCKS, 2, a.shape[-1]), np.float64)
    _sum.run(BLOCKS, a, a_shift, b, b_shift, y, dz, sums)
    return sums.sum(axis=0)


def moments(x: Array) -> tuple[Array, Array]:
    rows = x.size // x.shape[-1]
    pivot = x.reshape(rows, -1)[0]  # sums of x - pivot, so that nothing cancels where x hardly varies
    mean, square = _sums(x, pivot, x, pivot, None, None) / rows
    return (pivot + mean).astype(np.float32), np.maximum(square - mean**2, 0).astype(np.float32)


def batch_norm(
    x: Array, mean: Array, var: Array, gamma: Array, beta: Array, eps: float, residual: Array | None, relu: bool
) -> Array:
    y, scale = empty(x.shape), gamma / np.sqrt(var + np.float32(eps))
    _map.run(BLOCKS, x, mean, scale, beta, np.ones_like(gamma), residual, None, relu, y, None)
    return y


def batch_norm_grad(
    dy: Array, x: Array, y: Array, mean: Array, var: Array, gamma: Array, eps: float, relu: bool, training: bool
) -> tuple[Array, Array, Array, Array]:
    rows, dx, dz = x.size // x.shape[-1], empty(x.shape), empty(x.shape) if relu else dy
    dbeta, product = _sums(dy, np.zeros_like(mean), x, mean, *((y, dz) if relu else (None, None)))
    inv_std = 1 / np.sqrt(var + eps, dtype=np.float64)
    dgamma, scale = product * inv_std, gamma * inv_std
    # dx = gamma inv_std (dz - dbeta / rows - (x - mean) inv_std dgamma / rows); the last two only when training
    part = training / rows * scale
    numbers = [a.astype(np.float32) for a in (-part * inv_std * dgamma, -part * dbeta, scale)]
    _map.run(BLOCKS, x, mean, *numbers, dz, None, False, dx, None)
    return dx, dgamma.astype(np.float32), dbeta.astype(np.float32), dz


def batch_norm_grad_fixed(
    dy: Array, y: Array, var: Array, gamma: Array, eps: float, relu: bool, residual: bool
) -> tuple[Array, Array | None]:
    dx, dz = empty(y.shape), empty(y.shape) if relu and residual else None
    scale = gamma / np.sqrt(var + np.float32(eps))
    _map.run(BLOCKS, dy, None, scale, None, None, None, y if relu else None, False, dx, dz)
    return dx, (dz if relu else dy) if residual else None
