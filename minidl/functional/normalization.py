"""Operations that put numbers on a common scale: by batch, by neighbouring channels, by known constants."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from .. import kernels
from ..backend import Array, array_module
from ..backend.cuda import constant
from ..checks import channels_first, check_images, check_real, number, numbers, vector, whole_number
from ..graph import once
from ..kernels.types import real_dtype
from ..tensor import op
from .arithmetic import Result


@partial(op, bfloat16=True)
def batch_norm(
    x: Array,
    gamma: Array,
    beta: Array,
    mean: Array | None = None,
    var: Array | None = None,
    eps: float = 1e-5,
    residual: Array | None = None,
    relu: bool = False,
    observe: Callable[[Array, Array, int], None] | None = None,
) -> Result:
    """Give each channel mean beta and standard deviation gamma over the batch (Ioffe and Szegedy 2015).

    y = gamma (x - mean) / sqrt(var + eps) + beta, then + residual, then ReLU, where asked for: what follows the
    normalisation in a residual block is done in the same pass over memory.

    Parameters
    ----------
    x : Tensor (B, H, W, C) or (B, C)
    gamma, beta : Tensor (C,)
    mean, var : array (C,), optional
        Known statistics, as in evaluation. By default the batch's own, through which the gradient then goes too.
    eps : float
        Keeps the square root away from zero.
    residual : Tensor of x's shape, optional
    relu : bool
    observe : callable, optional
        Told the batch's mean and variance (C,), and of how many values a channel they are: ``nn.BatchNorm2d`` keeps
        its running statistics so.

    Returns
    -------
    Tensor of x's shape

    Raises
    ------
    ValueError
        When shapes do not fit, when one of mean and var is missing, or when the batch has a single value a channel,
        whose variance is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> from minidl import functional as F
    >>> x = np.array([[1.0], [3.0]])
    >>> F.batch_norm(x, np.ones(1), np.zeros(1)).data.round(3).ravel().tolist()
    [-1.0, 1.0]
    """
    statistics = {} if mean is None or var is None else {"mean": mean, "var": var}
    _check_channels("batch_norm", x, gamma=gamma, beta=beta, **statistics)
    if residual is not None and check_real(residual, "batch_norm", "residual").shape != x.shape:
        raise ValueError(f"batch_norm: residual has shape {residual.shape}, x has {x.shape}: they must be equal")
    eps = number(eps, "eps", "[0, inf)", "batch_norm")
    k = kernels.of(x)
    known = mean is not None and var is not None
    mean, var = _statistics(k, x, mean, var, observe)
    y = k.batch_norm(x, mean, var, gamma, beta, eps, residual, relu)
    each = once(lambda dy: k.batch_norm_grad(dy, x, y, mean, var, gamma, eps, relu, not known))
    # where statistics are known, x's gradient does without the sums that gamma's and beta's need: another pass
    through = (
        once(lambda dy: k.batch_norm_grad_fixed(dy, y, var, gamma, eps, relu, residual is not None)) if known else each
    )
    return y, (
        lambda dy: through(dy)[0],
        lambda dy: each(dy)[1],
        lambda dy: each(dy)[2],
        None,
        None,
        None,
        lambda dy: through(dy)[-1],  # the residual's
    )


def _statistics(
    k: Any, x: Array, mean: Array | None, var: Array | None, observe: Callable[[Array, Array, int], None] | None
) -> tuple[Array, Array]:
    """The mean and variance of each channel: those that are known, or the batch's own."""
    if mean is not None and var is not None:
        return mean.astype(real_dtype(x)), var.astype(real_dtype(x))  # copies: the graph outlives this batch
    if mean is not None or var is not None:
        raise ValueError("batch_norm: one of mean and var is missing: give both, or neither for the batch's own")
    count = x.size // x.shape[-1]
    if count < 2:
        raise ValueError(
            f"batch_norm: training on {count} value a channel, whose variance is unknown: use a batch of two or more "
            "images, or model.eval()"
        )
    mean, var = k.moments(x)
    if observe is not None:
        observe(mean, var, count)
    return mean, var


