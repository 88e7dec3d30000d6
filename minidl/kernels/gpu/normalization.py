"""Batch normalisation, with the residual and the ReLU that follow it, in one pass over memory for each step."""

from __future__ import annotations

import numpy as np

from ...backend import Array, array_module
from .launch import launch, width_of

FILE = "normalization.cu"
LANES, DOWN = 32, 8  # as in the file
BLOCKS = 1056  # in all: eight for each multiprocessor of a large card, which are all that it runs at a time
ROWS = 64  # a block's rows at least


def _sums(
    a: Array, a_shift: Array | None, b: Array, b_shift: Array | None, y: Array | None = None, dz: Array | None = None
) -> tuple[Array, int, tuple[int, ...]]:
    """The partial sums (blocks, 2, C) of a - a_shift and of (a - a_shift)(b - b_shift); see the kernel."""
    channels = a.shape[-1]
    rows, lanes = a.size // channels, -(-channels // LANES)
    blocks = max(1, min(BLOCKS // lanes, rows // ROWS))
    partials = array_module(a).empty((blocks, 2, channels), np.float64)
    arguments = (a, a_shift, b, b_shift, y, dz, np.int64(rows), channels, partials)
    launch(FILE, "channel_sums", a, arguments, grid=(lanes, blocks), block=(LANES, DOWN))
    return partials, blocks, (lanes,)


def moments(x: Array) -> tuple[Array, Array]:
    xp, channels = array_module(x), x.shape[-1]
    pivot = x.reshape(-1, channels)[0]  # sums of x - pivot, so that nothing cancels where x hardly varies
    partials, blocks, grid = _sums(x, pivot, x, pivot)
    mean, var = xp.empty(channels, x.dtype), xp.empty(channels, x.dtype)
    arguments = (partials, blocks, np.int64(x.size // channels), channels, pivot, mean, var)
    launch(FILE, "finish_moments", x, arguments, grid=grid, block=(LANES, DOWN))
    return mean, var


def batch_norm(
    x: Array, mean: Array, var: Array, gamma: Array, beta: Array, eps: float, residual: Array | None, relu: bool
) -> Array:
    y = array_module(x).empty(x.shape, x.dtype)
    width = width_of(x.shape[-1], x, mean, var, gamma, beta, residual, y)
    count = x.size // width
    size = (np.int64(count), x.shape[-1] // width)
    arguments = (x, mean, var, gamma, beta, x.dtype.type(eps), residual, int(relu), *size, y)
    launch(FILE, "batch_norm", x, arguments, count, width=width)
    return y


def batch_norm_grad(
    dy: Array, x: Array, y: Array, mean: Array, var: Array, gamma: Array, eps: float, relu: bool, training: bool
) -> tuple[Array, Array, Array, Array]:
    xp, channels, real = array_module(x), x.shape[-1], x.dtype.type
    dz = xp.empty(x.shape, x.dtype) if relu else dy
    gate = (y, dz) if relu else (None, None)
    partials, blocks, grid = _sums(dy, None, x, mean, *gate)
    dgamma, dbeta, dx = xp.empty(channels, x.dtype), xp.empty(channels, x.dtype), xp.empty(x.shape, x.dtype)
    totals = (partials, blocks, channels, var, np.float64(eps), dgamma, dbeta)
    launch(FILE, "finish_gradients", x, totals, grid=grid, block=(LANES, DOWN))
    width = width_of(channels, dz, x, mean, var, gamma, dgamma, dbeta, dx)
    count = x.size // width
    part = real(training / (x.size // channels))
    arguments = (dz, x, mean, var, gamma, dgamma, dbeta, real(eps), part, np.int64(count), channels // width, dx)
    launch(FILE, "batch_norm_grad", x, arguments, count, width=width)
    return dx, dgamma, dbeta, dz


def batch_norm_grad_fixed(
    dy: Array, y: Array, var: Array, gamma: Array, eps: float, relu: bool, residual: bool
) -> tuple[Array, Array | None]:
    xp, channels = array_module(y), y.shape[-1]
    dx = xp.empty(y.shape, y.dtype)
    dz = xp.empty(y.shape, y.dtype) if residual and relu else None
    width = width_of(channels, dy, y, var, gamma, dz, dx)
    count = y.size // width
    size = (np.int64(count), channels // width)
    arguments = (dy, y, var, gamma, y.dtype.type(eps), int(relu), *size, dz, dx)
    launch(FILE, "batch_norm_grad_fixed", y, arguments, count, width=width)
    return dx, (dz if relu else dy) if residual else None
