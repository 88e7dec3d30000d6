"""From images to smaller ones by pooling, which keeps the largest or the mean value of each window, and to vectors.

Section 2.2 of the report.
"""

from __future__ import annotations

import math
from functools import partial

from .. import kernels
from ..backend import Array
from ..checks import check_images, check_windows, pair
from ..kernels.shapes import Pair, Windows, output_size
from ..tensor import op
from .arithmetic import Result


def window_pairs(
    name: str, kernel_size: int | Pair, stride: int | Pair | None, padding: int | Pair
) -> tuple[Pair, Pair, Pair]:
    """The kernel, the stride, which is the kernel by default, and the padding, as pairs."""
    kernel = pair(kernel_size, "kernel_size", 1, name)
    step = kernel if stride is None else pair(stride, "stride", 1, name)
    return kernel, step, pair(padding, "padding", 0, name)


def _fitting(
    x: Array, kernel_size: int | Pair, stride: int | Pair | None, padding: int | Pair, name: str
) -> tuple[Pair, Pair, Pair]:
    """The same, where windows of this kind fit into the images."""
    check_images(x, name)
    kernel, step, border = window_pairs(name, kernel_size, stride, padding)
    if 2 * border[0] > kernel[0] or 2 * border[1] > kernel[1]:
        raise ValueError(f"{name}: padding {border} is more than half the kernel {kernel}: some windows would be empty")
    check_windows(x, kernel, step, border, name)
    return kernel, step, border


@partial(op, bfloat16=True)
def max_pool2d(x: Array, kernel_size: int | Pair, stride: int | Pair | None = None, padding: int | Pair = 0) -> Result:
    """The largest value of each window; padding never wins (report, section 2.2).

    Parameters
    ----------
    x : Tensor (B, H, W, C)
    kernel_size : int or (vertical, horizontal) pair
    stride : int or pair
        The step between windows; the kernel's size by default, so that windows do not overlap.
    padding : int or pair
        At most half the kernel.

    Returns
    -------
    Tensor (B, OH, OW, C)

    Raises
    ------
    ValueError
        When no window fits; the message has the formula with its numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from minidl import functional as F
    >>> F.max_pool2d(np.arange(16.0).reshape(1, 4, 4, 1), 2).data[0, :, :, 0]
    array([[ 5.,  7.],
           [13., 15.]])
    """
    kernel, step, border = _fitting(x, kernel_size, stride, padding, "max_pool2d")
    k, x_shape = kernels.of(x), x.shape
    y, where = k.max_pool2d(x, kernel, step, border)
    return y, (lambda dy: k.max_pool2d_grad(dy, where, x_shape, kernel, step, border),)


@partial(op, bfloat16=True)
def avg_pool2d(x: Array, kernel_size: int | Pair, stride: int | Pair | None = None, padding: int | Pair = 0) -> Result:
    """The mean of each window; padding counts as zeros, as in PyTorch.

    Parameters
    ----------
    x : Tensor (B, H, W, C)
    kernel_size, stride, padding : as for ``max_pool2d``

    Returns
    -------
    Tensor (B, OH, OW, C)

    Raises
    ------
    ValueError
        When no window fits; the message has the formula with its numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from minidl import functional as F
    >>> F.avg_pool2d(np.arange(16.0).reshape(1, 4, 4, 1), 2).data[0, :, :, 0]
    array([[ 2.5,  4.5],
           [10.5, 12.5]])
    """
    kernel, step, border = _fitting(x, kernel_size, stride, padding, "avg_pool2d")
    rows, columns = (
        tuple((i * s - p, i * s - p + k) for i in range(output_size(size, k, s, p)))
        for size, k, s, p in zip(x.shape[1:3], kernel, step, border, strict=True)
    )
    return _average(x, rows, columns)


@partial(op, bfloat16=True)
def adaptive_avg_pool2d(x: Array, output_size: int | Pair) -> Result:
    """The mean of OH x OW windows that share the image out as evenly as whole pixels allow.

    Parameters
    ----------
    x : Tensor (B, H, W, C)
    output_size : int or pair
        (OH, OW); may be larger than the image, whose pixels then repeat.

    Returns
    -------
    Tensor (B, OH, OW, C)

    Examples
    --------
    >>> import numpy as np
    >>> from minidl import functional as F
    >>> F.adaptive_avg_pool2d(np.arange(16.0).reshape(1, 4, 4, 1), 1).data.item()
    7.5
    """
    check_images(x, "adaptive_avg_pool2d")
    out = pair(output_size, "output_size", 1, "adaptive_avg_pool2d")
    rows, columns = (
        tuple((i * size // n, -(-(i + 1) * size // n)) for i in range(n))  # from the floor to the ceiling
        for size, n in zip(x.shape[1:3], out, strict=True)
    )
    return _average(x, rows, columns)


def _average(x: Array, rows: Windows, columns: Windows) -> Result:
    k, size = kernels.of(x), x.shape[1:]
    return k.avg_pool2d(x, rows, columns), (lambda dy: k.avg_pool2d_grad(dy, (len(dy), *size), rows, columns),)


@op
def flatten(x: Array, channels_first: bool = False) -> Result:
    """An image as one vector of H W C numbers, as a perceptron wants it (report, section 2.2).

    Parameters
    ----------
    x : Tensor (B, ...)
    channels_first : bool
        Order the numbers of images (B, H, W, C) as C, H, W: as in PyTorch, whose weights then fit.

    Returns
    -------
    Tensor (B, product of the other sizes)

    Examples
    --------
    >>> import numpy as np
    >>> from minidl import functional as F
    >>> F.flatten(np.zeros((2, 8, 8, 3))).shape
    (2, 192)
    """
    if not channels_first:
        return x.reshape(len(x), math.prod(x.shape[1:])), (lambda dy: dy.reshape(x.shape),)
    moved = x.transpose(0, 3, 1, 2)  # (B, C, H, W)
    return moved.reshape(len(x), math.prod(x.shape[1:])), (lambda dy: dy.reshape(moved.shape).transpose(0, 2, 3, 1),)
