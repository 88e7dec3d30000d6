"""A word on an answer to an exercise: what to look at next, and not what the answer is.

    judge("1.1", w, b)

Each judge of answers.py is a generator: of pairs, whether something holds, and what to look at if
not. The first that does not hold is shown.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

Looks = Iterator[tuple[Any, str]]
JUDGES: dict[str, Callable[..., Looks]] = {}


class Verdict(NamedTuple):
    """Whether an answer is right, and what is to be said of it; a notebook shows the words."""

    right: bool
    says: str

    def __bool__(self) -> bool:
        return self.right

    def __repr__(self) -> str:
        return self.says


def exercise(number: str) -> Callable[[Callable[..., Looks]], Callable[..., Looks]]:
    """Register the judge of an exercise, lesson.number."""

    def registered(looks: Callable[..., Looks]) -> Callable[..., Looks]:
        JUDGES[number] = looks
        return looks

    return registered


def judge(number: str, *answer: Any) -> Verdict:
    """What there is to say of an answer; dots stand for what is still to be given.

    While nbgrader grades, a wrong answer raises: it counts cells that do not.
    """
    verdict = _judged(number, *answer)
    if os.environ.get("NBGRADER_EXECUTION") == "autograde" and not verdict:
        raise AssertionError(verdict.says)
    return verdict


def _judged(number: str, *answer: Any) -> Verdict:
    if any(part is ... for part in answer):
        return Verdict(False, f"{number}: no answer yet. Put yours in place of the dots.")
    try:
        for holds, look in JUDGES[number](*answer):
            if not holds:
                return Verdict(False, f"{number}: not yet. {look}")
    except Exception as error:  # whatever an answer may do
        return Verdict(False, f"{number}: it cannot be checked. {type(error).__name__}: {error}")
    return Verdict(True, f"{number}: right.")
