"""Layers one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..tensor import Tensor
from .module import Module


class Sequential(Module):
    """Layers one after the other.

    Parameters
    ----------
    *layers : Module
        They are called "0", "1", ...
    **named : Module
        Further layers, with names.

    Raises
    ------
    TypeError
        When a layer is no Module, such as a function.

    Notes
    -----
    model[1] is a layer, and model[1:3] a Sequential of the same layers under the same names.

    Examples
    --------
    >>> import numpy as np
    >>> from minidl import nn
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.ReLU(), nn.Linear(5, 2))
    >>> model(np.zeros((1, 2, 2, 3), np.float32)).shape
    (1, 2)
    """

    def __init__(self, *layers: Module, **named: Module) -> None:
        for name, layer in ({str(i): layer for i, layer in enumerate(layers)} | named).items():
            if not isinstance(layer, Module):
                kind = type(layer).__name__
                raise TypeError(f"Sequential: layer {name} is a {kind}, and must be a Module (nn.ReLU() for F.relu)")
            setattr(self, name, layer)

    def __iter__(self) -> Iterator[Module]:
        return (value for value in vars(self).values() if isinstance(value, Module))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            names = [name for name, value in vars(self).items() if isinstance(value, Module)]
            return Sequential(**{name: getattr(self, name) for name in names[index]})
        return list(self)[index]

    def forward(self, x: Tensor) -> Tensor:
        for layer in self:
            x = layer(x)
        return x
