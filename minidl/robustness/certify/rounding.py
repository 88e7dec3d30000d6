"""How much a sum may be off by rounding: docs/certificates.md derives what is used here.

A sum of n products in any order, computed with unit roundoff u, differs from the true one by at most
n u / (1 - n u) times the sum of the products' sizes (Higham, "Accuracy and stability of numerical algorithms", 2002,
section 3.1). What else happens to a number on the way, such as a factor or a difference, counts as a few terms more.
"""

from __future__ import annotations

import numpy as np

UNIT = {"float64": 2.0**-53, "float32": 2.0**-24}
FEW = {"float64": 64, "float32": 16}  # operations on each number beside the sum itself: as many as steps add up
ARITHMETIC = ("exact", "float32")


def allowance(terms: int, precision: str = "float64") -> float:
    """The part of a sum's size by which ``terms`` terms may be off, twice over: of the sum, and of the size itself."""
    count = (terms + FEW[precision]) * UNIT[precision]
    if not count < 0.25:
        raise ValueError(f"sums of {terms} terms are not to be trusted in {precision}")
    return 2 * count / (1 - count)


def outward(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The ends, moved apart by what a few operations in float64 may have lost of them."""
    part = allowance(0)
    return low - part * abs(low), high + part * abs(high)
