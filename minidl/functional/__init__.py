"""The differentiable operations, by PyTorch's names: ``from minidl import functional as F``."""

from ..checks import check_labels as check_labels  # no operations, but what takes labels asks them
from ..checks import check_targets as check_targets
from .activation import dropout, gelu, leaky_relu, relu, sigmoid, tanh
from .arithmetic import clip
from .convolution import conv2d, linear
from .joining import concatenate, maximum, pad, stack, where
from .loss import cross_entropy, log_softmax, margin_loss, softmax
from .noise import gaussian, log_alpha, variational_kl
from .normalization import batch_norm, group_norm, layer_norm, local_response_norm, normalize
from .pooling import adaptive_avg_pool2d, avg_pool2d, flatten, max_pool2d

__all__ = [
    "adaptive_avg_pool2d",
    "avg_pool2d",
    "batch_norm",
    "clip",
    "concatenate",
    "conv2d",
    "cross_entropy",
    "dropout",
    "flatten",
    "gaussian",
    "gelu",
    "group_norm",
    "layer_norm",
    "leaky_relu",
    "linear",
    "local_response_norm",
    "log_alpha",
    "log_softmax",
    "margin_loss",
    "max_pool2d",
    "maximum",
    "normalize",
    "pad",
    "relu",
    "sigmoid",
    "softmax",
    "stack",
    "tanh",
    "variational_kl",
    "where",
]
