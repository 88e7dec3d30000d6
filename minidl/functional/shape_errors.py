"""Say what does not fit: every message names the operation, the shapes, and the formula with its numbers."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from ..backend import Array, is_array
from ..kernels.shapes import Pair, output_sizes


def pair(value: int | Pair, name: str, least: int, operation: str) -> Pair:
    """An int, or a (vertical, horizontal) pair of ints, as a pair."""
    both = (value, value) if isinstance(value, int | np.integer) else value
    try:
        h, w = both
        ok = int(h) == h and int(w) == w and min(h, w) >= least
    except (TypeError, ValueError):
        ok = False
    if not ok:
        raise ValueError(f"{operation}: {name} is {value!r}, and must be an int or a pair of ints, at least {least}")
    return int(h), int(w)


def whole_number(value: Any, name: str, least: int | None, operation: str, unit: str = "") -> int:
    """A whole number, of ``unit``, as an int: of at least ``least``, where that is given."""
    try:
        number = operator.index(value)
    except TypeError as error:
        kind = f"whole number of {unit}" if unit else "whole number"
        raise TypeError(f"{operation}: {name} is {value!r}, and must be a {kind}") from error
    if least is not None and number < least:
        raise ValueError(f"{operation}: {name} is {number}, and must be at least {least}")
    return number


def check_real(x: Any, operation: str, name: str = "x") -> None:
    """x must be an array of real numbers: among whole ones, a mean is rounded and a negative number wraps around."""
    if not is_array(x):
        raise TypeError(f"{operation}: {name} must be a Tensor or an array, and got a {type(x).__name__}")
    if x.dtype.kind != "f":
        raise TypeError(
            f"{operation}: {name} must be real numbers, and got {x.dtype}: use .astype(np.float32), and divide pixels "
            "from 0 to 255 by 255"
        )


def channels_first(x: Array, channels: int) -> str:
    """What to add to a message about the last axis of x when it is another one that has the ``channels``."""
    if x.ndim != 4 or x.shape[1] != channels:
        return ""
    return ". Channels come last here: if these are images (B, C, H, W), use x.transpose(0, 2, 3, 1)"


def check_images(x: Array, operation: str) -> None:
    """x must be (B, H, W, C), of real numbers."""
    check_real(x, operation, "images")
    if x.ndim != 4:
        raise ValueError(
            f"{operation}: the images have shape {x.shape}, and must have shape (B, H, W, C): "
            "batch, height, width, channels (one image: image[None])"
        )


def check_windows(
    x: Array, kernel: Pair, stride: Pair, padding: Pair, operation: str, weight: Array | None = None
) -> None:
    """At least one window must fit along each axis."""
    for axis, out in enumerate(output_sizes(x.shape, kernel, stride, padding)):
        if out < 1:
            size, k, s, p = x.shape[1 + axis], kernel[axis], stride[axis], padding[axis]
            of_weight = "" if weight is None else f" (weight of shape {weight.shape})"
            raise ValueError(
                f"{operation}: a kernel of {kernel[0]} x {kernel[1]}{of_weight} does not fit into images of shape "
                f"{x.shape}: the output {'height' if axis == 0 else 'width'} would be "
                f"floor(({size} + 2*{p} - {k})/{s}) + 1 = {out}. Use larger images, a smaller kernel or more padding"
            )
