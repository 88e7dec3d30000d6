"""``cupy.cuda.cublas``: ``gemmEx``, column-major over raw addresses as cuBLAS has it.

CuPy refuses to call cuBLAS while a stream captures. ``libcublas`` lends the same ``gemm`` to those who call the C
library themselves, and then it is captured.
"""

import ctypes

import numpy as np

from .. import memory
from . import runtime
from . import stream as streams

CUBLAS_OP_N, CUBLAS_OP_T, CUBLAS_OP_C = 0, 1, 2
CUBLAS_POINTER_MODE_HOST, CUBLAS_POINTER_MODE_DEVICE = 0, 1
CUBLAS_DEFAULT_MATH, CUBLAS_TENSOR_OP_MATH = 0, 1
CUBLAS_GEMM_DEFAULT, CUBLAS_GEMM_DEFAULT_TENSOR_OP = -1, 99
CUBLAS_GEMM_DFALT, CUBLAS_GEMM_DFALT_TENSOR_OP = -1, 99
CUBLAS_COMPUTE_16F, CUBLAS_COMPUTE_16F_PEDANTIC = 64, 65
CUBLAS_COMPUTE_32F, CUBLAS_COMPUTE_32F_PEDANTIC = 68, 69
CUBLAS_COMPUTE_64F, CUBLAS_COMPUTE_64F_PEDANTIC = 70, 71
CUBLAS_COMPUTE_32F_FAST_16F, CUBLAS_COMPUTE_32F_FAST_16BF, CUBLAS_COMPUTE_32F_FAST_TF32 = 74, 75, 77

_F32, _F64, _F16, _BF16 = runtime.CUDA_R_32F, runtime.CUDA_R_64F, runtime.CUDA_R_16F, runtime.CUDA_R_16BF
_DTYPES = {_F32: np.float32, _F64: np.float64, _F16: np.float16, _BF16: np.uint16}  # NumPy has no bfloat16
_FAST = (CUBLAS_COMPUTE_32F_FAST_16F, CUBLAS_COMPUTE_32F_FAST_16BF, CUBLAS_COMPUTE_32F_FAST_TF32)
_SUPPORTED = {  # computeType: the types of (A and B, C)
    CUBLAS_COMPUTE_32F: {(_F32, _F32), (_F16, _F16), (_F16, _F32), (_BF16, _BF16), (_BF16, _F32)},
    CUBLAS_COMPUTE_64F: {(_F64, _F64)},
    CUBLAS_COMPUTE_16F: {(_F16, _F16)},
    **{fast: {(_F32, _F32)} for fast in _FAST},
}
for _type in (CUBLAS_COMPUTE_16F, CUBLAS_COMPUTE_32F, CUBLAS_COMPUTE_64F):
    _SUPPORTED[_type + 1] = _SUPPORTED[_type]  # pedantic
TF32_TRUNCATES = False  # whether factors lose their last bits to nothing, rather than to the nearest; nobody promises
_modes = {"pointer": CUBLAS_POINTER_MODE_HOST, "math": CUBLAS_DEFAULT_MATH, "stream": 0}


class CUBLASError(RuntimeError):
    def __init__(self, status):
        self.status = status
        super().__init__({7: "CUBLAS_STATUS_INVALID_VALUE", 15: "CUBLAS_STATUS_NOT_SUPPORTED"}[status])


class IllegalAddressError(RuntimeError):
    """A card would find out later, and say less."""

    status = 14


def getPointerMode(handle):  # noqa: N802
    return _modes["pointer"]


def setPointerMode(handle, mode):  # noqa: N802
    _modes["pointer"] = mode


def getMathMode(handle):  # noqa: N802
    return _modes["math"]


def setMathMode(handle, mode):  # noqa: N802
    _modes["math"] = mode


def getStream(handle):  # noqa: N802
    return _modes["stream"]


def setStream(handle, stream):  # noqa: N802
    _modes["stream"] = stream  # gemmEx sets the current one, as CuPy's does


def _matrix(what, address, rows, columns, leading, dtype):
    """A column-major matrix in the card's memory, and the block that it must lie in."""
    if leading < max(1, rows):
        raise CUBLASError(7)
    itemsize = np.dtype(dtype).itemsize
    size = (leading * (columns - 1) + rows) * itemsize
    block = memory.block_at(address, size)
    if block is None or address % itemsize:
        raise IllegalAddressError(
            f"cudaErrorIllegalAddressError: gemmEx: {what} ({rows}, {columns}) lies beyond any one array"
        )
    return block.array((rows, columns), dtype, (itemsize, leading * itemsize), address - block.ptr), block


