"""Memory pools as CuPy 14.2 has them: best fit, blocks that are split and joined again, an arena for each stream."""

from __future__ import annotations

import gc
import weakref

from . import memory
from .capture import Capture
from .cuda import runtime
from .cuda import stream as streams
from .memory import UNIT, Block, Memory, MemoryPointer, OutOfMemoryError


class _Chunk:
    """A part of what a pool's allocator gave it; its neighbours there are the chunks before and after it."""

    def __init__(self, mem, offset, size, stream):
        self.mem, self.offset, self.size, self.stream = mem, offset, size, stream
        self.previous = self.next = None

    def split(self, size):
        """Keep that many bytes; the rest is a chunk of its own, or None."""
        if self.size == size:
            return None
        rest = _Chunk(self.mem, self.offset + size, self.size - size, self.stream)
        rest.previous, rest.next, self.size = self, self.next, size
        if rest.next is not None:
            rest.next.previous = rest
        self.next = rest
        return rest

    def join(self, follower):
        self.size += follower.size
        self.next = follower.next
        if self.next is not None:
            self.next.previous = self


class PooledMemory(Block):
    """A chunk in use. It does not hold its pool, nor what the pool had it from: a pool that dies takes them along."""

    def __init__(self, chunk, pool, asked):
        self._pool, self._chunk = weakref.ref(pool), weakref.ref(chunk)
        self.came_from = weakref.ref(chunk.mem)
        self._init(chunk.mem.bytes, chunk.mem.start + chunk.offset, chunk.size, asked)
        Capture.made(self)

    def __del__(self):
        pool, chunk = getattr(self, "_pool", lambda: None)(), getattr(self, "_chunk", lambda: None)()
        if pool is not None and chunk is not None and Capture is not None:  # None: Python ends
            Capture.given_back(self)
            pool._free(chunk)


class MemoryPool:
    def __init__(self, allocator=None):
        self._allocator = allocator or memory.malloc
        self._in_use: dict[_Chunk, weakref.ref] = {}
        self._arenas: dict[int, list[_Chunk]] = {}
        self._total = self._limit = 0

    def __del__(self):
        for block in list(getattr(self, "_in_use", {}).values()) if memory is not None else ():  # None: Python ends
            if (alive := block()) is not None:
                alive.poison()

    def malloc(self, size):
        if size == 0:
            return MemoryPointer(Memory(0), 0)
        rounded, stream = -(-size // UNIT) * UNIT, streams.get_current_stream().ptr
        chunk = self._best_fit(rounded, stream)
        if chunk is None:
            chunk = _Chunk(self._more(rounded), 0, rounded, stream)
        block = PooledMemory(chunk, self, size)
        self._in_use[chunk] = weakref.ref(block)
        return MemoryPointer(block, 0)

    def _best_fit(self, size, stream):
        """The smallest free chunk that is large enough, of equals the one that was given back last; cut to size."""
        arena = self._arenas.get(stream, [])
        fitting = [(chunk.size, -i) for i, chunk in enumerate(arena) if chunk.size >= size]
        if not fitting:
            return None
        chunk = arena.pop(-min(fitting)[1])
        rest = chunk.split(size)
        if rest is not None:
            arena.append(rest)
        return chunk

    def _more(self, size):
        """From the allocator. A limit is not exceeded, even where free chunks could be given back for it."""
        if self._limit and self._total + size > self._limit:
            raise OutOfMemoryError(size, self._total, self._limit)
        self._total += size
        try:
            for prepare in (lambda: None, self.free_all_blocks, lambda: (gc.collect(), self.free_all_blocks())):
                prepare()
                try:
                    return self._allocator(size).mem
                except runtime.CUDARuntimeError as error:
                    if error.status != runtime.errorMemoryAllocation:
                        raise
            raise OutOfMemoryError(size, self._total - size, self._limit)
        except BaseException:
            self._total -= size
            raise

    def _free(self, chunk):
        del self._in_use[chunk]
        arena = self._arenas.setdefault(chunk.stream, [])
        if chunk.next in arena:
            arena.remove(chunk.next)
            chunk.join(chunk.next)
        if chunk.previous in arena:
            arena.remove(chunk.previous)
            chunk = chunk.previous
            chunk.join(chunk.next)
        arena.append(chunk)

    def free_all_blocks(self, stream=None):
        """Give back what is free and whole: of what was split, only what has been joined again."""
        for arena in self._arenas.values() if stream is None else [self._arenas.get(stream.ptr, [])]:
            whole = [chunk for chunk in arena if chunk.previous is None and chunk.next is None]
            arena[:] = [chunk for chunk in arena if chunk not in whole]
            self._total -= sum(chunk.size for chunk in whole)

    def n_free_blocks(self):
        return sum(map(len, self._arenas.values()))

    def free_bytes(self):
        return sum(chunk.size for arena in self._arenas.values() for chunk in arena)

    def used_bytes(self):
        return sum(chunk.size for chunk in self._in_use)

    def total_bytes(self):
        return self._total

    def get_limit(self):
        return self._limit

    def set_limit(self, size=None, fraction=None):
        if size is not None and fraction is not None:
            raise ValueError("size and fraction cannot be specified at one time")
        self._limit = int(memory.TOTAL_BYTES * fraction) if fraction is not None else size or 0


default_pool = MemoryPool()
memory.set_allocator(default_pool.malloc)
