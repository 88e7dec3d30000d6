"""The kernels for an NVIDIA card: cuBLAS for products, CUDA C for them and the rest, in float32, float64 and bfloat16.

Same names, signatures and meaning as ``loops``, which explains them. Images may be bfloat16 where all else, weights and
what is a sum over pixels, is float32: results that are images are bfloat16 then. What is of another type, empty or
larger than an int can count goes to ``portable``. No two threads ever write to one place, and every sum has its order,
so that the same card gives the same bits. Nothing here waits for the card, or sends it numbers that change: a step can
be recorded (``backend.recording``).

=================  ======================================================================================
``convolution``    windows written as rows (im2col), multiplied, and added up again (col2im)
``matrix_units``   convolutions that read ``windows`` where they lie, in TF32 and bfloat16, and when that is faster
``multiply``       matrix products in the precision that is allowed; ``cublas`` does them
``normalization``  with ``pooling`` and ``elementwise``: what is bound by memory rather than arithmetic
``loss``           the cross-entropy and its gradient
``steps``          what changes many arrays in place, in one launch: optimisers, running statistics
``launch``         compiles the files ``*.cu``, and starts what is in them
=================  ======================================================================================
"""

from __future__ import annotations

from functools import partial

import numpy as np

from ...backend import Array
from .. import portable
from ..portable import normal_cdf  # rare # noqa: F401
from ..types import of_precision, with_fallback
from . import convolution, elementwise, loss, multiply, normalization, pooling, steps

_COUNTABLE = 2**31 - 2**20  # numbers in an array: a thread's int must not pass its end with the last of its steps


def _fits(arrays: list[Array], beside: str = "") -> bool:
    return of_precision(arrays, "fd", beside) and all(a.size < _COUNTABLE for a in arrays)


_with_places, _with_masks, _with_classes = (partial(_fits, beside=letters) for letters in ("B", "?", "lq"))


conv2d = with_fallback(convolution.conv2d, _fits)
conv2d_grad_input = with_fallback(convolution.conv2d_grad_input, _fits)
conv2d_grad_weight = with_fallback(convolution.conv2d_grad_weight, _fits)
max_pool2d = with_fallback(pooling.max_pool2d, _fits)
max_pool2d_grad = with_fallback(pooling.max_pool2d_grad, _with_places)
avg_pool2d = with_fallback(pooling.avg_pool2d, _fits)
avg_pool2d_grad = with_fallback(pooling.avg_pool2d_grad, _fits)
channel_sums = with_fallback(normalization.channel_sums, _fits)
moments = with_fallback(normalization.moments, _fits)
batch_norm = with_fallback(normalization.batch_norm, _fits)
batch_norm_grad = with_fallback(normalization.batch_norm_grad, _fits)
batch_norm_grad_fixed = with_fallback(normalization.batch_norm_grad_fixed, _fits)
relu = with_fallback(elementwise.relu, _fits)
relu_grad = with_fallback(elementwise.relu_grad, _fits, alike=True)
dropout_scale = with_fallback(elementwise.dropout_scale, _fits)
uniform = with_fallback(elementwise.uniform, _fits)
cross_entropy = with_fallback(loss.cross_entropy, _with_classes)
sgd_step = with_fallback(steps.sgd_step, _with_masks, alike=True, in_place=True)
adam_step = with_fallback(steps.adam_step, _with_masks, alike=True, in_place=True)
track = with_fallback(steps.track, _fits, alike=True, in_place=True)


def matmul(a: Array, b: Array) -> Array:
    """a @ b, one or stacks; float16 by way of float32."""
    dtype = np.result_type(a.dtype, b.dtype)
    if dtype.kind != "f" or not all(0 < m.size < _COUNTABLE for m in (a, b)):
        return portable.matmul(a, b)
    wide = np.result_type(dtype, np.float32)
    product = multiply.matmul(a.astype(wide, copy=False), b.astype(wide, copy=False))
    return product.astype(dtype, copy=False)


def add_up(values: Array, places: Array, size: int) -> Array:
    """Each sum in its order; of other types than the kernel's by way of float64."""
    wide = values.dtype if values.dtype.char in "fd" else np.dtype(np.float64)
    return elementwise.add_up(values.astype(wide, copy=False), places, size).astype(values.dtype, copy=False)
