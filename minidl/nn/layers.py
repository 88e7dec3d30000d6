"""The layers, by PyTorch's names. Each holds its parameters and calls one operation of ``functional``."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from .. import functional as F
from ..backend import default_rng
from ..functional.shape_errors import pair, whole_number
from ..kernels.shapes import Pair
from ..tensor import Parameter, Tensor
from .init import uniform_fan_in
from .module import Module


class Linear(Module):
    """x W + b: a fully-connected layer of ``out_features`` neurons before their activation (report, eq. (1)).

    Parameters
    ----------
    in_features, out_features : int
    bias : bool
    rng : numpy.random.Generator
        Draws the initial weights; by default the "init" stream that ``md.manual_seed`` resets.

    Attributes
    ----------
    weight : Parameter (in_features, out_features)
    bias : Parameter (out_features,) or None
    """

    exchange_axes: ClassVar = {"weight": (1, 0)}

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, rng: np.random.Generator | None = None
    ) -> None:
        in_features = whole_number(in_features, "in_features", 1, "Linear")
        out_features = whole_number(out_features, "out_features", 1, "Linear")
        rng = rng or default_rng("init")
        self.weight = Parameter(uniform_fan_in(rng, (in_features, out_features), in_features))
        self.bias = Parameter(uniform_fan_in(rng, (out_features,), in_features)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)


class Conv2d(Module):
    """N kernels slid over images (report, section 2.2).

    Parameters
    ----------
    in_channels, out_channels : int
        C and N.
    kernel_size, stride, padding : int or (vertical, horizontal) pair
    bias : bool
    rng : numpy.random.Generator
        Draws the initial weights; by default the "init" stream that ``md.manual_seed`` resets.

    Attributes
    ----------
    weight : Parameter (N, KH, KW, C)
    bias : Parameter (N,) or None
    """

    exchange_axes: ClassVar = {"weight": (0, 3, 1, 2)}  # (N, KH, KW, C) here, (N, C, KH, KW) in PyTorch

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Pair,
        stride: int | Pair = 1,
        padding: int | Pair = 0,
        bias: bool = True,
        rng: np.random.Generator | None = None,
    ) -> None:
        in_channels = whole_number(in_channels, "in_channels", 1, "Conv2d")
        out_channels = whole_number(out_channels, "out_channels", 1, "Conv2d")
        rng = rng or default_rng("init")
        kernel = pair(kernel_size, "kernel_size", 1, "Conv2d")
        self.stride, self.padding = pair(stride, "stride", 1, "Conv2d"), pair(padding, "padding", 0, "Conv2d")
        fan_in = kernel[0] * kernel[1] * in_channels
        self.weight = Parameter(uniform_fan_in(rng, (out_channels, *kernel, in_channels), fan_in))
        self.bias = Parameter(uniform_fan_in(rng, (out_channels,), fan_in)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight, self.bias, self.stride, self.padding)


class BatchNorm2d(Module):
    """Batch normalisation of each channel, with the residual block's sum and ReLU in the same pass where asked for.

    Parameters
    ----------
    num_features : int
        C, the channels.
    eps, momentum : float
        As for ``functional.batch_norm``.

    Attributes
    ----------
    weight, bias : Parameter (C,)
        gamma and beta.
    running_mean, running_var : array (C,)
        What evaluation uses.
    """

    buffers: ClassVar = ("running_mean", "running_var", "num_batches_tracked")
    optional_buffers: ClassVar = ("num_batches_tracked",)

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        num_features = whole_number(num_features, "num_features", 1, "BatchNorm2d")
        self.eps, self.momentum = eps, momentum
        self.weight = Parameter(np.ones(num_features, np.float32))
        self.bias = Parameter(np.zeros(num_features, np.float32))
        self.running_mean = np.zeros(num_features, np.float32)
        self.running_var = np.ones(num_features, np.float32)
        self.num_batches_tracked = np.zeros((), np.int64)  # in PyTorch's files, but for the oldest

    def forward(self, x: Tensor, residual: Tensor | None = None, relu: bool = False) -> Tensor:
        if self.training:
            self.num_batches_tracked += 1
        return F.batch_norm(
            x,
            self.weight,
            self.bias,
            self.running_mean,
            self.running_var,
            self.training,
            self.momentum,
            self.eps,
            residual,
            relu,
        )


def _warn_of_grey_levels(x: Tensor) -> None:
    """Images from 0 to 255 train badly and raise no error. One look at the first image, where it costs nothing."""
    pixels = x.data if isinstance(x, Tensor) else x
    if not isinstance(pixels, np.ndarray) or pixels.ndim != 4 or not pixels.size:
        return
    brightest = float(pixels[0].max())
    if brightest > 16:  # far from [0, 1], even for noise
        warnings.warn(
            f"Normalize: a pixel is {brightest:g}, and images lie in [0, 1] here: divide pixels from 0 to 255 by 255",
            stacklevel=2,
        )


class Normalize(Module):
    """(x - mean) / std for each channel: the first layer of every model here, so that images stay in [0, 1] outside.

    Parameters
    ----------
    mean, std : float, or a sequence of one number a channel

    Warns
    -----
    UserWarning
        When pixels seem to go up to 255.
    """

    def __init__(self, mean: float | Sequence[float], std: float | Sequence[float]) -> None:
        self.mean, self.std = np.atleast_1d(mean).astype(np.float64), np.atleast_1d(std).astype(np.float64)
        if not (self.std > 0).all():
            raise ValueError(f"Normalize: std is {std}, and must be above 0")

    def forward(self, x: Tensor) -> Tensor:
        y = F.normalize(x, self.mean, self.std)
        _warn_of_grey_levels(x)
        return y


class _Pool2d(Module):
    """Windows slid over images; ``stride`` is the kernel's size by default."""

    def __init__(self, kernel_size: int | Pair, stride: int | Pair | None = None, padding: int | Pair = 0) -> None:
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding


