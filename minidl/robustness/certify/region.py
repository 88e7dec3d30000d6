"""The images that a bound speaks of: all within epsilon of one, in a norm, and within [0, 1]."""

from __future__ import annotations

import numpy as np

from .program import Program
from .rounding import UNIT, allowance
from .steps import Box
from .windows import Rows

NORMS = ("inf", "2")


class Region:
    """B such sets, as a network sees them first: where each number depends on one pixel only (``Program.first``).

    Parameters
    ----------
    program : Program
    images : array (B, H, W, C) in [0, 1]
    epsilon : float, or array (B,)
    norm : "inf" or "2"

    Attributes
    ----------
    pixels : lower and upper ends (B, H, W, C) of the pixels
    values : what the network makes of the images themselves, value by value

    Notes
    -----
    An image in float32 that an attack moves by epsilon is rounded once more: pixels may lie outside by 2^-24, which is
    allowed for. At epsilon 0 nobody moves anything.
    """

    def __init__(self, program: Program, images: np.ndarray, epsilon: float | np.ndarray, norm: str) -> None:
        x, sizes = images.astype(np.float64), np.broadcast_to(epsilon, len(images)).reshape(-1, 1, 1, 1)
        beyond = UNIT["float32"] if images.dtype == np.float32 else UNIT["float64"]
        reach = np.where(sizes > 0, sizes + beyond, 0.0)  # (B, 1, 1, 1)
        if norm == "2":
            sizes = np.where(sizes > 0, sizes + beyond * np.sqrt(x[0].size), 0.0)
        low, high = np.nextafter(x - reach, -np.inf).clip(0, 1), np.nextafter(x + reach, np.inf).clip(0, 1)
        self.pixels: Box = (np.where(reach > 0, low, x), np.where(reach > 0, high, x))
        at, lengths = self.pixels, np.array(np.broadcast_to(sizes, x.shape))
        centre = x
        for step in program.steps[1 : program.first + 1]:
            at, lengths = step.box(at), step.carries([lengths])
            centre = step.value(centre)
        self.values = program.values(x)
        self.centre, self.radius = (at[0] + at[1]) / 2, (at[1] - at[0]) / 2
        self.radius = self.radius + allowance(x[0].size) * np.maximum(abs(at[0]), abs(at[1]))
        self.ball = (centre, lengths) if norm == "2" else None

    def where_least(self, rows: np.ndarray, i: int) -> np.ndarray:
        """(R, ...): for each combination rows (R, ...) an image of set i where it is least, as a network sees it."""
        at = self.centre[i] - np.sign(rows) * self.radius[i]
        if self.ball:
            centre, lengths = self.ball[0][i], self.ball[1][i]
            scaled = rows * lengths
            size = np.sqrt((scaled * scaled).sum(axis=tuple(range(1, rows.ndim)), keepdims=True))
            at = centre - scaled * lengths / np.where(size > 0, size, 1)
        return at

    def least(self, rows: Rows, i: int) -> np.ndarray:
        """(R,): below each of the linear combinations of any image of set i, as a network sees it."""
        flat = rows.a.reshape(len(rows.a), -1)
        sizes = np.abs(flat)
        least = flat @ rows.of(self.centre[i]).ravel() - sizes @ rows.of(self.radius[i]).ravel()
        if self.ball:
            centre, lengths = (rows.of(part[i]).ravel() for part in self.ball)
            lost = allowance(flat.shape[1]) * (sizes @ abs(centre))
            sizes *= lengths
            length = np.sqrt(np.einsum("rn,rn->r", sizes, sizes)) * (1 + allowance(flat.shape[1]))
            least = np.maximum(least, flat @ centre - length - lost)
        return least
