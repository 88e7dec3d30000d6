"""Each network of a figure beside the figure's first line, on the same images: McNemar's test, seed by seed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..robustness import mcnemar, paired_difference_interval
from . import wording
from .evidence import Lines, MissingError
from .language import decimal, say
from .lines import LABELS
from .results import Results
from .tables import write_csv


def pairs(results: Results) -> list[dict[str, Any]]:
    """A row for each figure, line but the first, seed and epsilon of which both networks are finished.

    Returns
    -------
    list of dicts
        ``figure``, ``line`` and ``against`` (values of what varies), ``seed``, ``epsilon``; on how many images the line
        alone is right (``only_line``), the first one alone (``only_against``); ``p_value`` of McNemar's exact test;
        ``difference`` of their accuracies with its 95 % interval, ``low`` and ``high`` (Newcombe's). Each test is of
        two networks and by itself: of twenty that differ in nothing, one is expected below 0.05.
    """
    return [row for figure in results.figures for row in _of(results, figure)]


def write_pairs(folder: str | Path) -> None:
    """Write ``pairs`` of the study in a folder to its ``pairs.csv``; without any there is none."""
    rows = pairs(Results.load(folder, tables=["results.csv"]))
    if rows:
        write_csv(Path(folder) / "pairs.csv", rows)
    else:
        Path(folder, "pairs.csv").unlink(missing_ok=True)


def pairs_table(results: Results, figure: str) -> dict[str, Any] | None:
    """A figure's rows of ``pairs`` as the page shows them: a row for each line and seed, a cell for each epsilon."""
    found = _of(results, figure)
    if not found:
        return None
    label = LABELS[results.figures[figure]["varied"]]
    rows: dict[str, list[str]] = {}
    for row in found:
        p = wording.p_value(row["p_value"])
        values = (decimal(f"{100 * row[name]:+.1f}") for name in ("difference", "low", "high"))
        told = say("number.range", **dict(zip(("value", "low", "high"), values, strict=True)))
        name = say("pair.seed", label=label(row["line"]), seed=row["seed"])
        rows.setdefault(name, []).append(f"{told} p {p}")
    epsilons = sorted({row["epsilon"] for row in found})
    return {"against": label(found[0]["against"]), "epsilons": epsilons, "rows": [[k, *v] for k, v in rows.items()]}


def _of(results: Results, figure: str) -> list[dict[str, Any]]:
    try:
        lines = Lines.of(results, figure)
    except MissingError:
        return []
    first, rows = lines.levels[0], []
    for level in lines.levels[1:]:
        for seed in lines.seeds:
            a, b = lines.outcomes[level, seed].right, lines.outcomes[first, seed].right  # (E, B)
            for epsilon, ours, theirs in zip(lines.epsilons.tolist(), a, b, strict=True):
                test = mcnemar(ours, theirs)
                low, high = paired_difference_interval(ours, theirs)
                about = {"figure": figure, "line": level, "against": first, "seed": seed, "epsilon": epsilon}
                counts = {"only_line": test.only_a, "only_against": test.only_b, "p_value": test.p_value}
                difference = float(ours.mean() - theirs.mean())
                rows.append({**about, **counts, "difference": difference, "low": float(low), "high": float(high)})
    return rows