def _check_channels(who: str, x: Array, **arrays: Array) -> None:
    check_real(x, who)
    if x.ndim < 2:
        raise ValueError(f"{who}: x has shape {x.shape}, and must have shape (B, H, W, C) or (B, C)")
    for name, array in arrays.items():
        if check_real(array, who, name).shape != x.shape[-1:]:
            raise ValueError(
                f"{who}: {name} has shape {array.shape}, x of shape {x.shape} asks for {x.shape[-1:]}"
                f"{channels_first(x, array.size)}"
            )


@op
def group_norm(x: Array, gamma: Array, beta: Array, groups: int, eps: float = 1e-5) -> Result:
    """As ``batch_norm``, of each group of channels over one image alone (Wu and He 2018, arXiv:1803.08494).

    Parameters
    ----------
    x : Tensor (B, ..., C)
    gamma, beta : Tensor (C,)
    groups : int
        A divisor of C.
    eps : float

    Examples
    --------
    >>> import numpy as np
    >>> from minidl import functional as F
    >>> F.group_norm(np.array([[1.0, 3.0, 10.0, 30.0]]), np.ones(4), np.zeros(4), groups=2).data.round(3)
    array([[-1.,  1., -1.,  1.]])
    """
    _check_channels("group_norm", x, gamma=gamma, beta=beta)
    groups, channels = whole_number(groups, "groups", 1, "group_norm"), x.shape[-1]
    if channels % groups:
        raise ValueError(f"group_norm: groups is {groups}, and must divide the {channels} channels of shape {x.shape}")
    shape = (len(x), math.prod(x.shape[1:-1]), groups, channels // groups)
    return _standardized("group_norm", x, shape, gamma, beta, eps)


@op
def layer_norm(x: Array, gamma: Array, beta: Array, eps: float = 1e-5) -> Result:
    """As ``batch_norm``, of the channels of one place alone (Ba, Kiros and Hinton 2016, arXiv:1607.06450).

    Parameters
    ----------
    x : Tensor (B, ..., C)
    gamma, beta : Tensor (C,)
    eps : float

    Examples
    --------
    >>> import numpy as np
    >>> from minidl import functional as F
    >>> F.layer_norm(np.array([[1.0, 3.0], [10.0, 30.0]]), np.ones(2), np.zeros(2)).data.round(3).tolist()
    [[-1.0, 1.0], [-1.0, 1.0]]
    """
    _check_channels("layer_norm", x, gamma=gamma, beta=beta)
    return _standardized("layer_norm", x, (math.prod(x.shape[:-1]), 1, 1, x.shape[-1]), gamma, beta, eps)


def _standardized(who: str, x: Array, shape: tuple[int, ...], gamma: Array, beta: Array, eps: float) -> Result:
    """What both do to x as (images, places, groups, channels), over the places and channels of each group."""
    eps = number(eps, "eps", "(0, inf)", who)
    if shape[1] * shape[3] == 1:
        raise ValueError(f"{who}: each group of x, of shape {x.shape}, is a single value, of which only beta is left")

    def mean(a: Array) -> Array:
        return a.mean(axis=(1, 3), dtype=np.float64, keepdims=True).astype(x.dtype)

    unit = x.reshape(shape)
    unit = unit - mean(unit)
    unit -= mean(unit)  # what rounding left, where values are far from zero
    scale = 1 / array_module(x).sqrt(mean(unit * unit) + eps)
    unit *= scale

    def grad_x(dy: Array) -> Array:
        d = (dy * gamma).reshape(shape)
        return ((d - mean(d) - unit * mean(d * unit)) * scale).reshape(x.shape)

    y = unit.reshape(x.shape)
    return y * gamma + beta, (grad_x, lambda dy: dy * y, lambda dy: dy)


@op
def normalize(x: Array, mean: Any, std: Any) -> Result:
    """(x - mean) / std for each channel, with constants: the usual first step of a model.

    Parameters
    ----------
    x : Tensor (..., C)
    mean, std : array (C,) or float
        std above 0.

    Raises
    ------
    TypeError
        When the pixels are integers: those would be rounded, and images are in [0, 1] here.
    ValueError
        When the shapes do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from minidl import functional as F
    >>> F.normalize(np.array([[0.0, 1.0]]), np.array([0.5, 0.5]), np.array([0.5, 0.25])).data.tolist()
    [[-1.0, 2.0]]
    """
    check_real(x, "normalize", "images")
    mean, scale = vector(mean, "mean", "(-inf, inf)", "normalize"), 1 / vector(std, "std", "(0, inf)", "normalize")
    for name, known in (("mean", mean), ("std", scale)):
        if known.size != 1 and known.shape != x.shape[-1:]:
            raise ValueError(
                f"normalize: {name} has shape {known.shape}: this Normalize was made for {known.size} channels, "
                f"and the images have {x.shape[-1]}: their shape is {x.shape}{channels_first(x, known.size)}"
            )
    mean, scale, one, zero = (
        constant(np.broadcast_to(value, x.shape[-1:]), x.dtype, x) for value in (mean, scale, 1, 0)
    )
    k = kernels.of(x)

    def scaled(x: Array, mean: Array) -> Array:  # in one pass, as a batch normalisation with known statistics
        return k.batch_norm(x, mean, one, scale, zero, 0.0, None, False)

    return scaled(x, mean), (lambda dy: scaled(dy, zero),)


@op
def local_response_norm(x: Array, size: int = 5, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Result:
    """x / (k + alpha / size * s)^beta, s the sum of squares over ``size`` neighbouring channels (Krizhevsky 2012).

    Parameters
    ----------
    x : Tensor (B, H, W, C)
    size : int
        Channels c - size // 2 to c + (size - 1) // 2 are neighbours of c.
    alpha, beta, k : float
        PyTorch's meaning: alpha is divided by size. alpha and beta at least 0, k above 0.

    Raises
    ------
    ValueError
        When the images are not (B, H, W, C), or a setting is out of its range.

    Examples
    --------
    >>> import numpy as np
    >>> from minidl import functional as F
    >>> F.local_response_norm(np.ones((1, 1, 1, 3)), size=1, alpha=1.0, beta=1.0).data.ravel().tolist()
    [0.5, 0.5, 0.5]
    """
    check_images(x, "local_response_norm")
    size, k = whole_number(size, "size", 1, "local_response_norm"), number(k, "k", "(0, inf)", "local_response_norm")
    alpha, beta = numbers("local_response_norm", "[0, inf)", alpha=alpha, beta=beta)
    below, above = size // 2, (size - 1) // 2
    scale = k + alpha / size * _sum_neighbours(x * x, below, above)
    shrink = scale**-beta

    def grad_x(dy: Array) -> Array:
        # x[c] also divides its neighbours' results: gather their dy y / scale, over the mirrored neighbourhood
        shared = _sum_neighbours(dy * x * shrink / scale, above, below)
        return dy * shrink - (2 * alpha * beta / size) * x * shared

    return x * shrink, (grad_x,)


def _sum_neighbours(x: Array, below: int, above: int) -> Array:
    """s[..., c] = x[..., c - below] + ... + x[..., c + above], counting only channels that exist."""
    xp, channels = array_module(x), x.shape[-1]
    c = xp.arange(channels)
    neighbours = (c[:, None] >= c - below) & (c[:, None] <= c + above)  # (C, C): row is a neighbour of column
    summed = kernels.of(x).matmul(x.reshape(-1, channels), neighbours.astype(x.dtype))  # (B H W, C)
    return summed.reshape(x.shape)
