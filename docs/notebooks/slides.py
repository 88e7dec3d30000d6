"""The pictures of lessons as slides: 16 : 9, large type, each under the heading that it belongs to.

    python docs/notebooks/build.py --slides slides 08_fgsm     slides/08_fgsm-01.svg and .png, ...

Lessons are run as they stand, with larger letters; what a visible or a folded cell draws becomes a
slide.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import checks  # beside this file
import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.text import Text

WIDTH, HEIGHT = 960, 540  # points
TOP, EDGE, LINE = (
    80,
    32,
    52,
)  # room for the heading, and around the picture; where the heading stands
LETTERS, LARGEST = 13, 22  # points: in the lesson's picture, and on the slide at most
INK, PALE = "#1a1a1a", "#6b6b6b"
SVG = """\
<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" \
viewBox="0 0 {w} {h}" font-family="DejaVu Sans, sans-serif">
<rect width="{w}" height="{h}" fill="white"/>
<text x="{edge}" y="{line}" font-size="30" fill="{ink}">{heading}</text>
<text x="{right}" y="{line}" font-size="15" fill="{pale}" text-anchor="end">{lesson}</text>
{picture}
</svg>
"""


class Place(NamedTuple):
    """Where a picture lies on its slide, in points, and how much larger it is there."""

    left: float
    top: float
    width: float
    height: float
    times: float


def draw(lesson: Path, folder: Path) -> list[Path]:
    """Run a lesson, and write its pictures; their paths, of the PNG files."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    title = lesson.read_text(encoding="utf-8").partition("# # ")[2].partition("\n")[0]
    for number, (heading, figure) in enumerate(pictures(lesson), 1):
        path, place = folder / f"{lesson.stem}-{number:02d}.png", place_of(figure)
        to_size(figure, place.times)
        as_svg(figure, place, heading, title, path.with_suffix(".svg"))
        as_png(figure, place, heading, title, path)
        written.append(path)
    return written


def pictures(lesson: Path) -> Iterator[tuple[str, Figure]]:
    """Each figure of a lesson, when its cell has run, and the last heading above it."""
    before, where = plt.rcParams.copy(), Path.cwd()
    names: dict[str, Any] = {"__name__": "__main__", "__file__": str(lesson)}
    text = lesson.read_text(encoding="utf-8")
    try:
        os.chdir(lesson.parent)
        plt.rcParams.update({"font.size": LETTERS, "figure.max_open_warning": 0})
        for cell in checks.code_cells(text):
            if cell.has("solution"):
                continue
            with checks.forgotten(cell, names):
                exec(compile("\n" * cell.line + cell.source, str(lesson), "exec"), names)
            for figure in map(plt.figure, plt.get_fignums()):
                yield heading_above(text, cell.line), figure
            plt.close("all")
    finally:
        plt.rcParams.update(before)
        os.chdir(where)


def heading_above(text: str, line: int) -> str:
    """The last heading of the lesson before this line."""
    above = "\n".join(text.splitlines()[:line])
    return ["", *re.findall(r"^# ##+ (.*)", above, re.MULTILINE)][-1]


def place_of(figure: Figure) -> Place:
    """As large as there is room."""
    width, height = (72 * size for size in figure.get_size_inches())
    room = HEIGHT - TOP - EDGE
    times = min((WIDTH - 2 * EDGE) / width, room / height)
    width, height = times * width, times * height
    return Place((WIDTH - width) / 2, TOP + (room - height) / 2, width, height, times)


def to_size(figure: Figure, times: float) -> None:
    """Letters that would be too large on the slide are made smaller, and all have room."""
    if figure.get_layout_engine() is None:
        figure.set_layout_engine("constrained")
    figure.canvas.draw()
    most = LARGEST / times
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            if any(label.get_fontsize() > most for label in axis.get_ticklabels()):
                axis.set_tick_params(labelsize=most)
    for text in figure.findobj(Text):
        text.set_fontsize(min(text.get_fontsize(), most))


def as_svg(figure: Figure, place: Place, heading: str, lesson: str, path: Path) -> None:
    """A slide whose letters are letters."""
    svg = io.StringIO()
    figure.savefig(svg, format="svg", facecolor="white")
    inner = svg.getvalue()[svg.getvalue().index("<svg") :]
    where = ("x", "y", "width", "height")
    size = " ".join(f'{k}="{v:.1f}"' for k, v in zip(where, place[:4], strict=True))
    inner = re.sub(r'<svg [^>]*?(viewBox="[^"]*")[^>]*>', rf"<svg {size} \1>", inner, count=1)
    words = {"heading": escape(heading), "lesson": escape(lesson), "picture": inner}
    colors = {"ink": INK, "pale": PALE, "edge": EDGE, "right": WIDTH - EDGE, "line": LINE}
    path.write_text(SVG.format(w=WIDTH, h=HEIGHT, **words, **colors), encoding="utf-8")


def as_png(figure: Figure, place: Place, heading: str, lesson: str, path: Path) -> None:
    """The same in 1920 x 1080 pixels."""
    raster = io.BytesIO()
    figure.savefig(raster, format="png", dpi=144 * place.times, facecolor="white")
    raster.seek(0)
    slide, high = (
        plt.figure(figsize=(WIDTH / 72, HEIGHT / 72), facecolor="white"),
        1 - LINE / HEIGHT,
    )
    slide.text(EDGE / WIDTH, high, heading, fontsize=30, color=INK)
    slide.text(1 - EDGE / WIDTH, high, lesson, fontsize=15, color=PALE, ha="right")
    bottom = HEIGHT - place.top - place.height
    slide.figimage(plt.imread(raster), 2 * place.left, 2 * bottom)
    slide.savefig(path, dpi=144, facecolor="white")
    plt.close(slide)
