"""Claims C1 to C9: what each asks of its figure's lines, as quantities and the range in which each must lie.

docs/statistics.md says why the quantities are what they are. Robustness is read as the report does, from the drop of
accuracy, where the baseline keeps at least half of its accuracy: at larger epsilons the weaker network has the smaller
drop because it has little left to lose.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Any

import numpy as np

from .evidence import Lines, MissingError, slope
from .language import decimal, say
from .results import Results
from .verdict import Part, points

MARGIN = 0.03  # differences within 3 points count as none, or as very slight: one run on 785 images cannot show them
LEAST = 0.01  # a difference must exceed 1 point to be called one: less cannot be read off a figure


@dataclass(frozen=True)
class Claim:
    """One claim: its figure, the report's batch size, its parts, and what else there is to say about it."""

    figure: str
    batch_size: int
    parts: Callable[[Lines], list[Part]]
    note: Callable[[Results, Lines], str] | None = None
    rests_on: Callable[[Lines], list[Any]] | None = None
    """The lines whose networks must have learnt; by default all."""
    evidence: Callable[[Results, str], Lines] = Lines.of
    """Of a study and a figure: what the parts are of."""


# Which epsilons


def small(lines: Lines, baseline: Any) -> list[int]:
    """The epsilons above 0 that leave the baseline at least half of its clean accuracy."""
    accuracy = lines.accuracy(baseline)
    found = [e for e in range(1, len(accuracy)) if accuracy[e] >= accuracy[0] / 2]
    if not found:
        raise MissingError(say("missing.smaller", figure=lines.figure))
    return found


def _large(lines: Lines, baseline: Any) -> list[int]:
    """The epsilons that leave the baseline less than half of its clean accuracy."""
    found = sorted({*range(1, len(lines.epsilons))} - {*small(lines, baseline)})
    if not found:
        raise MissingError(say("missing.larger", figure=lines.figure))
    return found


def above_chance(lines: Lines, baseline: Any) -> list[int]:
    """The epsilons, 0 among them, at which the baseline is better than chance: elsewhere curves cannot differ much."""
    accuracy = lines.accuracy(baseline)
    labels = np.concatenate([lines.outcomes[baseline, seed].labels for seed in lines.seeds])
    found = [e for e in range(len(accuracy)) if accuracy[e] > 1 / len(np.unique(labels))]
    if not found:
        raise MissingError(say("missing.chance", figure=lines.figure))
    return found


def at_epsilons(lines: Lines, epsilons: list[int]) -> str:
    """ "epsilon 1, 2 / 255"."""
    sizes = say("comma").join(decimal(f"{255 * lines.epsilons[e]:.4g}") for e in epsilons)
    return say("quantity.at", sizes=sizes)


# Pruning, figures 8 to 11: by how much a quantity grows along the line fitted to sparsity, from 0 to 1


def _drop_along_sparsity(lines: Lines, low: float, high: float) -> Part:
    at = small(lines, 0)
    name = say("quantity.drop_growth", at=at_epsilons(lines, at))
    return Part(name, lines.difference(slope(lines.levels), at, drop=True), low, high)


def _drop_against_dense(lines: Lines, sparsity: float, low: float, high: float) -> Part:
    at = small(lines, 0)
    name = say("quantity.drop_dense", part=decimal(f"{100 * sparsity:g}"), at=at_epsilons(lines, at))
    return Part(name, lines.difference({sparsity: 1, 0: -1}, at, drop=True), low, high)


def _c1(lines: Lines) -> list[Part]:
    lines.need(0)
    weights = slope(lines.levels)
    falling = [
        Part(
            say("quantity.accuracy_growth", at=at_epsilons(lines, [e])),
            lines.difference(weights, [e]),
            -inf,
            -LEAST,
            "accuracy",
        )
        for e in above_chance(lines, 0)
    ]
    return [*falling, _drop_along_sparsity(lines, LEAST, inf)]


def _c2(lines: Lines) -> list[Part]:
    lines.need(0)
    return [_drop_along_sparsity(lines, -MARGIN, 0)]


def _c3(lines: Lines) -> list[Part]:
    lines.need(0)
    return [_drop_along_sparsity(lines, LEAST, inf)]


def _c4(lines: Lines) -> list[Part]:
    lines.need(0, 0.5, 0.9)
    return [_drop_against_dense(lines, 0.5, -inf, -LEAST), _drop_against_dense(lines, 0.9, LEAST, inf)]


def _c5(lines: Lines) -> list[Part]:
    lines.need(0)
    sparse = [level for level in lines.levels if level != 0]
    if not sparse:
        raise MissingError(say("missing.pruned", figure=lines.figure))
    return [_drop_against_dense(lines, level, -MARGIN, MARGIN) for level in sparse]


