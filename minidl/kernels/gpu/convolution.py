"""Convolutions as matrix products of windows: im2col, cuBLAS, col2im, in pieces of some images.

The windows of all images together would be nine times the images themselves, for kernels of 3 x 3. So they are written
some images at a time into a workspace that stays in the card's second cache, where the product finds them. A kernel of
1 x 1 at stride 1 has the image itself for its windows, and writes nothing. Where it is faster to write no windows at
all, ``matrix_units`` computes.
"""

from __future__ import annotations

from collections.abc import Callable

from ...backend import Array, array_module
from ..shapes import Pair
from ..types import bfloat16, of_type, real_dtype
from . import matrix_units
from .launch import launch, width_of
from .matrix_units import Product
from .multiply import as_factor, halves, multiply
from .windows import Windows, windows_over

ROWS = 16  # rows of windows that a thread writes one after the other
LANES = 128  # neighbouring numbers of a row that a block writes, at most


def _arguments(windows: Windows, width: int) -> tuple[int, ...]:
    h, w, c = windows.image
    return (windows.step // width, h, w, c // width, *windows.numbers)


def _lanes(count: int) -> int:
    """Of a block, such that blocks of whole warps have few threads too many for so many numbers: 96 for 144 or 190."""
    return -(-count // -(-count // LANES) // 32) * 32


def _im2col(x: Array, windows: Windows) -> Array:
    """(B OH OW, step): each window as a row, as products take it."""
    if windows.are_pixels:
        return as_factor(x.reshape(-1, windows.depth))
    rows, half = len(x) * windows.rows, halves(x)
    columns = array_module(x).empty((rows, windows.step), bfloat16() if half else x.dtype)
    width = width_of(windows.image[2], x, columns)
    lanes = _lanes(windows.step // width)
    grid = (-(-rows // ROWS), -(-(windows.step // width) // lanes))
    arguments = (x, columns, rows, ROWS, *_arguments(windows, width))
    launch("convolution.cu", "im2col", x, arguments, width=width, half=half, grid=grid, block=(lanes,))
    return columns


def _col2im(columns: Array, dx: Array, windows: Windows) -> None:
    """Add each row of columns (B OH OW, step) back to the pixels of dx (B, H, W, C) that its window saw."""
    width = width_of(windows.image[2], columns, dx)
    count = dx.size // width
    launch("convolution.cu", "col2im", dx, (columns, dx, count, *_arguments(windows, width)), count, width=width)


def _kernels(weight: Array, windows: Windows, half: bool) -> Array:
    """(N, step): each kernel as a row, as products take it."""
    flat, xp = weight.reshape(len(weight), windows.depth), array_module(weight)
    if windows.step > windows.depth:
        flat = xp.pad(flat, ((0, 0), (0, windows.step - windows.depth)))
    return as_factor(flat, half)


def _without_columns(like: Array, windows: Windows, n: int, products: Callable[..., list[Product]]) -> bool:
    return matrix_units.can(like, windows) and matrix_units.ahead(
        windows, len(like), n, products(windows, len(like), n)
    )


def conv2d(x: Array, weight: Array, bias: Array | None, stride: Pair, padding: Pair) -> Array:
    n, windows = len(weight), windows_over(x.shape, weight.shape, stride, padding)
    if _without_columns(x, windows, n, matrix_units.forward_products):
        return matrix_units.conv2d(x, weight, bias, windows)
    kernels = _kernels(weight, windows, halves(x)).T  # (step, N)
    y = sums = array_module(x).empty((len(x), *windows.out, n), x.dtype)
    if bias is not None and x.dtype != real_dtype(x):  # what is to be rounded once, with its bias
        sums = array_module(x).empty(y.shape, real_dtype(x))
    for piece in windows.pieces(len(x), 2 if halves(x) else x.itemsize):
        multiply(_im2col(x[piece], windows), kernels, sums[piece].reshape(-1, n))
    return y if bias is None else matrix_units.add_parts(sums[None], bias, y)


def conv2d_grad_input(dy: Array, weight: Array, x_shape: tuple[int, ...], stride: Pair, padding: Pair) -> Array:
    n, windows, xp = len(weight), windows_over(x_shape, weight.shape, stride, padding), array_module(dy)
    if _without_columns(dy, windows, n, matrix_units.input_products):
        return matrix_units.conv2d_grad_input(dy, weight, x_shape, windows)
    kernels = _kernels(weight, windows, halves(dy))
    dx = xp.empty(x_shape, dy.dtype)
    for piece in windows.pieces(len(dy), real_dtype(dy).itemsize):
        slopes = as_factor(dy[piece].reshape(-1, n))  # (B OH OW, N)
        if windows.are_pixels:
            multiply(slopes, kernels, dx[piece].reshape(-1, windows.depth))
        else:
            columns = multiply(slopes, kernels, xp.empty((len(slopes), windows.step), real_dtype(dy)))
            _col2im(columns, dx[piece], windows)
    return dx


def conv2d_grad_weight(dy: Array, x: Array, w_shape: tuple[int, ...], stride: Pair, padding: Pair) -> Array:
    n, windows, x = w_shape[0], windows_over(x.shape, w_shape, stride, padding), of_type(x, dy.dtype)
    if _without_columns(dy, windows, n, matrix_units.weight_products):
        return matrix_units.conv2d_grad_weight(dy, x, w_shape, windows)
    xp = array_module(dy)
    dw = xp.empty((n, windows.step), real_dtype(dy))
    for piece in windows.pieces(len(x), 2 if halves(x) else x.itemsize):
        slopes = as_factor(dy[piece].reshape(-1, n)).T  # (N, B OH OW)
        multiply(slopes, _im2col(x[piece], windows), dw, add=piece.start > 0)
    return xp.ascontiguousarray(dw[:, : windows.depth]).reshape(w_shape)
