"""Layers with weights, Flatten and Sequential, by PyTorch's names; a layer calls one operation of ``functional``."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

import numpy as np

from .. import functional as F
from ..backend import default_rng
from ..checks import pair, whole_numbers
from ..kernels.shapes import Pair, Shape, output_size
from ..spectral import spectral_norm
from ..tensor import Parameter, Tensor
from .init import uniform_fan_in
from .module import Module


class Linear(Module):
    """x W + b: a fully-connected layer of ``out_features`` neurons before their activation (report, eq. (1)).

    Parameters
    ----------
    in_features, out_features : int
    bias : bool
    rng : numpy.random.Generator
        Draws the initial weights; by default the "init" stream that ``md.manual_seed`` resets.

    Attributes
    ----------
    weight : Parameter (in_features, out_features)
    bias : Parameter (out_features,) or None

    Examples
    --------
    >>> import numpy as np
    >>> from minidl import nn
    >>> nn.Linear(3, 2)(np.zeros((5, 3), np.float32)).shape
    (5, 2)
    """

    exchange_axes: ClassVar = {"weight": (1, 0)}

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, rng: np.random.Generator | None = None
    ) -> None:
        in_features, out_features = whole_numbers("Linear", 1, in_features=in_features, out_features=out_features)
        rng = rng or default_rng("init")
        self.weight = Parameter(uniform_fan_in(rng, (in_features, out_features), in_features))
        self.bias = Parameter(uniform_fan_in(rng, (out_features,), in_features)) if bias else None

    def affine(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """The layer's operation, of any weights of this shape."""
        return F.linear(x, weight, bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.affine(x, self.weight, self.bias)

    def formula(self, x: Tensor) -> str:
        n, m = self.weight.shape
        return f"x W{'' if self.bias is None else ' + b'}, W {n} x {m}"

    def multiply_adds(self, x: Tensor, y: Tensor) -> int:
        return uses_of_weights(self, y)

    def lipschitz(self, x: Tensor) -> float:
        return spectral_norm(self, x)

    def spread(self, radius: Tensor) -> Tensor:
        return self.affine(radius, self.weight.abs())


class Conv2d(Module):
    """N kernels slid over images (report, section 2.2).

    Parameters
    ----------
    in_channels, out_channels : int
        C and N.
    kernel_size, stride, padding : int or (vertical, horizontal) pair
    bias : bool
    rng : numpy.random.Generator
        Draws the initial weights; by default the "init" stream that ``md.manual_seed`` resets.

    Attributes
    ----------
    weight : Parameter (N, KH, KW, C)
    bias : Parameter (N,) or None

    Examples
    --------
    >>> import numpy as np
    >>> from minidl import nn
    >>> layer = nn.Conv2d(3, 8, kernel_size=3, stride=2, padding=1)
    >>> layer.weight.shape, layer(np.zeros((1, 64, 64, 3), np.float32)).shape
    ((8, 3, 3, 3), (1, 32, 32, 8))
    """

    exchange_axes: ClassVar = {"weight": (0, 3, 1, 2)}  # (N, KH, KW, C) here, (N, C, KH, KW) in PyTorch

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Pair,
        stride: int | Pair = 1,
        padding: int | Pair = 0,
        bias: bool = True,
        rng: np.random.Generator | None = None,
    ) -> None:
        in_channels, out_channels = whole_numbers("Conv2d", 1, in_channels=in_channels, out_channels=out_channels)
        rng = rng or default_rng("init")
        kernel = pair(kernel_size, "kernel_size", 1, "Conv2d")
        self.stride, self.padding = pair(stride, "stride", 1, "Conv2d"), pair(padding, "padding", 0, "Conv2d")
        fan_in = kernel[0] * kernel[1] * in_channels
        self.weight = Parameter(uniform_fan_in(rng, (out_channels, *kernel, in_channels), fan_in))
        self.bias = Parameter(uniform_fan_in(rng, (out_channels,), fan_in)) if bias else None

    def affine(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """The layer's operation, of any weights of this shape."""
        return F.conv2d(x, weight, bias, self.stride, self.padding)

    def forward(self, x: Tensor) -> Tensor:
        return self.affine(x, self.weight, self.bias)

    def formula(self, x: Tensor) -> str:
        return windows_formula(x.shape, self.weight.shape[1:3], self.stride, self.padding)

    def multiply_adds(self, x: Tensor, y: Tensor) -> int:
        return uses_of_weights(self, y)

    def lipschitz(self, x: Tensor) -> float:
        return spectral_norm(self, x)

    def spread(self, radius: Tensor) -> Tensor:
        return self.affine(radius, self.weight.abs())


class Flatten(Module):
    """An image as one vector.

    Parameters
    ----------
    channels_first : bool
        Order the numbers as PyTorch does, whose weights then fit.

    Examples
    --------
    >>> import numpy as np
    >>> from minidl import nn
    >>> nn.Flatten()(np.zeros((2, 8, 8, 3), np.float32)).shape
    (2, 192)
    """

    def __init__(self, channels_first: bool = False) -> None:
        self.channels_first = channels_first

    def forward(self, x: Tensor) -> Tensor:
        return F.flatten(x, self.channels_first)

    def formula(self, x: Tensor) -> str:
        sizes = (*x.shape[-1:], *x.shape[1:-1]) if self.channels_first else x.shape[1:]
        return f"{' * '.join(map(str, sizes))} = {math.prod(sizes)}"

    def lipschitz(self, x: Tensor) -> float:
        return 1.0


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


class ModuleList(Sequential):
    """Layers in a list, for a model whose own ``forward`` says what is done with each; a slice is a Sequential.

    Parameters
    ----------
    layers : iterable of Module

    Examples
    --------
    >>> from minidl import Tensor, nn, functional as F
    >>> layers, x = nn.ModuleList(nn.Linear(4 * (i + 1), 4) for i in range(3)), Tensor([[1.0, 2.0, 3.0, 4.0]])
    >>> for layer in layers:
    ...     x = F.concatenate([x, layer(x)], axis=-1)
    >>> x.shape
    (1, 16)
    """

    def __init__(self, layers: Iterable[Module] = ()) -> None:
        super().__init__(*layers)

    def append(self, layer: Module) -> ModuleList:
        """Put one more layer at the end; returns the list."""
        super().__init__(**{str(len(self)): layer})
        return self

    def forward(self, x: Any) -> Any:
        raise TypeError("ModuleList: only its model knows what its layers do: for layer in self.layers: x = layer(x)")


def uses_of_weights(layer: Linear | Conv2d, y: Tensor) -> int:
    """Products of a weight and a value: of y (..., N), each place uses every weight once, for one of the N."""
    return y.size // y.shape[-1] * layer.weight.size


def windows_formula(shape: Shape, kernel: Pair, stride: Pair, padding: Pair) -> str:
    """The output's size, once where height and width agree (report, section 2.2)."""
    height, width = (
        f"floor(({size} + 2*{p} - {k})/{s}) + 1 = {output_size(size, k, s, p)}"
        for size, k, s, p in zip(shape[1:3], kernel, stride, padding, strict=True)
    )
    return height if height == width else f"{height} by {width}"
