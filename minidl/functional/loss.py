"""From logits to probabilities and to the loss, at any temperature (report, eqs. (2)-(7), (15)-(24)), and a margin.

The textbook formulas overflow, and lose all digits where a probability rounds to 1. Here logits are measured from
their largest, exp sees no positive number, and the two quantities that cancellation would destroy, 1 - p and
log p near p = 1, are sums over the *other* classes.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import kernels
from ..backend import Array, array_module, is_array
from ..checks import check_labels, check_targets, number
from ..tensor import op
from .arithmetic import Result

Check = Callable[[Any, int, int, str], Array]


def _checked_temperature(logits: Array, temperature: float, name: str) -> float:
    """T, when logits can be divided by it."""
    temperature = number(temperature, "temperature", "(0, inf)", name, " (1: the plain softmax)")
    if not is_array(logits) or logits.dtype.kind != "f" or logits.ndim < 1:
        kind = f"of {logits.dtype}, of shape {logits.shape}" if is_array(logits) else f"a {type(logits).__name__}"
        raise TypeError(
            f"{name}: logits must be an array of real numbers (B, classes), and are {kind}: they come before the labels"
        )
    least = math.sqrt(np.finfo(logits.dtype).tiny)  # half of the exponents for T, half for what it divides
    if not least <= temperature <= 1 / least:
        raise ValueError(
            f"{name}: temperature is {temperature:g}, and logits of {logits.dtype} need one from {least:.1e} to "
            f"{1 / least:.1e}: beyond these, quotients overflow or gradients vanish"
        )
    return temperature


def _scaled(logits: Array, temperature: float, name: str) -> tuple[Array, float]:
    """(g - max g) / T along the last axis, and T: the largest becomes 0, and no exponential of it can overflow."""
    temperature = _checked_temperature(logits, temperature, name)
    with np.errstate(invalid="ignore"):  # infinite logits give NaN, of which the loss itself speaks
        return (logits - logits.max(axis=-1, keepdims=True)) / temperature, temperature


@op
def softmax(logits: Array, temperature: float = 1.0) -> Result:
    """Probabilities exp(g_k / T) / sum_i exp(g_i / T) along the last axis (report, eqs. (2), (4)-(5), (16)-(18), (23)).

    Parameters
    ----------
    logits : Tensor (..., classes)
    temperature : float > 0
        T: above 1 the probabilities move towards equal ones.

    Raises
    ------
    ValueError
        When the temperature is not above 0 and finite.

    Notes
    -----
    The gradient is p (dy - sum(p dy)) / T, and a number added to all of dy changes nothing in it. It is computed with
    dy measured from its value at the largest logit, so that the sum has its digits where that class's p rounds to 1.

    Examples
    --------
    >>> from minidl import Tensor, functional as F
    >>> F.softmax(Tensor([1e4, 0.0])).data
    array([1., 0.], dtype=float32)
    """
    xp = array_module(logits)
    z, temperature = _scaled(logits, temperature, "softmax")
    largest = z.argmax(axis=-1)[..., None]
    p = xp.exp(z)
    p /= p.sum(axis=-1, keepdims=True)

    def grad_logits(dy: Array) -> Array:
        dy = dy - xp.take_along_axis(dy, largest, axis=-1)
        return p * (dy - (dy * p).sum(axis=-1, keepdims=True)) / temperature

    return p, (grad_logits,)


@op
def log_softmax(logits: Array, temperature: float = 1.0) -> Result:
    """The logarithm of ``softmax``, computed directly: -10000 where softmax itself rounds to 0.

    Parameters
    ----------
    logits : Tensor (..., classes)
    temperature : float > 0

    Raises
    ------
    ValueError
        When the temperature is not above 0 and finite.

    Notes
    -----
    The gradient is (dy - p sum(dy)) / T. For the largest logit's class it is computed as q dy - p times the sum of the
    other dy, where q = 1 - p is a sum over the other classes.

    Examples
    --------
    >>> from minidl import Tensor, functional as F
    >>> F.log_softmax(Tensor([1e4, 0.0])).data.tolist()
    [0.0, -10000.0]
    """
    xp = array_module(logits)
    z, temperature = _scaled(logits, temperature, "log_softmax")
    first = z.argmax(axis=-1)[..., None] == xp.arange(z.shape[-1])  # one largest logit in each row
    others = xp.where(first, 0, xp.exp(z)).sum(axis=-1, keepdims=True)
    y = z - xp.log1p(others)  # log sum exp = 0 + log(1 + the others), exact to the last digit where they are tiny

    def grad_logits(dy: Array) -> Array:
        p, q = xp.exp(y), others / (1 + others)  # q = 1 - p of the largest
        rest = xp.where(first, 0, dy).sum(axis=-1, keepdims=True)
        return xp.where(first, q * dy - p * rest, dy - p * dy.sum(axis=-1, keepdims=True)) / temperature

    return y, (grad_logits,)


@op
def cross_entropy(logits: Array, labels: Any, temperature: float = 1.0, reduction: str = "mean") -> Result:
    """L = -sum_k y[k] log p[k]; for a class c, -g_c / T + log sum_j exp(g_j / T) (report, eqs. (6)-(7), (19)-(24)).

    Parameters
    ----------
    logits : Tensor (B, classes)
    labels : integer array (B,), or array of real numbers (B, classes)
        The class c of each image, counted from 0; or y, the probability of each class, as somebody else sees it.
    temperature : float > 0
    reduction : {"mean", "sum", "none"}
        The mean over the batch, the report's sum, or the loss of each image (B,).

    Raises
    ------
    TypeError, ValueError
        When labels are not integers, not of shape (B,), or out of range; when probabilities are not of the logits'
        shape, not finite, below 0, or do not sum to 1; when the temperature is not above 0 and finite.

    Warns
    -----
    UserWarning
        When every row of the logits is a probability distribution: the softmax was taken before, and is taken again.

    Notes
    -----
    The gradient by the logits is (p - y) / T. For the likeliest class by the label it is computed as minus the sum of
    the others, which keeps its sign and its digits where p and y round to 1. FGSM, which takes signs, would otherwise
    do nothing to an image that the network is sure of. No gradient flows to the labels.

    Examples
    --------
    >>> import numpy as np
    >>> from minidl import Tensor, functional as F
    >>> g = Tensor([[40.0, 0.0]], requires_grad=True)
    >>> F.cross_entropy(g, np.array([0])).backward()
    >>> g.grad  # 1 - p is 4e-18, far below the spacing of float32 at 1
    array([[-4.248354e-18,  4.248354e-18]], dtype=float32)
    >>> F.cross_entropy(Tensor([[0.0, 0.0]]), np.array([[0.25, 0.75]])).item()
    0.6931471824645996
    """
    temperature = _checked_temperature(logits, temperature, "cross_entropy")
    xp, labels = array_module(logits), _checked(logits, labels, reduction, "cross_entropy", check_targets)
    _warn_of_probabilities(logits)
    labels = xp.asarray(labels).astype(np.int64 if labels.ndim == 1 else logits.dtype, copy=False)
    each, slope = kernels.of(logits).cross_entropy(logits, labels, temperature)

    def grad_logits(dy: Array) -> Array:
        return slope * _shared(dy, len(logits), reduction) / temperature

    return xp.asarray(_reduced(each, reduction)), (grad_logits,)


@op
def margin_loss(logits: Array, labels: Any, reduction: str = "mean") -> Result:
    """L = max_{j != c} g_j - g_c for each image of class c: below 0 where the model is right, by as much as it is sure.

    What an attack climbs where the cross-entropy of a very sure network is flat: this loss cannot saturate.

    Parameters
    ----------
    logits : Tensor (B, classes)
        Of two classes or more.
    labels : integer array (B,)
        The class c of each image, counted from 0.
    reduction : {"mean", "sum", "none"}
        The mean over the batch, the sum, or the loss of each image (B,).

    Raises
    ------
    TypeError, ValueError
        When labels are not integers, not of shape (B,), or out of range; when there are fewer than two classes.

    Notes
    -----
    The gradient by the logits is exact: 1 for the largest other logit, -1 for the true class, 0 elsewhere. Of other
    classes that tie for the largest, the first counts, and it alone.

    References
    ----------
    Carlini and Wagner, "Towards evaluating the robustness of neural networks", 2017, arXiv:1608.04644: their
    f_6, here for the true class and not cut off at 0.

    Examples
    --------
    >>> import numpy as np
    >>> from minidl import Tensor, functional as F
    >>> g = Tensor([[400.0, 0.0, 1.0]], requires_grad=True)
    >>> loss = F.margin_loss(g, np.array([0]))
    >>> loss.backward()
    >>> loss.item(), g.grad  # at this margin the gradient of the cross-entropy has underflowed to 0
    (-399.0, array([[-1.,  0.,  1.]], dtype=float32))
    """
    xp = array_module(logits)
    if not is_array(logits) or logits.dtype.kind != "f":
        raise TypeError(f"margin_loss: logits must be an array of real numbers (B, classes), and got {logits!r}")
    labels = xp.asarray(_checked(logits, labels, reduction, "margin_loss"))
    if logits.shape[1] < 2:
        raise ValueError(f"margin_loss: logits have shape {logits.shape}: a margin is between two classes or more")
    rows = xp.arange(len(logits))
    rivals = logits.copy()
    rivals[rows, labels] = -math.inf
    rival = rivals.argmax(axis=1)  # (B,), the first of equals
    each = logits[rows, rival] - logits[rows, labels]

    def grad_logits(dy: Array) -> Array:
        signs = xp.zeros(logits.shape, logits.dtype)
        signs[rows, rival], signs[rows, labels] = 1, -1
        return signs * _shared(dy, len(logits), reduction)

    return xp.asarray(_reduced(each, reduction)), (grad_logits,)


def _checked(logits: Array, labels: Any, reduction: str, name: str, check: Check = check_labels) -> Array:
    """The labels, when a loss can be computed from all three."""
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"{name}: unknown reduction {reduction!r}: choose 'mean', 'sum' or 'none'")
    if logits.ndim != 2:
        raise ValueError(f"{name}: logits have shape {logits.shape}, and must have shape (B, classes)")
    if reduction == "mean" and not len(logits):
        raise ValueError(f"{name}: there are no images, of whose losses a mean could be taken")
    return check(labels, len(logits), logits.shape[1], name)


def _warn_of_probabilities(logits: Array) -> None:
    """Numbers between 0 and 1 that sum to 1 in every row are no logits. Arrays on a card are not waited for."""
    if not isinstance(logits, np.ndarray) or not logits.size or not 0 <= logits.min() < logits.max() < 1:
        return
    if (abs(logits.sum(axis=1) - 1) < 1e-5).all():
        warnings.warn(
            "cross_entropy: the logits look like probabilities: every row sums to 1. It takes the softmax itself: "
            "leave it out of the model",
            stacklevel=4,  # the line that calls the operation
        )


def _reduced(each: Array, reduction: str) -> Array:
    """The losses (B,) as one number, or as they are."""
    return each.mean() if reduction == "mean" else each.sum() if reduction == "sum" else each


def _shared(dy: Array, count: int, reduction: str) -> Array:
    """What each image's loss has of dy, to be multiplied with (B, classes)."""
    return dy[:, None] if reduction == "none" else dy / count if reduction == "mean" else dy
