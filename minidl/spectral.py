"""How much a linear map stretches at most: its largest singular value."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .backend import Array, array_module, to_device
from .checks import number, whole_number
from .kernels import precision
from .settings import settings
from .tensor import Tensor


def spectral_norm(
    layer: Callable[[Tensor], Tensor], x: Tensor, tolerance: float = 1e-4, most_steps: int = 200
) -> float:
    """The largest singular value of the operator A of a layer A x + b, at x's size: not of its reshaped weights.

    Power iteration that forgets nothing (Golub and Kahan 1965): each step applies A, as the layer's own forward pass,
    and its transpose, as the gradient by its input. In the basis of the vectors met so far A is a small bidiagonal
    matrix, and the largest singular value of that one approaches A's from below, much sooner than the last vector's
    stretching does.

    Parameters
    ----------
    layer : Module, or another function of a Tensor
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
    tolerance = number(tolerance, "tolerance", "[0, inf)", "spectral_norm")
    most_steps = whole_number(most_steps, "most_steps", 1, "spectral_norm")
    # A product in bfloat16 has errors larger than the tolerance
    with settings(precision="exact" if precision() == "bfloat16" else precision()):
        return _largest(layer, x, tolerance, most_steps)


def _largest(layer: Callable[[Tensor], Tensor], x: Tensor, tolerance: float, most_steps: int) -> float:
    v = np.random.default_rng(0).standard_normal(x.shape).astype(x.dtype)
    v = to_device(v / _length(v), x.device)
    constant, scale = _bias_and_scale(layer, Tensor(array_module(v).zeros_like(v), requires_grad=True))
    u: Any = 0.0
    beta = 0.0
    diagonal: list[float] = []
    above: list[float] = []
    for step in range(1, most_steps + 1):
        image = Tensor(scale * v, requires_grad=True)
        y = layer(image)
        u = (y.data - constant) / scale - beta * u  # A v, made orthogonal to the last u
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


def _bias_and_scale(layer: Callable[[Tensor], Tensor], zero: Tensor) -> tuple[Array, float]:
    """b, and a number c so large that A (c v) is not lost beside it in rounding: about ||b|| / ||A||."""
    y = layer(zero)
    size = _length(y.data)
    if size == 0:
        return y.data, 1.0
    y.backward(y.data / size, inputs=[zero])
    assert zero.grad is not None
    return y.data, min(max(1.0, size / max(_length(zero.grad), 1e-30)), 1e12)


def _length(x: Array) -> float:
    return math.sqrt(float((x * x).sum()))
