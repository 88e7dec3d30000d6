"""Convolutions as matrix products of windows: im2col, cuBLAS, col2im, in pieces of some images.

The windows of all images together would be nine times the images themselves, for kernels of 3 x 3. So they are written
some images at a time into a workspace that stays in the card's second cache, where the product finds them. A kernel of
1 x 1 at stride 1 has the image itself for its windows, and writes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ...backend import Array, array_module
from ..shapes import Pair, output_sizes
from .launch import launch, width_of
from .multiply import as_factor, halves, multiply

WORKSPACE = 24 << 20  # bytes of windows at a time: a part of the 50 or 60 MB of a Hopper card's second cache
ROWS = 16  # rows of windows that a thread writes one after the other
LANES = 128  # neighbouring numbers of a row that a block writes


class Windows(NamedTuple):
    """All windows over images: how large they are, and how many."""

    image: tuple[int, int, int]  # H, W, C
    kernel: Pair
    stride: Pair
    padding: Pair
    out: Pair  # OH, OW

    @property
    def depth(self) -> int:
        return self.kernel[0] * self.kernel[1] * self.image[2]

    @property
    def step(self) -> int:
        """From one row to the next: where each begins at 16 bytes, cuBLAS is faster. Zeros fill the rest."""
        return self.depth if self.are_pixels else -(-self.depth // 8) * 8

    @property
    def rows(self) -> int:
        """In one image."""
        return self.out[0] * self.out[1]

    @property
    def are_pixels(self) -> bool:
        return (*self.kernel, *self.stride, *self.padding) == (1, 1, 1, 1, 0, 0)

    def arguments(self, width: int) -> tuple[int, ...]:
        h, w, c = self.image
        return (self.step // width, h, w, c // width, *self.kernel, *self.stride, *self.padding, *self.out)

    def pieces(self, batch: int, itemsize: int) -> Iterator[slice]:
        """The images, some at a time."""
        size = max(1, min(batch, WORKSPACE // (self.rows * self.step * itemsize)))
        size = -(-batch // -(-batch // size))  # pieces of equal size, but for the last
        return (slice(start, min(start + size, batch)) for start in range(0, batch, size))


def _windows(x_shape: tuple[int, ...], w_shape: tuple[int, ...], stride: Pair, padding: Pair) -> Windows:
    kernel = (w_shape[1], w_shape[2])
    out = output_sizes(x_shape, kernel, stride, padding)
    return Windows((x_shape[1], x_shape[2], x_shape[3]), kernel, stride, padding, out)


def _im2col(x: Array, windows: Windows) -> Array:
    """(B OH OW, step): each window as a row, as products take it."""
    if windows.are_pixels:
        return as_factor(x.reshape(-1, windows.depth))
    rows, half = len(x) * windows.rows, halves(x)
    columns = array_module(x).empty((rows, windows.step), np.uint16 if half else x.dtype)
    width = width_of(windows.image[2], x, columns)
    grid = (-(-rows // ROWS), -(-(windows.step // width) // LANES))
    arguments = (x, columns, rows, ROWS, *windows.arguments(width))
    launch("convolution.cu", "im2col", x, arguments, width=width, half=half, grid=grid, block=(LANES,))
    return columns


def _col2im(columns: Array, dx: Array, windows: Windows) -> None:
    """Add each row of columns (B OH OW, step) back to the pixels of dx (B, H, W, C) that its window saw."""
    width = width_of(windows.image[2], columns, dx)
    count = dx.size // width
    launch("convolution.cu", "col2im", dx, (columns, dx, count, *windows.arguments(width)), count, width=width)


def _kernels(weight: Array, windows: Windows) -> Array:
    """(N, step): each kernel as a row, as products take it."""
    flat, xp = weight.reshape(len(weight), windows.depth), array_module(weight)
    if windows.step > windows.depth:
        flat = xp.pad(flat, ((0, 0), (0, windows.step - windows.depth)))
    return as_factor(flat)


def conv2d(x: Array, weight: Array, bias: Array | None, stride: Pair, padding: Pair) -> Array:
    n, windows = len(weight), _windows(x.shape, weight.shape, stride, padding)
    kernels = _kernels(weight, windows).T  # (step, N)
    y = array_module(x).empty((len(x), *windows.out, n), x.dtype)
    for piece in windows.pieces(len(x), x.itemsize):
        multiply(_im2col(x[piece], windows), kernels, y[piece].reshape(-1, n))
    if bias is not None:
        width = width_of(n, y, bias)
        count = np.int64(y.size // width)
        launch("convolution.cu", "add_bias", y, (y, bias, count, n // width), int(count), width=width)
    return y


def conv2d_grad_input(dy: Array, weight: Array, x_shape: tuple[int, ...], stride: Pair, padding: Pair) -> Array:
    n, windows, xp = len(weight), _windows(x_shape, weight.shape, stride, padding), array_module(dy)
    kernels = _kernels(weight, windows)
    dx = xp.empty(x_shape, dy.dtype)
    for piece in windows.pieces(len(dy), dy.itemsize):
        slopes = as_factor(dy[piece].reshape(-1, n))  # (B OH OW, N)
        if windows.are_pixels:
            multiply(slopes, kernels, dx[piece].reshape(-1, windows.depth))
        else:
            columns = multiply(slopes, kernels, xp.empty((len(slopes), windows.step), dy.dtype))
            _col2im(columns, dx[piece], windows)
    return dx


def conv2d_grad_weight(dy: Array, x: Array, w_shape: tuple[int, ...], stride: Pair, padding: Pair) -> Array:
    n, windows = w_shape[0], _windows(x.shape, w_shape, stride, padding)
    xp = array_module(dy)
    dw = xp.empty((n, windows.step), dy.dtype)
    for piece in windows.pieces(len(x), x.itemsize):
        slopes = as_factor(dy[piece].reshape(-1, n)).T  # (N, B OH OW)
        multiply(slopes, _im2col(x[piece], windows), dw, add=piece.start > 0)
    return xp.ascontiguousarray(dw[:, : windows.depth]).reshape(w_shape)
