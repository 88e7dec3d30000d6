"""Seed after seed until the claims are decided: what is trained next is what decides most.

    python experiments/study.py --preset laptop --seeds 0 1 2 3 4 --until decided --hours 3

The first three seeds are done whole. Then the claims are looked at; those that are undecided get another seed, that one
first which the fewest more seeds would decide. As many looks are as many chances of a wrong verdict: their number is
fixed beforehand (the seeds less two) and each is taken at 95 % for all of them together (Bonferroni).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

from attacks import TEMPERATURE

from minidl import report, study
from minidl.report.beyond import BEYOND
from minidl.report.claims import CLAIMS
from minidl.report.evidence import FEWEST_SEEDS
from minidl.study import Figure, TransferFigure

Figures = list[Figure | TransferFigure]
Do = Callable[[Figures, Sequence[str]], study.Ending]  # figures, and the runs to do: all where none is named


def counted(options: Any) -> Any:
    """The options with as many looks as their seeds make: after the third, the fourth, and so on to the last."""
    if options.until == "finished":
        return options
    return dataclasses.replace(options, looks=max(1, len(options.seeds) - FEWEST_SEEDS + 1))


def until_decided(
    seeds: Sequence[int], figures_of: Callable[[tuple[int, ...]], Figures], do: Do, folder: study.Folder
) -> study.Ending:
    """Do the first three seeds, and more of what is undecided; how the last part ended.

    ``figures_of`` gives the figures of some seeds. Each part leaves a whole folder behind, and given again the command
    decides as it did: a figure whose claims are decided keeps the seeds that decided them.
    """
    stopped: dict[str, int] = {}  # {figure: how many seeds it has}
    for count in range(1, len(seeds) + 1):
        of = [figures_of(tuple(seeds[:k])) for k in range(1, count + 1)]
        figures = [of[stopped.get(figure.figure, count) - 1][f] for f, figure in enumerate(of[-1])]
        more = [names_of(figures, claim.figure) for claim in open_claims(folder)] if count > FEWEST_SEEDS else [()]
        for names in more:
            ending = do(figures, names)
            if ending.missing:
                break
        undecided = {name for claim in open_claims(folder) for name in family(figures, claim.figure)}
        if ending.missing or (count >= FEWEST_SEEDS and not undecided):
            break
        if count >= FEWEST_SEEDS:
            stopped = {f.figure: count for f in figures if f.figure not in undecided} | stopped
    say_what_is_open(folder)
    return ending


def undecided_claims(folder: study.Folder) -> list[report.Verdict]:
    """On the figure that each was stated for, of those that the study has."""
    results = report.Results.load(folder.path, tables=["results.csv"])
    own = {name: claim.figure for name, claim in (CLAIMS | BEYOND).items() if claim.figure in results.pictured}
    return [v for v in report.claims(results) if v.verdict == "undecided" and own.get(v.claim) == v.figure]


def open_claims(folder: study.Folder) -> list[report.Verdict]:
    """Those that more seeds may decide, the nearest to a decision first.

    Without an effect there is something that no seed brings: a network that has not learnt, a line that is not there.
    """
    found = [verdict for verdict in undecided_claims(folder) if verdict.effect is not None]
    return sorted(found, key=lambda verdict: verdict.needed or math.inf)


def family(figures: Figures, figure: str) -> set[str]:
    """A figure and its twins under other attacks, which go on together; figure 13's parts are of the same networks."""
    alike = TEMPERATURE if figure in TEMPERATURE else (figure.partition("-")[0],)
    return {f.figure for f in figures if {f.figure, *(f.of if isinstance(f, Figure) else ())} & {*alike}}


def names_of(figures: Figures, figure: str) -> list[str]:
    """The runs that a figure shows."""
    return [run.name for run in next(each for each in figures if each.figure == figure).runs]


def say_what_is_open(folder: study.Folder) -> None:
    """What the same command with more hours would do next; more seeds are more looks, and so another study's."""
    undecided = undecided_claims(folder)
    for verdict in sorted(undecided, key=lambda verdict: verdict.needed or math.inf):
        needed = f", about {verdict.needed} seeds" if verdict.needed else ""
        what = "next" if verdict.effect is not None else "no seed decides"
        print(f"{what}: {verdict.claim}, figure {verdict.figure}{needed}: {verdict.reason}")
    if not undecided:
        print("every claim is decided")
