"""The card's memory: blocks between guards, poisoned until somebody writes them; pools with limits; raw pointers."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import itertools
import threading
import weakref

import numpy as np

TOTAL_BYTES = 16 * 2**30  # of the card
UNIT = 512  # CuPy's pools round every size up to this, and align to it
GUARD = 1024  # bytes before and after each block
POISON = b"\xfd\xff" * (GUARD // 2 + 1)  # a NaN as float16, float32 and float64; no number that anybody would write

_blocks: weakref.WeakValueDictionary[int, Memory] = weakref.WeakValueDictionary()  # by the id of their bytes
_serial = itertools.count()
last_launch = "no kernel"


def _round(size):
    return -(-size // UNIT) * UNIT


class OutOfMemoryError(MemoryError):
    __module__ = "cupy.cuda.memory"

    def __init__(self, size, total, limit=0):
        limit_text = f", limit set to: {limit:,} bytes" if limit else ""
        super().__init__(f"Out of memory allocating {size:,} bytes (allocated so far: {total:,} bytes{limit_text}).")


class Memory:
    """One block. Arrays hold it, so that it is freed, and no longer counted, when the last of them dies."""

    def __init__(self, size, pool=None):
        self._rounded = _round(size)
        if pool is not None:
            pool._take(self._rounded)
        self.size, self.device_id, self.serial = size, 0, next(_serial)
        self._pool = None if pool is None else weakref.ref(pool)
        self.dtype = np.dtype(np.uint8)  # of the first array in it
        self.bytes = np.empty(size + 2 * GUARD + UNIT, np.uint8)
        self.start = GUARD + -(self.bytes.ctypes.data + GUARD) % UNIT
        self.ptr = self.bytes.ctypes.data + self.start
        self.bytes[self.start - GUARD : self.start + GUARD + size + size % 2].view(np.uint16).fill(0xFFFD)
        _blocks[id(self.bytes)] = self

    def __del__(self):
        pool = self._pool() if getattr(self, "_pool", None) is not None else None
        if pool is not None and hasattr(self, "bytes"):
            pool._used -= self._rounded

    def array(self, shape, dtype, strides=None, offset=0, order="C"):
        return np.ndarray(shape, dtype, self.bytes, self.start + offset, strides, order)

    @property
    def content(self):
        return self.bytes[self.start : self.start + self.size]

    def poison(self):
        """Fill it with what nobody would take for a result: NaN, absurd whole numbers, or True."""
        a = self.array((self.size // self.dtype.itemsize,), self.dtype)
        a[...] = True if self.dtype == bool else np.frombuffer(POISON[:GUARD], self.dtype, 1)[0]

    def intact(self):
        before, after = ctypes.string_at(self.ptr - GUARD, GUARD), ctypes.string_at(self.ptr + self.size, GUARD)
        return before == POISON[:GUARD] and after == POISON[self.size % 2 :][:GUARD]


def live():
    """Every block, oldest first."""
    return sorted(_blocks.values(), key=lambda block: block.serial)


def block_of(a):
    """The block that a NumPy array lies in, or None."""
    while isinstance(getattr(a, "base", None), (np.ndarray, np.lib._stride_tricks_impl.DummyArray)):
        a = a.base
    return _blocks.get(id(a))


def block_at(ptr, size=1):
    """The block that holds ``size`` bytes from an address, or None."""
    return next((b for b in _blocks.values() if b.ptr <= ptr and ptr + size <= b.ptr + b.size), None)


def check_guards(blocks=None):
    """Raise if somebody wrote beyond a block: each launch checks those of its arguments, and tests check all."""
    for block in live() if blocks is None else blocks:
        if not block.intact():
            raise RuntimeError(
                f"memory beyond a block of {block.size} bytes was overwritten; launched last: {last_launch}"
            )


class MemoryPointer:
    """A block and an offset into it."""

    def __init__(self, mem, offset):
        self.mem, self._offset = mem, offset
        self.ptr = mem.ptr + offset if mem.size else 0
        self.device_id = 0

    def __int__(self):
        return self.ptr

    def __add__(self, offset):
        return MemoryPointer(self.mem, self._offset + offset)

    def __sub__(self, offset):
        return self + -offset

    def _bytes(self, size):
        if not 0 <= self._offset <= self._offset + size <= self.mem.size:
            raise RuntimeError("cudaErrorInvalidValue: invalid argument")
        return self.mem.content[self._offset : self._offset + size]

    def memset_async(self, value, size, stream=None):
        from .arrays import run

        run(np.ndarray.fill, self._bytes(size), value)

    def copy_from_device_async(self, src, size, stream=None):
        from .arrays import run

        run(np.copyto, self._bytes(size), src._bytes(size))

    memset, copy_from_device = memset_async, copy_from_device_async


class MemoryPool:
    """Counts what lives, and remembers the most that did; nothing is really kept for reuse.

    A pool that dies takes its memory with it, as CuPy's does: arrays that still lie in it are poisoned.
    """

    def __init__(self, allocator=None):
        self._used = self._total = self._limit = 0
        self._allocator, self._chunks, self._blocks = allocator, [], weakref.WeakSet()

    def __del__(self):
        for block in list(getattr(self, "_blocks", ())) if np is not None else ():  # None: Python ends
            block.poison()

    def malloc(self, size):
        block = Memory(size, self)
        self._blocks.add(block)
        return MemoryPointer(block, 0)

    def _take(self, size):
        limit = min(self._limit or TOTAL_BYTES, TOTAL_BYTES)
        if self._used + size > limit:
            gc.collect()  # as CuPy does before it gives up
        if self._used + size > limit:
            raise OutOfMemoryError(size, self._total, self._limit)
        self._used += size
        if self._used > self._total and self._allocator is not None:
            self._chunks.append(self._allocator(self._used - self._total))
        self._total = max(self._total, self._used)

    def used_bytes(self):
        return self._used

    def total_bytes(self):
        return self._total

    def free_bytes(self):
        return self._total - self._used

    def n_free_blocks(self):
        return int(self._total > self._used)

    def free_all_blocks(self, stream=None):
        self._total = self._used
        if not self._used:
            self._chunks.clear()

    def get_limit(self):
        return self._limit

    def set_limit(self, size=None, fraction=None):
        if size is not None and fraction is not None:
            raise ValueError("size and fraction cannot be specified at one time")
        self._limit = int(TOTAL_BYTES * fraction) if fraction is not None else size or 0


default_pool = MemoryPool()
_allocator = default_pool.malloc
_local = threading.local()


def alloc(size):
    return get_allocator()(size)


def malloc(size):
    """Straight from the card, without a pool."""
    return MemoryPointer(Memory(size), 0)


def get_allocator():
    return getattr(_local, "allocator", None) or _allocator


def set_allocator(allocator=None):
    global _allocator
    if getattr(_local, "allocator", None):
        raise ValueError("Can't change the global allocator inside `using_allocator` context manager")
    _allocator = allocator or malloc


@contextlib.contextmanager
def using_allocator(allocator=None):
    previous, _local.allocator = getattr(_local, "allocator", None), allocator or malloc
    try:
        yield
    finally:
        _local.allocator = previous


class PinnedMemoryPointer(bytearray):
    """Host memory that the card may copy from and to on its own: the only kind that a graph can hold a copy of."""

    def __init__(self, size):
        super().__init__(size)
        self.ptr = ctypes.addressof(ctypes.c_char.from_buffer(self)) if size else 0
        _pinned[self.ptr] = self

    def size(self):
        return len(self)


_pinned: weakref.WeakValueDictionary[int, PinnedMemoryPointer] = weakref.WeakValueDictionary()


def alloc_pinned_memory(size):
    return PinnedMemoryPointer(size)


def is_pinned(a):
    return any(start <= a.ctypes.data < start + len(p) for start, p in _pinned.items())
