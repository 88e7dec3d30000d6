"""Pictures inside the page: matplotlib's SVG made fit for HTML, and training curves drawn small."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

# Colours of the page's scheme, light or dark, in place of matplotlib's: ink, the chance line, the darkest of the lines.
COLOURS = {"#000000": "currentColor", "#767676": "var(--muted)", "#0072b2": "var(--blue)"}


def inline_svg(svg: str, prefix: str, label: str) -> str:
    """An SVG file as an element of a page.

    Parameters
    ----------
    svg : str
        What matplotlib wrote.
    prefix : str
        Put before each id, as the ids of one page must differ; of letters, digits, - and _.
    label : str
        What a screen reader says, and no label at all ("") for what is only ornament.

    Examples
    --------
    >>> from minidl.report.inline import inline_svg
    >>> inline_svg('<svg width="9pt" height="9pt" viewBox="0 0 9 9"><g id="a"/></svg>', "f9-", "Figure 9")
    '<svg role="img" aria-label="Figure 9" viewBox="0 0 9 9"><g id="f9-a"/></svg>'
    """
    svg = svg[svg.index("<svg") :].strip()
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\bid="', f'id="{prefix}', svg)
    svg = re.sub(r'(href="|url\()#', rf"\1#{prefix}", svg)
    svg = re.sub(r"(fill|stroke): (#[0-9a-f]{6})", lambda m: f"{m[1]}: {COLOURS.get(m[2], m[2])}", svg)
    svg = re.sub(r"\n\s*", "\n", svg)
    said = f'role="img" aria-label="{escape(label)}"' if label else 'aria-hidden="true"'
    return re.sub(r'^<svg[^>]*?(viewBox="[^"]*")[^>]*>', rf"<svg {said} \1>", svg)


def glimpse(svg: str, prefix: str) -> str:
    """A second, small view of a picture that is on the same page: nothing of it is there twice.

    Examples
    --------
    >>> from minidl.report.inline import glimpse
    >>> glimpse('<svg viewBox="0 0 9 9"><g id="f9-figure_1"/></svg>', "f9-")
    '<svg aria-hidden="true" viewBox="0 0 9 9"><use href="#f9-figure_1"/></svg>'
    """
    box = re.search(r'viewBox="[^"]*"', svg)
    return f'<svg aria-hidden="true" {box[0] if box else ""}><use href="#{prefix}figure_1"/></svg>'


def polyline(rows: Sequence[Mapping[str, Any]], column: str, epochs: int, width: float, height: float) -> str:
    """The ``points`` of an SVG polyline: a column in [0, 1] against ``epochs`` from 0 on; 1 is at the top.

    Examples
    --------
    >>> from minidl.report.inline import polyline
    >>> polyline([{"epoch": 0, "accuracy": 0.5}, {"epoch": 2, "accuracy": 1}], "accuracy", 3, 100, 50)
    '0,25 100,0'
    """
    points = []
    for row in rows:
        value = row.get(column)
        if value is not None and math.isfinite(value):
            x = width * row["epoch"] / max(1, epochs - 1)
            points.append(f"{x:.4g},{height * (1 - min(1, max(0, value))):.4g}")
    return " ".join(points)
