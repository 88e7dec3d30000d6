"""What stands between the layers with weights: activations and dropout."""

from __future__ import annotations

import numpy as np

from .. import functional as F
from ..backend import Array, array_module
from ..checks import number
from ..functional.lines import Lines, relu_lines, s_shaped_lines
from ..tensor import Tensor
from .module import Module


class ReLU(Module):
    """max(x, 0), value by value.

    Examples
    --------
    >>> from minidl import nn
    >>> nn.ReLU()([-1.0, 2.0]).data
    array([0., 2.], dtype=float32)
    """

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x)

    def formula(self, x: Tensor) -> str:
        return "max(x, 0)"

    def lipschitz(self, x: Tensor) -> float:
        return 1.0

    def lines(self, low: Array, high: Array) -> Lines:
        return relu_lines(low, high)


class Sigmoid(Module):
    """1 / (1 + exp(-x)), value by value.

    Examples
    --------
    >>> from minidl import nn
    >>> nn.Sigmoid()([0.0, -1000.0]).data
    array([0.5, 0. ], dtype=float32)
    """

    def forward(self, x: Tensor) -> Tensor:
        return F.sigmoid(x)

    def formula(self, x: Tensor) -> str:
        return "1 / (1 + exp(-x))"

    def lipschitz(self, x: Tensor) -> float:
        return 0.25  # its steepest slope, at 0

    def lines(self, low: Array, high: Array) -> Lines:
        def sigmoid(x: Array) -> Array:
            return F.sigmoid(x).data

        return s_shaped_lines(sigmoid, lambda x: sigmoid(x) * sigmoid(-x), low, high, twice=1)


class Tanh(Module):
    """The hyperbolic tangent, value by value.

    Examples
    --------
    >>> from minidl import nn
    >>> nn.Tanh()([0.0, 1000.0]).data
    array([0., 1.], dtype=float32)
    """

    def forward(self, x: Tensor) -> Tensor:
        return F.tanh(x)

    def formula(self, x: Tensor) -> str:
        return "tanh(x)"

    def lipschitz(self, x: Tensor) -> float:
        return 1.0

    def lines(self, low: Array, high: Array) -> Lines:
        xp = array_module(low)
        return s_shaped_lines(xp.tanh, lambda x: (1 - xp.tanh(x)) * (1 + xp.tanh(x)), low, high, twice=0)


class Dropout(Module):
    """Zero each value with probability p while training, and divide the others by 1 - p; nothing in evaluation.

    Parameters
    ----------
    p : float in [0, 1]
    rng : numpy.random.Generator
        By default the "dropout" stream that ``md.manual_seed`` resets.

    Raises
    ------
    ValueError
        When p is outside [0, 1].

    Examples
    --------
    >>> import numpy as np
    >>> from minidl import nn
    >>> layer = nn.Dropout(0.5)
    >>> sorted(set(layer(np.ones(64)).data.tolist())), set(layer.eval()(np.ones(64)).data.tolist())
    ([0.0, 2.0], {1.0})
    """

    def __init__(self, p: float = 0.5, rng: np.random.Generator | None = None) -> None:
        self.p, self.rng = number(p, "p", "[0, 1]", "Dropout"), rng

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.p, self.training, self.rng)

    def formula(self, x: Tensor) -> str:
        return f"zero with probability {self.p:g}, in training"

    def lipschitz(self, x: Tensor) -> float | None:
        return None if self.training and self.p > 0 else 1.0
