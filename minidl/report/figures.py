"""The report's kind of figure: accuracy, and drop of accuracy, against epsilon."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..records import write_file
from ..robustness import TransferMatrix, TwoSided
from .language import decimal, say
from .lines import Line, lines_of, pruner
from .results import Results
from .sides import both_sides, draw_band
from .style import STYLES, epsilon_place, finish_epsilon_axes, own_style
from .transfers import draw_matrix, matrices
from .vanished import vanished_lines

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CHANCE = 0.1  # of a guess among ten classes
LETTERED = ("8", "9", "11")  # figures whose panels the report calls a and b; 10a is a figure of its own


@dataclass(frozen=True)
class Panel:
    """One pair of axes: which lines, which of their columns, or both sides of each, and what that is called."""

    lines: Sequence[Line]
    what: str
    ylabel: str
    title: str
    sides: Mapping[str, TwoSided] = field(default_factory=dict)


def draw_figures(results: Results) -> list[Path]:
    """Draw each figure of a study, as far as it is measured, into its folder ``figures``.

    Parameters
    ----------
    results : Results

    Returns
    -------
    list of Path
        The files written: an SVG and a PNG for each figure that has something to draw.

    Raises
    ------
    ValueError
        When a file of the study is damaged.
    """
    files = []
    with own_style():
        for name, figure in results.figures.items():
            panels = panels_of(results, name)
            if panels:
                drawing = _side_by_side(panels, f"Figure {name}: {figure['title']}", _missing(results, name))
                files += _write(drawing, results.folder / "figures" / f"figure-{name}")
        for name, entry in results.transfers.items():
            if found := matrices(results, name):
                drawing = _matrix(found, f"Figure {name}: {entry['title']}")
                files += _write(drawing, results.folder / "figures" / f"figure-{name}")
    return files


def panels_of(results: Results, name: str) -> list[Panel]:
    """The panels of one figure of a study; none while nothing of it is measured."""
    lines = lines_of(results, name)
    if not lines:
        return []
    if results.figures[name].get("certificates"):
        found = both_sides(results, name)
        shown = [line for line in lines if line.label in found]
        return [Panel(shown, "sides", say("axis.stay"), say("panel.sides"), found)] if shown else []
    if results.figures[name]["varied"] == "pruned":
        return _by_sparsity(lines)
    panels = _two_panels(lines, lettered=name in LETTERED)
    # other methods come past a first gradient that vanished
    if results.figures[name]["varied"] in ("temperature", "defence") and results.method(name) == "fgsm":
        vanished = vanished_lines(results, name)
        if vanished:
            panels.append(Panel(vanished, "vanished_right", say("axis.share"), say("panel.vanished")))
    return panels


def matrix_svg(found: Sequence[TransferMatrix]) -> str:
    """A matrix of transfer, as the text of an SVG file whose letters are text."""
    with own_style():
        return _svg(_matrix(found, ""))


def panel_svg(panel: Panel) -> str:
    """One panel by itself, without a legend, as the text of an SVG file whose letters are text."""
    with own_style():
        figure = _new_figure(3.7, 2.9)
        _draw_panel(figure.subplots(), panel)
        return _svg(figure)


def sample_svg(index: int) -> str:
    """A short piece of the line of that number, for a legend, as the text of an SVG file."""
    with own_style():
        figure = _new_figure(0.5, 0.16, layout="none")
        axes = figure.add_axes((0, 0, 1, 1))
        axes.plot([0.05, 0.5, 0.95], [0.5, 0.5, 0.5], markevery=[1], **_style(index))
        axes.set(xlim=(0, 1), ylim=(0, 1))
        axes.set_axis_off()
        return _svg(figure)


def _two_panels(lines: Sequence[Line], lettered: bool) -> list[Panel]:
    a, b = ("(a) ", "(b) ") if lettered else ("", "")
    return [
        Panel(lines, "accuracy", say("axis.accuracy"), a + say("panel.accuracy")),
        Panel(lines, "drop", say("axis.points"), b + say("panel.drop")),
    ]


def _by_sparsity(lines: Sequence[Line]) -> list[Panel]:
    """A panel for each sparsity, if there are several: a line for each way to come to it, beside the dense one's."""
    at = {line.label: float(line.rows[0]["sparsity"]) for line in lines}
    sparsities = sorted({*at.values()} - {0})
    if len(sparsities) < 2:
        return _two_panels(lines, lettered=False)
    ways = dict.fromkeys(pruner(line.rows[0]["pruned"]) for line in lines)
    rows = {(at[line.label], pruner(line.rows[0]["pruned"])): line.rows for line in lines}
    return [
        Panel(  # a way that is missing here keeps its place, and with it all others their colours
            [Line(way, rows.get((sparsity, way), rows.get((0, way), ()))) for way in ways],
            "accuracy",
            say("axis.accuracy"),
            say("label.sparsity", part=decimal(f"{100 * sparsity:g}")),
        )
        for sparsity in sparsities
    ]


