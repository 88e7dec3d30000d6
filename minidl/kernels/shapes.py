"""The sizes that every kernel module shares: how many windows fit, and where each one lies."""

from __future__ import annotations

import numpy as np

Pair = tuple[int, int]
Shape = tuple[int, ...]
Windows = tuple[tuple[int, int], ...]  # (start, stop) of each window along one axis


def output_size(size: int, kernel: int, stride: int, padding: int) -> int:
    """floor((size + 2 padding - kernel) / stride) + 1 (report, section 2.2)."""
    return (size + 2 * padding - kernel) // stride + 1


def output_sizes(x_shape: Shape, kernel: Shape, stride: Pair, padding: Pair) -> Pair:
    """(OH, OW) for windows of ``kernel`` over images of shape (B, H, W, C)."""
    oh, ow = (output_size(*numbers) for numbers in zip(x_shape[1:3], kernel, stride, padding, strict=True))
    return oh, ow


def index_dtype(kernel: Pair) -> type[np.unsignedinteger]:
    """The smallest integer that can number the places of a pooling window: kernels store a great many of them."""
    return np.uint8 if kernel[0] * kernel[1] <= 256 else np.uint32
