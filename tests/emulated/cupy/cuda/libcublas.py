"""The C library cuBLAS, as far as a matrix product needs it: a shared library whose functions call ``cublas.gemm``."""

from __future__ import annotations

import ctypes
import functools
import sys

from .. import compiler, memory
from . import cublas
from . import stream as streams

SOURCE = """
typedef void* p;
typedef int i;
static i (*on_stream)(p), (*on_workspace)(p, unsigned long);
static i (*on_gemm)(i, i, i, i, i, p, p, i, i, p, i, i, p, p, i, i, i, i);
extern "C" {
void emulated_install(void* stream, void* workspace, void* gemm) {
    on_stream = (i (*)(p))stream, on_workspace = (i (*)(p, unsigned long))workspace;
    on_gemm = (i (*)(i, i, i, i, i, p, p, i, i, p, i, i, p, p, i, i, i, i))gemm;
}
i cublasCreate_v2(p* handle) { *handle = (p)1; return 0; }
i cublasDestroy_v2(p handle) { return handle == (p)1 ? 0 : 1; }
i cublasSetMathMode(p handle, i mode) { return handle == (p)1 ? 0 : 1; }
i cublasSetPointerMode_v2(p handle, i mode) { return handle == (p)1 ? mode ? 15 : 0 : 1; }
i cublasSetStream_v2(p handle, p stream) { return handle == (p)1 ? on_stream(stream) : 1; }
i cublasSetWorkspace_v2(p handle, p memory, unsigned long size) {
    return handle == (p)1 ? on_workspace(memory, size) : 1;
}
i cublasGemmEx(p handle, i ta, i tb, i m, i n, i k, p alpha, p a, i at, i la, p b, i bt, i lb, p beta, p c, i ct, i lc,
               i compute, i algorithm) {
    if (handle != (p)1) return 1;
    return on_gemm(ta, tb, m, n, k, alpha, a, at, la, b, bt, lb, beta, c, ct, lc, compute, algorithm);
}
}
"""
_state = {"stream": streams.Stream.null}


def _status(function):
    """Errors become cuBLAS's numbers, and their text goes to stderr, where it is not lost."""

    @functools.wraps(function)
    def call(*args):
        try:
            function(*[arg or 0 for arg in args])
        except Exception as error:
            print(f"emulated cuBLAS: {type(error).__name__}: {error}", file=sys.stderr)
            return getattr(error, "status", 14)
        return 0

    return call


@_status
def _set_stream(address):
    if address not in streams.by_address:
        raise cublas.CUBLASError(7)
    _state["stream"] = streams.by_address[address]


@_status
def _set_workspace(address, size):
    if address % 256 or (size and memory.block_at(address, size) is None):
        raise cublas.CUBLASError(7)


@_status
def _gemm(*arguments):
    cublas.gemm(streams.capture_of(_state["stream"]), *arguments)


_i, _p = ctypes.c_int, ctypes.c_void_p
_CALLBACKS = (
    ctypes.CFUNCTYPE(_i, _p)(_set_stream),
    ctypes.CFUNCTYPE(_i, _p, ctypes.c_ulong)(_set_workspace),
    ctypes.CFUNCTYPE(_i, _i, _i, _i, _i, _i, _p, _p, _i, _i, _p, _i, _i, _p, _p, _i, _i, _i, _i)(_gemm),
)


@functools.cache
def path():
    """Where the library lies, ready to be loaded."""
    library = compiler.compile_source(SOURCE, [])
    ctypes.PyDLL(str(library)).emulated_install(*(ctypes.cast(c, _p) for c in _CALLBACKS))
    return str(library)
