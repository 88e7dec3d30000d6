"""Coefficients of a part of an image: one number of a convolution depends on a few pixels, and not on the others."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ... import kernels
from .steps import Affine, Values

Shape = tuple[int, ...]


class Rows(NamedTuple):
    """R combinations of a value's numbers.

    Attributes
    ----------
    a : array (R, ...)
        The coefficients, of all numbers or, for (R, h, w, C), of a window of an image's.
    corner : where that window begins, from the top and from the left; None without one
    """

    a: Values
    corner: tuple[int, int] | None = None

    def of(self, array: Values) -> Values:
        """The part of an array (H, W, C) that lies in the window, or all of any array."""
        if self.corner is None:
            return array
        (top, left), (h, w) = self.corner, self.a.shape[1:3]
        return array[top : top + h, left : left + w]

    def full(self, shape: Shape) -> Values:
        """(R, *shape), with zeros around the window."""
        if self.corner is None or self.a.shape[1:] == shape:
            return self.a
        a = np.zeros((len(self.a), *shape))
        (top, left), (h, w) = self.corner, self.a.shape[1:3]
        a[:, top : top + h, left : left + w] = self.a
        return a

    def plus(self, other: Rows, shape: Shape) -> Rows:
        """The sum, of numbers of a value of that shape."""
        if self.corner == other.corner and self.a.shape == other.a.shape:
            return Rows(self.a + other.a, self.corner)
        return Rows(self.full(shape) + other.full(shape))


def units(numbers: np.ndarray, shape: Shape, sign: int) -> Rows:
    """Single numbers of a value (H, W, C), by their places, in the window around them; or their negatives."""
    rows, columns, channels = np.unravel_index(numbers, shape)
    top, left = rows.min(), columns.min()
    a = np.zeros((len(numbers), rows.max() + 1 - top, columns.max() + 1 - left, shape[2]))
    a[np.arange(len(numbers)), rows - top, columns - left, channels] = sign
    return Rows(a, (int(top), int(left)))


def through_convolution(step: Affine, rows: Rows, shape: Shape) -> Rows:
    """Back through a convolution of an image (H, W, C): its own gradient, of the pixels that the window is made of."""
    weight, (sh, sw), (ph, pw) = step.layer.weight.data, step.layer.stride, step.layer.padding
    (top, left), (h, w), (kh, kw) = rows.corner or (0, 0), rows.a.shape[1:3], weight.shape[1:3]
    size = (h - 1) * sh + kh, (w - 1) * sw + kw  # with the padding
    part = kernels.of(rows.a).conv2d_grad_input(rows.a, weight, (len(rows.a), *size, shape[2]), (sh, sw), (0, 0))
    top, left = top * sh - ph, left * sw - pw
    above, before = max(0, -top), max(0, -left)  # padding, which is 0 whatever the pixels are
    part = part[:, above : shape[0] - top, before : shape[1] - left]
    return Rows(part, (top + above, left + before))
