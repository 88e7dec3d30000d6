"""The linear operations with weights: a layer's x W + b, and the convolution."""

from __future__ import annotations

import math
from functools import partial

from .. import kernels
from ..backend import Array
from ..checks import channels_first, check_images, check_real, check_windows, pair
from ..kernels.shapes import Pair
from ..kernels.types import activation, widened
from ..tensor import op
from .arithmetic import Result


@op
def linear(x: Array, weight: Array, bias: Array | None = None) -> Result:
    """x W + b, a fully-connected layer before its activation; the last's are the logits (report, eqs. (1), (3), (15)).

    Parameters
    ----------
    x : Tensor (..., in)
    weight : Tensor (in, out)
    bias : Tensor (out,), optional

    Returns
    -------
    Tensor (..., out)

    Raises
    ------
    ValueError
        When the shapes do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from minidl import functional as F
    >>> F.linear(np.ones((1, 3)), np.ones((3, 2)), np.array([0.0, 1.0])).data
    array([[3., 4.]])
    """
    check_real(x, "linear")
    check_real(weight, "linear", "weight")
    if x.ndim < 1 or weight.ndim != 2 or x.shape[-1] != weight.shape[0]:
        raise ValueError(
            f"linear: x has shape {x.shape} and weight {weight.shape}: they must be (..., in) and (in, out), with "
            f"the same number of inputs{_missing_step(x, weight)}"
        )
    if bias is not None and check_real(bias, "linear", "bias").shape != weight.shape[1:]:
        raise ValueError(f"linear: bias has shape {bias.shape}, weight {weight.shape} asks for {weight.shape[1:]}")
    k = kernels.of(x)
    rows = _rows(x)
    y = k.matmul(rows, weight)  # (rows, out)
    if bias is not None:
        y += bias
    return y.reshape(*x.shape[:-1], weight.shape[1]), (
        lambda dy: k.matmul(_rows(dy), weight.T).reshape(*dy.shape[:-1], weight.shape[0]),
        lambda dy: k.matmul(rows.T, _rows(dy)),
        lambda dy: k.channel_sums(_rows(dy)),
    )


def _rows(x: Array) -> Array:
    """(..., n) as a matrix: all axes but the last are one."""
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


def _missing_step(x: Array, weight: Array) -> str:
    """What to do about an x that does not have ``in`` numbers in a row."""
    if weight.ndim != 2:
        return ""
    if x.size == weight.shape[0]:
        return ". This is one image without a batch: image[None]"
    if x.ndim > 2:
        return ". Flatten images first"
    return f". This layer was made for {weight.shape[0]} inputs: are the images of another size?"


@partial(op, bfloat16=True)
def conv2d(
    x: Array, weight: Array, bias: Array | None = None, stride: int | Pair = 1, padding: int | Pair = 0
) -> Result:
    """Slide N kernels over images: sum products of pixels and weights at each place (report, eq. (12)).

    Parameters
    ----------
    x : Tensor (B, H, W, C)
    weight : Tensor (N, KH, KW, C)
    bias : Tensor (N,), optional
    stride, padding : int or (vertical, horizontal) pair
        The step between windows, at least 1; zeros added on both sides, at least 0.

    Returns
    -------
    Tensor (B, OH, OW, N)
        With OH = floor((H + 2 padding - KH) / stride) + 1, and OW likewise.

    Raises
    ------
    ValueError
        When the shapes do not fit; the message has the formula with its numbers.

    Notes
    -----
    The equation turns the kernel round: W(x - x', y - y'). Here it slides as it is stored. Kernels are learned, and so
    either is as good.

    Examples
    --------
    >>> import numpy as np
    >>> from minidl import functional as F
    >>> F.conv2d(np.ones((1, 5, 5, 1)), np.ones((1, 3, 3, 1)), stride=2).data[0, :, :, 0]
    array([[9., 9.],
           [9., 9.]])
    """
    check_images(x, "conv2d")
    check_real(weight, "conv2d", "weight")
    if weight.ndim != 4 or weight.shape[3] != x.shape[3]:
        raise ValueError(
            f"conv2d: images have shape {x.shape} (B, H, W, C) and weight {weight.shape}: weight must have shape "
            f"(N, KH, KW, C) with the images' C = {x.shape[3]} channels last"
            f"{channels_first(x, weight.shape[-1])}"
        )
    if bias is not None and check_real(bias, "conv2d", "bias").shape != weight.shape[:1]:
        raise ValueError(f"conv2d: bias has shape {bias.shape}, weight {weight.shape} asks for {weight.shape[:1]}")
    stride, padding = pair(stride, "stride", 1, "conv2d"), pair(padding, "padding", 0, "conv2d")
    check_windows(x, weight.shape[1:3], stride, padding, "conv2d", weight)
    k, x, weight, bias = kernels.of(x), activation(x), widened(weight), widened(bias)
    return k.conv2d(x, weight, bias, stride, padding), (
        lambda dy: k.conv2d_grad_input(dy, weight, (len(dy), *x.shape[1:]), stride, padding),
        lambda dy: k.conv2d_grad_weight(dy, x, weight.shape, stride, padding),
        lambda dy: k.channel_sums(dy),
    )
