"""How much one layer can stretch a difference of its inputs: its Lipschitz constant in the Euclidean norm."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from ..backend import Array, array_module, to_device
from ..checks import pair
from ..kernels.shapes import output_size
from ..nn import (
    AdaptiveAvgPool2d,
    AvgPool2d,
    BatchNorm2d,
    Conv2d,
    Dropout,
    Flatten,
    Linear,
    MaxPool2d,
    Module,
    Normalize,
    ReLU,
    Sigmoid,
    Tanh,
)
from ..tensor import Tensor


@functools.singledispatch
def layer_norm(layer: Module, x: Tensor) -> float:
    """The largest ||f(x + delta) - f(x)|| / ||delta||, for a layer in evaluation mode and inputs of x's shape.

    One rule for each type of layer; ``layer_norm.register`` adds one for a layer of your own.

    Parameters
    ----------
    layer : Module
    x : Tensor
        Gives the shape, the precision and the device.

    Raises
    ------
    NotImplementedError
        When there is no rule for this type of layer.

    Examples
    --------
    >>> import numpy as np
    >>> from minidl import Tensor, nn, robustness
    >>> robustness.layer_norm(nn.Normalize(0.5, 0.25), Tensor(np.zeros((1, 8, 8, 3))))
    4.0
    """
    raise NotImplementedError(f"no Lipschitz constant is known for layers of type {type(layer).__name__}")


def has_rule(layer: Module) -> bool:
    """Whether ``layer_norm`` knows this type of layer."""
    return layer_norm.dispatch(type(layer)) is not layer_norm.dispatch(Module)


@layer_norm.register(Linear)
@layer_norm.register(Conv2d)
@layer_norm.register(AvgPool2d)
@layer_norm.register(AdaptiveAvgPool2d)
def spectral_norm(layer: Module, x: Tensor, tolerance: float = 1e-4, most_steps: int = 200) -> float:
    """The largest singular value of the operator A of a layer A x + b, at x's size: not of its reshaped weights.

    Power iteration that forgets nothing (Golub and Kahan 1965): each step applies A, as the layer's own forward pass,
    and its transpose, as the gradient by its input. In the basis of the vectors met so far A is a small bidiagonal
    matrix, and the largest singular value of that one approaches A's from below, much sooner than the last vector's
    stretching does.

    Parameters
    ----------
    layer : Module
        Its output depends on its input linearly, or linearly and a constant.
    x : Tensor
        Gives the shape, the precision and the device.
    tolerance : float
        Stops where ||A^T u - s v|| <= tolerance * s, for the largest singular value s found and its vectors u and v.
    most_steps : int

    Returns
    -------
    float

    References
    ----------
    Golub and Kahan, "Calculating the singular values and pseudo-inverse of a matrix", SIAM J. Numer. Anal. 2 (1965).

    Examples
    --------
    >>> import numpy as np
    >>> from minidl import Tensor, nn, robustness
    >>> layer = nn.Linear(2, 2)
    >>> layer.weight.data[...] = np.diag([3, 0.5])
    >>> round(robustness.spectral_norm(layer, Tensor(np.zeros((1, 2), np.float32))), 4)
    3.0
    """
    v = np.random.default_rng(0).standard_normal(x.shape).astype(x.dtype)
    v = to_device(v / _length(v), x.device)
    constant = layer(Tensor(array_module(v).zeros_like(v))).data  # the bias
    u: Any = 0.0
    beta = 0.0
    diagonal: list[float] = []
    above: list[float] = []
    for step in range(1, most_steps + 1):
        image = Tensor(v, requires_grad=True)
        y = layer(image)
        u = y.data - constant - beta * u  # A v, made orthogonal to the last u
        diagonal.append(_length(u))
        beta = 0.0
        if diagonal[-1] > 0:
            u /= diagonal[-1]
            y.backward(u, inputs=[image])
            v = image.grad - diagonal[-1] * v  # A^T u, made orthogonal to the last v
            beta = _length(v)
        if beta == 0 or step % 5 == 0 or step == most_steps:  # nowhere left to go, or time to look where we are
            left, values, _ = np.linalg.svd(np.diag(diagonal) + np.diag(above, k=1))
            if beta * abs(left[-1, 0]) <= tolerance * values[0]:
                break
        v /= beta
        above.append(beta)
    return float(values[0])


def _length(x: Array) -> float:
    return math.sqrt(float((x * x).sum()))


@layer_norm.register
def _(layer: BatchNorm2d, x: Tensor) -> float:
    xp = array_module(layer.running_var)
    return float(xp.abs(layer.weight.data / xp.sqrt(layer.running_var + layer.eps)).max())


@layer_norm.register
def _(layer: Normalize, x: Tensor) -> float:
    return float(1 / layer.std.min())


@layer_norm.register
def _(layer: MaxPool2d, x: Tensor) -> float:
    """A pixel that is the largest of several overlapping windows counts in each: sqrt(windows over one pixel)."""
    kernel = pair(layer.kernel_size, "kernel_size", 1, "MaxPool2d")
    stride = kernel if layer.stride is None else pair(layer.stride, "stride", 1, "MaxPool2d")
    padding = pair(layer.padding, "padding", 0, "MaxPool2d")
    most = 1
    for size, k, s, p in zip(x.shape[1:3], kernel, stride, padding, strict=True):
        over = np.zeros(size + 2 * p, int)
        for i in range(output_size(size, k, s, p)):
            over[i * s : i * s + k] += 1
        most *= over.max()
    return math.sqrt(most)


@layer_norm.register(ReLU)
@layer_norm.register(Tanh)
@layer_norm.register(Flatten)
@layer_norm.register(Dropout)
def _(layer: Module, x: Tensor) -> float:
    return 1.0


@layer_norm.register
def _(layer: Sigmoid, x: Tensor) -> float:
    return 0.25  # its steepest slope, at 0
