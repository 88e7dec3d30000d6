"""One report, several languages: what is said stands in a file of words for each, numbers and punctuation follow it.

``with speaking("fr"):`` says everything within in French; tables, figures' files and verdicts are English otherwise.
"""

from __future__ import annotations

import contextlib
import functools
import re
import tomllib
from collections.abc import Iterator
from contextvars import ContextVar
from importlib import resources
from typing import Any

from ..records import LANGUAGES

NARROW = "\N{NARROW NO-BREAK SPACE}"
_spoken: ContextVar[str] = ContextVar("language", default=LANGUAGES[0])


@contextlib.contextmanager
def speaking(language: str) -> Iterator[None]:
    """Say all that follows in this language."""
    if language not in LANGUAGES:
        raise ValueError(f"language is {language!r}: choose from {', '.join(LANGUAGES)}")
    token = _spoken.set(language)
    try:
        yield
    finally:
        _spoken.reset(token)


def spoken() -> str:
    """The language that is spoken now: "en"."""
    return _spoken.get()


def say(key: str, **values: Any) -> str:
    """The words of this key in the language that is spoken, with the values in their places.

    Examples
    --------
    >>> from minidl.report.language import say, speaking
    >>> say("label.sparsity", part="50")
    'sparsity 50 %'
    >>> with speaking("fr"):
    ...     say("label.sparsity", part="50")
    'parcimonie 50\\u202f%'
    """
    found = words(spoken())[key]
    return found.format(**values) if values else found


def has(key: str) -> bool:
    """Whether there are words for this."""
    return key in words(spoken())


def count(number: int, thing: str) -> str:
    """ "1 seed", "3 seeds"; in French "0 graine"."""
    one = number == 1 or (number == 0 and spoken() == "fr")
    named = say(f"thing.{thing}.{'one' if one else 'many'}")
    return f"{number} {named}"


def decimal(number: str) -> str:
    """A number that is written with a point, as the language writes it."""
    return number.replace(".", ",") if spoken() == "fr" else number


def listed(some: list[str]) -> str:
    """ "a, b and c"."""
    return f" {say('and')} ".join(filter(None, (", ".join(some[:-1]), *some[-1:])))


@functools.cache
def words(language: str) -> dict[str, str]:
    """All words of a language by their keys, "page.summary"; French as it is set in type."""
    text = resources.files("minidl.report").joinpath("words", f"{language}.toml").read_text(encoding="utf-8")
    found = dict(_flat(tomllib.loads(text)))
    return {key: typeset(told) for key, told in found.items()} if language == "fr" else found


def typeset(text: str) -> str:
    """A narrow space that no line breaks at, before what French writes with one, and before a unit.

    Examples
    --------
    >>> from minidl.report.language import typeset
    >>> typeset("Vraiment ? 12,5 % : « oui »")
    'Vraiment\\u202f? 12,5\\u202f%\\u202f: «\\u202foui\\u202f»'
    """
    return re.sub(r" (?=[;:?!%»]|px\b)|(?<=«) ", NARROW, text)


def _flat(group: dict[str, Any], name: str = "") -> Iterator[tuple[str, str]]:
    for key, value in group.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{name}{key}.")
        else:
            yield f"{name}{key}", re.sub(r"\s*\n\s*", " ", value)
