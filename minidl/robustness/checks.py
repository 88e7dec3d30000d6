"""What an attack asks of its input, and how it says what is wrong with it."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..checks import number, vector

RANGE = ", the range of the pixels: 8 grey levels are 8 / 255"


def checked_epsilons(epsilons: Any, name: str) -> np.ndarray:
    """Epsilons (E,) in float64; one number counts as a sequence of one."""
    return vector(epsilons, "epsilon", "[0, 1]", name, RANGE)


def checked_epsilon(epsilon: Any, name: str, within: str = "[0, 1]") -> float:
    """The one epsilon of a function that takes no more: call it for each of several."""
    return number(epsilon, "epsilon", within, name, RANGE)
