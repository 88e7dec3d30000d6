"""cuBLAS's matrix product by its C interface.

CuPy has one too, and refuses to call it while a CUDA graph is recorded. Here the handle has a workspace of its own as
well: what cuBLAS takes for itself it would take anew in every recorded graph, and with a fixed one the same call gives
the same bits.
"""

from __future__ import annotations

import ctypes
import functools
from typing import Any

import numpy as np

from ...backend import Array, array_module
from ...backend.cuda import cuda_library
from ...backend.memory import card_memory, lasting

WORKSPACE = 32 << 20  # bytes, what NVIDIA advises for Hopper

# cudaDataType_t, and cublasComputeType_t of the sums
FLOAT32, FLOAT64, BFLOAT16 = 0, 1, 14
COMPUTE_FLOAT32, COMPUTE_FLOAT64, COMPUTE_TF32 = 68, 70, 77
_DEFAULT_ALGORITHM = -1
_ALLOC_FAILED = 3  # cublasStatus_t


class Handle:
    """A cuBLAS context on the current card, computing on CuPy's current stream; for one thread at a time."""

    def __init__(self, xp: Any) -> None:
        self._xp = xp
        self._library = ctypes.CDLL(cuda_library("cublas"))
        self._handle = ctypes.c_void_p()
        with lasting():
            self._workspace = xp.empty(WORKSPACE, np.uint8)
        self._stream: int | None = None
        self._call("cublasCreate_v2", ctypes.byref(self._handle))

    def _call(self, name: str, *arguments: Any) -> None:
        status = getattr(self._library, name)(*arguments)
        if status == _ALLOC_FAILED:
            raise self._xp.cuda.memory.OutOfMemoryError(WORKSPACE, card_memory())
        if status != 0:
            raise RuntimeError(f"{name} failed with cuBLAS status {status}")

    def _use_current_stream(self) -> None:
        stream = self._xp.cuda.get_current_stream().ptr
        if stream != self._stream:
            self._call("cublasSetStream_v2", self._handle, ctypes.c_void_p(stream))
            # setting the stream has put back the default workspace
            memory, size = ctypes.c_void_p(self._workspace.data.ptr), ctypes.c_size_t(WORKSPACE)
            self._call("cublasSetWorkspace_v2", self._handle, memory, size)
            self._stream = stream

    def gemm(
        self, transposed: tuple[bool, bool], sizes: tuple[int, int, int], a: tuple[Array, int, int],
        b: tuple[Array, int, int], c: tuple[Array, int, int], compute: int, add: bool,
    ) -> None:  # fmt: skip
        """C = op(A) op(B), or with ``add`` C += ...; matrices by column: (array, data type, leading dimension)."""
        scalar = ctypes.c_double if compute == COMPUTE_FLOAT64 else ctypes.c_float
        one, beta = scalar(1), scalar(add)
        self._use_current_stream()
        self._call(
            "cublasGemmEx", self._handle, *map(int, transposed), *sizes, ctypes.byref(one), *_matrix(*a), *_matrix(*b),
            ctypes.byref(beta), *_matrix(*c), compute, _DEFAULT_ALGORITHM,
        )  # fmt: skip


def _matrix(array: Array, kind: int, leading: int) -> tuple[Any, int, int]:
    return ctypes.c_void_p(array.data.ptr), kind, leading


@functools.cache
def _handle_of(xp: Any, device: int) -> Handle:
    return Handle(xp)


def handle(like: Array) -> Handle:
    """The one handle of the card where an array lies."""
    return _handle_of(array_module(like), like.device.id)
