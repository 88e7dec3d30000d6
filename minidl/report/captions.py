"""What stands below a figure: what was varied, who attacked, on which images, what the bars are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .figures import Panel
from .language import has, say
from .lines import Line, describe_bars
from .results import Results
from .tables import Row


def caption(results: Results, name: str, lines: Sequence[Line], panels: Sequence[Panel]) -> list[str]:
    """The sentences of a figure's caption."""
    figure = results.figures[name]
    varied, method = figure["varied"], results.method(name)
    sentences = [say(f"caption.{varied}")] if has(f"caption.{varied}") else []
    if not lines:
        return sentences
    rows = [row for line in lines for row in line.rows]
    sentences.append(say("caption.worst") if method == "auto" else _climbed(method, figure, rows))
    if figure.get("certificates"):
        sentences.append(say("caption.sides"))
        sentences += [say("caption.one_certificate")] if varied == "temperature" else []
    counts = f" {say('or')} ".join(str(number) for number in sorted({row["count"] for row in rows}))
    sentences.append(say("caption.images", counts=counts, drawn=say(f"caption.{results.shown(name)}")))
    sentences += [] if figure.get("certificates") else [describe_bars(lines)]
    if any(panel.what == "vanished_right" for panel in panels):
        sentences.append(say("caption.vanished"))
    return sentences


def _climbed(method: str, figure: dict[str, Any], rows: Sequence[Row]) -> str:
    """Which loss an attack climbs, and what the attacker knows."""
    temperature, margin = figure["varied"] == "temperature", any(row["loss"] == "margin" for row in rows)
    if margin:
        how = "margin"
    elif temperature and all(row["attack_temperature"] == row["temperature"] for row in rows):
        how = "knows"
    elif temperature:
        how = "not_knows"
    else:
        how = "climbs_hot" if any(row["temperature"] != 1 for row in rows) else "climbs"
    said = say(f"caption.{how}", method=say(f"method.{method}"))
    if method != "fgsm":
        return say("caption.not_fgsm", said=said)
    return say("caption.not_there", said=said) if margin else said
