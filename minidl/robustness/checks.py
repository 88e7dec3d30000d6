"""What an attack asks of its input, and how it says what is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..backend import Array, array_module, is_array
from ..checks import check_images
from ..tensor import Tensor


def checked_images(images: Any, name: str) -> Array:
    """Images (B, H, W, C) of real numbers in [0, 1], or an error that says what they are instead."""
    images = images.data if isinstance(images, Tensor) else images
    if not is_array(images):
        raise TypeError(
            f"{name}: images must be an array (B, H, W, C), and are a {type(images).__name__}: use "
            "np.asarray(images, np.float32)"
        )
    if images.dtype not in (np.float32, np.float64):
        raise TypeError(
            f"{name}: images are {images.dtype}, and must be float32 or float64 in [0, 1]: for pixels from 0 to 255, "
            "use images.astype(np.float32) / 255"
        )
    check_images(images, name)
    if images.size == 0:
        raise ValueError(f"{name}: there are no images: their shape is {images.shape}")
    least, most = float(images.min()), float(images.max())
    if not (least >= 0 and most <= 1):  # also true of NaN
        bad = int((~array_module(images).isfinite(images)).sum())
        what = f"{bad} of their values are NaN or infinite" if bad else f"they span [{least:g}, {most:g}]"
        raise ValueError(
            f"{name}: images must lie in [0, 1], and {what}. Divide pixels from 0 to 255 by 255, and leave "
            "normalisation to the model's first layer (nn.Normalize)"
        )
    return images


def checked_epsilons(epsilons: float | Sequence[float] | np.ndarray, name: str) -> np.ndarray:
    """Epsilons (E,) in float64; one number counts as a sequence of one."""
    try:
        values = np.atleast_1d(np.asarray(epsilons, dtype=np.float64))
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"{name}: epsilons must be numbers, such as [0, 2 / 255, 8 / 255], and are {epsilons!r}"
        ) from error
    if values.ndim != 1 or len(values) == 0:
        raise ValueError(f"{name}: epsilons must be a sequence of one number or more, and have shape {values.shape}")
    for epsilon in values:
        if not 0 <= epsilon <= 1:  # also true of NaN
            raise ValueError(
                f"{name}: epsilon is {epsilon:g}, and must lie in [0, 1], the range of the pixels: 8 grey levels are "
                "8 / 255"
            )
    return values
