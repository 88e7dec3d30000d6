"""The card's memory: what cudaMalloc gives, and the blocks that are cut out of it; poisoned until they are written."""

from __future__ import annotations

import contextlib
import itertools
import threading
import weakref

import numpy as np

TOTAL_BYTES = 16 * 2**30  # of the card
UNIT = 512  # CuPy's pools round every size up to this, and align to it
GUARD = 1024  # bytes before and after all that cudaMalloc gives
POISON = b"\xfd\xff" * (GUARD // 2 + 1)  # a NaN as float16, float32 and float64; no number that anybody would write

_given: weakref.WeakValueDictionary[int, Memory] = weakref.WeakValueDictionary()  # by the id of their bytes
_blocks: weakref.WeakSet[Block] = weakref.WeakSet()
_serial = itertools.count()
last_launch = "no kernel"


class OutOfMemoryError(MemoryError):
    """What pools raise, and only they."""

    __module__ = "cupy.cuda.memory"

    def __init__(self, size, total, limit=0):
        limit_text = f", limit set to: {limit:,} bytes" if limit else ""
        super().__init__(f"Out of memory allocating {size:,} bytes (allocated so far: {total:,} bytes{limit_text}).")


class Block:
    """Some bytes of the card, in which arrays lie. Arrays hold it; it is given back when the last of them dies."""

    device_id = 0

    def _init(self, raw, start, size, asked):
        self.bytes, self.start, self.size, self.asked = raw, start, size, asked
        self.ptr, self.serial = raw.ctypes.data + start if size else 0, next(_serial)
        self.dtype = np.dtype(np.uint8)  # of the first array in it
        fill(raw, start, size)  # fresh memory holds anything: here a NaN, in each precision
        _blocks.add(self)

    def array(self, shape, dtype, strides=None, offset=0, order="C"):
        return np.ndarray(shape, dtype, self.bytes, self.start + offset, strides, order)

    def holds(self, a):
        """Whether a NumPy array lies in it: one that is empty may lie at its end."""
        return self.bytes is _owner(a) and 0 <= a.ctypes.data - self.bytes.ctypes.data - self.start <= self.size

    @property
    def content(self):
        return self.bytes[self.start : self.start + self.asked]

    def poison(self):
        """Fill it with what nobody would take for a result: NaN, absurd whole numbers, or True."""
        a = self.array((self.asked // self.dtype.itemsize,), self.dtype)
        a[...] = True if self.dtype == bool else np.frombuffer(POISON[:GUARD], self.dtype, 1)[0]


def fill(raw, start, size):
    raw[start : start + size + size % 2].view(np.uint16).fill(0xFFFD)


class Memory(Block):
    """What cudaMalloc gives, between guards. Where the card has no more, it is CUDA's error: only pools turn it into
    an OutOfMemoryError."""

    def __init__(self, size):
        if size > free_bytes():
            from .cuda import runtime

            raise runtime.CUDARuntimeError(runtime.errorMemoryAllocation)
        raw = np.empty(size + 2 * GUARD + UNIT, np.uint8)
        start = GUARD + -(raw.ctypes.data + GUARD) % UNIT
        fill(raw, start - GUARD, GUARD + size + GUARD)
        self._init(raw, start, size, size)
        _given[id(raw)] = self


def free_bytes():
    return TOTAL_BYTES - sum(memory.size for memory in list(_given.values()))


def roots():
    """All that cudaMalloc has given and nobody has given back, oldest first."""
    return sorted(_given.values(), key=lambda memory: memory.serial)


def _owner(a):
    while isinstance(getattr(a, "base", None), (np.ndarray, np.lib._stride_tricks_impl.DummyArray)):
        a = a.base
    return a


def root_of(a):
    """What cudaMalloc gave, in which a NumPy array lies; or None."""
    return _given.get(id(_owner(a)))


def block_at(ptr, size=1):
    """The block of an array that holds ``size`` bytes from an address, or None."""
    there = [b for b in list(_blocks) if b.ptr <= ptr < b.ptr + b.size]
    block = min(there, key=lambda b: (b.size, -b.serial), default=None)  # a pool cuts blocks out of larger ones
    return block if block is not None and ptr + size <= block.ptr + block.asked else None


def pointed_to_by(arguments):
    """The blocks to which structs point that are passed by value: there each uint64 is an address, or 0."""
    structs = [a for a in arguments if isinstance(a, np.ndarray) and a.dtype.names]
    return [block_at(pointer) or _no_block(pointer) for a in structs for pointer in _addresses(a)]


def _no_block(pointer):
    raise RuntimeError(f"a struct points to {pointer:#x}, where no array lies")


def _addresses(values):
    """All that a struct, and the structs within it, have of uint64, but for 0."""
    if values.dtype.names:
        return [address for name in values.dtype.names for address in _addresses(values[name])]
    return [int(value) for value in values.ravel() if value] if values.dtype == np.uint64 else []


class Fence:
    """What lies within 1 KiB of some arrays' blocks and belongs to none of them: a kernel must leave it as it is."""

    def __init__(self, blocks):
        self._parts = []
        for block in blocks:
            mine = [b for b in blocks if b.bytes is block.bytes]
            for low, high in (
                (block.start - GUARD, block.start),
                (block.start + block.asked, block.start + block.asked + GUARD),
            ):
                outside = np.ones(high - low, bool)
                for b in mine:
                    outside[max(0, b.start - low) : max(0, b.start + b.asked - low)] = False
                self._parts.append((block.bytes[low:high], outside, block.asked))

    def look(self):
        return [part.copy() for part, _, _ in self._parts]

    def check(self, before):
        for (part, outside, size), old in zip(self._parts, before, strict=True):
            if (outside & (part != old)).any():
                raise RuntimeError(
                    f"memory beyond a block of {size} bytes was overwritten; launched last: {last_launch}"
                )


class MemoryPointer:
    """A block and an offset into it."""

    device_id = 0

    def __init__(self, mem, offset):
        self.mem, self._offset = mem, offset
        self.ptr = mem.ptr + offset if mem.size else 0


def malloc(size):
    """Straight from the card, without a pool."""
    return MemoryPointer(Memory(size), 0)


_allocator = malloc  # pools.py puts the default pool here
_local = threading.local()


def alloc(size):
    return get_allocator()(size)


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
