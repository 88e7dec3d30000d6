"""What is wrong with an argument: a message says who asked, what was given, what was expected, and the likely fix."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np

from .backend import Array, device_of, is_array
from .graph import Vjp
from .kernels.shapes import Pair, output_sizes

# Numbers


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


def check_numbers(where: str, **settings: float) -> None:
    """Each setting must be a finite number of at least 0."""
    for name, value in settings.items():
        if not isinstance(value, Real):
            raise TypeError(f"{where}: {name} is {value!r}, and must be a number")
        if not 0 <= value < math.inf:  # also true of NaN
            raise ValueError(f"{where}: {name} is {value}, and must be finite and not negative")


# Arrays and images


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


# Operations


def explained(name: str, arguments: Sequence[Any], error: ValueError) -> ValueError:
    """NumPy's complaint, with the name of the operation and the shapes it was given."""
    shapes = " and ".join(str(a.shape) for a in arguments if hasattr(a, "shape"))
    shapes = f"shapes {shapes}{' do not fit' if 'shape' in str(error) else ''}: " if shapes else ""
    return ValueError(f"{name}: {shapes}{error}")


def value_and_vjp(result: Any, name: str) -> tuple[Array, Vjp]:
    """What an operation returned, when it is what it should be."""
    if not isinstance(result, tuple) or len(result) != 2 or not isinstance(result[1], tuple):
        raise TypeError(
            f"{name}: an operation returns a tuple (value, vjp), and vjp is a tuple with a function for each argument "
            "(add a comma?); gradients that share their work share a minidl.graph.once(...)"
        )
    return result


def check_devices(name: str, parameters: Sequence[str], arrays: Sequence[Any]) -> None:
    """Refuse arrays that lie on different devices; which parameters are to be looked at is known by their names."""
    found = {p: device_of(a) for p, a in zip(parameters, arrays, strict=False) if p and is_array(a) and a.ndim}
    if len(set(found.values())) > 1:
        where = " and ".join(f"{p} on the {device}" for p, device in found.items())
        raise ValueError(
            f"{name}: {where}: all must be on one device. Move a model with model.to('gpu'), and images with "
            "minidl.backend.to_device(images, 'gpu')"
        )


def check_mask(mask: Any, shape: tuple[int, ...]) -> None:
    """A mask must be an array of the parameter's shape, of truth values or of 0 and 1."""
    if not is_array(mask):
        raise TypeError(f"mask must be a boolean array of shape {shape}, and is a {type(mask).__name__}")
    if mask.shape != shape:
        raise ValueError(f"mask has shape {mask.shape}, but the parameter has shape {shape}")
    if mask.dtype != bool and not bool(((mask == 0) | (mask == 1)).all()):
        raise TypeError(
            "mask must be True where a weight is kept and False where it is pruned: write mask = scores > 0.5"
        )
