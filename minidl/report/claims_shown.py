"""The claims as the page shows them: what was found on the report's own figure, and what other attacks say of it."""

from __future__ import annotations

import re
from typing import Any

from . import wording
from .answers import KINDS, SIGNS, Anew, answers, first_of_each, reason, same, verdicts_anew
from .language import count, decimal, has, say
from .results import Results
from .sides import sides_tables


def anchor_of(figure: str) -> str:
    """Where on the page a figure is."""
    return "figure-" + re.sub(r"[^\w-]", "-", figure, flags=re.ASCII)


def claims_shown(results: Results) -> list[dict[str, Any]]:
    """Each claim: what was found, and what other attacks say of it; those first of which there is a number."""
    anew = verdicts_anew(results)
    first = answers(results, anew)
    found = {
        row["claim"]: _claim(row, results, anew) | first[row["claim"]] | {"others": []}
        for row in first_of_each(results)
    }
    for row in results.claims:
        if row["claim"] in found and row["figure"] != found[row["claim"]]["figure"]:
            known = row["figure"] in results.figures
            method = say(f"method.{results.method(row['figure'])}") if known else row["figure"]
            found[row["claim"]]["others"].append(_claim(row, results, anew) | {"method": method})
    for claim in found.values():
        claim["sides"] = [_both_sides(results, name) for name in _bands(results, claim["figure"])]
    return sorted(found.values(), key=lambda claim: not claim["bar"])


def _bands(results: Results, figure: str) -> list[str]:
    """The figures that show the same networks from both sides."""
    return [n for n, band in results.figures.items() if band.get("certificates") and figure in band.get("of", ())]


def _both_sides(results: Results, figure: str) -> dict[str, str]:
    """What is proved or refuted of "more robust than the first line", in words."""
    shown, told = {"figure": figure, "anchor": anchor_of(figure)}, []
    tables = sides_tables(results, figure)
    if tables is None:
        return shown | {"text": say("sides.nothing")}
    sizes = [decimal(f"{255 * epsilon:.3g}") for epsilon in tables["epsilons"]]
    for label, *verdicts in tables["verdicts"]:
        known = []
        for verdict in ("proved", "refuted", "undecided"):
            at = [size for size, found in zip(sizes, verdicts, strict=True) if found == verdict]
            known += [say("sides.at", verdict=say(f"sides.{verdict}"), sizes=say("comma").join(at))] if at else []
        said = say("semicolon").join(known) or say("sides.missing")
        told.append(say("sides.more_robust", label=label, other=tables["against"], known=said))
    return shown | {"text": " ".join(told)}


def _claim(row: dict[str, Any], results: Results, anew: Anew) -> dict[str, Any]:
    numbers = (row[name] for name in ("effect", "low", "high"))
    kind, verdict = row["verdict"] if row["verdict"] in KINDS else "undecided", same(row, anew)
    return (
        row
        | reason(row, verdict)
        | {
            "kind": kind,
            "sign": SIGNS[kind],
            "what": "drop" if verdict is not None and verdict.hangs_on == "drop" else "accuracy",
            "verdict": say(f"verdict.{row['verdict']}") if has(f"verdict.{row['verdict']}") else row["verdict"],
            "effect": wording.effect(*numbers),
            "anchor": anchor_of(row["figure"]) if row["figure"] in results.pictured else "",
            "seeds": count(row["seeds"], "seed") if isinstance(row["seeds"], int) else row["seeds"],
        }
    )
