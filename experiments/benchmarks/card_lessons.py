"""What the output of a session's steps teaches (card_session.py), whole or cut off where a step was stopped."""

from __future__ import annotations

import re
from collections.abc import Callable

Lesson = Callable[[str], list[str]]
MOST = 40  # lines of a lesson
SLOW = 60  # percent of the card's limit, below which a kernel is named


def last_lines(count: int) -> Lesson:
    """The last lines that are not empty: what a step says at its end, or was at when it was stopped."""
    return lambda text: [line for line in text.splitlines() if line.strip()][-count:]


def failures(text: str) -> list[str]:
    """How many tests passed, and the names of those that did not; also of a run that was stopped."""
    passed = len(re.findall(r"\bPASSED\b", text))
    names = sorted(set(re.findall(r"\b(?:FAILED|ERROR)\s+(tests/\S+|\S+::\S+)", text)))
    names += sorted(set(re.findall(r"^(\S+::\S.*?) (?:FAILED|ERROR)", text, re.MULTILINE)) - set(names))
    shown = [f"  {name}" for name in names[:MOST]] + ([f"  and {len(names) - MOST} more"] if len(names) > MOST else [])
    return [f"{passed} tests passed, {len(names)} did not", *shown]


def table(text: str) -> list[str]:
    """Rows of a table in Markdown, with what is said before it."""
    return [line for line in text.splitlines() if line.startswith("|") or ", products: " in line][:MOST]


def slow_kernels(text: str) -> list[str]:
    """The card's limits, and the kernels that are furthest from them."""
    limits = [line for line in text.splitlines() if line.startswith("limits:")]
    rows = [line for line in text.splitlines() if re.search(r"\d+%", line)]
    slow = [line for line in rows if int(re.findall(r"(\d+)%", line)[0]) < SLOW]
    return [*limits, f"{len(rows)} kernels timed, {len(slow)} of them below {SLOW} % of the card's limit:", *slow][
        :MOST
    ]


def hazards(text: str) -> list[str]:
    """What compute-sanitizer counts, and what it names first."""
    named = [line for line in text.splitlines() if re.search(r"=========.*(Error|hazard|Invalid|Race)", line)]
    return [*named[:8], *last_lines(1)(text)]
