"""From quantities and the ranges that a claim asks of them to a verdict: holds, fails or undecided.

* A claim **holds** when the 95 % interval of every part lies in its range. It needs no correction for several parts:
  all of them have to succeed.
* It **fails** when the interval of some part lies outside its range, at 95 % for all the parts together (Bonferroni,
  which is Holm's first step: one part suffices).
* Otherwise, or with fewer than three seeds, or while runs are missing, it is **undecided**.

A study that looks at its claims several times, and goes on with more seeds where they are undecided, has as many
chances of a wrong verdict: each of k looks, whose number is fixed beforehand, is taken at 95 % for all looks together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from .evidence import FEWEST_SEEDS, Estimate, Lines

LEVEL = 0.05
MOST_SEEDS = 100  # beyond which no number is named


@dataclass(frozen=True)
class Verdict:
    """What a study says about one claim.

    Attributes
    ----------
    claim, figure, text : str
        "C1", "8", and the claim in words.
    verdict : {"holds", "fails", "undecided"}
    effect : float or None
        The quantity on which the verdict hangs, in parts of 1 (0.05 is 5 points); None when nothing can be computed.
    interval : (float, float) or None
        Of the effect, at 95 % for all looks together.
    seeds : int
        How many were used.
    reason : str
        What was measured, what the claim asks of it, and what to run where that is not enough.
    needed : int or None
        With how many seeds an undecided claim would be decided, if their spread stayed the same.
    """

    claim: str
    figure: str
    text: str
    verdict: str
    effect: float | None
    interval: tuple[float, float] | None
    seeds: int
    reason: str
    needed: int | None = None


@dataclass(frozen=True)
class Part:
    """A quantity, and the open range (low, high) that a claim asks it to lie in."""

    name: str
    estimate: Estimate
    low: float
    high: float

    def slack(self, confidence: float = 1 - LEVEL) -> float:
        """By how much the interval lies within the range: negative where one of its ends does not."""
        low, high = self.estimate.interval(confidence)
        return min(low - self.low, self.high - high)

    def fails(self, confidence: float) -> bool:
        """Whether all of the interval lies outside the range."""
        low, high = self.estimate.interval(confidence)
        return high <= self.low or low >= self.high

    def seeds_to_decide(self, level: float = LEVEL) -> int | None:
        """With how many seeds of the same mean and spread the interval would lie on one side of the range's ends."""
        room = min(abs(self.estimate.effect - end) for end in (self.low, self.high))
        first = len(self.estimate.values) + 1
        return next((n for n in range(first, MOST_SEEDS + 1) if self.estimate.half_width(1 - level, n) < room), None)

    def told(self, level: float = LEVEL) -> str:
        """What was measured, and what is asked of it, as a sentence."""
        low, high = self.estimate.interval(1 - level)
        return (
            f"{self.name}: {points(self.estimate.effect)} points ({100 * (1 - level):.3g} % interval {points(low)} to "
            f"{points(high)}); the claim asks for {self._asked()}."
        )

    def _asked(self) -> str:
        if self.low == -math.inf:
            return f"less than {points(self.high)}"
        if self.high == math.inf:
            return f"more than {points(self.low)}"
        return f"between {points(self.low)} and {points(self.high)}"


def points(value: float) -> str:
    """0.0123 as "+1.2": percentage points, with their sign."""
    return f"{round(100 * value, 1) + 0.0:+.1f}"  # the sum turns -0.0 into 0.0


def decide(lines: Lines, parts: Sequence[Part], level: float = LEVEL) -> tuple[str, Part, str]:
    """The verdict, the part on which it hangs, and what there is to say besides."""
    count, several = len(lines.seeds), len(parts) > 1
    weakest = min(parts, key=lambda part: part.slack(1 - level))
    together = 1 - level / len(parts)
    failed = [part for part in parts if part.fails(together)]
    if lines.unfinished or count < FEWEST_SEEDS:
        return "undecided", weakest, _what_is_missing(lines)
    if failed:
        worst = min(failed, key=lambda part: part.slack(together))
        sure = f"{100 * (1 - level):.3g}"
        why = f"{len(failed)} of {len(parts)} such quantities out of range, at {sure} % for all together."
        return "fails", worst, why if several else ""
    if weakest.slack(1 - level) > 0:
        return "holds", weakest, f"All {len(parts)} such quantities in range, this one by the least." if several else ""
    return "undecided", weakest, _how_many_seeds(weakest, level)


def _what_is_missing(lines: Lines) -> str:
    count, sentences = len(lines.seeds), []
    if count < FEWEST_SEEDS:
        sentences.append(
            f"This interval is over images alone: {count} seed{'s' if count > 1 else ''} cannot show how seeds differ. "
            f"Run at least {FEWEST_SEEDS}: --seeds {' '.join(map(str, range(FEWEST_SEEDS)))}."
        )
    if lines.unfinished:
        sentences.append(lines.to_run())
    return " ".join(sentences)


def _how_many_seeds(part: Part, level: float) -> str:
    seeds = part.seeds_to_decide(level)
    if seeds:
        return f"If the spread stays the same, about {seeds} seeds would settle this."
    return f"More than {MOST_SEEDS} seeds would be needed to settle this: the effect is too near the edge."
