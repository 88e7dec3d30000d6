"""What stands between the linear layers: psi in f(z) = psi(W^T z + b) (report, section 2.1), and dropout."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from .. import kernels
from ..backend import Array, array_module, default_rng
from ..checks import check_real, number
from ..tensor import Tensor, op
from .arithmetic import Result


@partial(op, bfloat16=True)
def relu(x: Array) -> Result:
    """max(x, 0), value by value; its slope at 0 is taken as 0.

    Parameters
    ----------
    x : Tensor of any shape

    Examples
    --------
    >>> from minidl import Tensor, functional as F
    >>> F.relu(Tensor([-1.0, 2.0])).data
    array([0., 2.], dtype=float32)
    """
    check_real(x, "relu")
    k = kernels.of(x)
    y = k.relu(x)
    return y, (lambda dy: k.relu_grad(dy, y),)


@op
def leaky_relu(x: Array, negative_slope: float = 0.01) -> Result:
    """max(x, negative_slope x), value by value; its slope at 0 is taken as the lower one.

    Parameters
    ----------
    x : Tensor of any shape
    negative_slope : float in [0, 1]

    Examples
    --------
    >>> from minidl import Tensor, functional as F
    >>> F.leaky_relu(Tensor([-1.0, 2.0]), 0.25).data
    array([-0.25,  2.  ], dtype=float32)
    """
    negative_slope = number(negative_slope, "negative_slope", "[0, 1]", "leaky_relu")
    slope = array_module(x).where(check_real(x, "leaky_relu") > 0, 1, negative_slope).astype(x.dtype)
    return x * slope, (lambda dy: dy * slope,)


@op
def gelu(x: Array) -> Result:
    """x Phi(x), Phi(x) the probability that a normal number is below x (Hendrycks and Gimpel 2016, arXiv:1606.08415).

    Parameters
    ----------
    x : Tensor of any shape

    Examples
    --------
    >>> from minidl import Tensor, functional as F
    >>> F.gelu(Tensor([-1.0, 0.0, 1.0])).data.round(4)
    array([-0.1587,  0.    ,  0.8413], dtype=float32)
    """
    xp, below = array_module(x), kernels.of(x).normal_cdf(check_real(x, "gelu"))
    return x * below, (lambda dy: dy * (below + x * xp.exp(-x * x / 2) / math.sqrt(2 * math.pi)),)


@op
def sigmoid(x: Array) -> Result:
    """1 / (1 + exp(-x)), value by value, without overflow: exp is only taken of negative numbers.

    Parameters
    ----------
    x : Tensor of any shape

    Examples
    --------
    >>> from minidl import Tensor, functional as F
    >>> F.sigmoid(Tensor([0.0, -1000.0])).data
    array([0.5, 0. ], dtype=float32)
    """
    check_real(x, "sigmoid")
    y = s_shaped(x)
    return y, (lambda dy: dy * y * (1 - y),)


def s_shaped(x: Array) -> Array:
    """The sigmoid of an array."""
    xp = array_module(x)
    small = xp.exp(-xp.abs(x))
    return xp.where(x >= 0, 1, small) / (1 + small)


@op
def tanh(x: Array) -> Result:
    """The hyperbolic tangent, value by value.

    Parameters
    ----------
    x : Tensor of any shape

    Examples
    --------
    >>> from minidl import Tensor, functional as F
    >>> F.tanh(Tensor([0.0])).data
    array([0.], dtype=float32)
    """
    check_real(x, "tanh")
    y = array_module(x).tanh(x)
    return y, (lambda dy: dy * (1 - y * y),)


def dropout(x: Any, p: float = 0.5, training: bool = True, rng: np.random.Generator | None = None) -> Tensor:
    """Zero each value with probability p and divide the others by 1 - p; the identity when not training.

    Parameters
    ----------
    x : Tensor of any shape
    p : float in [0, 1]
        1 leaves zeros only.
    training : bool
    rng : numpy.random.Generator
        Where the zeros come from; by default the "dropout" stream that ``md.manual_seed`` resets.

    Raises
    ------
    ValueError
        When p is outside [0, 1].

    References
    ----------
    Srivastava et al. 2014, "Dropout: a simple way to prevent neural networks from overfitting".

    Examples
    --------
    >>> import numpy as np
    >>> from minidl import functional as F
    >>> y = F.dropout(np.ones(8), p=0.5, rng=np.random.default_rng(0))
    >>> sorted(set(y.data.tolist()))
    [0.0, 2.0]
    """
    p = number(p, "p", "[0, 1]", "dropout")
    if training and p > 0:
        return _dropout(x, p, rng or default_rng("dropout"))
    x = x if isinstance(x, Tensor) else Tensor(x)
    check_real(x.data, "dropout")
    return x  # nothing is done to it, and nothing recorded: only what drops is a "dropout" in a graph


@op
def _dropout(x: Array, p: float, rng: np.random.Generator) -> Result:
    check_real(x, "dropout")
    scale = kernels.of(x).dropout_scale(x, p, rng)  # 0 or 1 / (1 - p)
    return x * scale, (lambda dy: dy * scale,)
