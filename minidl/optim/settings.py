"""What optimisers and schedules ask of their settings."""

from __future__ import annotations

import math
from numbers import Real


def check_numbers(where: str, **settings: float) -> None:
    """Each setting must be a finite number of at least 0."""
    for name, value in settings.items():
        if not isinstance(value, Real):
            raise TypeError(f"{where}: {name} is {value!r}, and must be a number")
        if not 0 <= value < math.inf:  # also true of NaN
            raise ValueError(f"{where}: {name} is {value}, and must be finite and not negative")
