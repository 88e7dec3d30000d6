"""Layers and models as objects that hold parameters."""

from . import init
from .activation import Dropout, ReLU, Sigmoid, Tanh
from .layers import BatchNorm2d, Conv2d, Flatten, Linear, LocalResponseNorm, Normalize
from .low_rank import LowRankConv2d
from .module import Module, evaluation_mode
from .pooling import AdaptiveAvgPool2d, AvgPool2d, MaxPool2d
from .sequential import Sequential

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
