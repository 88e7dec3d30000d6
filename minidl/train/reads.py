"""What a step reads besides what it is given: a step that a card has recorded holds for as long as that is the same."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from operator import attrgetter, is_
from typing import Any

import numpy as np

from ..backend import Array, address_of, device_of, is_array
from ..kernels import precision
from ..nn import Module
from ..optim import Optimizer
from .values import attributes

_of_parameter = attrgetter("requires_grad", "data", "mask")


class Reads:
    """Settings, and where arrays lie: of the model, the optimiser, its memory, the objectives and their teachers.

    Of an evaluation, the model's alone. It is asked before each step. To work it all out takes longer than to start the
    step; so that is done only where one of the objects that it is made of is not the one that it was, or a list, a
    dictionary or a small array has changed.
    """

    def __init__(self, model: Module, optimizer: Optimizer | None = None, objectives: Sequence[Any] = ()) -> None:
        self._model, self._parts = model, [*([] if optimizer is None else [optimizer]), *objectives]
        self._optimizer = optimizer
        self._seen: list[Any] = []
        self._known: list[bytes] = []
        self._read: tuple[Hashable, ...] = ()

    def __call__(self) -> tuple[Hashable, ...]:
        if self._seen:
            now = self._objects()
            # arrays go by what they are, and what is in small ones is compared by value
            if len(now) == len(self._seen) and all(map(is_, now, self._seen)) and self._numbers() == self._known:
                return self._read
        self._gather()
        self._read = self._in_full()
        self._seen, self._known = self._objects(), self._numbers()
        return self._read

    def _gather(self) -> None:
        """Where to look, until something is another object."""
        values = (value for part in self._parts for value in attributes(part).values())
        networks = [self._model, *(value for value in values if isinstance(value, Module))]  # and the teachers
        self._modules = [module for network in networks for module in network.modules()]
        self._parameters = [parameter for network in networks for parameter in network.parameters()]
        owners = [*self._parts, *self._modules]
        self._special = [owner for owner in owners if not _is_plain(owner)]
        self._holders: list[Any] = [vars(owner) for owner in owners if _is_plain(owner)]
        within = [leaf for holder in [*self._holders, *map(_settings, self._special)] for leaf in _within(holder)]
        self._holders += [leaf for leaf in within if isinstance(leaf, dict | list)]
        self._small = [leaf for leaf in within if _is_sent(leaf)]

    def _objects(self) -> list[Any]:
        """All that it is made of, to be compared by what it is."""
        found: list[Any] = [precision()]
        for holder in self._holders:
            found += holder
            if isinstance(holder, dict):
                found += holder.values()
        for owner in self._special:
            found += _settings(owner).values()
        for parameter in self._parameters:
            found += _of_parameter(parameter)
        for memory in self._memory():
            found += memory
        return found

    def _memory(self) -> list[list[Array]]:
        return [] if self._optimizer is None else self._optimizer.state

    def _numbers(self) -> list[bytes]:
        return [array.tobytes() for array in self._small]

    def _in_full(self) -> tuple[Hashable, ...]:
        found: list[Hashable] = [precision()]
        for owner in (*self._parts, *self._modules):
            found += [(name, _identity(value)) for name, value in _settings(owner).items()]
        for parameter in self._parameters:
            found += map(_identity, _of_parameter(parameter))
        return (*found, *(_identity(array) for memory in self._memory() for array in memory))


def _not_read(owner: Any) -> tuple[str, ...]:
    """The names of attributes that a step reads anew each time, or that are of one step only."""
    return getattr(owner, "changing", ()) + getattr(owner, "transient", ())


def _is_plain(owner: Any) -> bool:
    """Whether all of its attributes are read, and lie in its ``__dict__``."""
    return not _not_read(owner) and len(attributes(owner)) == len(getattr(owner, "__dict__", ()))


def _settings(owner: Any) -> dict[str, Any]:
    left_out = _not_read(owner)
    return {name: value for name, value in attributes(owner).items() if name not in left_out}


def _within(holder: Any) -> Iterator[Any]:
    """All that lies in a list, tuple or dictionary, and in those within."""
    for value in holder.values() if isinstance(holder, dict) else holder:
        yield value
        if isinstance(value, list | tuple | dict):
            yield from _within(value)


def _is_sent(value: Any) -> bool:
    """Whether it is numbers that are sent to the card as they are: what they are counts, and not where."""
    return is_array(value) and device_of(value) == "cpu" and value.size <= 4096


def _identity(value: Any) -> Hashable:
    """What changes when a recorded step would compute with something else, or find it elsewhere."""
    if is_array(value):
        where: Hashable = value.tobytes() if _is_sent(value) else address_of(value)
        return where, value.shape, value.dtype.str
    if isinstance(value, str | bytes | int | float | complex | np.generic | None):
        return type(value).__name__, value
    if isinstance(value, list | tuple):
        return tuple(map(_identity, value))
    if isinstance(value, dict):
        return tuple((str(key), _identity(part)) for key, part in value.items())
    return id(value)
