"""Figure 14: does what fools one network fool another? The matrix as a picture, a table, and tests between its rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..robustness import TransferMatrix
from . import wording
from .language import say
from .results import Results
from .tables import write_csv

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PALE = 0.55  # beyond this part a cell is dark, and its number white


def matrices(results: Results, figure: str) -> list[TransferMatrix]:
    """A figure's matrices, one for each seed of which it is there; a seed whose networks share no image has none."""
    found = []
    for seed in results.transfers[figure]["seeds"]:
        outcome = results.transfer(seed["transfer"])
        if outcome is not None and (outcome.right[:, None] & outcome.right).any(axis=2).all():
            found.append(TransferMatrix.of(list(seed["networks"]), outcome.right, outcome.fooled))
    return found


def transfers(results: Results) -> list[dict[str, Any]]:
    """A row for each figure, seed (numbered from 0), network attacked and network that saw what came of it.

    Returns
    -------
    list of dicts
        ``figure``, ``method``, ``epsilon``, ``matrix`` (which seed's), ``made_on``, ``seen_by``, ``count`` (images that
        both have right), ``rate`` (the part of them that ``seen_by`` has wrong), ``low`` and ``high`` (Wilson's 95 %
        interval), ``passed_on`` (the same of those alone that fooled ``made_on``; empty where none did).
    """
    rows = []
    for name, figure in results.transfers.items():
        for m, matrix in enumerate(matrices(results, name)):
            about = {"figure": name, "method": figure["method"], "epsilon": figure["epsilon"], "matrix": m}
            for (i, j), rate in np.ndenumerate(matrix.rate):
                passed = float(matrix.passed_on[i, j])
                numbers = {
                    "made_on": matrix.names[i], "seen_by": matrix.names[j], "count": int(matrix.counts[i, j]),
                    "rate": float(rate), "low": float(matrix.low[i, j]), "high": float(matrix.high[i, j]),
                    "passed_on": "" if np.isnan(passed) else passed,
                }  # fmt: skip
                rows.append(about | numbers)
    return rows


def write_transfers(folder: str | Path) -> None:
    """Write ``transfers`` of the study in a folder to its ``transfers.csv``; without any there is none."""
    results = Results.load(folder, tables=[])
    rows = transfers(results)
    if rows:
        write_csv(results.layout.transfers, rows)
    else:
        results.layout.transfers.unlink(missing_ok=True)


def transfer_table(found: Sequence[TransferMatrix]) -> list[list[str]]:
    """A row for each network attacked, a cell for each that saw it: of one seed with Wilson's interval, of several the
    mean with the standard deviation.
    """
    first, rows = found[0], []
    for i, name in enumerate(first.names):
        cells = [name]
        for j in range(len(first.names)):
            if len(found) > 1:
                cells.append(wording.spread([float(matrix.rate[i, j]) for matrix in found]))
            else:
                rate, low, high = (wording.percent(float(x[i, j])) for x in (first.rate, first.low, first.high))
                cells.append(say("number.range", value=rate, low=low, high=high))
        rows.append(cells)
    return rows


def row_tests(found: Sequence[TransferMatrix]) -> list[list[str]]:
    """McNemar's test between rows: does what was made on a network fool the first one as often as what was made on the
    last one, the control? A row for each of the others, a cell for each seed.
    """
    names = found[0].names
    rows = []
    for name in names[1:-1]:
        cells = [name]
        for matrix in found:
            test = matrix.compare(name, names[-1], names[0])
            counts = {"row": test.only_b, "control": test.only_a}
            cells.append(say("transfer.against", **counts, p=wording.p_value(test.p_value)))
        rows.append(cells)
    return rows


def draw_matrix(axes: Axes, found: Sequence[TransferMatrix]) -> None:
    """The mean rates as a field of greys with their numbers; with one seed Wilson's interval below each."""
    names, rate = found[0].names, np.mean([matrix.rate for matrix in found], axis=0)
    axes.pcolormesh(rate, cmap="Blues", vmin=0, vmax=1, edgecolors="#FFFFFF", linewidth=1)
    axes.invert_yaxis()
    axes.set_aspect("equal")
    for (i, j), part in np.ndenumerate(rate):
        text = f"{100 * part:.0f}"
        if len(found) == 1:
            ends = {"low": f"{100 * found[0].low[i, j]:.0f}", "high": f"{100 * found[0].high[i, j]:.0f}"}
            text += "\n" + say("sides.to", **ends)
        dark = part > PALE
        axes.text(j + 0.5, i + 0.5, text, ha="center", va="center", fontsize=8, color="#FFFFFF" if dark else "#111111")
    ticks = np.arange(len(names)) + 0.5
    axes.set_xticks(ticks, names, fontsize=8, rotation=20, ha="right", parse_math=False)
    axes.set_yticks(ticks, names, fontsize=8, parse_math=False)
    axes.set_xlabel(say("transfer.seen_by"), fontsize=8)
    axes.set_ylabel(say("transfer.made_to_fool"), fontsize=8)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
