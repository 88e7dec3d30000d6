"""Pooling layers: each calls one operation of ``functional``."""

from __future__ import annotations

import itertools
import math

import numpy as np

from .. import functional as F
from .. import kernels
from ..backend import Array, array_module
from ..checks import pair
from ..functional.pooling import window_pairs
from ..kernels.shapes import Pair, output_size
from ..lines import Lines
from ..spectral import spectral_norm
from ..tensor import Tensor
from .layers import windows_formula
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
        self.kernel_size, self.stride, self.padding = window_pairs("MaxPool2d", kernel_size, stride, padding)

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool2d(x, self.kernel_size, self.stride, self.padding)

    def formula(self, x: Tensor) -> str:
        return windows_formula(x.shape, self.kernel_size, self.stride, self.padding)

    def lipschitz(self, x: Tensor) -> float:
        """A pixel that is the largest of several overlapping windows counts in each: sqrt(windows over one pixel)."""
        most = 1
        for size, k, s, p in zip(x.shape[1:3], self.kernel_size, self.stride, self.padding, strict=True):
            over = np.zeros(size + 2 * p, int)
            for i in range(output_size(size, k, s, p)):
                over[i * s : i * s + k] += 1
            most *= int(over.max())
        return math.sqrt(most)

    def lines(self, low: Array, high: Array) -> Lines:
        """Of the value of each window whose lower end is the largest: where the gradient at ``low`` goes.

        The window's maximum is at least that value, and at most the largest upper end; it is that value itself where
        no other of the window can be larger.
        """
        (kh, kw), (sh, sw), (ph, pw) = self.kernel_size, self.stride, self.padding
        surest, place = kernels.of(low).max_pool2d(low, (kh, kw), (sh, sw), (ph, pw))  # each (B, OH, OW, C)
        xp, (oh, ow) = array_module(low), surest.shape[1:3]
        ends = xp.pad(high, ((0, 0), (ph, ph), (pw, pw), (0, 0)), constant_values=-xp.inf)
        most = others = xp.full_like(surest, -xp.inf)
        for i, j in itertools.product(range(kh), range(kw)):
            end = ends[:, i : i + sh * oh : sh, j : j + sw * ow : sw]
            most = xp.maximum(most, end)
            others = xp.where(place == i * kw + j, others, xp.maximum(others, end))
        decided = (others <= surest).astype(low.dtype)
        return Lines(xp.ones_like(most), xp.zeros_like(most), decided, xp.where(decided > 0, 0, most))


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
        self.kernel_size, self.stride, self.padding = window_pairs("AvgPool2d", kernel_size, stride, padding)

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, self.kernel_size, self.stride, self.padding)

    def formula(self, x: Tensor) -> str:
        return windows_formula(x.shape, self.kernel_size, self.stride, self.padding)

    def lipschitz(self, x: Tensor) -> float:
        return spectral_norm(self, x)

    def spread(self, radius: Tensor) -> Tensor:
        return self(radius)  # a mean has no negative weights


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
        self.output_size = pair(output_size, "output_size", 1, "AdaptiveAvgPool2d")

    def forward(self, x: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(x, self.output_size)

    def formula(self, x: Tensor) -> str:
        return "means of {} x {} parts of the image".format(*self.output_size)

    def lipschitz(self, x: Tensor) -> float:
        return spectral_norm(self, x)

    def spread(self, radius: Tensor) -> Tensor:
        return self(radius)  # a mean has no negative weights
