"""What the report reads off its figures, claims C1 to C9, and what is claimed beyond it, tested on a study's results.

Each claim is turned, before any result is seen, into one or a few quantities and the range it asks each to lie in
(``nine.py``, ``beyond.py``); ``verdict.py`` says when that holds.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..records.format import CLAIMS_TABLE
from ..records.run import OWN
from .beyond import BEYOND
from .evidence import MissingError
from .language import say
from .learnt import check_learnt, clean_accuracies
from .nine import CLAIMS, Claim
from .results import Results
from .tables import write_csv
from .verdict import LEVEL, Verdict, decide, level_of, surely


def claims(results: Results) -> list[Verdict]:
    """Test all claims on what a study has so far: what is missing makes a verdict undecided, never an error.

    Parameters
    ----------
    results : Results

    Returns
    -------
    list of Verdict
        C1 to C9, in this order; then each once more for every figure of the study in which other attacks meet the same
        networks; then the claims beyond the report of whose figures the study has some.

    Examples
    --------
    >>> from pathlib import Path
    >>> from minidl import report
    >>> empty = report.Results(Path("study"), {"figures": []}, rows=[], claims=[], runs={}, missing={})
    >>> first = report.claims(empty)[0]
    >>> first.claim, first.verdict, first.reason
    ('C1', 'undecided', 'Figure 8 is not in this study: run it, with --figures 8.')
    """
    others = [figure for figure in results.study["figures"] if "of" in figure and not figure.get("certificates")]
    others.sort(key=lambda figure: list(OWN).index(figure["method"]))  # the weakest attack first
    twins = [
        (name, figure["figure"]) for name, claim in CLAIMS.items() for figure in others if claim.figure in figure["of"]
    ]
    nine = [(name, claim.figure) for name, claim in CLAIMS.items()]
    ours = {entry["figure"].partition("-")[0] for entry in results.study["figures"]} | {*results.transfers}
    more = [(name, claim.figure) for name, claim in BEYOND.items() if claim.figure.partition("-")[0] in ours]
    every = CLAIMS | BEYOND
    return [_test(name, every[name], figure, results) for name, figure in [*nine, *twins, *more]]


def write_claims(folder: str | Path) -> list[Verdict]:
    """Test the claims on the study in a folder, and write them to its ``claims.csv``.

    Raises
    ------
    FileNotFoundError, ValueError
        As ``Results.load``: when the folder is no study's, or a table in it is damaged.
    """
    found = claims(Results.load(folder, tables=["results.csv"]))
    write_csv(Path(folder) / "claims.csv", [_row(verdict) for verdict in found])
    return found


def _test(name: str, claim: Claim, figure: str, results: Results) -> Verdict:
    seeds, text = 0, say(f"claim.{name}")
    try:
        lines = claim.evidence(results, figure)
        seeds = len(lines.seeds)
        check_learnt(lines, results.runs, claim.rests_on(lines) if claim.rests_on else lines.levels)
        parts = claim.parts(lines)
    except MissingError as missing:
        return Verdict(name, figure, text, "undecided", None, None, seeds, str(missing))
    level = level_of(results.study)
    verdict, part, why = decide(lines, parts, level)
    note = claim.note(results, lines) if claim.note and figure == claim.figure else ""
    several = say("verdict.looks", looks=round(LEVEL / level), sure=surely(LEVEL)) if level < LEVEL else ""
    said = part.told(level), several, why, note, clean_accuracies(lines), _other_batch(claim, figure, results)
    effect, interval = part.estimate.effect, part.estimate.interval(1 - level)
    needed = part.seeds_to_decide(level, len(parts)) if verdict == "undecided" else None
    asked = part.low, part.high
    return Verdict(
        name, figure, text, verdict, effect, interval, seeds, " ".join(filter(None, said)), needed, asked, part.of
    )


def _other_batch(claim: Claim, shown: str, results: Results) -> str:
    """A study may take batches of another size than the report, whose claims C1 and C2 differ in nothing else."""
    sizes = [figure["batch_size"] for figure in results.study["figures"] if figure["figure"] == shown]
    size = sizes[0] if sizes else claim.batch_size  # a matrix of transfer says nothing of it
    return "" if size == claim.batch_size else say("verdict.other_batch", size=size, claimed=claim.batch_size)


def _row(verdict: Verdict) -> dict[str, Any]:
    """A row of claims.csv; empty where there is no number."""
    low, high = verdict.interval or ("", "")
    effect = "" if verdict.effect is None else verdict.effect
    known = vars(verdict) | {"effect": effect, "low": low, "high": high}
    return {name: known[name] for name in CLAIMS_TABLE}
