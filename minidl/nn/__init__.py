"""Layers and models as objects that hold parameters."""

from . import init
from .layers import (
    AdaptiveAvgPool2d,
    AvgPool2d,
    BatchNorm2d,
    Conv2d,
    Dropout,
    Flatten,
    Linear,
    LocalResponseNorm,
    MaxPool2d,
    Normalize,
    ReLU,
    Sigmoid,
    Tanh,
)
from .module import Module, Sequential

__all__ = [
    "AdaptiveAvgPool2d",
    "AvgPool2d",
    "BatchNorm2d",
    "Conv2d",
    "Dropout",
    "Flatten",
    "Linear",
    "LocalResponseNorm",
    "MaxPool2d",
    "Module",
    "Normalize",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Tanh",
    "init",
]
