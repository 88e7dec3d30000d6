"""What images are, wherever some are taken: (B, H, W, C), uint8 from 0 to 255 or real numbers in [0, 1].

And what an epsilon is: how far a pixel may be moved, in units of [0, 1].
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from .backend import Array, array_module, as_array, is_array, is_at_hand
from .checks import check_images, number, vector
from .tensor import Tensor

FEW = 64  # images are looked at first: of a large file, all only where these are nearly black


def as_images(images: Any, operation: str) -> Array:
    """Images as real numbers in [0, 1], (B, H, W, C), one or more; or an error that says what they are instead."""
    images = real_pixels(images, operation)
    if images.dtype not in (np.float32, np.float64):
        raise TypeError(f"{operation}: images are {images.dtype}, and must be float32 or float64 in [0, 1], or uint8")
    check_images(images, operation)
    if images.size == 0:
        raise ValueError(f"{operation}: there are no images: their shape is {images.shape}")
    check_unit_range(images, operation)
    return images


def check_pixels(images: Array, operation: str) -> None:
    """uint8, or real numbers in [0, 1], which are left as they are: a file of images is read part by part."""
    warn_of_darkness(check_kind(images, operation), operation)
    if images.dtype != np.uint8:
        check_unit_range(images, operation)


def real_pixels(images: Any, operation: str) -> Array:
    """Pixels as real numbers: those of uint8 divided by 255, in float32, and others as they are."""
    images = check_kind(images.data if isinstance(images, Tensor) else images, operation)
    warn_of_darkness(images, operation)
    return images.astype(np.float32) / 255 if images.dtype == np.uint8 else images


def check_kind(images: Any, operation: str) -> Array:
    """An array of uint8 or of real numbers, or an error that says what it is instead."""
    if not is_array(images):
        raise TypeError(
            f"{operation}: images must be an array (B, H, W, C), and are a {type(images).__name__}: use "
            "np.asarray(images, np.float32) for pixels in [0, 1], np.uint8 for those from 0 to 255"
        )
    images = as_array(images)
    if images.dtype != np.uint8 and images.dtype.kind != "f":
        raise TypeError(
            f"{operation}: images must be uint8 in 0..255 or float32 in [0, 1], got {images.dtype}: for pixels from 0 "
            "to 255, use images.astype(np.uint8)"
        )
    return images


def check_unit_range(images: Array, operation: str) -> None:
    """Real pixels must lie in [0, 1]."""
    least, most = float(images.min()), float(images.max())
    if not (least >= 0 and most <= 1):  # also true of NaN
        bad = int((~array_module(images).isfinite(images)).sum())
        what = f"{bad} of their values are NaN or infinite" if bad else f"they span [{least:g}, {most:g}]"
        raise ValueError(
            f"{operation}: images must lie in [0, 1], and {what}. Divide pixels from 0 to 255 by 255, and leave "
            "normalisation to the model's first layer (nn.Normalize)"
        )


def warn_of_darkness(images: Array, operation: str) -> None:
    """Images that are nearly black have most often been divided once too often. Those on a card are not waited for."""
    dark = 1 if images.dtype == np.uint8 else 2 / 255
    if not is_at_hand(images) or not images.size or images[:FEW].max() > dark:
        return
    most = images.max()
    if images.dtype == np.uint8 and most == 1:
        warnings.warn(
            f"{operation}: the largest of these pixels is 1, and uint8 goes from 0 to 255 here, so that all images are "
            "black: were they in [0, 1] before? Use images.astype(np.float32)",
            stacklevel=3,
        )
    elif images.dtype != np.uint8 and 0 < most < dark:
        warnings.warn(
            f"{operation}: the largest of these pixels is {most:.2g}, and real numbers go from 0 to 1 here, so that "
            "all images are black: were they divided by 255 twice? uint8 need not be divided at all",
            stacklevel=3,
        )


RANGE = ", the range of the pixels: 8 grey levels are 8 / 255"


def checked_epsilons(epsilons: Any, name: str) -> np.ndarray:
    """Epsilons (E,) in float64; one number counts as a sequence of one."""
    return vector(epsilons, "epsilon", "[0, 1]", name, RANGE)


def checked_epsilon(epsilon: Any, name: str, within: str = "[0, 1]") -> float:
    """The one epsilon of a function that takes no more: call it for each of several."""
    return number(epsilon, "epsilon", within, name, RANGE)
