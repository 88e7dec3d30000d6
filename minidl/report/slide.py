"""A study's claims on a slide: each with its verdict, by colour and by sign, and its interval beside what is asked."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..records import LANGUAGES, write_file
from . import wording
from .answers import KINDS, SIGNS, first_of_each, same, verdicts_anew
from .interval import end_of, reach_of
from .language import count, has, say, speaking
from .results import Results
from .style import own_style
from .verdict import Verdict, level_of, surely

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = {"holds": "#14683F", "fails": "#9C2318", "undecided": "#8A6100"}
INK, MUTED, ASKED = "#1B1C20", "#565A63", "#CFE3F3"
WIDE, HIGH = 1600.0, 900.0  # in hundredths of an inch: 16:9
TOP, BOTTOM = 152.0, 80.0  # what the heading and the axis take
LEFT, RIGHT = 850.0, 1540.0  # of the axis
MOST = 12  # claims that are readable on one slide


def write_slides(folder: str | Path) -> list[Path]:
    """Write a study's claims as pictures for a slide, 1920 x 1080: ``summary.png``, and ``summary.fr.png`` in French.

    Parameters
    ----------
    folder : str or Path
        A study's results folder, with its ``claims.csv``.

    Returns
    -------
    list of Path
        Of the pictures; without claims on its figures there are none, and what was there is removed.

    Raises
    ------
    FileNotFoundError, ValueError
        As ``Results.load``.
    """
    results = Results.load(folder)
    files = {language: results.layout.slide(language) for language in LANGUAGES}
    if not first_of_each(results):
        for path in files.values():
            path.unlink(missing_ok=True)
        return []
    for language, path in files.items():
        with speaking(language), own_style():
            write_file(path, _drawn(results))
    return [*files.values()]


def _drawn(results: Results) -> bytes:
    """The slide in the language that is spoken, as a PNG file."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDE / 100, HIGH / 100), facecolor="#FFFFFF")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, WIDE), ylim=(HIGH, 0))
    axes.set_axis_off()
    anew = verdicts_anew(results)
    shown = [(row, same(row, anew)) for row in first_of_each(results)][:MOST]
    reach = reach_of([row for row, _ in shown], [verdict for _, verdict in shown])
    step = (HIGH - TOP - BOTTOM) / len(shown)
    _heading(axes, results)
    _axis(axes, reach)
    for i, (row, verdict) in enumerate(shown):
        _row(axes, row, verdict, TOP + step * (i + 0.5), step, reach)
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=120)
    return content.getvalue()


def _text(axes: Axes, x: float, y: float, text: str, size: float, **how: Any) -> None:
    axes.text(x, y, text, fontsize=size, parse_math=False, **{"va": "center", "color": INK} | how)


def _heading(axes: Axes, results: Results) -> None:
    """What was tested on what; and below, what the signs mean."""
    settings = results.study.get("settings", {})
    data, pixels = settings.get("data"), settings.get("crop")
    _text(axes, 40, 54, say("slide.title"), 36, weight="bold")
    named = say(f"data.{data}") if isinstance(data, str) and has(f"data.{data}") else ""
    sure, seeds = surely(level_of(results.study)), count(len(settings.get("seeds", ())), "seed")
    where = say("slide.where", data=named, pixels=pixels, seeds=seeds, sure=sure)
    _text(axes, 40, 112, where if named else say("slide.how", sure=sure), 19, color=MUTED)
    x, y = 66.0, HIGH - BOTTOM + 38
    for kind in (*KINDS, "undecided"):
        _sign(axes, kind, x, y, 20)
        _text(axes, x + 30, y, say(f"verdict.{kind}"), 20, color=COLOURS[kind], weight="bold")
        x += 220


def _sign(axes: Axes, kind: str, x: float, y: float, radius: float) -> None:
    from matplotlib.patches import Circle

    axes.add_patch(Circle((x, y), radius, color=COLOURS[kind], lw=0))
    _text(axes, x, y, SIGNS[kind], radius, color="#FFFFFF", ha="center", weight="bold")


def _place(value: float, reach: float) -> float:
    """Where a difference stands on the axis; what is beyond it, at its end."""
    return (LEFT + RIGHT) / 2 + (RIGHT - LEFT) / 2 * max(-1.0, min(1.0, value / reach))


def _axis(axes: Axes, reach: float) -> None:
    end = HIGH - BOTTOM + 4
    axes.plot([_place(0, reach)] * 2, [TOP - 6, end], color=INK, lw=1.6, zorder=1)
    axes.plot([LEFT, RIGHT], [end, end], color=MUTED, lw=1.2)
    for value in (-reach, -reach / 2, 0.0, reach / 2, reach):
        axes.plot([_place(value, reach)] * 2, [end, end + 8], color=MUTED, lw=1.2)
        _text(axes, _place(value, reach), end + 34, end_of(value), 20, ha="center", color=MUTED)


def _row(axes: Axes, row: Mapping[str, Any], verdict: Verdict | None, y: float, step: float, reach: float) -> None:
    """One claim: sign, name and words, and its interval."""
    kind = row["verdict"] if row["verdict"] in KINDS else "undecided"
    size = min(23.0, 0.3 * step)
    axes.plot([40, RIGHT + 20], [y + step / 2] * 2, color="#E4E6EA", lw=1)
    _sign(axes, kind, 66, y, min(26.0, 0.36 * step))
    _text(axes, 108, y, row["claim"], size, weight="bold")
    key = f"short.{row['claim']}"
    words = say(key) if has(key) else str(row["text"])[:44]
    measured = verdict is not None and verdict.asked is not None
    _text(axes, 182, y - 0.15 * step * measured, words, size)
    if verdict is not None and verdict.asked is not None:
        _text(axes, 182, y + 0.24 * step, say(f"slide.{verdict.hangs_on}"), 0.62 * size, color=MUTED)
        low, high = (_place(end, reach) for end in verdict.asked)
        axes.fill_between([low, high], y - 0.4 * step, y + 0.4 * step, color=ASKED, lw=0, zorder=0)
    if row["effect"] is None:
        _text(axes, (LEFT + RIGHT) / 2 + 14, y, say("slide.nothing"), size - 3, color=MUTED, style="italic")
        return
    ends = [_place(end, reach) for end in (row["low"], row["high"]) if end is not None and math.isfinite(end)]
    axes.plot(ends, [y] * len(ends), color=COLOURS[kind], lw=6, solid_capstyle="butt", zorder=3)
    axes.plot(_place(row["effect"], reach), y, "o", color=COLOURS[kind], ms=15, mec="#FFFFFF", mew=2, zorder=4)
    places = [*ends, _place(row["effect"], reach)]
    left, right = min(places), max(places)  # the number stands on the side away from 0, where there is room
    free = right < RIGHT - 70 and (row["effect"] >= 0 or left < LEFT + 70)
    x = right + 14 if free else left - 14
    how = {"ha": "left" if free else "right", "color": COLOURS[kind], "weight": "bold"}
    _text(axes, x, y, wording.signed(row["effect"]), size - 2, **how)
