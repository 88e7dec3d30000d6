"""Windows of any size and shape, resized to one: the augmentation that large networks are trained with.

Bilinear with antialiasing, as Pillow and PyTorch have it: a triangle as wide as two new pixels, and no narrower than
two old ones, is laid over the old ones, first down and then across. Pixels and weights are whole numbers here (a pixel
has 15 bits, a weight 16), and whole numbers add up to the same in any order: a card gives the bits of the CPU.
"""

from __future__ import annotations

import numpy as np

from ..backend import Array, array_module, device_of, to_device
from ..kernels.shapes import Pair

LONGEST = 4 / 3  # a window's sides are to each other as 3 to 4 at most, as in torchvision's RandomResizedCrop
TRIES = 10  # sizes are drawn until one fits, so often at most
ONE, WHITE = 1 << 16, 255 << 7  # a weight of 1, and the brightest pixel: ONE * WHITE + ONE / 2 fits into 32 bits

Spans = tuple[np.ndarray, np.ndarray]  # first pixels and lengths of windows along one axis, (b,) each


def draw_sizes(rng: np.random.Generator, n: int, size: Pair, scale: tuple[float, float]) -> Spans:
    """Heights and widths (n,) of windows that have a part of an image's area, between the two of ``scale``.

    The part and the logarithm of the shape are drawn evenly. Where none of ten tries fits, the largest is taken.
    """
    largest = np.reshape([min(a, round(b * LONGEST)) for a, b in (size, size[::-1])], (2, 1))
    area = size[0] * size[1] * rng.uniform(*scale, (n, TRIES))
    shape = np.exp(rng.uniform(-np.log(LONGEST), np.log(LONGEST), (n, TRIES)))  # width to height
    sides = np.sqrt([area / shape, area * shape]).round().astype(int).clip(1)  # (2, n, TRIES)
    fits = (sides[0] <= size[0]) & (sides[1] <= size[1])
    chosen = sides[:, np.arange(n), fits.argmax(axis=1)]  # (2, n), the first that fits
    heights, widths = np.where(fits.any(axis=1), chosen, largest)
    return heights, widths


def resized(images: Array, rows: Spans, columns: Spans, flips: np.ndarray, size: Pair) -> Array:
    """One window of each image (b, H, W, C), resized to (h, w) and mirrored where said: float32 (b, h, w, C) in [0, 1].

    Windows and ``flips`` lie on the CPU.
    """
    down, across = _taps(*rows, size[0]), _taps(*columns, size[1])
    mirrored = (np.where(flips[:, None, None], each[:, ::-1], each) for each in across)
    x = images.astype(np.int32) << 7 if images.dtype == np.uint8 else (images * WHITE + 0.5).astype(np.int32)
    for place, weight in (down, mirrored):
        x = _weighted(x, to_device(place, device_of(x)), to_device(weight, device_of(x)))
        x = x.swapaxes(1, 2)  # (b, W, h, C), then (b, h, w, C)
    return x.astype(np.float32) / np.float32(WHITE)


def _taps(starts: np.ndarray, lengths: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Which pixels of an axis make each of ``size`` new ones, and their weights: whole numbers (b, size, K) each."""
    starts, lengths = starts[:, None, None], lengths[:, None, None]
    ratio = lengths / size  # old pixels to a new one
    reach = np.maximum(ratio, 1)  # half the width of the triangle
    centre = (np.arange(size)[:, None] + 0.5) * ratio  # (b, size, 1), in the window
    place = np.maximum(np.floor(centre - reach + 0.5), 0).astype(int) + np.arange(int(np.ceil(2 * reach.max())) + 1)
    weight = np.maximum(0, 1 - np.abs(place + 0.5 - centre) / reach) * (place < lengths)
    whole = np.rint(ONE * weight / weight.sum(axis=2, keepdims=True)).astype(np.int32)
    largest = whole.argmax(axis=2, keepdims=True)
    rest = ONE - whole.sum(axis=2, keepdims=True, dtype=np.int32)  # so that a plain surface stays as it is
    np.put_along_axis(whole, largest, np.take_along_axis(whole, largest, axis=2) + rest, axis=2)
    return starts + np.minimum(place, lengths - 1), whole


def _weighted(x: Array, place: Array, weight: Array) -> Array:
    """Sum over k of weight[b, i, k] x[b, place[b, i, k]]: (b, N, M, C) to (b, n, M, C)."""
    each, total = array_module(x).arange(len(x))[:, None], ONE // 2
    for k in range(place.shape[2]):
        part = x[each, place[:, :, k]]
        part *= weight[:, :, k, None, None]
        part += total
        total = part
    total >>= 16
    return total
