"""A figure that shows itself once in a notebook, and what all pictures take: arrays, tensors, one image."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ..backend import Array, is_array, to_numpy
from ..images import real_pixels
from ..tensor import Tensor

POINTS = 100  # a notebook shows an inch as this many of its pixels ...
SHARP = 2  # ... each of which is this many of a fine screen's


class Picture(Figure):
    """A matplotlib figure that no pyplot knows of: nothing to close, and a notebook shows it where it is the result.

    Parameters
    ----------
    width, height : float, in inches

    Examples
    --------
    >>> from minidl.plot.picture import Picture
    >>> picture = Picture(2, 1)
    >>> axes = picture.subplots()
    >>> png, size = picture._repr_png_()
    >>> png[1:4], size
    (b'PNG', {'width': 200, 'height': 100})
    """

    def __init__(self, width: float, height: float) -> None:
        super().__init__(figsize=(width, height), layout="constrained")

    def savefig(self, *args: Any, **kwargs: Any) -> None:
        """matplotlib's; a style that asks for another paper in files than on the screen leaves nothing to be read."""
        with any_letter():
            super().savefig(*args, **{"facecolor": self.get_facecolor()} | kwargs)

    def draw(self, renderer: Any) -> None:
        with any_letter():
            super().draw(renderer)

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        """What IPython asks for. Where pyplot's inline backend is loaded too, IPython asks that one instead."""
        file = io.BytesIO()
        self.savefig(file, format="png", dpi=SHARP * POINTS)
        width, height = (round(POINTS * inches) for inches in self.get_size_inches())
        return file.getvalue(), {"width": width, "height": height}


@contextlib.contextmanager
def any_letter() -> Iterator[None]:
    """A letter that no installed font has is a box, which one sees, and no error where warnings are errors."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        yield


def as_array(values: Any, name: str) -> np.ndarray:
    """A tensor, array or list as a NumPy array of real numbers."""
    values = values.data if isinstance(values, Tensor) else values
    array = to_numpy(values) if is_array(values) else np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name}: must be numbers, and is an array of {array.dtype}")
    if array.size == 0:
        raise ValueError(f"{name}: there is nothing to draw: its shape is {array.shape}")
    return array.astype(np.float64)


def one_image(image: Any, name: str) -> np.ndarray:
    """(H, W, C), from that or from a batch of one."""
    if getattr(image, "dtype", None) == np.uint8:
        image = real_pixels(image, name)
    array = as_array(image, name)
    array = array[0] if array.ndim == 4 and len(array) == 1 else array
    if array.ndim != 3:
        raise ValueError(f"{name}: has shape {array.shape}, and must be one image: (H, W, C) or (1, H, W, C)")
    return array


def visible(image: Array) -> Array:
    """(H, W, 3) or (H, W) for imshow, from an image (H, W, C) of three channels or one."""
    if image.shape[-1] not in (1, 3):
        raise ValueError(f"an image of {image.shape[-1]} channels has no colours: its shape is {image.shape}")
    return np.clip(image if image.shape[-1] == 3 else image[..., 0], 0, 1)
