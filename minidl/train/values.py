"""What of an object's attributes belongs to a training's state: taken down, compared, and put back.

Numbers, texts, truth values, arrays and random generators do, and lists, tuples and dictionaries of these. Each array
and each generator has a name, its place in the object: "averages/conv1.weight", "last/0".
"""

from __future__ import annotations

import math
import random
import warnings
from collections import deque
from collections.abc import Iterator
from numbers import Real
from typing import Any

import numpy as np

from ..backend import Array, device_of, is_array, to_device, to_numpy
from ..optim import Optimizer
from ..tensor import Parameter, Tensor

_PLAIN = bool | int | float | str | None


class StateWarning(UserWarning):
    """Something that a training may depend on is not part of its state: a training taken up again would differ."""


def attributes(part: Any) -> dict[str, Any]:
    """Those of the object itself, also where its class has ``__slots__``."""
    slots = [name for kind in type(part).__mro__ for name in _names(vars(kind).get("__slots__", ()))]
    return {name: getattr(part, name) for name in slots if hasattr(part, name)} | getattr(part, "__dict__", {})


def _names(slots: Any) -> list[str]:
    names = [slots] if isinstance(slots, str) else list(slots)
    return [name for name in names if not name.startswith("__")]


def values(part: Any) -> Iterator[tuple[str, Any]]:
    """(name, value) of the attributes that belong to the state."""
    for name, value in attributes(part).items():
        if name not in getattr(part, "transient", ()) and _belongs(value):
            yield name, value


def arrays(part: Any) -> Iterator[tuple[str, Array]]:
    """(place, array) of all arrays among them."""
    for name, value in values(part):
        yield from ((place, leaf) for place, leaf in _leaves(value, _step(name)) if is_array(leaf))


def streams(part: Any) -> Iterator[tuple[str, np.random.Generator]]:
    """(place, generator) of all random generators among an object's attributes, those of one step too."""
    for name, value in attributes(part).items():
        leaves = _leaves(value, _step(name)) if _belongs(value) else ()
        yield from ((place, leaf) for place, leaf in leaves if isinstance(leaf, np.random.Generator))


def taken(part: Any) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Copies of the arrays by their places, on the CPU, and of the rest: NumPy's numbers become Python's."""
    for name, value in attributes(part).items():
        if name not in getattr(part, "transient", ()) and not _belongs(value) and _holds_state(value):
            warnings.warn(
                f"{type(part).__name__}.{name} holds numbers, arrays or random numbers that are no part of the "
                "training's state, and would be lost where it is taken up again: keep them as attributes, or in lists "
                "and dictionaries whose keys are texts, or, where nothing depends on them, name it in the class's "
                "`transient`",
                StateWarning,
                stacklevel=2,
            )
    there = {name: _without_arrays(value) for name, value in values(part) if not _is_alone(value)}
    found = {place: to_numpy(array).copy() for place, array in arrays(part)}
    return found, {"kind": type(part).__name__, "values": there, "attributes": sorted(attributes(part))}


def put_back(part: Any, there: dict[str, Any], found: dict[str, np.ndarray]) -> None:
    """What ``taken`` found; arrays in place, where recorded steps read them."""
    for name in [name for name, _ in values(part) if name not in there["attributes"]]:
        delattr(part, name)  # it came later
    alone = {_unstep(place): None for place in found if "/" not in place}
    for name, value in {**there["values"], **alone}.items():
        setattr(part, name, _merged(getattr(part, name, None), value, _step(name), found))


def problems(part: Any, there: dict[str, Any]) -> list[str]:
    """Saved attributes that cannot be what they are here: a number must be one, and that of an optimiser finite."""
    saved, named = there.get("values"), there.get("attributes")
    if not isinstance(saved, dict) or not isinstance(named, list):
        return ["values: missing"]
    found = [f"{name}: missing there" for name in getattr(part, "changing", ()) if name not in saved]
    for name, ours in values(part):
        value = saved.get(name)
        if isinstance(part, Optimizer) and name in saved and isinstance(ours, Real):
            if not isinstance(value, Real) or not math.isfinite(value):
                found.append(f"{name}: {value!r} there, and must be a finite number")
        elif value is not None and ours is not None and _kind(value) != _kind(ours):
            found.append(f"{name}: {value!r} there, and a {_kind(ours)} here")
    return found


def _kind(value: Any) -> str:
    kinds = {Real | np.bool_: "number", str: "text", dict: "dictionary", list | tuple: "list"}
    return next((name for kind, name in kinds.items() if isinstance(value, kind)), type(value).__name__)


def _is_alone(value: Any) -> bool:
    """What has a place of its own, beside the numbers and texts."""
    return is_array(value) or isinstance(value, np.random.Generator)


def _belongs(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_belongs, value))
    if isinstance(value, dict):
        return all(isinstance(key, str) for key in value) and all(map(_belongs, value.values()))
    return _is_alone(value) or isinstance(_pythons(value), _PLAIN)


def _holds_state(value: Any) -> bool:
    """Whether an attribute that does not belong is a stream or a tensor, or has numbers and such within."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple | set | frozenset | deque):
        return any(_is_alone(part) or isinstance(_pythons(part), int | float) or _holds_state(part) for part in value)
    # a Parameter is the model's, and known by its name
    return isinstance(value, Tensor | np.random.RandomState | random.Random) and not isinstance(value, Parameter)


def _leaves(value: Any, place: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, list | tuple | dict):
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _leaves(part, f"{place}/{_step(str(key))}")
    else:
        yield place, value


def _step(key: str) -> str:
    """A key as a step of a place, in which "/" stands between two (RFC 6901)."""
    return key.replace("~", "~0").replace("/", "~1")


def _unstep(step: str) -> str:
    return step.replace("~1", "/").replace("~0", "~")


def _without_arrays(value: Any) -> Any:
    """A copy with None where arrays and generators are."""
    if isinstance(value, dict):
        return {key: _without_arrays(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        parts = [_without_arrays(part) for part in value]
        return tuple(parts) if isinstance(value, tuple) else parts
    return None if _is_alone(value) else _pythons(value)


def _pythons(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _merged(current: Any, saved: Any, place: str, found: dict[str, np.ndarray]) -> Any:
    """What is to stand at a place: what is there already where it can hold it, for others may know it too."""
    if place in found:
        array = found[place]
        if not is_array(current) or (current.shape, current.dtype) != (array.shape, array.dtype):
            return to_device(array.copy(), device_of(current)) if is_array(current) else array.copy()
        current[...] = to_device(array, device_of(current))
        return current
    if isinstance(saved, dict):
        known = current if isinstance(current, dict) else {}
        parts = {key: _merged(known.get(key), part, f"{place}/{_step(key)}", found) for key, part in saved.items()}
        known.clear()
        known.update(parts)
        return known
    if isinstance(saved, list | tuple):
        before = dict(enumerate(current)) if isinstance(current, list | tuple) else {}
        items = [_merged(before.get(i), part, f"{place}/{i}", found) for i, part in enumerate(saved)]
        if isinstance(current, list):
            current[:] = items
            return current
        return tuple(items) if isinstance(current if before else saved, tuple) else items
    if isinstance(current, np.random.Generator):
        return current  # its own stream is put back by itself
    return _of_its_type(current, saved)


def _of_its_type(current: Any, saved: Any) -> Any:
    """NumPy's numbers, which are Python's in a file, in the precision that they are computed with."""
    if isinstance(current, np.generic) and isinstance(saved, Real) and type(current)(saved) == saved:
        return type(current)(saved)
    return saved
