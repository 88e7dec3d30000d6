"""Pooling, a row of pixels for each task. Gradients gather: each pixel of dx collects what its windows give it."""

import numpy as np

from .. import portable
from ..shapes import Pair, index_dtype, output_sizes
from .memory import empty
from .parallel import Bytes, Floats, helper, task


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
