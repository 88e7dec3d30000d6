"""Two straight lines that enclose a curve between two ends: what a proof about a network knows of its activations."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from .backend import Array, array_module

NARROW = 1e-6  # between ends as close as this, a secant's slope would be rounding
HALVINGS = 40


class Lines(NamedTuple):
    """below x + at_below <= f(x) <= above x + at_above wherever low <= x <= high; each an array of f(x)'s shape."""

    below: Array
    at_below: Array
    above: Array
    at_above: Array

    def vanish(self) -> Array:
        """Where both lines are 0 everywhere, as those of neurons that are off."""
        below, at_below, above, at_above = self
        return (below == 0) & (at_below == 0) & (above == 0) & (at_above == 0)


def relu_lines(low: Array, high: Array) -> Lines:
    """CROWN's lines of max(x, 0): above it the secant, below it 0 or x, whichever leaves the smaller triangle.

    Where ``low`` and ``high`` leave no doubt, both lines are the function itself (Zhang et al. 2018, table 2).
    """
    xp = array_module(low)
    undecided = (low < 0) & (high > 0)
    on = (low >= 0).astype(low.dtype)
    above = xp.where(undecided, high / xp.where(undecided, high - low, 1), on)
    below = xp.where(undecided, (high > -low).astype(low.dtype), on)
    return Lines(below, xp.zeros_like(low), above, xp.where(undecided, -above * low, 0))


def s_shaped_lines(
    function: Callable[[Array], Array], slope: Callable[[Array], Array], low: Array, high: Array, twice: float
) -> Lines:
    """The lines of a function that bends up below 0 and down above it (Zhang et al. 2018, section 3.3).

    ``twice`` is f(x) + f(-x): what lies above the function turned round lies below the function.
    """
    above, at_above = _line_above(function, slope, low, high)
    below, at = _line_above(function, slope, -high, -low)
    return Lines(below, twice - at, above, at_above)


def _line_above(
    function: Callable[[Array], Array], slope: Callable[[Array], Array], low: Array, high: Array
) -> tuple[Array, Array]:
    """Slope and height at 0 of the secant, where the curve lies below it, or else of a tangent."""
    xp, width = array_module(low), high - low
    narrow = width < NARROW
    secant = xp.where(narrow, slope((low + high) / 2), (function(high) - function(low)) / xp.where(narrow, 1, width))
    bends_down = low >= 0
    under_secant = (high <= 0) | (narrow & ~bends_down) | (~bends_down & (secant <= slope(high)))
    point = xp.where(bends_down, (low + high) / 2, _point_of_touch(function, slope, low, high))
    steep = xp.where(under_secant, secant, slope(point))
    through = xp.where(under_secant, low, point)
    bent = xp.where(under_secant & narrow, width * width, 0)  # slopes change by less than 1 for each step of 1
    return steep, function(through) - steep * through + bent


def _point_of_touch(
    function: Callable[[Array], Array], slope: Callable[[Array], Array], low: Array, high: Array
) -> Array:
    """A d in [0, high] whose tangent passes above (low, f(low)): the least, but for what halvings leave."""
    xp = array_module(low)
    left, right = xp.zeros_like(low), xp.maximum(high, 0)
    for _ in range(HALVINGS):
        middle = (left + right) / 2
        passes_above = function(middle) + slope(middle) * (low - middle) >= function(low)
        left, right = xp.where(passes_above, left, middle), xp.where(passes_above, middle, right)
    return right
