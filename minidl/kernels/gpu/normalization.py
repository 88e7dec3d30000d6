"""Batch normalisation, with the residual and the ReLU that follow it, in one pass over memory for each step."""

from __future__ import annotations

import numpy as np

from ...backend import Array, array_module
from ..types import of_type, real_dtype
from .launch import launch, width_of

FILE = "normalization.cu"
THREADS, AT_ONCE, LANES = 256, 4, 8  # as in the file
BLOCKS = 264  # that sum: two for each multiprocessor of a large card, which are all that it runs of them at a time


def _lanes(groups: int) -> int:
    """How many neighbouring groups of channels a block sums: as many as divide them, but for few or odd ones."""
    widths = [lanes for lanes in (32, 16, 8) if groups % lanes == 0] or [1 << (min(groups, 32) - 1).bit_length()]
    return widths[0]


def _sums(
    a: Array, pivot: Array | None, b: Array | None, b_shift: Array | None, y: Array | None = None,
    dz: Array | None = None,
) -> tuple[Array, int, tuple[int, ...]]:  # fmt: skip
    """The partial sums (blocks, 2, C) of a - pivot and of (a - pivot)(b - b_shift), and how to finish them.

    The pivot is the activations' own type, and the shift of b too where that is a.
    """
    channels = a.shape[-1]
    width = width_of(channels, a, pivot, b, b_shift, y, dz)
    rows, groups = a.size // channels, channels // width
    lanes = _lanes(groups)
    across = -(-groups // lanes)
    blocks = max(1, min(BLOCKS // across, rows * lanes // (THREADS * AT_ONCE)))
    partials = array_module(a).empty((blocks, 2, channels), np.float64)
    arguments = (a, pivot, b, b_shift, y, dz, np.int64(rows), groups, lanes, partials)
    launch(FILE, "channel_sums", a, arguments, width=width, grid=(across, blocks), block=(THREADS,))
    return partials, blocks, (-(-channels // LANES),)


def channel_sums(x: Array) -> Array:
    channels = x.shape[-1]
    partials, blocks, grid = _sums(x, None, None, None)
    sums = array_module(x).empty(channels, real_dtype(x))
    launch(FILE, "finish_sums", x, (partials, blocks, channels, sums), grid=grid, block=(THREADS,))
    return sums


def moments(x: Array) -> tuple[Array, Array]:
    xp, channels, real = array_module(x), x.shape[-1], real_dtype(x)
    pivot = x.reshape(-1, channels)[0]  # sums of x - pivot, so that nothing cancels where x hardly varies
    partials, blocks, grid = _sums(x, pivot, x, None)
    mean, var = xp.empty(channels, real), xp.empty(channels, real)
    arguments = (partials, blocks, np.int64(x.size // channels), channels, pivot, mean, var)
    launch(FILE, "finish_moments", x, arguments, grid=grid, block=(THREADS,))
    return mean, var


def batch_norm(
    x: Array, mean: Array, var: Array, gamma: Array, beta: Array, eps: float, residual: Array | None, relu: bool
) -> Array:
    y = array_module(x).empty(x.shape, x.dtype)
    residual = None if residual is None else of_type(residual, x.dtype)
    width = width_of(x.shape[-1], x, mean, var, gamma, beta, residual, y)
    count = x.size // width
    size = (np.int64(count), x.shape[-1] // width)
    arguments = (x, mean, var, gamma, beta, real_dtype(x).type(eps), residual, int(relu), *size, y)
    launch(FILE, "batch_norm", x, arguments, count, width=width)
    return y


def batch_norm_grad(
    dy: Array, x: Array, y: Array, mean: Array, var: Array, gamma: Array, eps: float, relu: bool, training: bool
) -> tuple[Array, Array, Array, Array]:
    xp, channels, real = array_module(x), x.shape[-1], real_dtype(x).type
    dy, y = of_type(dy, x.dtype), of_type(y, x.dtype)
    dz = xp.empty(x.shape, x.dtype) if relu else dy
    gate = (y, dz) if relu else (None, None)
    partials, blocks, grid = _sums(dy, None, x, mean, *gate)
    dgamma, dbeta, dx = xp.empty(channels, real), xp.empty(channels, real), xp.empty(x.shape, x.dtype)
    totals = (partials, blocks, channels, var, np.float64(eps), dgamma, dbeta)
    launch(FILE, "finish_gradients", x, totals, grid=grid, block=(THREADS,))
    width = width_of(channels, dz, x, mean, var, gamma, dgamma, dbeta, dx)
    count = x.size // width
    part = real(training / (x.size // channels))
    arguments = (dz, x, mean, var, gamma, dgamma, dbeta, real(eps), part, np.int64(count), channels // width, dx)
    launch(FILE, "batch_norm_grad", x, arguments, count, width=width)
    return dx, dgamma, dbeta, dz


def batch_norm_grad_fixed(
    dy: Array, y: Array, var: Array, gamma: Array, eps: float, relu: bool, residual: bool
) -> tuple[Array, Array | None]:
    xp, channels, dy = array_module(y), y.shape[-1], of_type(dy, y.dtype)
    dx = xp.empty(y.shape, y.dtype)
    dz = xp.empty(y.shape, y.dtype) if residual and relu else None
    width = width_of(channels, dy, y, var, gamma, dz, dx)
    count = y.size // width
    size = (np.int64(count), channels // width)
    arguments = (dy, y, var, gamma, real_dtype(y).type(eps), int(relu), *size, dz, dx)
    launch(FILE, "batch_norm_grad_fixed", y, arguments, count, width=width)
    return dx, (dz if relu else dy) if residual else None