class MaxPool2d(_Pool2d):
    """The largest value of each window; ``stride`` is the kernel's size by default."""

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool2d(x, self.kernel_size, self.stride, self.padding)


class AvgPool2d(_Pool2d):
    """The mean of each window; ``stride`` is the kernel's size by default."""

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, self.kernel_size, self.stride, self.padding)


class AdaptiveAvgPool2d(Module):
    """The means of ``output_size`` windows that share the image out evenly."""

    def __init__(self, output_size: int | Pair) -> None:
        self.output_size = output_size

    def forward(self, x: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(x, self.output_size)


class ReLU(Module):
    """max(x, 0)."""

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x)


class Sigmoid(Module):
    """1 / (1 + exp(-x))."""

    def forward(self, x: Tensor) -> Tensor:
        return F.sigmoid(x)


class Tanh(Module):
    """The hyperbolic tangent."""

    def forward(self, x: Tensor) -> Tensor:
        return F.tanh(x)


class Dropout(Module):
    """Zero each value with probability p while training; nothing in evaluation.

    Parameters
    ----------
    p : float in [0, 1]
    rng : numpy.random.Generator
        By default the "dropout" stream that ``md.manual_seed`` resets.
    """

    def __init__(self, p: float = 0.5, rng: np.random.Generator | None = None) -> None:
        if not 0 <= p <= 1:
            raise ValueError(f"Dropout: p is {p}, and must be a probability in [0, 1]")
        self.p, self.rng = p, rng

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.p, self.training, self.rng)


class Flatten(Module):
    """An image as one vector; ``channels_first`` orders it as PyTorch does, whose weights then fit."""

    def __init__(self, channels_first: bool = False) -> None:
        self.channels_first = channels_first

    def forward(self, x: Tensor) -> Tensor:
        return F.flatten(x, self.channels_first)


class LocalResponseNorm(Module):
    """AlexNet's normalisation over neighbouring channels; see ``functional.local_response_norm``."""

    def __init__(self, size: int = 5, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        self.settings = (size, alpha, beta, k)

    def forward(self, x: Tensor) -> Tensor:
        return F.local_response_norm(x, *self.settings)
