"""Claim C13, of figure 14: what fools a dense network fools a compressed one as it does another dense one, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any

import numpy as np

from ..records import Outcome, TransferOutcome
from .evidence import Estimate, Lines, MissingError, to_run
from .language import say
from .nine import MARGIN
from .results import Results
from .verdict import Part


@dataclass(frozen=True, eq=False)
class Carried(Lines):
    """The networks of a matrix of transfer as lines of one epsilon, 0, and what each saw of what fools the others.

    Attributes
    ----------
    seen : {seed: TransferOutcome}
        Its networks are ``levels``, in this order; the last is the control, a dense one of another seed.
    compressed : tuple of str
        The levels that are pruned or of low rank.
    """

    seen: Mapping[int, TransferOutcome] = field(default_factory=dict)
    compressed: tuple[str, ...] = ()

    @classmethod
    def of(cls, results: Results, figure: str) -> Carried:
        """Read a figure's matrices; MissingError when there is none."""
        entry = results.transfers.get(figure)
        if entry is None:
            raise MissingError(say("missing.figure", figure=figure, how=f"--figures {figure}"))
        seen: dict[int, TransferOutcome] = {}
        outcomes: dict[tuple[Any, int], Outcome] = {}
        names: dict[tuple[Any, int], str] = {}
        unfinished: list[str] = []
        for matrix in entry["seeds"]:
            runs, found = matrix["networks"], _seen(results, matrix["transfer"])
            if found is None:  # where all are trained, their matrix is not made, which needs the weights of all
                unfinished += [run for run in runs.values() if run not in results.runs] or runs.values()
                continue
            seed = results.runs[next(iter(runs.values()))]["run"]["seed"]
            seen[seed], none = found, np.zeros(len(found.indices), bool)
            for right, (level, run) in zip(found.right, runs.items(), strict=True):
                names[level, seed] = run
                outcomes[level, seed] = Outcome(np.zeros(1), found.indices, found.labels, right[None], none, none)
        if not seen:
            raise MissingError(say("missing.seed", figure=figure, run=to_run(unfinished)))
        levels = list(dict.fromkeys(level for level, _ in outcomes))
        made_small = {level for (level, _), run in names.items() if _is_compressed(results.runs[run]["run"])}
        compressed = tuple(level for level in levels if level in made_small)
        return cls(figure, "network", levels, sorted(seen), np.zeros(1), outcomes, unfinished, names, seen, compressed)

    def more(self, pair: tuple[str, str], other: tuple[str, str]) -> Estimate:
        """Of the images that all networks have right, the part that fools pair[1] once it was made to fool pair[0].

        Less the same of the other pair.
        """
        each = []
        for seed in self.seeds:
            everyone = self.seen[seed].right.all(axis=0)
            if not everyone.any():
                raise MissingError(say("missing.shared", figure=self.figure, seed=seed))
            mine, others = (
                self.seen[seed].fooled[self.levels.index(made), self.levels.index(by)][everyone]
                for made, by in (pair, other)
            )
            each.append(mine.astype(float) - others)
        return Estimate.of(each)


def _is_compressed(run: Mapping[str, Any]) -> bool:
    return run["pruning"] is not None or run["low_rank"] != "none"


def _seen(results: Results, transfer: str) -> TransferOutcome | None:
    try:
        return results.transfer(transfer)
    except ValueError as error:  # damaged: the message says what to do
        raise MissingError(str(error)) from error


def c13(lines: Lines) -> list[Part]:
    """For each compressed network two parts, there and back: not less than between two dense networks."""
    assert isinstance(lines, Carried)
    if not lines.compressed:
        raise MissingError(say("missing.compressed", figure=lines.figure))
    dense, control = lines.levels[0], lines.levels[-1]
    parts = []
    for other in lines.compressed:
        there, back = ((dense, other), (dense, control)), ((other, dense), (control, dense))
        for key, pairs in (("quantity.there", there), ("quantity.back", back)):
            name = say(key, dense=dense, other=other, control=control)
            parts.append(Part(name, lines.more(*pairs), -MARGIN, inf, "fooled"))
    return parts
