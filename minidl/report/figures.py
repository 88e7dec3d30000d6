"""The report's kind of figure: accuracy, and drop of accuracy, against epsilon."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..files import whole_file
from .tables import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Lines differ in lightness, marker and dash, so that they stay apart without colour; the colours (Okabe and Ito 2008)
# also stay apart for the colour-blind.
STYLES = (
    {"color": "#000000", "marker": "o", "linestyle": "-"},
    {"color": "#0072B2", "marker": "s", "linestyle": "--"},
    {"color": "#009E73", "marker": "^", "linestyle": "-."},
    {"color": "#D55E00", "marker": "D", "linestyle": (0, (1, 1))},
    {"color": "#CC79A7", "marker": "v", "linestyle": (0, (5, 1, 1, 1, 1, 1))},
    {"color": "#E69F00", "marker": "P", "linestyle": (0, (3, 1))},
    {"color": "#56B4E9", "marker": "X", "linestyle": (0, (6, 2))},
)


def accuracy_and_drop(rows: Sequence[Row], path: str | Path, *, line: str, label: str, title: str) -> list[Path]:
    """Draw accuracy(epsilon) and drop(epsilon) side by side, one line for each value of a column.

    Parameters
    ----------
    rows : sequence of mappings
        With ``epsilon`` in [0, 1] pixel units, ``accuracy``, ``accuracy_low``, ``accuracy_high``, ``drop``,
        ``drop_low``, ``drop_high``, and the column that tells the lines apart. Rows that agree in that column and in
        epsilon are seeds: the line is their mean, the bars one standard deviation to either side. A single seed's
        bars are its confidence interval, from ``_low`` to ``_high``.
    path : str or Path
        Without ending: an SVG and a PNG are written.
    line : str
        The column that tells the lines apart.
    label : str
        How a line is called, such as ``"sparsity {:.0%}"``.
    title : str

    Returns
    -------
    list of Path
        The files written.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if not rows:
        raise ValueError(f"accuracy_and_drop: there are no rows to draw in {path}")
    figure = Figure(figsize=(7.2, 3.3), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    values = list(dict.fromkeys(row[line] for row in rows))
    for i, value in enumerate(values):
        mine = [row for row in rows if row[line] == value]
        style = STYLES[i % len(STYLES)] | {"linewidth": 1.4, "markersize": 4, "label": label.format(value)}
        shift = (i - (len(values) - 1) / 2) * 0.006  # side by side, so that no bar hides another
        _draw(left, mine, "accuracy", style, shift)
        _draw(right, mine, "drop", style, shift)
    _finish(left, "accuracy under FGSM (%)", "a")
    _finish(right, "drop (percentage points)", "b")
    figure.suptitle(title, fontsize=10)
    figure.legend(
        *left.get_legend_handles_labels(),
        loc="outside lower center",
        ncols=min(len(values), 4),
        fontsize=8,
        frameon=False,
    )
    path = Path(path)
    files = [path.parent / f"{path.name}.{ending}" for ending in ("svg", "png")]
    with rc_context({"svg.hashsalt": "minidl"}):  # fixed ids and no date: the same results give the same bytes
        for name in files:
            kind = name.suffix[1:]
            with whole_file(name) as file:
                figure.savefig(file, format=kind, dpi=200, metadata={"Date": None} if kind == "svg" else None)
    return files


def _draw(axes: Axes, rows: Sequence[Row], what: str, style: dict, shift: float) -> None:
    """One line with its error bars: of one seed the confidence interval, of several their standard deviation."""
    epsilons = sorted({float(row["epsilon"]) for row in rows})
    middle, low, high = [], [], []
    for epsilon in epsilons:
        seeds = [row for row in rows if row["epsilon"] == epsilon]
        values = [100 * row[what] for row in seeds]
        mean = statistics.fmean(values)
        spread = statistics.stdev(values) if len(seeds) > 1 else 0.0
        middle.append(mean)
        low.append(mean - spread if len(seeds) > 1 else 100 * seeds[0][f"{what}_low"])
        high.append(mean + spread if len(seeds) > 1 else 100 * seeds[0][f"{what}_high"])
    x = [255 * (epsilon + shift * epsilons[-1]) for epsilon in epsilons]
    errors = [
        [m - end for m, end in zip(middle, low, strict=True)],
        [end - m for m, end in zip(middle, high, strict=True)],
    ]
    axes.errorbar(x, middle, yerr=errors, capsize=2, elinewidth=0.7, capthick=0.7, clip_on=False, zorder=3, **style)


def _finish(axes: Axes, ylabel: str, panel: str) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_xlabel("epsilon, in 1/255 of the pixel range")
    axes.set_ylabel(ylabel)
    axes.set_title(panel, loc="left", fontsize=10, fontweight="bold")
    axes.set_ylim(bottom=min(0, axes.get_ylim()[0]) if ylabel.startswith("drop") else 0, top=100)
    axes.margins(x=0.03)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
