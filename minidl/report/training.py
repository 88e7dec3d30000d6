"""Training curves, drawn small: a plot for the runs whose names agree up to the seed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from . import wording
from .inline import polyline
from .language import count, say
from .results import Results

PLOT = (120.0, 60.0)  # a training curve, in its own units


def training_curves(results: Results) -> list[dict[str, Any]]:
    """What the page draws of all runs that have begun."""
    groups: dict[str, list[str]] = {}
    for name in results.names:
        groups.setdefault(re.sub(r"-seed\d+-[0-9a-f]+$", "", name), []).append(name)
    return [plot for name, runs in groups.items() if (plot := _plot(results, name, runs))]


def _plot(results: Results, name: str, runs: Sequence[str]) -> dict[str, Any] | None:
    curves = [curve for run in runs if (curve := results.curve(run))]
    if not curves:
        return None
    epochs = 1 + max(row["epoch"] for curve in curves for row in curve)  # the first is 0
    finals = [results.runs[run].get("val_accuracy") for run in runs if run in results.runs]
    lines = {
        column: [points for curve in curves if (points := polyline(curve, column, epochs, *PLOT))]
        for column in ("val_accuracy", "accuracy", "sparsity")
        if column != "sparsity" or any(row.get("sparsity") for curve in curves for row in curve)
    }
    return {
        "name": name,
        "lines": lines,
        "epochs": epochs,
        "final": say("page.percent", number=wording.spread(finals)) if finals else say("page.in_training"),
        "seeds": count(len(curves), "seed"),
        "unfinished": sum(run not in results.runs for run in runs),
    }
