"""The differentiable operations, by PyTorch's names: ``from minidl import functional as F``."""

from ..checks import check_labels as check_labels  # no operations, but what takes labels asks them
from ..checks import check_targets as check_targets
from .activation import dropout, relu, sigmoid, tanh
from .convolution import conv2d, linear
from .loss import cross_entropy, log_softmax, margin_loss, softmax
from .noise import gaussian, log_alpha, variational_kl
from .normalization import batch_norm, local_response_norm, normalize
from .pooling import adaptive_avg_pool2d, avg_pool2d, flatten, max_pool2d

__all__ = [
    "adaptive_avg_pool2d",
    "avg_pool2d",
    "batch_norm",
    "conv2d",
    "cross_entropy",
    "dropout",
    "flatten",
    "gaussian",
    "linear",
    "local_response_norm",
    "log_alpha",
    "log_softmax",
    "margin_loss",
    "max_pool2d",
    "normalize",
    "relu",
    "sigmoid",
    "softmax",
    "tanh",
    "variational_kl",
]
