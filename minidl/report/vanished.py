"""How much of what looks like robustness is only a gradient that vanished (figure 13)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..robustness import wilson_interval
from .flags import outcome_of
from .lines import Line, lines_of
from .results import Results


def vanished_lines(results: Results, figure: str) -> list[Line]:
    """For each line of a figure, the images that are right under attack *and* whose gradient had vanished.

    An attacker who follows a vanished gradient walks in a direction that is noise, or not at all: that such an image
    stays right says nothing about the network. Taken from the accuracy, these images leave what the attack did test.

    Returns
    -------
    list of Line
        With the column ``vanished_right``, a share of all attacked images, and its 95 % interval. Empty when no
        attack's file is there.
    """
    lines = []
    for line in lines_of(results, figure):
        runs = dict.fromkeys(row["run"] for row in line.rows)
        lines.append(replace(line, rows=[row for run in runs for row in _rows(results, figure, run)]))
    return lines if any(line.rows for line in lines) else []


def _rows(results: Results, figure: str, run: str) -> list[dict[str, Any]]:
    """One network's; none where its attack's file was removed, as one may to save space."""
    outcome = outcome_of(results, figure, run, results.shown(figure))
    if outcome is None:
        return []
    count = len(outcome.indices)
    kept = (outcome.right & outcome.vanished_gradient).sum(axis=1)
    low, high = wilson_interval(kept, count)
    columns = zip(outcome.epsilons.tolist(), (kept / count).tolist(), low.tolist(), high.tolist(), strict=True)
    names = ("epsilon", "vanished_right", "vanished_right_low", "vanished_right_high")
    return [dict(zip(names, values, strict=True)) for values in columns]
