"""From the rows of a figure to its lines: what they are called, and each point with its bar."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .language import count, decimal, say
from .results import Results
from .tables import Row

LABELS: Mapping[str, Callable[[Any], str]] = {
    "sparsity": lambda s: say("label.sparsity", part=decimal(f"{100 * s:g}")),
    "low_rank": lambda ranks: _ranks(str(ranks)),
    "temperature": lambda t: say("label.temperature", t=decimal(f"{t:g}")),
    "defence": lambda name: _defence(str(name)),
    "pruned": lambda told: _pruned(str(told)),
}


def _ranks(told: str) -> str:
    """A ``Run``'s ranks in the language that is spoken."""
    ranks, bounded, condition = told.partition(", condition ")
    if ranks == "none":
        return say("label.full_rank")
    return say("label.bounded", ranks=ranks, condition=decimal(condition)) if bounded else ranks


def _defence(told: str) -> str:
    """A ``Run``'s defence: names of attacks are what they are."""
    named = {"none": "label.no_defence", "distilled": "label.distilled", "nuclear + l1": "label.nuclear_l1"}
    return ", ".join(say(named[part]) if part in named else decimal(part) for part in told.split(", "))


def _pruned(told: str) -> str:
    """By what a ``Run`` was pruned, and how far."""
    part = told.partition(" ")[2]
    return say("label.pruned", method=pruner(told), part=decimal(part.removesuffix(" %"))) if part else pruner(told)


def pruner(told: str) -> str:
    """The way alone in which a ``Run`` was pruned: "magnitude 90 %" is by magnitude."""
    return say(f"label.by.{told.partition(' ')[0]}")


@dataclass(frozen=True)
class Point:
    """A mean over seeds, and the ends of its bar."""

    epsilon: float
    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Line:
    """One line of a figure.

    Attributes
    ----------
    label : str
        How it is called: "sparsity 50 %", "LR1", "T = 20".
    rows : sequence of mappings
        Its rows of the table, of all its seeds.
    """

    label: str
    rows: Sequence[Row]

    @property
    def seeds(self) -> int:
        """How many networks, alike but for their seeds, are in it."""
        return max((len(self.at(epsilon)) for epsilon in self.epsilons), default=0)

    @property
    def epsilons(self) -> list[float]:
        return sorted({float(row["epsilon"]) for row in self.rows})

    def at(self, epsilon: float) -> list[Row]:
        return [row for row in self.rows if row["epsilon"] == epsilon]

    def points(self, what: str) -> list[Point]:
        """The points of a column. Their bars are of several seeds one standard deviation to either side of the mean,
        of a single one its confidence interval, from the columns ``{what}_low`` and ``{what}_high``.

        Examples
        --------
        >>> from minidl.report.lines import Line
        >>> line = Line("T = 1", [{"epsilon": 0, "drop": 0.25}, {"epsilon": 0, "drop": 0.75}])
        >>> line.points("drop")[0].mean
        0.5
        """
        return [self._point(epsilon, what) for epsilon in self.epsilons]

    def _point(self, epsilon: float, what: str) -> Point:
        seeds = self.at(epsilon)
        mean, spread = mean_and_spread([row[what] for row in seeds])
        if len(seeds) > 1:
            return Point(epsilon, mean, mean - spread, mean + spread)
        return Point(epsilon, mean, seeds[0][f"{what}_low"], seeds[0][f"{what}_high"])

    def column(self, what: str) -> list[float]:
        """What is measured once a network, a value for each seed."""
        return [row[what] for row in self.at(self.epsilons[0])] if self.rows else []


def mean_and_spread(values: Sequence[float]) -> tuple[float, float]:
    """Mean and standard deviation (of the sample; 0 of a single value)."""
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else 0.0


def lines_by(rows: Sequence[Row], column: str, label: Callable[[Any], str]) -> list[Line]:
    """A line for each value of a column, in the order in which the rows first have them."""
    values = dict.fromkeys(row[column] for row in rows)
    return [Line(label(value), [row for row in rows if row[column] == value]) for value in values]


def lines_of(results: Results, figure: str) -> list[Line]:
    """The lines of one of a study's figures, on the fresh images, as far as they are measured.

    Where some lines lack seeds that others have, each says how many it has.
    """
    column = results.figures[figure]["varied"]
    lines = lines_by(results.rows_of(figure), column, LABELS.get(column, str))
    if len({line.seeds for line in lines}) > 1:
        lines = [
            replace(line, label=say("label.with_seeds", label=line.label, seeds=count(line.seeds, "seed")))
            for line in lines
        ]
    return lines


def describe_bars(lines: Sequence[Line]) -> str:
    """What the bars of these lines are, as a sentence for a caption."""
    seeds = sorted({line.seeds for line in lines})
    if seeds == [1]:
        return say("bars.one", interval=say("bars.interval"))
    spread = say("bars.spread")
    if seeds[0] > 1:
        ends = {"first": seeds[0], "last": seeds[-1]}
        many = say("bars.same", first=seeds[0]) if len(seeds) == 1 else say("bars.several", **ends)
        return say("bars.many", seeds=many, spread=spread)
    return say("bars.mixed", last=seeds[-1], spread=spread, interval=say("bars.interval"))
