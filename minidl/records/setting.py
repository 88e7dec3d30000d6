"""Equal settings are one value, whatever type they come in, and a hash of them is a name."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import types
import typing
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, Literal, TypeVar, Union

import numpy as np

from ..tools.numbers import number, whole_number

Settings = TypeVar("Settings")


def always_named(default: Any) -> Any:
    """A field that is in the hash at its default too: the runs there were when defaults came to be left out have it."""
    return dataclasses.field(default=default, metadata={"named": True})


def settle(settings: Any) -> None:
    """Bring each field of a frozen dataclass to its canonical value: for ``__post_init__``."""
    for name, kind in _kinds(type(settings)).items():  # type: ignore[arg-type]
        where = f"{type(settings).__name__}: {name}"
        object.__setattr__(settings, name, canonical(getattr(settings, name), kind, where))


def canonical(value: Any, kind: Any, where: str) -> Any:
    """The one value that stands for all that equal ``value``: 20 and 20.0, (0, 8) and [0.0, 8.0], NumPy's numbers.

    Parameters
    ----------
    value : object
    kind : type
        As a dataclass annotates its field: float, int, str, a Literal, a tuple of these, a dataclass, or one or None.
    where : str
        How messages begin.

    Raises
    ------
    TypeError, ValueError
        When the value is nothing of that kind.

    Examples
    --------
    >>> import numpy as np
    >>> from minidl.records.setting import canonical
    >>> canonical(np.array([0, 8]), tuple[float, ...], "epsilons"), canonical(np.float32(0.1), float, "lr")
    ((0.0, 8.0), 0.1)
    """
    origin, of = typing.get_origin(kind), typing.get_args(kind)
    if origin in (Union, types.UnionType):
        return None if value is None else canonical(value, of[0], where)
    if origin is Literal:
        if not isinstance(value, str) or value not in of:
            raise ValueError(f"{where} is {value!r}, and must be one of {', '.join(map(repr, of))}")
        return str(value)
    if origin is tuple:
        return _tuple(value, of, where)
    if kind in _PLAIN:
        return _PLAIN[kind](value, where)
    if not isinstance(value, kind):
        raise TypeError(f"{where} is {value!r}, and must be a {kind.__name__}")
    return value


def from_record(cls: type[Settings], record: Any, where: str) -> Settings:
    """The dataclass of which JSON has kept the fields; a TypeError or ValueError says which of them cannot be.

    Examples
    --------
    >>> from minidl.records.run import Attack
    >>> from minidl.records.setting import from_record
    >>> from_record(Attack, {"epsilons": [0, 8], "loss": "margin"}, "attack").loss
    'margin'
    """
    if not isinstance(record, Mapping):
        raise TypeError(f"{where} is {str(record)[:40]!r}, expected an object")
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    absent = [name for name, field in fields.items() if name not in record and not _has_default(field)]
    unknown = [name for name in record if name not in fields]
    if absent or unknown:
        wrong = [f"no {name}" for name in absent] + [f"an unknown {name!r}" for name in unknown]
        raise ValueError(f"{where} has {', '.join(wrong)[:200]}")
    kinds = {name: _dataclass_in(kind) for name, kind in _kinds(cls).items()}  # type: ignore[arg-type]
    given = {
        name: from_record(kinds[name], value, f"{where}.{name}") if kinds[name] and value is not None else value
        for name, value in record.items()
    }
    return cls(**given)


def short_hash(settings: Any, digits: int = 10) -> str:
    """Of a dataclass's fields, whatever their order, that are not at their defaults; the same in dataclasses within it.

    So a field that is added later, whose default means what was always done, leaves the names of old runs alone.
    """
    return hashlib.sha256(json.dumps(_named(settings), sort_keys=True).encode()).hexdigest()[:digits]


def _named(settings: Any) -> dict[str, Any]:
    named = {}
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if "named" in field.metadata or not _has_default(field) or value != _default(field):
            named[field.name] = _named(value) if dataclasses.is_dataclass(value) else value
    return named


def _has_default(field: dataclasses.Field) -> bool:
    return field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING


def _default(field: dataclasses.Field) -> Any:
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


@functools.cache
def _kinds(cls: Any) -> dict[str, Any]:
    hints = typing.get_type_hints(cls)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls)}


def _dataclass_in(kind: Any) -> Any:
    """The dataclass that a field holds, if it may hold one."""
    return next((k for k in (kind, *typing.get_args(kind)) if dataclasses.is_dataclass(k)), None)


def _tuple(value: Any, of: tuple[Any, ...], where: str) -> tuple[Any, ...]:
    if isinstance(value, str | bytes | Mapping):
        raise TypeError(f"{where} is {value!r}, and must be a sequence")
    try:
        values = list(value)
    except TypeError as error:
        raise TypeError(f"{where} is {value!r}, and must be a sequence") from error
    kinds = of[:1] * len(values) if of[-1] is ... else of
    if len(values) != len(kinds):
        raise ValueError(f"{where} is {value!r}, and must have {len(kinds)} entries")
    return tuple(canonical(v, kind, f"{where}[{i}]") for i, (v, kind) in enumerate(zip(values, kinds, strict=True)))


def _number(value: Any, where: str) -> float:
    """A float; one of fewer digits is what it is written as: ``np.float32(0.1)`` is 0.1."""
    owner, _, name = where.partition(": ")
    value = _item(value)
    short = isinstance(value, np.floating) and not isinstance(value, float)
    return number(float(str(value)) if short else value, name, "(-inf, inf)", owner)


def _whole(value: Any, where: str) -> int:
    """An int; 20.0 is 20."""
    owner, _, name = where.partition(": ")
    value = _item(value)
    if isinstance(value, float | np.floating | Fraction) and float(value).is_integer():
        value = int(value)
    return whole_number(value, name, None, owner)


def _item(value: Any) -> Any:
    return value[()] if isinstance(value, np.ndarray) and value.ndim == 0 else value


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{where} is {value!r}, and must be a text")
    return str(value)


_PLAIN: dict[type, Any] = {float: _number, int: _whole, str: _text}
