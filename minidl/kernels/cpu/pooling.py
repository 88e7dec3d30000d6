"""Pooling, row by row of pixels. Gradients gather: each pixel of dx collects what its windows give it."""

import numpy as np

from ...backend import Array
from .. import portable
from ..cpu_runtime.memory import empty
from ..cpu_runtime.tasks import at, helper, stack, task
from ..shapes import Pair, Shape, index_dtype, output_sizes

SOME = 64  # channels at a time, whose places are as wide as floats until they are known: a vector holds as many of both
_places = stack(np.int32, SOME)


@task
def _max(start, stop, x, kernel, stride, padding, y, where):
    """Some channels of a pixel of y in each part."""
    (_, H, W, C), (_, OH, OW, _), parts, places = x.shape, y.shape, -(-y.shape[3] // SOME), _places()
    for part in range(start, stop):
        pixel, c0 = part // parts, part % parts * SOME
        oh, ow, some = pixel // OW % OH, pixel % OW, min(SOME, C - c0)
        image, best, place = at(x, pixel // (OH * OW) * H * W * C), at(y, pixel * C + c0), at(where, pixel * C + c0)
        for c in range(some):
            best[c], places[c] = -np.inf, 0
        for k in range(kernel[0] * kernel[1]):
            h, w = oh * stride[0] + k // kernel[1] - padding[0], ow * stride[1] + k % kernel[1] - padding[1]
            if 0 <= h < H and 0 <= w < W:
                seen = at(image, (h * W + w) * C + c0)
                for c in range(some):
                    value, old = seen[c], best[c]
                    larger = value > old or (value != value and old == old)  # the first NaN wins, and stays
                    best[c] = value if larger else old
                    places[c] = k if larger else places[c]
        for c in range(some):
            place[c] = places[c]


def max_pool2d(x: Array, kernel: Pair, stride: Pair, padding: Pair) -> tuple[Array, Array]:
    if index_dtype(kernel) != np.uint8:
        return portable.max_pool2d(x, kernel, stride, padding)
    shape = len(x), *output_sizes(x.shape, kernel, stride, padding), x.shape[3]
    y, where = empty(shape), empty(shape, np.uint8)
    _max.run(y.size // shape[3] * -(-shape[3] // SOME), x, kernel, stride, padding, y, where)
    return y, where


@helper
def _windows_over(h, kernel, stride, padding, count):
    """(first, last + 1) of the windows that see pixel h: those with 0 <= h + padding - window * stride < kernel."""
    return max(0, (h + padding - kernel + stride) // stride), min(count, (h + padding) // stride + 1)


@task
def _max_grad(start, stop, dy, where, kernel, stride, padding, dx):
    (_, H, W, C), (_, OH, OW, _) = dx.shape, dy.shape
    for row in range(start, stop):
        b, h = divmod(row, H)
        top, bottom = _windows_over(h, kernel[0], stride[0], padding[0], OH)
        for w in range(W):
            pixel = at(dx, (row * W + w) * C)  # (C,)
            for c in range(C):
                pixel[c] = 0
            left, right = _windows_over(w, kernel[1], stride[1], padding[1], OW)
            for oh in range(top, bottom):
                for ow in range(left, right):
                    place = (h + padding[0] - oh * stride[0]) * kernel[1] + w + padding[1] - ow * stride[1]
                    window = ((b * OH + oh) * OW + ow) * C
                    slope, largest = at(dy, window), at(where, window)
                    for c in range(C):
                        pixel[c] += slope[c] if largest[c] == place else np.float32(0)


def max_pool2d_grad(dy: Array, where: Array, x_shape: Shape, kernel: Pair, stride: Pair, padding: Pair) -> Array:
    dx = empty(x_shape)
    _max_grad.run(x_shape[0] * x_shape[1], dy, where, kernel, stride, padding, dx)
    return dx
