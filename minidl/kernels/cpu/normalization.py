"""Batch normalisation, with the residual and the ReLU that follow it, in one pass over memory for each step.

Images are rows of C numbers, one row for each pixel, and every step is one of two tasks: sums over the rows, or a new
row from each. Sums are taken in float64, in a fixed number of blocks: exact enough for channels whose mean is large
beside their deviation, and the same with any number of threads.
"""

from typing import Any

import numpy as np

from ..runtime.memory import empty
from ..runtime.tasks import at, share, task

BLOCKS = 64


@task
def _sum(start, stop, a, a_shift, b, b_shift, y, dz, sums):
    """The sums of a - a_shift and of (a - a_shift)(b - b_shift) over a block of rows.

    Where y is given, a counts only where that is positive, and dz keeps what counts.
    """
    rows, C = a.shape
    for block in range(start, stop):
        total, product = at(sums, 2 * block * C), at(sums, (2 * block + 1) * C)
        for c in range(C):
            total[c], product[c] = 0, 0
        first, last = share(block, BLOCKS, rows)
        for row in range(first * C, last * C, C):
            of_a, of_b, of_y, of_dz = at(a, row), at(b, row), at(y, row), at(dz, row)
            for c in range(C):
                value = of_a[c]
                if y is not None:
                    value = value if of_y[c] > 0 else np.float32(0)
                    of_dz[c] = value
                shifted = np.float64(value) - np.float64(a_shift[c])
                total[c] += shifted
                product[c] += shifted * (np.float64(of_b[c]) - np.float64(b_shift[c]))


@task
def _map(start, stop, x, mean, scale, shift, other, factor, y, relu, z, dz):
    """z = scale (x - mean) + shift + factor other, and then ReLU, where asked for.

    Where y is given, x counts only where that is positive, and dz keeps what counts.
    """
    rows, C = x.shape
    first, last = share(start, BLOCKS, rows)[0], share(stop, BLOCKS, rows)[0]
    for row in range(first * C, last * C, C):
        of_x, of_other, of_y, of_z, of_dz = at(x, row), at(other, row), at(y, row), at(z, row), at(dz, row)
        for c in range(C):
            value = of_x[c]
            if y is not None:
                value = value if of_y[c] > 0 else np.float32(0)
                if dz is not None:
                    of_dz[c] = value
            value = (value - mean[c]) * scale[c] + shift[c]
            if other is not None:
                value += factor[c] * of_other[c]
            of_z[c] = np.float32(0) if relu and value <= 0 else value  # NaN is not: it must not turn into 0


def _rows(images: Any) -> Any:
    return None if images is None else images.reshape(-1, images.shape[-1])


def _sums(
    a: np.ndarray, a_shift: np.ndarray, b: np.ndarray, b_shift: np.ndarray, y: np.ndarray | None = None,
    dz: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    sums = empty((BLOCKS, 2, a.shape[-1]), np.float64)
    _sum.run(BLOCKS, _rows(a), a_shift, _rows(b), b_shift, _rows(y), _rows(dz), sums)
    total, product = sums.sum(axis=0)
    return total, product


def _mapped(
    x: np.ndarray, mean: np.ndarray, scale: np.ndarray, shift: np.ndarray, other: np.ndarray | None = None,
    factor: np.ndarray | None = None, y: np.ndarray | None = None, relu: bool = False, dz: np.ndarray | None = None,
) -> np.ndarray:  # fmt: skip
    z, (mean, scale, shift) = empty(x.shape), (np.asarray(a, np.float32) for a in (mean, scale, shift))
    factor = mean if factor is None else np.asarray(factor, np.float32)
    _map.run(BLOCKS, _rows(x), mean, scale, shift, _rows(other), factor, _rows(y), relu, _rows(z), _rows(dz))
    return z


def moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    rows = x.size // x.shape[-1]
    pivot = x.reshape(rows, -1)[0]  # sums of x - pivot, so that nothing cancels where x hardly varies
    mean, square = (total / rows for total in _sums(x, pivot, x, pivot))
    return (pivot + mean).astype(np.float32), np.maximum(square - mean**2, 0).astype(np.float32)


def normalize(
    x: np.ndarray, mean: np.ndarray, var: np.ndarray, gamma: np.ndarray, beta: np.ndarray, eps: float,
    residual: np.ndarray | None, relu: bool,
) -> np.ndarray:  # fmt: skip
    scale = gamma / np.sqrt(var + np.float32(eps))
    return _mapped(x, mean, scale, beta, residual, np.ones_like(gamma), relu=relu)


def normalize_grad(
    dy: np.ndarray, x: np.ndarray, y: np.ndarray, mean: np.ndarray, var: np.ndarray, gamma: np.ndarray, eps: float,
    relu: bool, training: bool,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    rows, dz = x.size // x.shape[-1], empty(x.shape) if relu else dy
    dbeta, product = _sums(dy, np.zeros_like(mean), x, mean, *((y, dz) if relu else ()))
    inv_std = 1 / np.sqrt(var + eps, dtype=np.float64)
    dgamma, scale = product * inv_std, gamma * inv_std
    # dx = gamma inv_std (dz - dbeta / rows - (x - mean) inv_std dgamma / rows); the last two only when training
    part = training / rows * scale
    dx = _mapped(x, mean, -part * inv_std * dgamma, -part * dbeta, dz, scale)
    return dx, dgamma.astype(np.float32), dbeta.astype(np.float32), dz


def normalize_grad_fixed(
    dy: np.ndarray, y: np.ndarray, var: np.ndarray, gamma: np.ndarray, eps: float, relu: bool, residual: bool
) -> tuple[np.ndarray, np.ndarray | None]:
    zero, scale = np.zeros_like(gamma), gamma / np.sqrt(var + np.float32(eps))
    dz = (empty(y.shape) if relu else dy) if residual else None
    return _mapped(dy, zero, scale, zero, y=y if relu else None, dz=dz), dz
