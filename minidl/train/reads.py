"""What a step reads besides what it is given: a step that a card has recorded holds for as long as that is the same."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import numpy as np

from ..backend import Array, address_of, device_of, is_array
from ..kernels import precision
from ..nn import Module
from ..optim import Optimizer
from .values import attributes


def what_is_read(
    model: Module, optimizer: Optimizer, objectives: Sequence[Any], memory: Iterable[Array]
) -> tuple[Hashable, ...]:
    """Settings, and where arrays lie: of the model, the optimiser, its memory, the objectives and their teachers."""
    parts = [optimizer, *objectives]
    teachers = [value for part in parts for value in attributes(part).values() if isinstance(value, Module)]
    networks = [model, *teachers]
    found: list[Hashable] = [precision()]
    for part in (*parts, *(module for network in networks for module in network.modules())):
        changing = getattr(part, "changing", ()) + getattr(part, "transient", ())
        for name, value in attributes(part).items():
            if name not in changing:
                found.append((name, _identity(value)))
    for parameter in (parameter for network in networks for parameter in network.parameters()):
        found += [parameter.requires_grad, _identity(parameter.data), _identity(parameter.mask)]
    return (*found, *map(_identity, memory))


def _identity(value: Any) -> Hashable:
    """What changes when a recorded step would compute with something else, or find it elsewhere."""
    if is_array(value):
        where: Hashable = address_of(value)
        if device_of(value) == "cpu" and value.size <= 4096:  # numbers that are sent to the card as they are
            where = value.tobytes()
        return where, value.shape, value.dtype.str
    if isinstance(value, str | bytes | int | float | complex | np.generic | None):
        return type(value).__name__, value
    if isinstance(value, list | tuple):
        return tuple(map(_identity, value))
    if isinstance(value, dict):
        return tuple((str(key), _identity(part)) for key, part in value.items())
    return id(value)
