"""What an attack asks of its input, and how it says what is wrong with it."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend import Array, as_array, is_array
from ..checks import check_images, check_unit_range, number, vector
from ..tensor import Tensor


def checked_images(images: Any, name: str) -> Array:
    """Images (B, H, W, C) of real numbers in [0, 1], or an error that says what they are instead."""
    images = images.data if isinstance(images, Tensor) else images
    if not is_array(images):
        raise TypeError(
            f"{name}: images must be an array (B, H, W, C), and are a {type(images).__name__}: use "
            "np.asarray(images, np.float32)"
        )
    images = as_array(images)
    if images.dtype not in (np.float32, np.float64):
        raise TypeError(
            f"{name}: images are {images.dtype}, and must be float32 or float64 in [0, 1]: for pixels from 0 to 255, "
            "use images.astype(np.float32) / 255"
        )
    check_images(images, name)
    if images.size == 0:
        raise ValueError(f"{name}: there are no images: their shape is {images.shape}")
    check_unit_range(images, name)
    return images


RANGE = ", the range of the pixels: 8 grey levels are 8 / 255"


def checked_epsilons(epsilons: Any, name: str) -> np.ndarray:
    """Epsilons (E,) in float64; one number counts as a sequence of one."""
    return vector(epsilons, "epsilon", "[0, 1]", name, RANGE)


def checked_epsilon(epsilon: Any, name: str, within: str = "[0, 1]") -> float:
    """The one epsilon of a function that takes no more: call it for each of several."""
    return number(epsilon, "epsilon", within, name, RANGE)
