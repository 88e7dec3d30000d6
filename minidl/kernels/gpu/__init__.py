"""The kernels for an NVIDIA card: cuBLAS for products, CUDA C for the rest, in float32 and float64.

Same names, signatures and meaning as ``loops``, which explains them. What is of another type, empty or larger than an
int can count goes to ``portable``. No two threads ever write to one place, and every sum has its order, so that the
same card gives the same bits. Nothing here waits for the card, or sends it numbers that change: a step can be recorded
(``replay``).

=================  ======================================================================================
``convolution``    windows written as rows (im2col), multiplied, and added up again (col2im)
``multiply``       matrix products in the precision that is allowed; ``cublas`` does them
``normalization``  with ``pooling`` and ``elementwise``: what is bound by memory rather than arithmetic
``launch``         compiles the files ``*.cu``, and starts what is in them
=================  ======================================================================================
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ...backend import Array, array_module, is_gpu_array
from .. import portable
from . import convolution, elementwise, multiply, normalization, pooling

_COUNTABLE = 2**31 - 2**20  # numbers in an array: a thread's int must not pass its end with the last of its steps


def _fits(arrays: list[Array]) -> bool:
    """Whether all are of one precision, masks and places of maxima apart, and none is empty or too large."""
    kinds = {a.dtype.char for a in arrays} - {"?", "B"}
    return len(kinds) == 1 and kinds <= {"f", "d"} and all(0 < a.size < _COUNTABLE for a in arrays)


def _contiguous(argument: Any) -> Any:
    return array_module(argument).ascontiguousarray(argument) if is_gpu_array(argument) else argument


def _in_cuda(kernel: Callable[..., Any], in_place: bool = False) -> Any:
    """The kernel for arrays that fit; its namesake in ``portable`` for all others.

    The kernel sees C-contiguous arrays: copies, if need be, unless it works in place.
    """
    fallback = getattr(portable, kernel.__name__)

    @functools.wraps(kernel)
    def choose(*args: Any, **kwargs: Any) -> Any:
        arrays = [a for a in (*args, *kwargs.values()) if is_gpu_array(a) and a.ndim]
        fits = _fits(arrays)
        if in_place:  # of one shape: what else there may be, portable broadcasts or refuses
            fits = fits and all(a.flags.c_contiguous and a.shape == arrays[0].shape for a in arrays)
        if not fits:
            return fallback(*args, **kwargs)
        return kernel(*map(_contiguous, args), **{name: _contiguous(a) for name, a in kwargs.items()})

    return choose


conv2d = _in_cuda(convolution.conv2d)
conv2d_grad_input = _in_cuda(convolution.conv2d_grad_input)
conv2d_grad_weight = _in_cuda(convolution.conv2d_grad_weight)
max_pool2d = _in_cuda(pooling.max_pool2d)
max_pool2d_grad = _in_cuda(pooling.max_pool2d_grad)
avg_pool2d = _in_cuda(pooling.avg_pool2d)
avg_pool2d_grad = _in_cuda(pooling.avg_pool2d_grad)
moments = _in_cuda(normalization.moments)
normalize = _in_cuda(normalization.normalize)
normalize_grad = _in_cuda(normalization.normalize_grad)
normalize_grad_fixed = _in_cuda(normalization.normalize_grad_fixed)
relu = _in_cuda(elementwise.relu)
relu_grad = _in_cuda(elementwise.relu_grad)
dropout_scale = _in_cuda(elementwise.dropout_scale)
sgd_step = _in_cuda(elementwise.sgd_step, in_place=True)
adam_step = _in_cuda(elementwise.adam_step, in_place=True)


def matmul(a: Array, b: Array) -> Array:
    """a @ b."""
    plain = a.ndim == b.ndim == 2 and a.shape[1] == b.shape[0] and _fits([a, b])
    return multiply.matmul(a, b) if plain else portable.matmul(a, b)
