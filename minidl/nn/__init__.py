"""Layers and models as objects that hold parameters."""

from typing import Any

from . import init
from .activation import GELU, Dropout, Identity, LeakyReLU, ReLU, Sigmoid, Softmax, Tanh
from .layers import Conv2d, Flatten, Linear, ModuleList, Sequential
from .low_rank import LowRankConv2d
from .modes import evaluation_mode, is_minidls_own
from .module import Module
from .noisy import VariationalConv2d, VariationalLinear
from .normalization import BatchNorm2d, GroupNorm, LayerNorm, LocalResponseNorm, Normalize
from .pooling import AdaptiveAvgPool2d, AvgPool2d, MaxPool2d

__all__ = [
    "GELU",
    "AdaptiveAvgPool2d",
    "AvgPool2d",
    "BatchNorm2d",
    "Conv2d",
    "Dropout",
    "Flatten",
    "GroupNorm",
    "Identity",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "LocalResponseNorm",
    "LowRankConv2d",
    "MaxPool2d",
    "Module",
    "ModuleList",
    "Normalize",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Softmax",
    "Tanh",
    "VariationalConv2d",
    "VariationalLinear",
    "evaluation_mode",
    "init",
    "is_minidls_own",
    "watch",
]

watch: Any  # minidl/trace.py puts it here, which stands above
