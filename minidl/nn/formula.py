"""What a layer computes, as a line of text with its numbers: for tables that people read."""

from __future__ import annotations

import math
from typing import Any

from ..checks import pair
from ..kernels.shapes import Pair, Shape, output_size
from .activation import Dropout, ReLU, Sigmoid, Tanh
from .layers import BatchNorm2d, Conv2d, Flatten, Linear, LocalResponseNorm, Normalize
from .module import Module
from .pooling import AdaptiveAvgPool2d, AvgPool2d, MaxPool2d

CONSTANT = {
    ReLU: "max(x, 0)",
    Sigmoid: "1 / (1 + exp(-x))",
    Tanh: "tanh(x)",
    Normalize: "(x - mean) / std",
}


def formula(layer: Module, x: Any, residual: Any = None, relu: bool = False) -> str:
    """What ``layer`` does when it is called with these arguments; "" for a type that minidl does not know.

    Examples
    --------
    >>> import numpy as np
    >>> from minidl import nn
    >>> from minidl.nn.formula import formula
    >>> formula(nn.Conv2d(3, 8, kernel_size=3, stride=2, padding=1), np.zeros((1, 64, 64, 3)))
    'floor((64 + 2*1 - 3)/2) + 1 = 32'
    >>> formula(nn.Linear(3072, 1344), np.zeros((1, 3072)))
    'x W + b, W 3072 x 1344'
    """
    shape = getattr(x, "shape", ())
    if isinstance(layer, Linear):
        n, m = layer.weight.shape
        return f"x W{'' if layer.bias is None else ' + b'}, W {n} x {m}"
    if isinstance(layer, Conv2d):
        return _windows(shape, layer.weight.shape[1:3], layer.stride, layer.padding)
    if isinstance(layer, MaxPool2d | AvgPool2d):
        kernel = pair(layer.kernel_size, "kernel_size", 1, type(layer).__name__)
        stride = kernel if layer.stride is None else pair(layer.stride, "stride", 1, type(layer).__name__)
        return _windows(shape, kernel, stride, pair(layer.padding, "padding", 0, type(layer).__name__))
    if isinstance(layer, AdaptiveAvgPool2d):
        oh, ow = pair(layer.output_size, "output_size", 1, "AdaptiveAvgPool2d")
        return f"means of {oh} x {ow} parts of the image"
    if isinstance(layer, Flatten):
        sizes = (*shape[-1:], *shape[1:-1]) if layer.channels_first else shape[1:]
        return f"{' * '.join(map(str, sizes))} = {math.prod(sizes)}"
    if isinstance(layer, BatchNorm2d):
        y = f"gamma (x - mean) / sqrt(var + {layer.eps:g}) + beta{'' if residual is None else ' + residual'}"
        return f"max({y}, 0)" if relu else y
    if isinstance(layer, Dropout):
        return f"zero with probability {layer.p:g}, in training"
    if isinstance(layer, LocalResponseNorm):
        size, alpha, beta, k = layer.settings
        return f"x / ({k:g} + {alpha:g}/{size} s)^{beta:g}, s over {size} channels"
    return CONSTANT.get(type(layer), "")


def _windows(shape: Shape, kernel: Shape, stride: Pair, padding: Pair) -> str:
    """The output's size, once where height and width agree (report, section 2.2)."""
    height, width = (
        f"floor(({size} + 2*{p} - {k})/{s}) + 1 = {output_size(size, k, s, p)}"
        for size, k, s, p in zip(shape[1:3], kernel, stride, padding, strict=True)
    )
    return height if height == width else f"{height} by {width}"
