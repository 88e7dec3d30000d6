"""The windows of a convolution: how large they are, and how many. Written as rows they are im2col's columns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ..shapes import Pair, Shape, output_sizes

WORKSPACE = 24 << 20  # bytes of windows at a time: a part of the 50 or 60 MB of a Hopper card's second cache


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

    @property
    def numbers(self) -> tuple[int, ...]:
        """What every kernel is told of them: KH, KW, SH, SW, PH, PW, OH, OW."""
        return (*self.kernel, *self.stride, *self.padding, *self.out)

    def phases(self) -> Iterator[tuple[int, int]]:
        """(pixels, taps) of each class of pixels of an image that the same places of the kernel see."""
        (down, across) = (
            [(-(-(size - (r - p) % s) // s), -(-max(0, k - r) // s)) for r in range(s)]
            for size, k, s, p in zip(self.image[:2], self.kernel, self.stride, self.padding, strict=True)
        )
        return ((i * j, t * u) for i, t in down for j, u in across)

    def pieces(self, batch: int, itemsize: int) -> Iterator[slice]:
        """The images, some at a time, whose windows fill the workspace; all at once where nothing is written."""
        size = batch if self.are_pixels else max(1, min(batch, WORKSPACE // (self.rows * self.step * itemsize)))
        size = -(-batch // -(-batch // size))  # pieces of equal size, but for the last
        return (slice(start, min(start + size, batch)) for start in range(0, batch, size))


def windows_over(x_shape: Shape, w_shape: Shape, stride: Pair, padding: Pair) -> Windows:
    """Those of kernels (N, KH, KW, C) over images (B, H, W, C)."""
    kernel = (w_shape[1], w_shape[2])
    image = (x_shape[1], x_shape[2], x_shape[3])
    return Windows(image, kernel, stride, padding, output_sizes(x_shape, kernel, stride, padding))
