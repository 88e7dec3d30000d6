"""Claims beyond the report's nine: what is expected of the methods that it cites, stated before they were measured.

Such a claim is tested in the studies that make its figure; the others say nothing of it.
"""

from __future__ import annotations

from math import inf
from typing import Any

from .carried import Carried, c13
from .evidence import Lines, MissingError
from .language import say
from .lines import LABELS
from .nine import LEAST, MARGIN, Claim, above_chance, at_epsilons, small
from .verdict import Part

WAYS = ("variational", "l0")  # beside magnitude
SPARSEST = 0.9


def _magnitudes(lines: Lines) -> list[Any]:
    """Those up to 90 %, beside which the other ways are there."""
    return [level for level in lines.levels if (part := _part(level)) and {*_others(part)} <= {*lines.levels}]


def _part(level: Any) -> str:
    """ "50 %", of magnitude pruning and no more than 90 %; else empty."""
    way, _, part = str(level).partition(" ")
    return part if way == "magnitude" and float(part.removesuffix(" %")) <= 100 * SPARSEST else ""


def _others(part: str) -> list[str]:
    return [f"{way} {part}" for way in WAYS]


def _c10(lines: Lines) -> list[Part]:
    parts = []
    for magnitude in _magnitudes(lines):
        at = small_or_least(lines, magnitude)
        for other in _others(_part(magnitude)):
            weights = {other: 1.0, magnitude: -1.0}
            about = {"level": LABELS["pruned"](other), "other": LABELS["pruned"](magnitude)}
            clean, drop = say("quantity.clean_of", **about), say("quantity.drop_of", at=at_epsilons(lines, at), **about)
            parts += [
                Part(clean, lines.difference(weights, [0]), -MARGIN, MARGIN, "clean"),
                Part(drop, lines.difference(weights, at, drop=True), -MARGIN, MARGIN),
            ]
    if not parts:
        raise MissingError(say("missing.ways", figure=lines.figure))
    return parts


def small_or_least(lines: Lines, baseline: Any) -> list[int]:
    """As for the report's claims; the least epsilon where none leaves the baseline half of its accuracy."""
    try:
        return small(lines, baseline)
    except MissingError:
        if len(lines.epsilons) < 2:
            raise
        return [1]


def _distilled(lines: Lines) -> list[str]:
    """The distilled network, and what a network of that temperature alone is called; nothing without it."""
    names = (str(level) for level in lines.levels)
    found = next((name for name in names if name.startswith("distilled, T = ")), None)
    return [found, found.removeprefix("distilled, ")] if found else []


def _c14(lines: Lines) -> list[Part]:
    lines.need("none")
    if not (found := _distilled(lines)):
        raise MissingError(say("missing.distilled", figure=lines.figure))
    distilled, hot = found
    lines.need(hot)
    attacked = [e for e in above_chance(lines, "none") if e > 0]
    if not attacked:
        raise MissingError(say("missing.all_chance", figure=lines.figure))
    name = say("quantity.distilled", hot=hot, at=at_epsilons(lines, attacked))
    return [Part(name, lines.difference({distilled: 1, hot: -1}, attacked), LEAST, inf, "accuracy")]


def _c15(lines: Lines) -> list[Part]:
    bounded = next((str(level) for level in lines.levels if ", condition " in str(level)), None)
    if bounded is None:
        raise MissingError(say("missing.bounded", figure=lines.figure))
    free = bounded.partition(", condition ")[0]
    lines.need("none", free)
    at = small(lines, "none")
    named = LABELS["low_rank"]
    lost = say("quantity.drop_of", level=free, other=named("none"), at=at_epsilons(lines, at))
    left = say("quantity.half_left", level=named(bounded), free=free, at=at_epsilons(lines, at))
    clean = say("quantity.clean_of", level=named(bounded), other=free)  # who has less to lose loses less
    return [
        Part(lost, lines.difference({free: 1, "none": -1}, at, drop=True), LEAST, inf),
        Part(left, lines.difference({bounded: 1, free: -0.5, "none": -0.5}, at, drop=True), -inf, 0),
        Part(clean, lines.difference({bounded: 1, free: -1}, [0]), -MARGIN, inf, "clean"),
    ]


BEYOND = {
    "C10": Claim("17-pgd", 128, _c10, rests_on=_magnitudes),  # who learns less than these is not their equal
    "C13": Claim("14", 128, c13, evidence=Carried.of),
    "C14": Claim("16-auto", 128, _c14, rests_on=lambda lines: ["none", *_distilled(lines)]),
    "C15": Claim("12c", 128, _c15),
}
