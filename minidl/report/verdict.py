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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .evidence import FEWEST_SEEDS, Estimate, Lines
from .language import count, decimal, say

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
    asked : (float, float) or None
        The open range in which the claim asks the effect to lie; an end may be infinite.
    hangs_on : str
        What the effect is a difference of: "drop", "clean" (accuracy as it is) or "accuracy" (under attack).
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
    asked: tuple[float, float] | None = None
    hangs_on: str = ""


@dataclass(frozen=True)
class Part:
    """A quantity, and the open range (low, high) that a claim asks it to lie in."""

    name: str
    estimate: Estimate
    low: float
    high: float
    of: str = "drop"

    def slack(self, confidence: float = 1 - LEVEL) -> float:
        """By how much the interval lies within the range: negative where one of its ends does not."""
        low, high = self.estimate.interval(confidence)
        return min(low - self.low, self.high - high)

    def fails(self, confidence: float) -> bool:
        """Whether all of the interval lies outside the range."""
        low, high = self.estimate.interval(confidence)
        return high <= self.low or low >= self.high

    def seeds_to_decide(self, level: float = LEVEL, parts: int = 1) -> int | None:
        """With how many seeds of the same mean and spread the interval would lie on one side of the range's ends.

        Out of the range it has to be surer, the more ``parts`` might be out by chance.
        """
        room = min(abs(self.estimate.effect - end) for end in (self.low, self.high))
        sure = 1 - (level if self.low < self.estimate.effect < self.high else level / parts)
        first = len(self.estimate.values) + 1
        return next((n for n in range(first, MOST_SEEDS + 1) if self.estimate.half_width(sure, n) < room), None)

    def told(self, level: float = LEVEL) -> str:
        """What was measured, and what is asked of it, as a sentence."""
        low, high = self.estimate.interval(1 - level)
        return say(
            "verdict.told",
            name=self.name,
            effect=points(self.estimate.effect),
            sure=surely(level),
            low=points(low),
            high=points(high),
            asked=asked(self.low, self.high),
        )


def asked(low: float, high: float, written: Callable[[float], str] | None = None) -> str:
    """The range that a claim asks for, in words; its ends as points unless they are to be ``written`` otherwise."""
    written = written or points
    if low == -math.inf:
        return say("verdict.less", high=written(high))
    return say("verdict.more" if high == math.inf else "verdict.between", low=written(low), high=written(high))


def points(value: float) -> str:
    """0.0123 as "+1.2": percentage points, with their sign."""
    return decimal(f"{round(100 * value, 1) + 0.0:+.1f}")  # the sum turns -0.0 into 0.0


def level_of(study: Mapping[str, Any]) -> float:
    """How often a verdict of one look may be wrong: of several looks, all together may be so at LEVEL."""
    return LEVEL / study.get("settings", {}).get("looks", 1)


def surely(level: float) -> str:
    return decimal(f"{100 * (1 - level):.3g}")


def decide(lines: Lines, parts: Sequence[Part], level: float = LEVEL) -> tuple[str, Part, str]:
    """The verdict, the part on which it hangs, and what there is to say besides."""
    seeds, several = len(lines.seeds), len(parts) > 1
    weakest = min(parts, key=lambda part: part.slack(1 - level))
    together = 1 - level / len(parts)
    failed = [part for part in parts if part.fails(together)]
    if lines.unfinished or seeds < FEWEST_SEEDS:
        return "undecided", weakest, _what_is_missing(lines)
    if failed:
        worst = min(failed, key=lambda part: part.slack(together))
        why = say("verdict.several_out", failed=len(failed), all=len(parts), sure=surely(level))
        return "fails", worst, why if several else ""
    if weakest.slack(1 - level) > 0:
        return "holds", weakest, say("verdict.all_in", all=len(parts)) if several else ""
    return "undecided", weakest, _how_many_seeds(weakest.seeds_to_decide(level, len(parts)))


def _what_is_missing(lines: Lines) -> str:
    seeds, sentences = len(lines.seeds), []
    if seeds < FEWEST_SEEDS:
        these = " ".join(map(str, range(FEWEST_SEEDS)))
        sentences.append(say("verdict.images_alone", seeds=count(seeds, "seed"), least=FEWEST_SEEDS, these=these))
    if lines.unfinished:
        sentences.append(lines.to_run())
    return " ".join(sentences)


def _how_many_seeds(seeds: int | None) -> str:
    if seeds:
        return say("verdict.would_settle", seeds=seeds)
    return say("verdict.too_many", most=MOST_SEEDS)
