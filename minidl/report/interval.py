"""An interval beside the range that a claim asks for, drawn small: on the page, and for a slide."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from .language import say
from .verdict import Verdict, asked, points

WIDTH, HEIGHT, MARGIN = 320.0, 44.0, 16.0  # in the picture's own units
SCALES = (0.05, 0.1, 0.2, 0.3, 0.5, 1.0)  # how far an axis reaches to either side of 0


def reach_of(rows: Iterable[Mapping[str, Any]], verdicts: Iterable[Verdict | None]) -> float:
    """How far one axis for all of these reaches to either side: their intervals, and the ends of what is asked for.

    Examples
    --------
    >>> from minidl.report.interval import reach_of
    >>> reach_of([{"effect": 0.02, "low": -0.12, "high": 0.16}], [])
    0.2
    """
    ends = [row[name] for row in rows for name in ("effect", "low", "high")]
    ends += [end for verdict in verdicts if verdict is not None and verdict.asked for end in verdict.asked]
    known = [abs(end) for end in ends if end is not None and math.isfinite(end)]
    return next((scale for scale in SCALES if scale >= max(known, default=0)), SCALES[-1])


def interval_svg(
    effect: float, low: float | None, high: float | None, limits: tuple[float, float] | None, reach: float
) -> str:
    """The effect and its interval on an axis from -reach to reach, and what is asked for as a band, as an SVG element.

    Examples
    --------
    >>> from minidl.report.interval import interval_svg
    >>> interval_svg(0.08, 0.04, 0.12, (-0.03, 0.0), 0.2).count("<rect")
    1
    """

    def x(value: float) -> float:
        inner = WIDTH / 2 - MARGIN
        return round(WIDTH / 2 + inner * max(-1.0, min(1.0, value / reach)), 1)

    middle, parts = 15.0, []
    if limits:
        left, right = x(limits[0]), x(limits[1])
        parts.append(f'<rect class="asked" x="{left}" y="2" width="{max(1.5, right - left):.1f}" height="26"/>')
    parts.append(f'<path class="axis" d="M{x(-reach)} 28H{x(reach)}M{x(0)} 2V31"/>')
    if low is not None and high is not None:
        ends = f"M{x(low)} {middle - 5}V{middle + 5}M{x(high)} {middle - 5}V{middle + 5}"
        parts.append(f'<path class="interval" d="M{x(low)} {middle}H{x(high)}{ends}"/>')
    parts.append(f'<circle class="effect" cx="{x(effect)}" cy="{middle}" r="4.5"/>')
    for value, anchor in ((-reach, "start"), (0, "middle"), (reach, "end")):
        at = x(value)
        place = {"start": at - MARGIN + 2, "end": at + MARGIN - 2}.get(anchor, at)
        parts.append(f'<text x="{place:.1f}" y="42" text-anchor="{anchor}">{end_of(value)}</text>')
    label = escape(_said(effect if low is None else low, effect if high is None else high, limits))
    return (
        f'<svg class="range" role="img" aria-label="{label}" viewBox="0 0 {WIDTH:g} {HEIGHT:g}">{"".join(parts)}</svg>'
    )


def end_of(value: float) -> str:
    """The end of a range, 0.2 as "+20" points, and 0 without a sign."""
    if not value:
        return "0"
    return points(value).replace("-", "\N{MINUS SIGN}").removesuffix(".0").removesuffix(",0")


def _said(low: float, high: float, limits: tuple[float, float] | None) -> str:
    """The picture in words."""
    ends = {"low": end_of(low), "high": end_of(high)}
    return (
        say("page.range_alt", **ends, asked=asked(*limits, end_of)) if limits else say("page.range_alone_alt", **ends)
    )