def _number(address, dtype):
    """alpha or beta, which lie on the host."""
    if _modes["pointer"] == CUBLAS_POINTER_MODE_DEVICE:
        raise NotImplementedError("the emulated card reads alpha and beta from the host only")
    if memory.block_at(address) is not None:
        raise IllegalAddressError("gemmEx: alpha and beta must lie on the host: the pointer mode says so")
    return np.frombuffer(ctypes.string_at(address, np.dtype(dtype).itemsize), dtype)[0]


def _round_bits(a, bits):
    """float32 with that many bits fewer: to the nearest, ties to even (bfloat16: 16, TensorFloat-32: 13)."""
    whole = np.ascontiguousarray(a, np.float32).view(np.uint32)
    rounded = (whole + (((1 << (bits - 1)) - 1) + ((whole >> bits) & 1)).astype(np.uint32)) >> bits << bits
    return np.where(np.isfinite(a), rounded, whole).astype(np.uint32).view(np.float32)


def _values(a, kind, compute):
    if kind == _BF16:
        return (a.astype(np.uint32) << 16).view(np.float32)
    if compute == CUBLAS_COMPUTE_32F_FAST_16F:
        return a.astype(np.float16).astype(np.float32)
    if compute == CUBLAS_COMPUTE_32F_FAST_TF32 and TF32_TRUNCATES:
        return (np.ascontiguousarray(a, np.float32).view(np.uint32) >> 13 << 13).view(np.float32)
    if compute in _FAST:
        return _round_bits(a, 13 if compute == CUBLAS_COMPUTE_32F_FAST_TF32 else 16)
    return a.astype(np.float64 if kind == _F64 else np.float32)


def gemmEx(  # noqa: N802
    handle, transa, transb, m, n, k, alpha, A, Atype, lda, B, Btype, ldb, beta, C, Ctype, ldc, computeType, algo
):  # fmt: skip
    """C (m, n) = alpha op(A) op(B) + beta C."""
    arguments = (transa, transb, m, n, k, alpha, A, Atype, lda, B, Btype, ldb, beta, C, Ctype, ldc, computeType, algo)
    if not all(isinstance(whole, (int, np.integer)) for whole in (handle, *arguments)):
        raise TypeError("an integer is required")
    refuse_capture(streams.capture_of())
    gemm(None, *arguments)


def refuse_capture(capture):
    if capture is not None:
        raise NotImplementedError("calling cuBLAS API during stream capture is currently unsupported")


def gemm(capture, transa, transb, m, n, k, alpha, A, Atype, lda, B, Btype, ldb, beta, C, Ctype, ldc, computeType, algo):
    if Atype != Btype or (Atype, Ctype) not in _SUPPORTED.get(computeType, ()):
        raise CUBLASError(15)
    if min(m, n, k) < 0 or transa not in (0, 1, 2) or transb not in (0, 1, 2):
        raise CUBLASError(7)
    if m == 0 or n == 0:
        return
    scale = {_F64: np.float64, _F32: np.float32}.get(Atype, np.float32)
    scale = np.float16 if computeType in (CUBLAS_COMPUTE_16F, CUBLAS_COMPUTE_16F_PEDANTIC) else scale
    alpha, beta = _number(alpha, scale), _number(beta, scale)
    blocks = []
    if k:
        a, block_a = _matrix("A", A, *((m, k) if transa == 0 else (k, m)), lda, _DTYPES[Atype])
        b, block_b = _matrix("B", B, *((k, n) if transb == 0 else (n, k)), ldb, _DTYPES[Btype])
        blocks = [block_a, block_b]
    c, block_c = _matrix("C", C, m, n, ldc, _DTYPES[Ctype])

    def multiply():
        with np.errstate(all="ignore"):
            sums = np.zeros((m, n), np.float64 if Atype == _F64 else np.float32)
            if k and alpha:
                left, right = _values(a, Atype, computeType), _values(b, Btype, computeType)
                sums += alpha * ((left.T if transa else left) @ (right.T if transb else right))
            if beta:  # else C is not read: it may hold NaN
                sums += beta * _values(c, Ctype, CUBLAS_COMPUTE_32F)
            c[...] = (_round_bits(sums, 16).view(np.uint32) >> 16) if Ctype == _BF16 else sums

    if capture is None:
        multiply()
    else:
        capture.record(multiply, [*blocks, block_c])