def _missing(results: Results, name: str) -> str:
    """What a figure of a half-finished study lacks, in words; empty for a finished one."""
    missing, runs = len(results.unmeasured(name)), len(results.figures[name]["runs"])
    return f"not finished: {missing} of {runs} networks are missing" if missing else ""


def _new_figure(width: float, height: float, layout: Any = "constrained") -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout=layout)
    FigureCanvasAgg(figure)
    return figure


def _matrix(found: Sequence[TransferMatrix], title: str) -> Figure:
    figure = _new_figure(4.8, 4.4)
    draw_matrix(figure.subplots(), found)
    if title:
        figure.suptitle(title, fontsize=10, parse_math=False)
    return figure


def _side_by_side(panels: Sequence[Panel], title: str, note: str = "") -> Figure:
    """The figure that is written to files: its panels in a row, the legend below."""
    lines = panels[0].lines
    figure = _new_figure(3.6 * len(panels), 3.5)
    row = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, panel in zip(row, panels, strict=True):
        _draw_panel(axes, panel)
    figure.suptitle(f"{title}\n{note}" if note else title, fontsize=10, parse_math=False)
    drawn = {label: handle for axes in row for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    labels = [line.label for line in lines if line.label in drawn]
    legend = figure.legend(
        [drawn[label] for label in labels],
        labels,
        loc="outside lower center",
        ncols=min(len(lines), 2 * len(panels)),
        fontsize=8,
        frameon=False,
    )
    for text in legend.get_texts():
        text.set_parse_math(False)
    return figure


def _draw_panel(axes: Axes, panel: Panel) -> None:
    for i, line in enumerate(panel.lines):
        shift = (i - (len(panel.lines) - 1) / 2) * 0.007  # side by side, so that no bar hides another
        if panel.what == "sides":
            draw_band(axes, panel.sides[line.label], line.label, _style(i))
            continue
        _draw_line(axes, line, panel.what, _style(i), shift)
    _finish(axes, panel)


def _style(index: int) -> dict[str, Any]:
    """How the line of this number looks; past the last style they come again with hollow markers."""
    hollow = {"markerfacecolor": "none"} if index >= len(STYLES) else {}
    return STYLES[index % len(STYLES)] | hollow | {"linewidth": 1.4, "markersize": 4}


def _draw_line(axes: Axes, line: Line, what: str, style: dict[str, Any], shift: float) -> None:
    """One line with its error bars, in percent; epsilon's axis is that of a square root, as the small ones matter."""
    points = line.points(what)
    if not points:
        return
    widest = epsilon_place(points[-1].epsilon)
    x = [epsilon_place(point.epsilon) + shift * widest for point in points]
    y = [100 * point.mean for point in points]
    errors = [
        [100 * (point.mean - point.low) for point in points],
        [100 * (point.high - point.mean) for point in points],
    ]
    bars: dict[str, Any] = {"capsize": 2, "elinewidth": 0.7, "capthick": 0.7, "clip_on": False, "zorder": 3}
    axes.errorbar(x, y, yerr=errors, label=line.label, **bars, **style)


def _finish(axes: Axes, panel: Panel) -> None:
    drop = panel.what == "drop"
    epsilons = sorted({epsilon for line in panel.lines for epsilon in line.epsilons})
    finish_epsilon_axes(axes, panel.ylabel, epsilons, min(0, axes.get_ylim()[0]) if drop else 0)
    axes.set_title(panel.title, loc="left", fontsize=9, fontweight="bold")
    if panel.what == "accuracy":
        axes.axhline(100 * CHANCE, color="#767676", linewidth=0.8, linestyle=(0, (2, 2)), zorder=1)
        place: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "xytext": (0, 2), "textcoords": "offset points"}
        axes.annotate(say("axis.chance"), (0.01, 100 * CHANCE), fontsize=8, color="#767676", **place)


def _write(figure: Figure, path: Path) -> list[Path]:
    from matplotlib import rc_context

    files = [path.parent / f"{path.name}.{ending}" for ending in ("svg", "png")]
    with rc_context({"svg.hashsalt": "minidl"}):  # fixed ids and no date: the same results give the same bytes
        for name in files:
            kind = name.suffix[1:]
            content = io.BytesIO()
            figure.savefig(content, format=kind, dpi=200, metadata={"Date": None} if kind == "svg" else None)
            write_file(name, content.getvalue())
    return files


def _svg(figure: Figure) -> str:
    from matplotlib import rc_context

    text = io.StringIO()
    with rc_context({"svg.hashsalt": "minidl", "svg.fonttype": "none"}):
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    return text.getvalue()
