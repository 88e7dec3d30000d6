"""Convolutions on the card's matrix units that read windows where they lie: one launch, or two where sums are split.

``tiles.cuh`` says how a block computes a tile of the product, ``conv_windows.cu`` and ``conv_weight.cu`` where its
factors are found. Here is when that pays beside im2col and cuBLAS, and how the work is shared out.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np

from ...backend import Array, array_module
from .. import precision
from ..shapes import Shape
from ..types import real_dtype
from .launch import launch, width_of
from .multiply import halves
from .windows import Windows

ROWS, DEPTH = 128, 16  # of a tile, as in tiles.cuh
LEAST_STEPS = 16  # of DEPTH numbers each, in a part of a sum that is split: fewer are not worth a second launch
RESIDENT = 256  # threads that a multiprocessor holds at once, as each has some 250 of its 65536 registers
MOST_TAPS = 15  # a kernel's rows, or columns: a bit each
OLDEST = 80  # compute capability: the instructions are Ampere's

# Seconds on an H100, for a number of columns (written, and read by cuBLAS) and for an operation in TF32. The first two
# are fitted to im2col's times for ResNet18's 3 x 3 layers, batch 128, forward and by the input, by least squares of
# relative errors: each is met within 20 %. The third is what a prototype of these kernels took. In bfloat16 all should
# be about half, and so the choice is the same.
COLUMN, CUBLAS, HERE = 3.5e-12, 1 / 228e12, 1 / 100e12


class Product(NamedTuple):
    """A matrix product: rows and columns of the result, and how many numbers are summed for each."""

    rows: int
    columns: int
    depth: int

    @property
    def tile(self) -> int:
        """Columns of a tile: 128, but 64 where more would be filled up with nothing."""
        return 128 if -(-self.columns // 64) % 2 == 0 else 64

    @property
    def tiles(self) -> int:
        return -(-self.rows // ROWS) * -(-self.columns // self.tile)

    @property
    def steps(self) -> int:
        return -(-self.depth // DEPTH)

    @property
    def operations(self) -> float:
        """With those of what fills up the tiles."""
        return 2.0 * self.tiles * ROWS * self.tile * self.steps * DEPTH


@functools.cache
def _card(xp: Any, device: int) -> tuple[int, int]:
    """(compute capability, multiprocessors): 90 and 132 of an H100."""
    card = xp.cuda.Device(device)
    return int(card.compute_capability), int(card.attributes["MultiProcessorCount"])


def _multiprocessors(like: Array) -> int:
    return _card(array_module(like), like.device.id)[1]


def forward_products(windows: Windows, batch: int, n: int) -> list[Product]:
    return [Product(batch * windows.rows, n, windows.depth)]


def input_products(windows: Windows, batch: int, n: int) -> list[Product]:
    """One for each phase."""
    return [Product(batch * pixels, windows.image[2], taps * n) for pixels, taps in windows.phases()]


def weight_products(windows: Windows, batch: int, n: int) -> list[Product]:
    return [Product(windows.depth, n, batch * windows.rows)]


def can(like: Array, windows: Windows) -> bool:
    """Whether the units do such products at all: of float32, where rounding is allowed, on this card."""
    if real_dtype(like) != np.float32 or precision() == "exact" or max(windows.kernel) > MOST_TAPS:
        return False
    return _card(array_module(like), like.device.id)[0] >= OLDEST


def ahead(windows: Windows, batch: int, n: int, products: list[Product]) -> bool:
    """Whether to compute here rather than by im2col: which writes each window once, and then multiplies faster.

    So im2col is ahead where each number written meets many channels n, and where a tile would have few columns.
    """
    written = 0 if windows.are_pixels else batch * windows.rows * windows.step
    there = written * COLUMN + 2.0 * batch * windows.rows * windows.depth * n * CUBLAS
    return sum(p.operations for p in products) * HERE < there


def parts_of(product: Product, multiprocessors: int, phases: int = 1) -> int:
    """Into how many each sum is split, so that no multiprocessor is idle: it depends on sizes and the card alone."""
    blocks = multiprocessors * (RESIDENT // product.tile)  # at once
    return max(1, min(blocks // (product.tiles * phases), product.steps // LEAST_STEPS))


def _chunk(channels: int) -> int:
    """How many channels are summed before the next tap is."""
    return DEPTH if channels % DEPTH == 0 else channels


def add_parts(parts: Array, bias: Array | None, out: Array) -> Array:
    """out = the sum of parts (P, *out.shape) in their order, + bias of the last axis; a part may be out itself."""
    channels = out.shape[-1]
    width = width_of(channels, parts, bias, out)
    count = np.int64(out.size // width)
    arguments = (parts, bias, out, count, channels // width, len(parts))
    launch("convolution.cu", "add_parts", out, arguments, int(count), width=width)
    return out


def _run(
    name: str, arguments: tuple[Any, ...], out_shape: Shape, product: Product, parts: int, width: int,
    bias: Array | None = None, phases: int = 1,
) -> Array:  # fmt: skip
    """Launch a kernel whose first two arguments are its factors, and add up what its parts give."""
    left, right, *numbers = arguments
    xp = array_module(left)
    real = real_dtype(left)
    out = xp.empty(out_shape, real if name == "conv_by_weight" else left.dtype)
    to = xp.empty((parts, *out_shape), real) if parts > 1 else out
    file = "conv_weight.cu" if name == "conv_by_weight" else "conv_windows.cu"
    shift = (None if parts > 1 else bias,) if name == "conv_forward" else ()
    launch(
        file, name, left, (left, right, *shift, to, *numbers), width=width, half=halves(left), columns=product.tile,
        grid=(product.tiles, parts, phases), block=(product.tile,),
    )  # fmt: skip
    return add_parts(to, bias, out) if parts > 1 else out


def conv2d(x: Array, weight: Array, bias: Array | None, windows: Windows) -> Array:
    n, c = len(weight), x.shape[3]
    (product,) = forward_products(windows, len(x), n)
    arguments = (x, weight, *x.shape, n, *windows.numbers, _chunk(c))
    out_shape = (len(x), *windows.out, n)
    return _run(
        "conv_forward",
        arguments,
        out_shape,
        product,
        parts_of(product, _multiprocessors(x)),
        width_of(c, x, weight),
        bias,
    )


def conv2d_grad_input(dy: Array, weight: Array, x_shape: Shape, windows: Windows) -> Array:
    n, c = len(weight), x_shape[3]
    products = input_products(windows, len(dy), n)
    largest = max(products)
    parts = parts_of(largest, _multiprocessors(dy), len(products))
    arguments = (dy, weight, *x_shape, n, *windows.numbers, _chunk(n))
    width = min(width_of(n, dy), width_of(c, weight))
    return _run("conv_by_input", arguments, x_shape, largest, parts, width, phases=len(products))


def conv2d_grad_weight(dy: Array, x: Array, w_shape: Shape, windows: Windows) -> Array:
    n, c = w_shape[0], x.shape[3]
    (product,) = weight_products(windows, len(x), n)
    share = -(-product.steps // parts_of(product, _multiprocessors(x))) * DEPTH  # pixels
    parts = -(-product.depth // share)
    arguments = (dy, x, product.depth, share, *x.shape[1:], n, *windows.numbers)
    width = min(width_of(n, dy), width_of(c, x))
    return _run("conv_by_weight", arguments, w_shape, product, parts, width)
