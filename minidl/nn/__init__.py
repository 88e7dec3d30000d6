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
from .low_rank import LowRankConv2d
from .module import Module, Sequential, evaluation_mode

__all__ = [
    "AdaptiveAvgPool2d",
    "AvgPool2d",
    "BatchNorm2d",
    "Conv2d",
    "Dropout",
    "Flatten",
    "Linear",
    "LocalResponseNorm",
    "LowRankConv2d",
    "MaxPool2d",
    "Module",
    "Normalize",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Tanh",
    "evaluation_mode",
    "init",
]
