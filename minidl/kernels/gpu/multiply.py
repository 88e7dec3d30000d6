"""Matrix products on the card: cuBLAS, in the precision that ``md.set_precision`` allows.

========== =============================================== ==========================
precision  what is multiplied                              what is added up
========== =============================================== ==========================
exact      float32, in full                                float32
fast       float32, of which 10 bits after the point count float32 (NVIDIA's TF32)
bfloat16   bfloat16: 7 bits after the point                float32
========== =============================================== ==========================

float64 is multiplied and added up as it is, whatever is set, and what is bfloat16 in memory as bfloat16. Weights are
float32 always, and results too, but for convolutions of bfloat16.
"""

from __future__ import annotations

import numpy as np

from ...backend import Array, array_module
from .. import precision
from ..types import is_bfloat16
from . import cublas
from .elementwise import narrow


def halves(like: Array) -> bool:
    """Whether products of such arrays take bfloat16."""
    return is_bfloat16(like) or (precision() == "bfloat16" and like.dtype == np.float32)


def _compute(factor: Array) -> int:
    if factor.dtype == np.float64:
        return cublas.COMPUTE_FLOAT64
    return cublas.COMPUTE_TF32 if factor.dtype == np.float32 and precision() == "fast" else cublas.COMPUTE_FLOAT32


def _kind(array: Array) -> int:
    return {"float32": cublas.FLOAT32, "float64": cublas.FLOAT64, "bfloat16": cublas.BFLOAT16}[array.dtype.name]


def _layout(m: Array) -> tuple[Array, bool, int]:
    """(matrix, whether its columns rather than its rows lie side by side, floats from one to the next); copied if need
    be."""
    (rows, columns), size = m.shape, m.itemsize
    down, across = (step // size for step in m.strides)
    if (across == 1 or columns == 1) and (down >= columns or rows == 1):
        return m, False, max(down, columns) if rows > 1 else columns
    if (down == 1 or rows == 1) and (across >= rows or columns == 1):
        return m, True, max(across, rows) if columns > 1 else rows
    return array_module(m).ascontiguousarray(m), False, columns


def as_factor(m: Array, half: bool | None = None) -> Array:
    """A matrix as products take it: itself, or a copy where they take bfloat16 (``half``, or as ``halves`` says)."""
    if is_bfloat16(m) or not (halves(m) if half is None else half):
        return m
    by_column = m.flags.f_contiguous and not m.flags.c_contiguous
    return narrow(m.T).T if by_column else narrow(m)


def multiply(a: Array, b: Array, out: Array, add: bool = False) -> Array:
    """out = a @ b, or with ``add`` out += a @ b, for factors (M, K) and (K, N) and a C-contiguous out (M, N)."""
    if not a.shape[1]:  # nothing to sum
        if not add:
            out.fill(0)
        return out
    (a, a_turned, a_step), (b, b_turned, b_step) = _layout(a), _layout(b)
    # cuBLAS has matrices by columns, and sees ours transposed: out' = b' a'
    cublas.handle(out).gemm(
        (b_turned, a_turned), (out.shape[1], out.shape[0], a.shape[1]), (b, _kind(b), b_step), (a, _kind(a), a_step),
        (out, _kind(out), out.shape[1]), _compute(a), add,
    )  # fmt: skip
    return out


def matmul(a: Array, b: Array) -> Array:
    """a @ b, for any strides; of stacks one product after the other."""
    if b.ndim == 2:  # then all rows of a are one matrix
        rows = a.reshape(-1, a.shape[-1])
        out = array_module(a).empty((len(rows), b.shape[1]), a.dtype)
        return multiply(as_factor(rows), as_factor(b), out).reshape(*a.shape[:-1], b.shape[1])
    xp, stack = array_module(a), np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    a, b = (xp.broadcast_to(m, stack + m.shape[-2:]) for m in (a, b))
    out = xp.empty((*stack, a.shape[-2], b.shape[-1]), a.dtype)
    for place in np.ndindex(*stack):
        multiply(as_factor(a[place]), as_factor(b[place]), out[place])
    return out
