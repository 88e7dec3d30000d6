"""Pooling, a row of pixels for each task. Gradients gather: each pixel of dx collects what its windows give it."""

import numpy as np

from .. import portable
from ..shapes import Pair, Windows, index_dtype, output_sizes
from .memory import empty
from .parallel import Bytes, Floats, Ints, helper, task


@task
def _max(part, x: Floats, H, W, C, KH, KW, SH, SW, PH, PW, OH, OW, y: Floats, where: Bytes):
    b, oh = part // OH, part % OH
    for ow in range(OW):
        out = (part * OW + ow) * C
        for c in range(C):
            y[out + c], where[out + c] = -np.inf, 0
        for kh in range(max(0, PH - oh * SH), min(KH, H + PH - oh * SH)):
            for kw in range(max(0, PW - ow * SW), min(KW, W + PW - ow * SW)):
                pixel = ((b * H + oh * SH + kh - PH) * W + ow * SW + kw - PW) * C
                for c in range(C):
                    value, best = x[pixel + c], y[out + c]
                    larger = value > best or (value != value and best == best)  # the first NaN wins, and stays
                    y[out + c] = value if larger else best
                    where[out + c] = kh * KW + kw if larger else where[out + c]


def max_pool2d(x: np.ndarray, kernel: Pair, stride: Pair, padding: Pair) -> tuple[np.ndarray, np.ndarray]:
    if index_dtype(kernel) != np.uint8:
        return portable.max_pool2d(x, kernel, stride, padding)
    b, *size = x.shape
    oh, ow = output_sizes(x.shape, kernel, stride, padding)
    y, where = (empty((b, oh, ow, size[-1]), dtype) for dtype in (np.float32, np.uint8))
    _max.run(b * oh, x, *size, *kernel, *stride, *padding, oh, ow, y, where)
    return y, where


@helper
def _windows_over(h, kernel, stride, padding, count):
    """(first, last + 1) of the windows that see pixel h: those with 0 <= h + padding - window * stride < kernel."""
    return max(0, (h + padding - kernel + stride) // stride), min(count, (h + padding) // stride + 1)


@task
def _max_grad(part, dy: Floats, where: Bytes, H, W, C, KH, KW, SH, SW, PH, PW, OH, OW, dx: Floats):
    b, h = part // H, part % H
    top, bottom = _windows_over(h, KH, SH, PH, OH)
    for w in range(W):
        pixel = (part * W + w) * C
        for c in range(C):
            dx[pixel + c] = 0
        left, right = _windows_over(w, KW, SW, PW, OW)
        for oh in range(top, bottom):
            for ow in range(left, right):
                out = ((b * OH + oh) * OW + ow) * C
                place = (h + PH - oh * SH) * KW + w + PW - ow * SW
                for c in range(C):
                    dx[pixel + c] += dy[out + c] if where[out + c] == place else np.float32(0)


def max_pool2d_grad(
    dy: np.ndarray, where: np.ndarray, x_shape: tuple[int, ...], kernel: Pair, stride: Pair, padding: Pair
) -> np.ndarray:
    dx = empty(x_shape)
    _max_grad.run(x_shape[0] * x_shape[1], dy, where, *x_shape[1:], *kernel, *stride, *padding, *dy.shape[1:3], dx)
    return dx


@task
def _mean(part, x: Floats, H, W, C, rows: Ints, OH, columns: Ints, OW, y: Floats):
    b, i = part // OH, part % OH
    top, bottom = rows[2 * i], rows[2 * i + 1]
    for j in range(OW):
        left, right, out = columns[2 * j], columns[2 * j + 1], (part * OW + j) * C
        for c in range(C):
            y[out + c] = 0
        share = np.float32(1 / ((bottom - top) * (right - left)))
        for h in range(max(top, 0), min(bottom, H)):
            for w in range(max(left, 0), min(right, W)):
                for c in range(C):
                    y[out + c] += x[((b * H + h) * W + w) * C + c] * share


def avg_pool2d(x: np.ndarray, rows: Windows, columns: Windows) -> np.ndarray:
    b, h, w, c = x.shape
    y = empty((b, len(rows), len(columns), c))
    _mean.run(b * len(rows), x, h, w, c, np.array(rows), len(rows), np.array(columns), len(columns), y)
    return y


@task
def _mean_grad(part, dy: Floats, H, W, C, rows: Ints, OH, columns: Ints, OW, dx: Floats):
    b, h = part // H, part % H
    for i in range(W * C):
        dx[part * W * C + i] = 0
    for i in range(OH):
        top, bottom = rows[2 * i], rows[2 * i + 1]
        for j in range(OW if top <= h < bottom else 0):
            left, right, out = columns[2 * j], columns[2 * j + 1], ((b * OH + i) * OW + j) * C
            share = np.float32(1 / ((bottom - top) * (right - left)))
            for w in range(max(left, 0), min(right, W)):
                for c in range(C):
                    dx[(part * W + w) * C + c] += dy[out + c] * share


def avg_pool2d_grad(dy: np.ndarray, x_shape: tuple[int, ...], rows: Windows, columns: Windows) -> np.ndarray:
    dx = empty(x_shape)
    windows = np.array(rows), len(rows), np.array(columns), len(columns)
    _mean_grad.run(x_shape[0] * x_shape[1], dy, *x_shape[1:], *windows, dx)
    return dx
