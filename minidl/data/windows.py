"""Windows cut from images as a plan says: from memory one by one, and on a card all of a batch at once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..backend import Array, array_module, is_at_hand
from ..kernels.shapes import Pair
from .resized import Spans, resized

AT_ONCE = 16  # images that are resized together, as a processor's second cache has room for them


class Plan(NamedTuple):
    """All that is random in one epoch, drawn before it starts: an entry for each image, in order of visit."""

    rows: Array  # which image
    tops: Array  # upper left corner of its window, in the padded image
    lefts: Array
    flips: Array  # whether to mirror it left to right
    sizes: Spans | None = None  # heights and widths of windows of any size, which are resized

    def part(self, which: slice) -> Plan:
        sizes = None if self.sizes is None else (self.sizes[0][which], self.sizes[1][which])
        return Plan(self.rows[which], self.tops[which], self.lefts[which], self.flips[which], sizes)


def cut(images: Array, plan: Plan, size: Pair, pad: int) -> Array:
    """The windows of a plan, where the images (n, H, W, C) lie: float32 (b, h, w, C) in [0, 1]."""
    if plan.sizes is not None:
        return _resized(images, plan, plan.sizes, size)
    return (_one_by_one if is_at_hand(images) else _at_once)(images, plan, size, pad)


def _resized(images: Array, plan: Plan, sizes: Spans, size: Pair) -> Array:
    b, (heights, widths) = len(plan.rows), sizes
    x = array_module(images).empty((b, *size, images.shape[3]), np.float32)
    step = AT_ONCE if is_at_hand(images) else b
    for some in (slice(start, start + step) for start in range(0, b, step)):
        rows, columns = (plan.tops[some], heights[some]), (plan.lefts[some], widths[some])
        x[some] = resized(images[plan.rows[some]], rows, columns, plan.flips[some], size)
    return x


def _one_by_one(images: np.ndarray, plan: Plan, size: Pair, pad: int) -> np.ndarray:
    (h, w), (H, W, C) = size, images.shape[1:]
    x = np.empty((len(plan.rows), h, w, C), np.float32)
    canvas = np.zeros((H + 2 * pad, W + 2 * pad, C), images.dtype)  # its border stays zero
    for b, (row, top, left, flip) in enumerate(zip(*(column.tolist() for column in plan[:4]), strict=True)):
        image = images[row]  # (H, W, C)
        if pad:
            canvas[pad:-pad, pad:-pad] = image
            image = canvas
        window = image[top : top + h, left : left + w]
        x[b] = window[:, ::-1] if flip else window
    if images.dtype == np.uint8:
        x /= 255
    return x


def _at_once(images: Array, plan: Plan, size: Pair, pad: int) -> Array:
    """The same, to the bit. Which pixels is worked out on the CPU: a card would compile a kernel for each operation."""
    xp, (H, W), (h, w) = array_module(images), images.shape[1:3], size
    down, across = np.arange(h), np.arange(w)
    rows = plan.tops[:, None] - pad + down  # (b, h), in the image; in its padding below 0 or from H on
    columns = plan.lefts[:, None] - pad + np.where(plan.flips[:, None], w - 1 - across, across)  # (b, w)
    index = plan.rows[:, None, None], rows.clip(0, H - 1)[:, :, None], columns.clip(0, W - 1)[:, None]
    x = images[tuple(map(xp.asarray, index))].astype(np.float32)  # (b, h, w, C)
    if images.dtype == np.uint8:
        x /= 255
    if pad:
        inside = ((rows >= 0) & (rows < H))[:, :, None] & ((columns >= 0) & (columns < W))[:, None]  # (b, h, w)
        x *= xp.asarray(inside)[..., None]
    return x
