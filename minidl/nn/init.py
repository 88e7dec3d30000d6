"""Where training starts: random weights whose scale keeps signals and gradients alive through many layers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..checks import whole_number


def uniform_fan_in(rng: np.random.Generator, shape: tuple[int, ...], fan_in: int) -> np.ndarray:
    """Uniform in +-1 / sqrt(fan_in): PyTorch's default for weights and biases.

    Parameters
    ----------
    rng : numpy.random.Generator
    shape : tuple of int
    fan_in : int
        How many inputs a neuron has; of 0 all weights are zero.

    Returns
    -------
    float32 array of that shape

    Examples
    --------
    >>> import numpy as np
    >>> from minidl.nn import init
    >>> bool(abs(init.uniform_fan_in(np.random.default_rng(0), (4, 25), fan_in=25)).max() <= 0.2)
    True
    """
    fan_in = whole_number(fan_in, "fan_in", 0, "uniform_fan_in")
    bound = 1 / math.sqrt(fan_in) if fan_in else 0.0
    return rng.uniform(-bound, bound, shape).astype(np.float32)


def he_normal(rng: np.random.Generator, shape: tuple[int, ...], fan: int) -> np.ndarray:
    """Normal with standard deviation sqrt(2 / fan) (He et al. 2015): ReLU halves the variance, 2 makes up for it.

    Parameters
    ----------
    rng : numpy.random.Generator
    shape : tuple of int
    fan : int
        How many inputs a neuron has (or outputs, to keep the scale of gradients).

    Returns
    -------
    float32 array of that shape

    Examples
    --------
    >>> import numpy as np
    >>> from minidl.nn import init
    >>> round(float(init.he_normal(np.random.default_rng(0), (1000, 50), fan=50).var()) * 50, 1)
    2.0
    """
    return (rng.standard_normal(shape) * math.sqrt(2 / whole_number(fan, "fan", 1, "he_normal"))).astype(np.float32)


def he_uniform(model: Any) -> Any:
    """Give the kernels of a fresh Module He's variance, 2 / fan_in; returns the model.

    PyTorch's default, a sixth of that, lets signals fade from layer to layer: without batch normalisation a deep
    network stays at chance for its first epochs.

    Parameters
    ----------
    model : Module
        Fresh: its kernels have PyTorch's variance. Changed in place.

    References
    ----------
    He, Zhang, Ren and Sun, "Delving deep into rectifiers", ICCV 2015, arXiv:1502.01852.

    Examples
    --------
    >>> from minidl import nn
    >>> layer = nn.init.he_uniform(nn.Linear(600, 400))
    >>> round(float(layer.weight.data.var()) * 600, 1)
    2.0
    """
    for parameter in model.parameters():
        if parameter.ndim >= 2:  # kernels; biases and BatchNorm's parameters have one axis
            parameter.data *= np.float32(math.sqrt(6))
    return model
