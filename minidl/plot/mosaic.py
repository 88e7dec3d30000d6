"""Many small images side by side: the kernels of a convolution, and the feature maps it gives."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from ..checks import whole_number
from ..report.style import TITLE
from .picture import Picture, as_array, one_image

WIDEST, TALLEST, NARROWEST, LARGEST = 6.0, 5.0, 4.4, 0.9  # inches: of the tiles together, of the picture, of a tile


def kernels(weight: Any, count: int = 64) -> Picture:
    """The kernels of a convolution as a grid of small images.

    Kernels over three channels are colours, grey where a weight is zero, each on its own scale; those over one
    channel are blue below zero and red above. Others cannot be seen: drawn is the norm of each place's C weights.

    Parameters
    ----------
    weight : Tensor or array (N, KH, KW, C)
        Such as ``model.conv1.weight``.
    count : int
        At most so many kernels, the first ones.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    TypeError, ValueError
        When these are no numbers, or do not have four axes.

    Examples
    --------
    >>> import minidl as md
    >>> picture = md.plot.kernels(md.models.resnet18(seed=0).conv1.weight)
    >>> picture.axes[0].get_title()
    '64 kernels of 7 x 7 over 3 channels; grey is 0, each on its own scale'
    """
    w = as_array(weight, "kernels")
    if w.ndim != 4:
        raise ValueError(f"kernels: the weight has shape {w.shape}, and must have shape (N, KH, KW, C)")
    (n, kh, kw, c), count = w.shape, whole_number(count, "count", 1, "kernels")
    shown, w = _of(n, count, "kernels"), w[:count]
    title = f"{shown} of {kh} x {kw} over {c} channel{'s' if c > 1 else ''}"
    if c == 3:
        largest = np.abs(w).max(axis=(1, 2, 3), keepdims=True)
        tiles = 0.5 + w / np.where(largest > 0, 2 * largest, 1)
        picture, axes = _mosaic(tiles, 1.0)
        title += "; grey is 0, each on its own scale"
    elif c == 1:
        largest = np.abs(w).max() or 1.0
        picture, axes = _mosaic(w[..., 0], np.nan, bar="weight", cmap="RdBu_r", vmin=-largest, vmax=largest)
    else:
        norms, bar = np.sqrt((w**2).sum(axis=-1)), f"norm of a place's {c} weights"
        picture, axes = _mosaic(norms, np.nan, bar=bar, cmap="viridis", vmin=0)
    axes.set_title(title, fontsize=TITLE)
    return picture


def feature_maps(activations: Any, count: int = 64) -> Picture:
    """The channels of a layer's output as a grid of images, with their numbers, all on one scale.

    Parameters
    ----------
    activations : Tensor or array (H, W, C) or (1, H, W, C)
        What a layer gives for one image.
    count : int
        At most so many channels, the first ones.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    TypeError, ValueError
        When these are no numbers, or not those of one image.

    Examples
    --------
    >>> import numpy as np, minidl as md
    >>> picture = md.plot.feature_maps(md.nn.Conv2d(1, 8, 3)(np.zeros((1, 28, 28, 1), np.float32)))
    >>> picture.axes[0].get_title()
    '8 feature maps of 26 x 26'
    """
    maps = one_image(activations, "feature_maps").transpose(2, 0, 1)  # (C, H, W)
    (n, h, w), count = maps.shape, whole_number(count, "count", 1, "feature_maps")
    picture, axes = _mosaic(maps[:count], np.nan, numbered=True, bar="activation", cmap="viridis")
    axes.set_title(f"{_of(n, count, 'feature maps')} of {h} x {w}", fontsize=TITLE)
    return picture


def _of(n: int, count: int, what: str) -> str:
    return f"{n} {what}" if n <= count else f"the first {count} of {n} {what}"


def _mosaic(
    tiles: np.ndarray, paper: float, numbered: bool = False, bar: str = "", **settings: Any
) -> tuple[Picture, Axes]:
    """Tiles (N, H, W) or (N, H, W, 3) in rows, with gaps of ``paper`` between them, as one image, and its scale."""
    n, h, w = tiles.shape[:3]
    columns = _columns(n, h / w)
    rows = -(-n // columns)
    gap = max(1, round(max(h, w) / 12))
    head = max(1, round(max(h, w) / 4)) if numbered else gap  # room for a number above the tile
    canvas = np.full((rows * (h + head) + gap, columns * (w + gap) + gap, *tiles.shape[3:]), paper)
    places = [((i // columns) * (h + head) + head, (i % columns) * (w + gap) + gap) for i in range(n)]
    for tile, (y, x) in zip(tiles, places, strict=True):
        canvas[y : y + h, x : x + w] = tile
    scale = min(WIDEST / canvas.shape[1], TALLEST / canvas.shape[0], LARGEST / max(h, w))
    width, height = scale * canvas.shape[1] + bool(bar), scale * canvas.shape[0] + 0.4
    picture = Picture(max(width, NARROWEST), max(height, 1.6))
    axes = picture.subplots()
    image = axes.imshow(canvas, interpolation="nearest", origin="upper", **settings)
    axes.set_axis_off()
    if numbered:
        for i, (y, x) in enumerate(places):
            axes.text(x - 0.5, y - 0.5 - head / 8, str(i), fontsize=6, alpha=0.8, va="bottom")
    if bar:
        picture.colorbar(image, ax=axes, label=bar, shrink=0.9)
    return picture, axes


def _columns(n: int, ratio: float) -> int:
    """A little wider than high, and few empty places in the last row."""
    ideal = math.sqrt(1.6 * n * ratio)
    choices = range(max(1, math.floor(0.75 * ideal)), min(n, math.ceil(1.3 * ideal)) + 1)
    return min(choices, key=lambda columns: (-n % columns, abs(columns - ideal)), default=n)
