"""What was found of each claim, for a reader who wants the answer first: a plain sentence, and what it hangs on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import wording
from .beyond import BEYOND
from .claims import claims
from .evidence import FEWEST_SEEDS
from .interval import end_of, interval_svg, reach_of
from .language import count, has, listed, say, spoken
from .lines import LABELS
from .nine import CLAIMS, Claim
from .reported import LEVELS
from .results import Results
from .verdict import Verdict, asked

KINDS = ("holds", "fails")  # every other verdict is none
SIGNS = {"holds": "\N{CHECK MARK}", "fails": "\N{BALLOT X}", "undecided": "?"}
Anew = Mapping[tuple[str, str], Verdict]


def verdicts_anew(results: Results) -> Anew:
    """The verdicts on a study's claims in the language that is spoken, of those that claims.csv has."""
    return {(v.claim, v.figure): v for v in claims(results)} if results.claims else {}


def answers(results: Results, anew: Anew) -> dict[str, dict[str, Any]]:
    """Of each claim what the page says first, by its name."""
    found = {row["claim"]: (row, same(row, anew)) for row in first_of_each(results)}
    reach = reach_of([row for row, _ in found.values()], [verdict for _, verdict in found.values()])
    return {name: _answer(row, verdict, results, reach) for name, (row, verdict) in found.items()}


def first_of_each(results: Results) -> list[dict[str, Any]]:
    """The claims on the report's own figures, which come first, without what stronger attacks say of them.

    Those of which the study has no figure are left out: ``elsewhere`` names them.
    """
    first: dict[str, dict[str, Any]] = {}
    for claim in results.claims:
        first.setdefault(claim["claim"], claim)
    away = {*elsewhere(results)}
    return [row for name, row in first.items() if name not in away]


def elsewhere(results: Results) -> list[str]:
    """The claims that this study cannot test: it has none of their figures."""
    here = {row["claim"] for row in results.claims if row["figure"] in results.pictured}
    return [name for name in dict.fromkeys(row["claim"] for row in results.claims) if name not in here]


def same(row: Mapping[str, Any], anew: Anew) -> Verdict | None:
    """What is said anew of a row of claims.csv; None where that is not what the row says."""
    verdict = anew.get((row["claim"], row["figure"]))
    if verdict is None or verdict.verdict != row["verdict"] or verdict.effect != row["effect"]:
        return None
    return verdict


def reason(row: Mapping[str, Any], verdict: Verdict | None) -> dict[str, str]:
    """Why, and in which language that is: a table's words are English."""
    if verdict is None or spoken() == "en":
        return {"reason": row["reason"], "reason_lang": "en"}
    return {"reason": verdict.reason, "reason_lang": spoken()}


def plainly(row: Mapping[str, Any], verdict: Verdict | None, batch: int | str) -> str:
    """What was found, in one sentence that needs no statistics."""
    group, kind = f"answer.{row['claim']}", row["verdict"] if row["verdict"] in KINDS else "undecided"
    keys = [f"{group}.{kind}"]
    if kind == "fails" and verdict is not None and verdict.asked is not None and verdict.effect is not None:
        side = "above" if verdict.effect >= verdict.asked[1] else "below"
        keys.insert(0, f"{group}.fails_{verdict.hangs_on}_{side}")
    return next((say(key, batch=batch) for key in keys if has(key)), str(row["text"]))


def statement(row: Mapping[str, Any]) -> str:
    """The claim as the report has it."""
    key = f"claim.{row['claim']}"
    return say(key) if has(key) else str(row["text"])


def _answer(row: Mapping[str, Any], verdict: Verdict | None, results: Results, reach: float) -> dict[str, Any]:
    claim, figure = (CLAIMS | BEYOND).get(row["claim"]), results.figures.get(row["figure"])
    batch = figure["batch_size"] if figure else claim.batch_size if claim else ""
    known = row["effect"] is not None
    limits = verdict.asked if verdict is not None else None
    return {
        "told": plainly(row, verdict, batch),
        "report": statement(row),
        "stated_by": "us" if row["claim"] in BEYOND else "the_report",
        "here": _here(results, row["figure"], claim) if figure else "",
        "hangs": _hangs(row, verdict) if known else "",
        "bar": interval_svg(row["effect"], row["low"], row["high"], limits, reach) if known else "",
        "needed": _needed(row, verdict),
    }


def _needed(row: Mapping[str, Any], verdict: Verdict | None) -> str:
    """How many seeds an undecided claim waits for; of fewer than three seeds nobody knows."""
    if row["verdict"] in KINDS or row["effect"] is None:
        return ""
    if row["seeds"] < FEWEST_SEEDS:
        return say("page.least_seeds", least=FEWEST_SEEDS)
    return say("page.about_seeds", seeds=verdict.needed) if verdict is not None and verdict.needed else ""


def _hangs(row: Mapping[str, Any], verdict: Verdict | None) -> str:
    """The quantity on which the verdict hangs, and the range that is asked for."""
    said = {"effect": wording.effect(row["effect"], row["low"], row["high"]), "seeds": count(row["seeds"], "seed")}
    if verdict is None or verdict.asked is None:
        return say("page.hangs_alone", **said)
    what = say(f"slide.{verdict.hangs_on}")
    return say("page.hangs", what=what[:1].upper() + what[1:], asked=asked(*verdict.asked, end_of), **said)


def _here(results: Results, name: str, claim: Claim | None) -> str:
    """Which networks were tested here, and in what they are not the report's."""
    figure = results.figures[name]
    told = [titled(results, name)]
    if claim is not None and figure["batch_size"] != claim.batch_size:
        told.append(say("page.batch_differs", size=figure["batch_size"], claimed=claim.batch_size))
    levels = {row[figure["varied"]] for row in results.rows_of(name)}
    lacking = [level for level in LEVELS.get(figure["varied"], ()) if levels and level not in levels]
    if lacking:
        label = LABELS[figure["varied"]]
        told.append(say("page.levels_missing", levels=listed([label(level) for level in lacking])))
    return say("semicolon").join(told) + "."


def titled(results: Results, name: str) -> str:
    """A figure's title in the language that is spoken: that in study.json is English."""
    figure = results.figures[name]
    title = str(figure.get("title", ""))
    base, under, _ = title.partition(", under ")
    parts = base.split(", ")
    if spoken() == "en" or len(parts) != 4 or not parts[3].endswith(" px"):
        return title
    data = {"digits": say("data.digits")}.get(parts[2], parts[2])
    pixels = parts[3].removesuffix(" px")
    told = say("page.title_of", model=parts[0], batch=figure["batch_size"], data=data, pixels=pixels)
    method = say(f"method.{results.method(name)}")
    return say("page.title_under", title=told, method=method) if under else told
