"""Arrays over memory that is used again: a fresh large array costs more (page faults) than filling it.

``empty`` lends a block of memory to an ordinary array. The block comes back when the last array over it dies, be it a
view: each keeps the loan alive as its ``base``.
"""

import functools
import math
import os
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
        address = -(-block.__array_interface__["data"][0] // ALIGNMENT) * ALIGNMENT
        self.__array_interface__ = {"version": 3, "shape": shape, "typestr": dtype.str, "data": (address, False)}

    def __del__(self) -> None:
        if _returned is not None and hasattr(self, "block"):  # not when Python ends, or was interrupted at the start
            _returned.append(self.block)  # atomic, so safe wherever the garbage collector may run it


_lock = threading.Lock()
_returned: deque[np.ndarray] = deque()  # blocks whose loans ended since the last call of empty
_idle: dict[int, list[np.ndarray]] = {}  # blocks to lend, by size; the size that came back last is last


def _block(size: int) -> np.ndarray:
    """An idle block of at least ``size`` bytes and at most a quarter more, or else a new one."""
    with _lock:
        while _returned:
            block = _returned.popleft()
            _idle[block.size] = [*_idle.pop(block.size, []), block]
        best = size if size in _idle else min((s for s in _idle if size <= s <= size + size // 4), default=0)
        if best:
            return _pop(best)
        while _idle and size + sum(s * len(blocks) for s, blocks in _idle.items()) > IDLE:
            _pop(next(iter(_idle)))
    return np.empty(size, np.uint8)


def _pop(size: int) -> np.ndarray:
    block = _idle[size].pop()
    if not _idle[size]:
        del _idle[size]
    return block


def empty(shape: int | tuple[int, ...], dtype: npt.DTypeLike = np.float32) -> np.ndarray:
    """Like numpy.empty: an uninitialised, writable, C-contiguous array."""
    shape, dtype = (shape,) if isinstance(shape, int) else shape, np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    if size < SMALL:
        return np.empty(shape, dtype)
    return np.asarray(_Loan(_block(size + ALIGNMENT), shape, dtype))


@functools.cache
def zeros(size: int) -> np.ndarray:
    """The same zeros for all who only read them."""
    return np.zeros(size, np.float32)


def _forget() -> None:
    """A forked process begins anew: a thread that it has not may have been in the midst of all this."""
    global _lock
    _lock = threading.Lock()
    _returned.clear()
    _idle.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
