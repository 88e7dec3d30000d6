"""The kernels compiled by Numba for float32 on the CPU, in parallel, over memory that is used again.

Same names, signatures and meaning as ``loops``, which explains them. Anything but float32 goes to ``portable``.

=====================  ============================================================================
``tile``               the register-blocked multiply, sized to the instruction set
``multiply``           products out of packed pieces, of matrices and of windows: matmul, gradients by the weight
``convolution``        direct convolution, and its gradient by the input
``winograd``           the same with fewer multiplications; ``transform`` writes its transforms
``normalization`` ...  ``pooling``, ``elementwise``: what is bound by memory rather than arithmetic
=====================  ============================================================================

What all of these stand on, tasks on threads, vectors and the arrays' memory, is next door in ``cpu_runtime``.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from .. import portable
from ..portable import (  # rare, or small # noqa: F401
    add_up,
    avg_pool2d,
    avg_pool2d_grad,
    channel_sums,
    cross_entropy,
    dropout_scale,
    normal_cdf,
    track,
    uniform,
)
from ..types import of_precision, with_fallback
from . import convolution, elementwise, multiply, normalization, pooling

_is_float32 = partial(of_precision, kinds="f")
_with_places = partial(of_precision, kinds="f", beside="B")
_with_masks = partial(of_precision, kinds="f", beside="?")

conv2d = with_fallback(convolution.conv2d, _is_float32)
conv2d_grad_input = with_fallback(convolution.conv2d_grad_input, _is_float32)
conv2d_grad_weight = with_fallback(convolution.conv2d_grad_weight, _is_float32)
max_pool2d = with_fallback(pooling.max_pool2d, _is_float32)
max_pool2d_grad = with_fallback(pooling.max_pool2d_grad, _with_places)
moments = with_fallback(normalization.moments, _is_float32)
batch_norm = with_fallback(normalization.batch_norm, _is_float32)
batch_norm_grad = with_fallback(normalization.batch_norm_grad, _is_float32)
batch_norm_grad_fixed = with_fallback(normalization.batch_norm_grad_fixed, _is_float32)
relu = with_fallback(elementwise.relu, _is_float32)
relu_grad = with_fallback(elementwise.relu_grad, _is_float32, alike=True)
sgd_step = with_fallback(elementwise.sgd_step, _with_masks, alike=True, in_place=True)
adam_step = with_fallback(elementwise.adam_step, _with_masks, alike=True, in_place=True)


def matmul(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a @ b."""
    plain = a.ndim == b.ndim == 2 and _is_float32([a, b]) and all(step % 4 == 0 for m in (a, b) for step in m.strides)
    return multiply.matmul(a, b) if plain and a.shape[1] == b.shape[0] else portable.matmul(a, b)
