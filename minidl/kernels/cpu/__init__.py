"""The kernels compiled by Numba for float32 on the CPU, in parallel, over memory that is used again.

Same names, signatures and meaning as ``loops``, which explains them. Anything but float32 goes to ``portable``.

=====================  ============================================================================
``tile``, ``vector``   the register-blocked multiply, sized to the instruction set
``multiply``           B packed into panels; matmul
``convolution``        direct convolution and its two gradients
``winograd``           the same with fewer multiplications; ``transform`` writes its transforms
``normalization`` ...  ``pooling``, ``elementwise``: what is bound by memory rather than arithmetic
=====================  ============================================================================

The tasks and threads that all of these run on, and the arrays' memory, are next door in ``cpu_runtime``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import portable
from ..shapes import Windows
from . import convolution, elementwise, multiply, normalization, pooling


def _is_float32(array: np.ndarray) -> bool:
    return array.dtype == np.float32 and array.size > 0


def _contiguous(argument: Any) -> Any:
    return np.asarray(argument, order="C") if isinstance(argument, np.ndarray) else argument


def _compiled(kernel: Callable[..., Any], also: type[np.generic] = np.float32, in_place: bool = False) -> Any:
    """The kernel for arrays of float32 (one may be of type ``also``); its namesake in ``portable`` for all others.

    The kernel sees C-contiguous arrays: copies, if need be, unless it works in place.
    """
    fallback = getattr(portable, kernel.__name__)

    @functools.wraps(kernel)
    def choose(*args: Any, **kwargs: Any) -> Any:
        arrays = [a for a in (*args, *kwargs.values()) if isinstance(a, np.ndarray)]
        odd = [a for a in arrays if not _is_float32(a)]
        fits = not odd or (len(odd) == 1 and odd[0].dtype == also and odd[0].size > 0)
        if in_place:
            # of one shape, and writable: what else there may be, portable broadcasts or refuses
            fits = fits and all(a.flags.carray and a.shape == arrays[0].shape for a in arrays)
        if not fits:
            return fallback(*args, **kwargs)
        return kernel(*map(_contiguous, args), **{name: _contiguous(a) for name, a in kwargs.items()})

    return choose


conv2d = _compiled(convolution.conv2d)
conv2d_grad_input = _compiled(convolution.conv2d_grad_input)
conv2d_grad_weight = _compiled(convolution.conv2d_grad_weight)
max_pool2d = _compiled(pooling.max_pool2d)
max_pool2d_grad = _compiled(pooling.max_pool2d_grad, also=np.uint8)
moments = _compiled(normalization.moments)
normalize = _compiled(normalization.normalize)
normalize_grad = _compiled(normalization.normalize_grad)
normalize_grad_fixed = _compiled(normalization.normalize_grad_fixed)
relu = _compiled(elementwise.relu)
relu_grad = _compiled(elementwise.relu_grad)
sgd_step = _compiled(elementwise.sgd_step, also=np.bool_, in_place=True)
adam_step = _compiled(elementwise.adam_step, also=np.bool_, in_place=True)


def avg_pool2d(x: np.ndarray, rows: Windows, columns: Windows) -> np.ndarray:
    """Rare, or of small images: left to ``portable``, as is its gradient."""
    return portable.avg_pool2d(x, rows, columns)


def avg_pool2d_grad(dy: np.ndarray, x_shape: tuple[int, ...], rows: Windows, columns: Windows) -> np.ndarray:
    return portable.avg_pool2d_grad(dy, x_shape, rows, columns)


def dropout_scale(x: np.ndarray, p: float, rng: np.random.Generator) -> np.ndarray:
    """NumPy's generator takes longer than the rest."""
    return portable.dropout_scale(x, p, rng)


def matmul(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a @ b."""
    plain = all(m.ndim == 2 and _is_float32(m) and all(step % 4 == 0 for step in m.strides) for m in (a, b))
    return multiply.matmul(a, b) if plain and a.shape[1] == b.shape[0] else portable.matmul(a, b)
