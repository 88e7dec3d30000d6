"""What counts as a number where one is asked for: Python's, NumPy's, an array's without axes; no truth value, no text.

Whatever takes numbers has them checked here (by way of ``minidl.checks``, but for what lies below it) and goes on with
Python's: equal settings are then one thing, whatever their type.
"""

from __future__ import annotations

import functools
import math
import operator
from numbers import Real
from typing import Any

import numpy as np

_IN_WORDS = {"(-inf, inf)": "finite", "[0, inf)": "finite and not negative", "(0, inf)": "above 0 and finite"}


def number(value: Any, name: str, within: str, operation: str, hint: str = "") -> float:
    """A real number in an interval such as "[0, 1)", as a float. An end "inf)" takes all finite numbers."""
    kind = value.dtype.kind if isinstance(value, np.ndarray | np.generic) and value.ndim == 0 else ""
    if isinstance(value, bool) or not (kind in "iuf" if kind else isinstance(value, Real)):
        raise TypeError(f"{operation}: {name} is {value!r}, and must be a number")
    low, high = _ends(within)
    try:
        result = float(value) + 0.0  # -0.0 is 0.0
    except OverflowError:
        value = result = math.inf if value > 0 else -math.inf
    above = result >= low if within[0] == "[" else result > low  # neither is true of NaN
    if not (above and (result <= high if within[-1] == "]" else result < high)):
        expected = _IN_WORDS.get(within, f"in {within}")
        raise ValueError(f"{operation}: {name} is {value}, and must be {expected}{hint}")
    return result


@functools.cache
def _ends(within: str) -> tuple[float, float]:
    """An interval's ends."""
    low, high = within[1:-1].split(", ")
    return float(low), float(high)


def numbers(operation: str, within: str, **values: Any) -> tuple[float, ...]:
    """Several numbers in one interval, by their names."""
    return tuple(number(value, name, within, operation) for name, value in values.items())


def vector(values: Any, name: str, within: str, operation: str, hint: str = "") -> np.ndarray:
    """One number or a sequence of them, all in an interval, as a float64 array (n,)."""
    try:
        ok = np.ndim(values) < 2 and np.size(values) > 0
    except ValueError:  # of unequal lengths
        ok = False
    if not ok:
        raise ValueError(f"{operation}: {name} is {values!r}, and must be one number, or a sequence of one or more")
    return np.array([number(part, name, within, operation, hint) for part in (values if np.ndim(values) else [values])])


def whole_number(value: Any, name: str, least: int | None, operation: str, unit: str = "") -> int:
    """A whole number, of ``unit``, as an int: of at least ``least``, where that is given."""
    try:
        # truth values are no numbers; the oldest NumPy takes its own for one, with a warning
        if isinstance(value, bool) or getattr(getattr(value, "dtype", None), "kind", "") == "b":
            raise TypeError
        result = operator.index(value)
    except TypeError:
        kind = f"whole number of {unit}" if unit else "whole number"
        raise TypeError(f"{operation}: {name} is {value!r}, and must be a {kind}") from None
    if least is not None and result < least:
        raise ValueError(f"{operation}: {name} is {result}, and must be at least {least}")
    return result


def whole_numbers(operation: str, least: int, unit: str = "", /, **values: Any) -> tuple[int, ...]:
    """Several whole numbers of at least ``least``, by their names."""
    return tuple(whole_number(value, name, least, operation, unit) for name, value in values.items())


def pair(value: Any, name: str, least: int, operation: str) -> tuple[int, int]:
    """An int, or a (vertical, horizontal) pair of ints, as a pair."""
    try:
        h, w = (whole_number(side, name, least, operation) for side in (value if np.ndim(value) else (value, value)))
    except (TypeError, ValueError):
        raise ValueError(
            f"{operation}: {name} is {value!r}, and must be an int or a pair of ints, at least {least}"
        ) from None
    return h, w
