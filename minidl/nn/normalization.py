"""The layers that put numbers on a common scale: by batch, group, place, known constants or neighbouring channels."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from .. import functional as F
from .. import kernels
from ..backend import Array, array_module
from ..checks import number, numbers, vector, whole_number, whole_numbers
from ..tensor import Parameter, Tensor
from .module import Module


class BatchNorm2d(Module):
    """Batch normalisation of each channel, with the residual block's sum and ReLU in the same pass where asked for.

    Parameters
    ----------
    num_features : int
        C, the channels.
    eps : float
        As for ``functional.batch_norm``.
    momentum : float in [0, 1]
        How far the running statistics move: running = (1 - momentum) running + momentum batch.

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
        self.eps = number(eps, "eps", "[0, inf)", "BatchNorm2d")
        self.momentum = number(momentum, "momentum", "[0, 1]", "BatchNorm2d")
        self.weight = Parameter(np.ones(num_features, np.float32))
        self.bias = Parameter(np.zeros(num_features, np.float32))
        self.running_mean = np.zeros(num_features, np.float32)
        self.running_var = np.ones(num_features, np.float32)
        self.num_batches_tracked = np.zeros((), np.int64)  # in PyTorch's files, but for the oldest

    def forward(self, x: Tensor, residual: Tensor | None = None, relu: bool = False) -> Tensor:
        if self.training:
            return F.batch_norm(
                x, self.weight, self.bias, eps=self.eps, residual=residual, relu=relu, observe=self._observe
            )
        return F.batch_norm(x, self.weight, self.bias, self.running_mean, self.running_var, self.eps, residual, relu)

    def _observe(self, mean: Array, var: Array, count: int) -> None:
        """Move the running statistics towards a batch's, with the unbiased variance."""
        running = self.running_mean, self.running_var, self.num_batches_tracked
        kernels.of(mean).track(*running, mean, var, self.momentum, count)

    def formula(self, x: Tensor, residual: Tensor | None = None, relu: bool = False) -> str:
        y = f"gamma (x - mean) / sqrt(var + {self.eps:g}) + beta{'' if residual is None else ' + residual'}"
        return f"max({y}, 0)" if relu else y

    def lipschitz(self, x: Tensor) -> float:
        """Of x's part; a residual is passed on as it is."""
        xp = array_module(self.running_var)
        return float(xp.abs(self.weight.data / xp.sqrt(self.running_var + self.eps)).max())

    def spread(self, radius: Tensor) -> Tensor:
        xp = array_module(self.running_var)
        return radius * xp.abs(self.weight.data / xp.sqrt(self.running_var + self.eps))


class GroupNorm(Module):
    """Normalisation of groups of channels, each image by itself; see ``functional.group_norm``.

    Parameters
    ----------
    num_groups, num_channels : int
        The one divides the other.
    eps : float

    Attributes
    ----------
    weight, bias : Parameter (C,)

    Examples
    --------
    >>> import numpy as np
    >>> from minidl import nn
    >>> nn.GroupNorm(2, 4)(np.zeros((8, 5, 5, 4), np.float32)).shape
    (8, 5, 5, 4)
    """

    def __init__(self, num_groups: int, num_channels: int, eps: float = 1e-5) -> None:
        name = type(self).__name__
        groups, channels = whole_numbers(name, 1, num_groups=num_groups, num_channels=num_channels)
        if channels % groups:
            raise ValueError(f"{name}: num_groups is {groups}, and must divide num_channels, {channels}")
        self.num_groups, self.eps = groups, number(eps, "eps", "(0, inf)", name)
        self.weight, self.bias = Parameter(np.ones(channels, np.float32)), Parameter(np.zeros(channels, np.float32))

    def forward(self, x: Tensor) -> Tensor:
        return F.group_norm(x, self.weight, self.bias, self.num_groups, self.eps)

    def formula(self, x: Tensor) -> str:
        return f"gamma (x - mean) / sqrt(var + {self.eps:g}) + beta, over {x.shape[-1] // self.num_groups} channels"

    def lipschitz(self, x: Tensor) -> float:
        """Of gamma u / sqrt(mean of u^2 + eps), where u = x - mean: its slope where u is 0."""
        return float(abs(self.weight.data).max()) / math.sqrt(self.eps)


class LayerNorm(GroupNorm):
    """Normalisation of the channels of each place by itself; see ``functional.layer_norm``.

    Parameters
    ----------
    num_channels : int
    eps : float

    Examples
    --------
    >>> import numpy as np
    >>> from minidl import nn
    >>> nn.LayerNorm(4)(np.zeros((8, 4), np.float32)).shape
    (8, 4)
    """

    def __init__(self, num_channels: int, eps: float = 1e-5) -> None:
        super().__init__(1, num_channels, eps)

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.weight, self.bias, self.eps)

    formula, lipschitz = GroupNorm.formula, GroupNorm.lipschitz  # they hold for this forward too


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
        self.mean = vector(mean, "mean", "(-inf, inf)", "Normalize")
        self.std = vector(std, "std", "(0, inf)", "Normalize")

    def forward(self, x: Tensor) -> Tensor:
        y = F.normalize(x, self.mean, self.std)
        _warn_of_grey_levels(x)
        return y

    def formula(self, x: Tensor) -> str:
        return "(x - mean) / std"

    def lipschitz(self, x: Tensor) -> float:
        return float(1 / self.std.min())

    def spread(self, radius: Tensor) -> Tensor:
        return F.normalize(radius, 0, self.std)


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
        name = "LocalResponseNorm"
        alpha, beta = numbers(name, "[0, inf)", alpha=alpha, beta=beta)
        self.settings = (whole_number(size, "size", 1, name), alpha, beta, number(k, "k", "(0, inf)", name))

    def forward(self, x: Tensor) -> Tensor:
        return F.local_response_norm(x, *self.settings)

    def formula(self, x: Tensor) -> str:
        size, alpha, beta, k = self.settings
        return f"x / ({k:g} + {alpha:g}/{size} s)^{beta:g}, s over {size} channels"
