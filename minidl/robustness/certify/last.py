"""The end of the way back, where a fully-connected layer sees the pixels: nearly all the time goes into its product.

Of the coefficients a M of the pixels, for combinations a of the layer's numbers, only two sums are needed: the one with
the region's centre, which is a (M centre) and costs next to nothing, and the sum of sizes |a M| radius. The sizes are
found in float32, twice as fast, and what rounding may have hidden of them is charged (docs/certificates.md).
"""

from __future__ import annotations

import numpy as np

from .rounding import allowance
from .steps import Affine

TINY = 2.0**-126  # what is smaller may be lost as a whole in float32
LARGE = 2.0**60  # beyond which products might overflow


class LastProduct:
    """For a fully-connected layer, those of its n neurons that are ``on``, and one region: centre and radius (P,)."""

    def __init__(self, step: Affine, on: np.ndarray | slice, centre: np.ndarray, radius: np.ndarray) -> None:
        assert step.matrix is not None
        self.middle = (step.matrix @ centre)[on]  # (n,)
        self.weighed = step.matrix32[on] * radius.astype(np.float32)  # (n, P)
        n, pixels = self.weighed.shape
        squares = np.einsum("np,np->n", self.weighed, self.weighed, dtype=float)
        reach = 1.01 * np.sqrt(pixels * squares) + pixels * TINY  # (n,), above the sum of each row's sizes (Cauchy)
        self.fits = bool(reach.max(initial=0) < LARGE)
        self.lost = allowance(n, "float32") * reach + pixels * TINY
        self.lost += allowance(n + pixels) * step.sizes[on] * abs(centre).max(initial=0)
        self.flushed = n * TINY * (reach.max(initial=0) + pixels)
        self.more = 1 + allowance(pixels)

    def least(self, rows: np.ndarray) -> np.ndarray | None:
        """(R,): below rows M x (R, n), for every x of the region; None where float32 might overflow."""
        sizes = np.abs(rows)
        if not (self.fits and sizes.max(initial=0) < LARGE):
            return None
        product = rows.astype(np.float32) @ self.weighed  # (R, P)
        sums = np.abs(product, out=product).sum(axis=1, dtype=float)
        return rows @ self.middle - self.more * sums - sizes @ self.lost - self.flushed
