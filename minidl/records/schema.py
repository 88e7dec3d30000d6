"""What a value read from a file may be: small checks, put together, each of which names the field that it refuses."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

Check = Callable[[Any, str], None]  # of a value and the name of its field; a SchemaError says what is wrong
DEEP = 8  # how far objects and lists may be nested in what is not looked at more closely


class SchemaError(ValueError):
    """A field is not what it should be."""

    def __init__(self, field: str, found: Any, expected: str) -> None:
        text = repr(found)
        super().__init__(f"{field} is {text if len(text) <= 60 else text[:57] + '...'}, expected {expected}")


def number(low: float = -math.inf, high: float = math.inf) -> Check:
    """A number of this range, never NaN; infinite where the range's end is."""

    def check(value: Any, field: str) -> None:
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise SchemaError(field, value, f"a number from {low:g} to {high:g}")

    return check


def whole(low: int = 0, high: int = 2**62) -> Check:
    """A whole number of this range."""

    def check(value: Any, field: str) -> None:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise SchemaError(field, value, f"a whole number of at least {low}")

    return check


def text(pattern: str = r"[\s\S]{0,10000}", what: str = "a text") -> Check:
    """A text of this form, from its beginning to its end."""
    form = re.compile(pattern)

    def check(value: Any, field: str) -> None:
        if not isinstance(value, str) or not form.fullmatch(value):
            raise SchemaError(field, value, what)

    return check


def choice(*values: str) -> Check:
    def check(value: Any, field: str) -> None:
        if not isinstance(value, str) or value not in values:
            raise SchemaError(field, value, " or ".join(values))

    return check


def maybe(there: Check) -> Check:
    """None, or what the other check says."""

    def check(value: Any, field: str) -> None:
        if value is not None:
            there(value, field)

    return check


def both(first: Check, second: Check) -> Check:
    def check(value: Any, field: str) -> None:
        first(value, field)
        second(value, field)

    return check


def each(entry: Check, most: int = 100_000) -> Check:
    """A list, all of whose entries pass."""

    def check(value: Any, field: str) -> None:
        if not isinstance(value, list) or len(value) > most:
            raise SchemaError(field, value, f"a list of at most {most}")
        for i, one in enumerate(value):
            entry(one, f"{field}[{i}]")

    return check


def mapping(key: Check, entry: Check) -> Check:
    """An object, all of whose names and values pass."""

    def check(value: Any, field: str) -> None:
        if not isinstance(value, Mapping):
            raise SchemaError(field, value, "an object")
        for name, one in value.items():
            key(name, f"a name in {field}")
            entry(one, f"{field}.{name}")

    return check


def fields(required: Mapping[str, Check], optional: Mapping[str, Check] | None = None) -> Check:
    """An object that has the required fields; more of them than are known here do no harm.

    Examples
    --------
    >>> from minidl.records.schema import fields, number
    >>> fields({"accuracy": number(0, 1)})({"accuracy": 1.5}, "run")
    Traceback (most recent call last):
    minidl.records.schema.SchemaError: run.accuracy is 1.5, expected a number from 0 to 1
    """
    known = {**required, **(optional or {})}

    def check(value: Any, field: str) -> None:
        if not isinstance(value, Mapping):
            raise SchemaError(field or "it", value, "an object")
        absent = [name for name in required if name not in value]
        if absent:
            raise SchemaError(field or "it", sorted(value), f"the field {absent[0]!r} among its fields")
        for name, one in known.items():
            if name in value:
                one(value[name], f"{field}.{name}" if field else name)

    return check


def anything(value: Any, field: str, deep: int = DEEP) -> None:
    """Whatever JSON can hold, nested a few times at most."""
    if deep == 0:
        raise SchemaError(field, "...", f"at most {DEEP} objects and lists within one another")
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    for one in inner:
        anything(one, field, deep - 1)