# Low rank, figure 12


def _between(lines: Lines, level: str, other: str, low: float, high: float, drop: bool) -> Part:
    weights = {level: 1.0, other: -1.0}
    if drop:
        at = small(lines, "none")
        name = say("quantity.drop_of", level=level, other=other, at=at_epsilons(lines, at))
        return Part(name, lines.difference(weights, at, drop=True), low, high)
    name = say("quantity.clean_of", level=level, other=other)
    return Part(name, lines.difference(weights, [0]), low, high, "clean")


def _c6(lines: Lines) -> list[Part]:
    lines.need("none", "LR1", "LR2")
    return [
        _between(lines, "LR1", "none", -inf, -LEAST, drop=False),
        _between(lines, "LR2", "LR1", -inf, -LEAST, drop=False),
        _between(lines, "LR1", "none", -MARGIN, MARGIN, drop=True),
        _between(lines, "LR2", "none", -MARGIN, MARGIN, drop=True),
    ]


def _c7(lines: Lines) -> list[Part]:
    lines.need("none", "LR1", "LR2")
    weights = {"LR1": 0.5, "LR2": 0.5, "none": -1.0}
    at = small(lines, "none")
    name = say("quantity.drop_together", at=at_epsilons(lines, at))
    return [
        _between(lines, "LR1", "none", -MARGIN, MARGIN, drop=False),
        _between(lines, "LR2", "none", -MARGIN, MARGIN, drop=False),
        Part(name, lines.difference(weights, at, drop=True), 0, MARGIN),
    ]


# Temperature, figure 13: the mean of all T > 1 against T = 1


def _hot(lines: Lines) -> list[float]:
    lines.need(1)
    hot = [level for level in lines.levels if level > 1]
    if not hot:
        raise MissingError(say("missing.hot", figure=lines.figure))
    return hot


def _gain(lines: Lines, at: list[int], low: float = -inf, high: float = inf) -> Part:
    hot = _hot(lines)
    weights = dict.fromkeys(hot, 1 / len(hot)) | {1: -1.0}
    name = say("quantity.gain", at=at_epsilons(lines, at))
    return Part(name, lines.difference(weights, at), low, high, "accuracy")


def _c8(lines: Lines) -> list[Part]:
    _hot(lines)
    return [
        _gain(lines, _large(lines, 1), low=LEAST),
        _gain(lines, small(lines, 1), high=LEAST),
    ]


def _c9(lines: Lines) -> list[Part]:
    _hot(lines)
    attacked = [e for e in above_chance(lines, 1) if e > 0]
    if not attacked:
        raise MissingError(say("missing.all_chance", figure=lines.figure))
    return [_gain(lines, [e], low=LEAST) for e in attacked]


def _how_much_is_left(results: Results, lines: Lines) -> str:
    """Whether temperature makes networks robust or hides their gradient: the same gain under the margin's attack.

    "At most", as FGSM on the margin is no more than one attack either.
    """
    hot = _hot(lines)
    cold_part, hot_part = (decimal(f"{100 * lines.vanished(levels):.1f}") for levels in ([1], hot))
    vanished = say("margin.vanished", cold=cold_part, hot=hot_part)
    try:
        margin = Lines.of(results, "13c")
        margin.need(1, *hot)
        seen = [e for e in range(1, len(lines.epsilons)) if lines.epsilons[e] in margin.epsilons]
        same = [int(np.flatnonzero(margin.epsilons == lines.epsilons[e])[0]) for e in seen]
        if not seen:
            raise MissingError(say("missing.margin"))
        apparent = _gain(lines, seen).estimate
        real = _gain(margin, same).estimate
    except MissingError as missing:
        return f"{vanished} {say('margin.ask')} {missing}"
    low, high = real.interval()
    gain = say(
        "margin.gain",
        apparent=points(apparent.effect),
        real=points(real.effect),
        low=points(low),
        high=points(high),
    )
    # of a gain that may be none there is no share; of what is left, the most that its interval allows
    share = f"{100 * min(1.0, max(0.0, high / apparent.effect)):.0f}" if apparent.interval()[0] > LEAST else ""
    return f"{vanished} {gain}{say('margin.share', share=share) if share else ''}."


CLAIMS = {
    "C1": Claim("8", 512, _c1),
    "C2": Claim("9", 128, _c2),
    "C3": Claim("10a", 128, _c3),
    "C4": Claim("10b", 512, _c4),
    "C5": Claim("11", 512, _c5),
    "C6": Claim("12a", 512, _c6),
    "C7": Claim("12b", 128, _c7),
    "C8": Claim("13b", 128, _c8, _how_much_is_left),
    "C9": Claim("13a", 128, _c9, _how_much_is_left),
}
