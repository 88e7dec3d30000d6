"""``cublasGemmEx``, column-major over raw addresses: what ``libcublas`` calls. It may be captured, unlike CuPy's."""

import ctypes

import numpy as np

from .. import memory

_F32, _F64, _BF16 = 0, 1, 14
_DTYPES = {_F32: np.float32, _F64: np.float64, _BF16: np.uint16}  # the bits, whether or not ml_dtypes is there
_TF32 = 77
_SUPPORTED = {
    68: {(_F32, _F32), (_BF16, _F32), (_BF16, _BF16)},
    70: {(_F64, _F64)},
    _TF32: {(_F32, _F32)},
}  # of A and B, of C
TF32_TRUNCATES = False  # whether factors lose their last bits to nothing, rather than to the nearest; nobody promises


class CUBLASError(RuntimeError):
    def __init__(self, status):
        self.status = status
        super().__init__({7: "CUBLAS_STATUS_INVALID_VALUE", 15: "CUBLAS_STATUS_NOT_SUPPORTED"}[status])


class IllegalAddressError(RuntimeError):
    """A card would find out later, and say less."""

    status = 14


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
    if memory.block_at(address) is not None:
        raise IllegalAddressError("gemmEx: alpha and beta must lie on the host")
    return np.frombuffer(ctypes.string_at(address, np.dtype(dtype).itemsize), dtype)[0]


def _rounded(a):
    """float32 with 13 bits fewer, as TF32 has them: to the nearest, ties to even."""
    whole = np.ascontiguousarray(a, np.float32).view(np.uint32)
    rounded = (whole + (0xFFF + ((whole >> 13) & 1)).astype(np.uint32)) >> 13 << 13
    return np.where(np.isfinite(a), rounded, whole).astype(np.uint32).view(np.float32)


def _halved(a):
    """The bits of float32 as bfloat16: to the nearest, ties to even."""
    whole = np.ascontiguousarray(a, np.float32).view(np.uint32)
    return np.where(np.isnan(a), 0x7FFF, (whole + (0x7FFF + ((whole >> 16) & 1)).astype(np.uint32)) >> 16)


def _values(a, kind, compute):
    if kind == _BF16:
        return (a.astype(np.uint32) << 16).view(np.float32)
    if compute == _TF32 and TF32_TRUNCATES:
        return (np.ascontiguousarray(a, np.float32).view(np.uint32) >> 13 << 13).view(np.float32)
    return _rounded(a) if compute == _TF32 else a


def gemm(capture, transa, transb, m, n, k, alpha, A, Atype, lda, B, Btype, ldb, beta, C, Ctype, ldc, computeType, algo):
    if Atype != Btype or (Atype, Ctype) not in _SUPPORTED.get(computeType, ()):
        raise CUBLASError(15)
    if min(m, n, k) < 0 or transa not in (0, 1) or transb not in (0, 1):
        raise CUBLASError(7)
    if m == 0 or n == 0:
        return
    scale = np.float64 if Atype == _F64 else np.float32
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
                sums += beta * _values(c, Ctype, computeType)
            c[...] = _halved(sums) if Ctype == _BF16 else sums

    if capture is None:
        multiply()
    else:
        capture.record(multiply, [*blocks, block_c])
