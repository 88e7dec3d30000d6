"""The layers with parameters or settings, by PyTorch's names; each calls one operation of ``functional``."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from .. import functional as F
from ..backend import default_rng
from ..checks import pair, whole_number
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

    Examples
    --------
    >>> import numpy as np
    >>> from minidl import nn
    >>> nn.Linear(3, 2)(np.zeros((5, 3), np.float32)).shape
    (5, 2)
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

    Examples
    --------
    >>> import numpy as np
    >>> from minidl import nn
    >>> layer = nn.Conv2d(3, 8, kernel_size=3, stride=2, padding=1)
    >>> layer.weight.shape, layer(np.zeros((1, 64, 64, 3), np.float32)).shape
    ((8, 3, 3, 3), (1, 32, 32, 8))
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

    Examples
    --------
    >>> import numpy as np
    >>> from minidl import nn
    >>> x = np.random.default_rng(0).random((8, 4, 4, 3))
    >>> y = nn.BatchNorm2d(3)(x).data
    >>> bool(np.allclose(y.mean(axis=(0, 1, 2)), 0)), bool(np.allclose(y.std(axis=(0, 1, 2)), 1, atol=1e-3))
    (True, True)
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

    Examples
    --------
    >>> import numpy as np
    >>> from minidl import nn
    >>> nn.Normalize(0.5, 0.25)(np.array([[0.0, 0.5, 1.0]], np.float32)).data
    array([[-2.,  0.,  2.]], dtype=float32)
    """

    def __init__(self, mean: float | Sequence[float], std: float | Sequence[float]) -> None:
        self.mean, self.std = np.atleast_1d(mean).astype(np.float64), np.atleast_1d(std).astype(np.float64)
        if not (self.std > 0).all():
            raise ValueError(f"Normalize: std is {std}, and must be above 0")

    def forward(self, x: Tensor) -> Tensor:
        y = F.normalize(x, self.mean, self.std)
        _warn_of_grey_levels(x)
        return y


class Flatten(Module):
    """An image as one vector.

    Parameters
    ----------
    channels_first : bool
        Order the numbers as PyTorch does, whose weights then fit.

    Examples
    --------
    >>> import numpy as np
    >>> from minidl import nn
    >>> nn.Flatten()(np.zeros((2, 8, 8, 3), np.float32)).shape
    (2, 192)
    """

    def __init__(self, channels_first: bool = False) -> None:
        self.channels_first = channels_first

    def forward(self, x: Tensor) -> Tensor:
        return F.flatten(x, self.channels_first)


class LocalResponseNorm(Module):
    """AlexNet's normalisation over neighbouring channels; see ``functional.local_response_norm``.

    Parameters
    ----------
    size : int
        How many channels are neighbours.
    alpha, beta, k : float
        By PyTorch's meaning.

    Examples
    --------
    >>> import numpy as np
    >>> from minidl import nn
    >>> nn.LocalResponseNorm(size=1, alpha=1.0, beta=1.0)(np.ones((1, 1, 1, 3), np.float32)).data.ravel()
    array([0.5, 0.5, 0.5], dtype=float32)
    """

    def __init__(self, size: int = 5, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        self.settings = (size, alpha, beta, k)

    def forward(self, x: Tensor) -> Tensor:
        return F.local_response_norm(x, *self.settings)
