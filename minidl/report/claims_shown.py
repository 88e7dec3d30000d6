"""The claims as the page shows them: each verdict on the report's own figure, and what other attacks say of it."""

from __future__ import annotations

import re
from typing import Any

from . import wording
from .flags import CALLED
from .lines import count
from .results import Results
from .sides import sides_tables


def anchor_of(figure: str) -> str:
    """Where on the page a figure is."""
    return "figure-" + re.sub(r"[^\w-]", "-", figure, flags=re.ASCII)


def of_the_report(results: Results) -> list[dict[str, Any]]:
    """The nine claims on the report's own figures, without what stronger attacks say of them."""
    first: dict[str, dict[str, Any]] = {}
    for claim in results.claims:
        first.setdefault(claim["claim"], claim)
    return list(first.values())


def claims_shown(results: Results) -> list[dict[str, Any]]:
    """Each claim, with what other attacks say of it."""
    found = {claim["claim"]: _claim(claim, results) | {"others": []} for claim in of_the_report(results)}
    for claim in results.claims:
        if claim["figure"] != found[claim["claim"]]["figure"]:
            method = CALLED[results.method(claim["figure"])] if claim["figure"] in results.figures else claim["figure"]
            found[claim["claim"]]["others"].append(_claim(claim, results) | {"method": method})
    for claim in found.values():
        claim["sides"] = [_both_sides(results, name) for name in _bands(results, claim["figure"])]
    return list(found.values())


def _bands(results: Results, figure: str) -> list[str]:
    """The figures that show the same networks from both sides."""
    return [n for n, band in results.figures.items() if band.get("certificates") and figure in band.get("of", ())]


def _both_sides(results: Results, figure: str) -> dict[str, str]:
    """What is proved or refuted of "more robust than the first line", in words."""
    shown, told = {"figure": figure, "anchor": anchor_of(figure)}, []
    tables = sides_tables(results, figure)
    if tables is None:
        return shown | {"text": "nothing is measured yet."}
    sizes = [f"{255 * epsilon:.3g}" for epsilon in tables["epsilons"]]
    for label, *verdicts in tables["verdicts"]:
        known = []
        for verdict in ("proved", "refuted", "undecided"):
            at = [size for size, found in zip(sizes, verdicts, strict=True) if found == verdict]
            known += [f"{verdict} at {', '.join(at)}/255"] if at else []
        told.append(f'"{label} is more robust than {tables["against"]}": {"; ".join(known) or "seeds are missing"}.')
    return shown | {"text": " ".join(told)}


def _claim(claim: dict[str, Any], results: Results) -> dict[str, Any]:
    numbers = (claim[name] for name in ("effect", "low", "high"))
    known = claim["figure"] in results.figures
    return claim | {
        "effect": wording.effect(*numbers),
        "anchor": anchor_of(claim["figure"]) if known else "",
        "seeds": count(claim["seeds"], "seed") if isinstance(claim["seeds"], int) else claim["seeds"],
    }
