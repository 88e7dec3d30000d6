"""Arrays over memory that is used again: a fresh large array costs more (page faults) than filling it.

``empty`` lends a block of memory to an ordinary array. The block comes back when the last array over it dies, be it a
view: each keeps the loan alive as its ``base``.
"""

import math
import threading
from collections import deque

import numpy as np
import numpy.typing as npt

SMALL = 1 << 15  # bytes; below, the system's allocator is quicker
ALIGNMENT = 64  # bytes: a cache line, and the widest vector
IDLE = 1 << 28  # bytes that may lie idle before the longest idle block goes back to the system


class _Loan:
    """Owns a block while any array looks at it."""

    def __init__(self, block: np.ndarray, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self.block = block
        address = -(-block.ctypes.data // ALIGNMENT) * ALIGNMENT
        self.__array_interface__ = {"version": 3, "shape": shape, "typestr": dtype.str, "data": (address, False)}

    def __del__(self) -> None:
        _returned.append(self.block)  # atomic, so safe wherever the garbage collector may run it


_lock = threading.Lock()
_returned: deque[np.ndarray] = deque()  # blocks whose loans ended since the last call of empty
_idle: list[np.ndarray] = []  # blocks to lend, the longest idle first


def _block(size: int) -> np.ndarray:
    """An idle block of at least ``size`` bytes and at most a quarter more, or else a new one."""
    with _lock:
        while _returned:
            _idle.append(_returned.popleft())
        fitting = [i for i, block in enumerate(_idle) if size <= block.size <= size + size // 4]
        if fitting:
            return _idle.pop(min(reversed(fitting), key=lambda i: _idle[i].size))
        while _idle and size + sum(block.size for block in _idle) > IDLE:
            _idle.pop(0)
    return np.empty(size, np.uint8)


def empty(shape: int | tuple[int, ...], dtype: npt.DTypeLike = np.float32) -> np.ndarray:
    """Like numpy.empty: an uninitialised, writable, C-contiguous array."""
    shape, dtype = (shape,) if isinstance(shape, int) else shape, np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    if size < SMALL:
        return np.empty(shape, dtype)
    return np.asarray(_Loan(_block(size + ALIGNMENT), shape, dtype))
