"""Numbers as the page writes them."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from .language import decimal, say
from .lines import Line, mean_and_spread

NOTHING = "\N{EN DASH}"  # where there is no number
MINUS = "\N{MINUS SIGN}"


def percent(value: float | None, digits: int = 1) -> str:
    """A share as a percentage, without the sign: 0.853 is "85.3"."""
    return NOTHING if value is None else _rounded(100 * value, digits)


def spread(values: Sequence[float | None], digits: int = 1) -> str:
    """Shares of several seeds, "85.3 ± 0.4", or of one."""
    known = [value for value in values if value is not None]
    if not known:
        return NOTHING
    mean, deviation = mean_and_spread(known)
    return f"{percent(mean, digits)} ± {percent(deviation, digits)}" if len(known) > 1 else percent(mean, digits)


def points_of(line: Line, what: str) -> dict[float, str]:
    """{epsilon: "51.2 ± 0.8"} of several seeds, {epsilon: "51.2 [48.9, 53.4]"} of one."""
    cells = {}
    for point in line.points(what):
        if len(line.at(point.epsilon)) > 1:
            cells[point.epsilon] = f"{percent(point.mean)} ± {percent(point.high - point.mean)}"
        else:
            ends = {"low": percent(point.low), "high": percent(point.high)}
            cells[point.epsilon] = say("number.range", value=percent(point.mean), **ends)
    return cells


def p_value(value: float) -> str:
    """ "= 0.012", or "< 0.001"."""
    return decimal("< 0.001" if value < 0.001 else f"= {value:.3f}")


def large(number: float | None) -> str:
    """A count in three digits.

    >>> from minidl.report.wording import large
    >>> large(11181642), large(590e6), large(512)
    ('11.2 M', '590 M', '512')
    """
    if number is None:
        return NOTHING
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= 0.9995 * size:
            return f"{_three_digits(number / size)} {letter}"
    return decimal(f"{number:g}")


def _three_digits(number: float) -> str:
    return decimal(f"{number:.{max(0, 2 - int(math.log10(max(1, abs(number) * 1.0005))))}f}")


def duration(seconds: float | None) -> str:
    """
    >>> from minidl.report.wording import duration
    >>> duration(42.4), duration(640), duration(8000)
    ('42 s', '11 min', '2 h 13 min')
    """
    if seconds is None:
        return NOTHING
    if seconds < 90:
        return say("number.seconds", seconds=f"{seconds:.0f}")
    minutes = round(seconds / 60)
    if minutes < 60:
        return say("number.minutes", minutes=minutes)
    return say("number.hours", hours=minutes // 60, minutes=f"{minutes % 60:02}")


def effect(value: float | None, low: float | None, high: float | None) -> str:
    """A difference of shares with its interval, in percentage points; empty where there is none."""
    if value is None:
        return ""
    told = signed(value)
    if low is not None and high is not None:
        told = say("number.range", value=told, low=signed(low), high=signed(high))
    return say("number.points", value=told)


def signed(value: float) -> str:
    text = _rounded(100 * value, 1)
    return text if text.startswith(MINUS) else f"+{text}"


def _rounded(value: float, digits: int) -> str:
    return decimal(f"{round(value, digits) + 0.0:.{digits}f}").replace("-", MINUS)  # + 0.0: no minus before a zero


def flattened(settings: Any, name: str = "") -> list[tuple[str, str]]:
    """Settings within settings as rows: {"resnet18": {"lr": 0.05}} is ("resnet18.lr", "0.05")."""
    if isinstance(settings, dict):
        return [
            row for key, value in settings.items() for row in flattened(value, f"{name}.{key}" if name else str(key))
        ]
    if isinstance(settings, list) and not any(isinstance(value, dict | list) for value in settings):
        return [(name, ", ".join(_plain(value) for value in settings))]
    return [(name, _plain(settings))]


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
