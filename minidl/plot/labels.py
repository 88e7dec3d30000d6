"""Texts that come from outside, drawn as they are: whatever letter they begin with, however long, in any script."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.text import Text
from matplotlib.textpath import text_to_path

from ..report.style import SMALL
from .picture import any_letter

LINE, HANDLE = 0.17, 0.6  # inches, of a legend: a line, and what stands before a label
# Fonts that have what matplotlib's own has not, above all Chinese, Japanese and Korean; those that are there are used.
OTHERS = (
    "Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "WenQuanYi Zen Hei", "Microsoft YaHei", "SimHei",
    "PingFang SC", "Hiragino Sans", "Arial Unicode MS", "Droid Sans Fallback", "Malgun Gothic", "Noto Sans Arabic",
    "Noto Sans Devanagari", "Noto Sans Hebrew", "Noto Sans Thai",
)  # fmt: skip


def inches(text: str, size: float) -> float:
    """How wide the longest line is, at that size in points."""
    return max(_inches(line, size) for line in text.split("\n"))


def _inches(line: str, size: float) -> float:
    wide = [letter for letter in line if unicodedata.east_asian_width(letter) in "WF"]  # each a square
    with any_letter():
        rest = "".join(letter for letter in line if letter not in wide)
        points = text_to_path.get_text_width_height_descent(rest, FontProperties(size=size), ismath=False)[0]
    return (points + len(wide) * size) / 72


def folded(text: object, room: float, size: float, lines: int) -> str:
    """The text in lines of at most that many inches; what goes beyond that many lines is an ellipsis."""
    words = " ".join(str(text).split())
    letters = max(1, int(0.95 * room * len(words) / (inches(words, size) or 1)))
    found = textwrap.wrap(words, letters, break_on_hyphens=False)
    if len(found) > lines:
        found = [*found[: lines - 1], found[lines - 1][: letters - 1] + "…"]
    return "\n".join(found)


def plainly(text: Text) -> Text:
    """The same text, in which a $ is a $, and letters come from any font that has them."""
    text.set_parse_math(False)
    installed = set(font_manager.get_font_names()) if not text.get_text().isascii() else set()
    text.set_fontfamily([*text.get_fontfamily(), *(name for name in OTHERS if name in installed)])
    return text


def legend(picture: Figure, handles: Sequence[Any], labels: Sequence[object], columns: int) -> None:
    """A legend below all axes, for which the picture grows; in fewer columns where labels are long."""
    room = picture.get_figwidth()
    texts = [folded(label, room - HANDLE, SMALL, 8) for label in labels]
    columns = max(1, min(columns, len(texts), int(room / (max(inches(text, SMALL) for text in texts) + HANDLE))))
    made = picture.legend(
        handles, ["-"] * len(texts), loc="outside lower center", ncols=columns, fontsize=SMALL, frameon=False
    )
    for place, text in zip(made.get_texts(), texts, strict=True):  # set here, as matplotlib leaves out a label "_a"
        place.set_text(text)
        plainly(place)
    high = -(-len(texts) // columns) * max(text.count("\n") + 1 for text in texts)
    picture.set_figheight(picture.get_figheight() + LINE * max(0, high - 2))


def percent(share: float) -> str:
    """With one digit after the point, and never all or nothing for a share that is not."""
    text = f"{share:.1%}"
    return "over 99.9%" if text == "100.0%" and share < 1 else "under 0.1%" if text == "0.0%" and share > 0 else text


def several_of(given: Any, kind: type, draws: str) -> dict[str, Any]:
    """{label: each}, of one, which needs no label, or of a mapping."""
    several = dict(given) if isinstance(given, Mapping) else {"": given}
    if not several:
        raise ValueError(f"{draws}, and there is nothing to draw")
    for each in several.values():
        if not isinstance(each, kind):
            raise TypeError(f"{draws}, or a mapping from labels to such, and got a {type(each).__name__}")
    return several


def names_of(classes: Sequence[str] | None, count: int, name: str) -> list[str]:
    """A name for each of that many classes."""
    if classes is None:
        return [f"class {c}" for c in range(count)]
    if len(classes) != count:
        raise ValueError(f"{name}: there are {len(classes)} names of classes, and the model knows {count} classes")
    return [str(label) for label in classes]
