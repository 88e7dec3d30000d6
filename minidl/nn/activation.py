"""What stands between the layers with weights: activations, dropout, and nothing at all."""

from __future__ import annotations

import numpy as np

from .. import functional as F
from ..backend import Array, array_module
from ..checks import number
from ..lines import Lines, relu_lines, s_shaped_lines
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


class LeakyReLU(Module):
    """max(x, negative_slope x), value by value.

    Parameters
    ----------
    negative_slope : float in [0, 1]

    Examples
    --------
    >>> from minidl import nn
    >>> nn.LeakyReLU(0.25)([-1.0, 2.0]).data
    array([-0.25,  2.  ], dtype=float32)
    """

    def __init__(self, negative_slope: float = 0.01) -> None:
        self.negative_slope = number(negative_slope, "negative_slope", "[0, 1]", "LeakyReLU")

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(x, self.negative_slope)

    def formula(self, x: Tensor) -> str:
        return f"max(x, {self.negative_slope:g} x)"

    def lipschitz(self, x: Tensor) -> float:
        return 1.0

    def lines(self, low: Array, high: Array) -> Lines:
        slope = self.negative_slope  # a part of x, and ReLU of the rest
        below, at_below, above, at_above = ((1 - slope) * line for line in relu_lines(low, high))
        return Lines(slope + below, at_below, slope + above, at_above)


class GELU(Module):
    """x Phi(x), value by value; see ``functional.gelu``.

    Examples
    --------
    >>> from minidl import nn
    >>> nn.GELU()([0.0, 1.0]).data.round(4)
    array([0.    , 0.8413], dtype=float32)
    """

    def forward(self, x: Tensor) -> Tensor:
        return F.gelu(x)

    def formula(self, x: Tensor) -> str:
        return "x Phi(x)"

    def lipschitz(self, x: Tensor) -> float:
        return 1.12891  # its steepest slope, at sqrt(2), rounded up. It falls below -0.75, and so has no ``lines``


class Softmax(Module):
    """Probabilities of logits, for answers that are shown: ``cross_entropy``, ``fit`` and attacks take the logits.

    Parameters
    ----------
    temperature : float > 0

    Examples
    --------
    >>> from minidl import nn
    >>> nn.Softmax()([[0.0, 0.0]]).data
    array([[0.5, 0.5]], dtype=float32)
    """

    def __init__(self, temperature: float = 1.0) -> None:
        self.temperature = number(temperature, "temperature", "(0, inf)", "Softmax")

    def forward(self, x: Tensor) -> Tensor:
        return F.softmax(x, self.temperature)

    def formula(self, x: Tensor) -> str:
        return f"exp(x_k / T) / sum_i exp(x_i / T), T = {self.temperature:g}"

    def lipschitz(self, x: Tensor) -> float:
        return 0.5 / self.temperature  # of (diag(p) - p p^T) / T, where two classes have all of p


class Identity(Module):
    """x as it is: what stands in a layer's place where there is to be none.

    Examples
    --------
    >>> from minidl import nn
    >>> nn.Identity()([1.0, 2.0]).data
    array([1., 2.], dtype=float32)
    """

    def forward(self, x: Tensor) -> Tensor:
        return x if isinstance(x, Tensor) else Tensor(x)

    def formula(self, x: Tensor) -> str:
        return "x"

    def lipschitz(self, x: Tensor) -> float:
        return 1.0


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
