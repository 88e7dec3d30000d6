"""Pooling layers: each calls one operation of ``functional``."""

from __future__ import annotations

from .. import functional as F
from ..kernels.shapes import Pair
from ..tensor import Tensor
from .module import Module


class MaxPool2d(Module):
    """The largest value of each window (report, section 2.2).

    Parameters
    ----------
    kernel_size : int or (vertical, horizontal) pair
    stride : int or pair
        The step between windows; the kernel's size by default, so that windows do not overlap.
    padding : int or pair
        At most half the kernel. It never wins.

    Examples
    --------
    >>> import numpy as np
    >>> from minidl import nn
    >>> nn.MaxPool2d(2)(np.arange(16, dtype=np.float32).reshape(1, 4, 4, 1)).data[0, :, :, 0]
    array([[ 5.,  7.],
           [13., 15.]], dtype=float32)
    """

    def __init__(self, kernel_size: int | Pair, stride: int | Pair | None = None, padding: int | Pair = 0) -> None:
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool2d(x, self.kernel_size, self.stride, self.padding)


class AvgPool2d(Module):
    """The mean of each window.

    Parameters
    ----------
    kernel_size : int or (vertical, horizontal) pair
    stride : int or pair
        The step between windows; the kernel's size by default.
    padding : int or pair
        At most half the kernel. It counts as zeros.

    Examples
    --------
    >>> import numpy as np
    >>> from minidl import nn
    >>> nn.AvgPool2d(2)(np.arange(16, dtype=np.float32).reshape(1, 4, 4, 1)).data[0, :, :, 0]
    array([[ 2.5,  4.5],
           [10.5, 12.5]], dtype=float32)
    """

    def __init__(self, kernel_size: int | Pair, stride: int | Pair | None = None, padding: int | Pair = 0) -> None:
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, self.kernel_size, self.stride, self.padding)


class AdaptiveAvgPool2d(Module):
    """The means of windows that share the image out evenly, whatever its size.

    Parameters
    ----------
    output_size : int or (OH, OW) pair
        How many windows there are.

    Examples
    --------
    >>> import numpy as np
    >>> from minidl import nn
    >>> nn.AdaptiveAvgPool2d(6)(np.zeros((2, 13, 9, 256), np.float32)).shape
    (2, 6, 6, 256)
    """

    def __init__(self, output_size: int | Pair) -> None:
        self.output_size = output_size

    def forward(self, x: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(x, self.output_size)
