"""Pooling: a thread for each group of neighbouring channels of the result."""

from __future__ import annotations

import numpy as np

from ...backend import Array, array_module
from ...backend.cuda import constant
from .. import portable
from ..shapes import Pair, Windows, index_dtype, output_sizes
from ..types import widened
from .launch import launch, width_of

FILE = "pooling.cu"


def max_pool2d(x: Array, kernel: Pair, stride: Pair, padding: Pair) -> tuple[Array, Array]:
    if index_dtype(kernel) != np.uint8:
        return portable.max_pool2d(widened(x), kernel, stride, padding)
    xp, out = array_module(x), output_sizes(x.shape, kernel, stride, padding)
    y = xp.empty((len(x), *out, x.shape[3]), x.dtype)
    where = xp.empty(y.shape, np.uint8)
    width = width_of(x.shape[3], x, y)
    count, image = y.size // width, (*x.shape[1:3], x.shape[3] // width)
    arguments = (x, y, where, count, *image, *kernel, *stride, *padding, *out)
    launch(FILE, "max_pool", x, arguments, count, width=width)
    return y, where


def max_pool2d_grad(
    dy: Array, where: Array, x_shape: tuple[int, ...], kernel: Pair, stride: Pair, padding: Pair
) -> Array:
    if where.dtype != np.uint8:  # as max_pool2d had it
        return portable.max_pool2d_grad(dy, where, x_shape, kernel, stride, padding)
    dx = array_module(dy).empty(x_shape, dy.dtype)
    width = width_of(x_shape[3], dy, dx, where)
    count, image = dx.size // width, (*x_shape[1:3], x_shape[3] // width)
    arguments = (dy, where, dx, count, *image, *kernel, *stride, *padding, *dy.shape[1:3])
    launch(FILE, "max_pool_grad", dy, arguments, count, width=width)
    return dx


def avg_pool2d(x: Array, rows: Windows, columns: Windows) -> Array:
    out = (len(rows), len(columns))
    y = array_module(x).empty((len(x), *out, x.shape[3]), x.dtype)
    bounds = (constant(rows, np.int32, x), constant(columns, np.int32, x))
    width = width_of(x.shape[3], x, y)
    count, image = y.size // width, (*x.shape[1:3], x.shape[3] // width)
    launch(FILE, "avg_pool", x, (x, y, count, *image, *out, *bounds), count, width=width)
    return y


def avg_pool2d_grad(dy: Array, x_shape: tuple[int, ...], rows: Windows, columns: Windows) -> Array:
    dx = array_module(dy).empty(x_shape, dy.dtype)
    bounds = (constant(rows, np.int32, dy), constant(columns, np.int32, dy))
    width = width_of(x_shape[3], dy, dx)
    count, image = dx.size // width, (*x_shape[1:3], x_shape[3] // width)
    launch(FILE, "avg_pool_grad", dy, (dy, dx, count, *image, *dy.shape[1:3], *bounds), count, width=width)
    return dx
