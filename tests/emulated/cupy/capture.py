"""CUDA graphs: what a stream is asked for while it captures is written down, and done when the graph is launched.

Shapes must be known at once, so NumPy computes everything during the capture too; but on a card nothing is. At its end
the memory that was there before gets back its old content, and what was created becomes poison: a program that reads a
result before it has launched the graph sees that there is none.

A graph knows addresses, and nothing of who lies there. So each launch writes wherever the capture did, whatever has
come to lie there since; and before it, what was given back during the capture becomes NaN.
"""

from __future__ import annotations

import weakref
from typing import ClassVar

from . import memory
from .cuda import runtime


class Capture:
    """What one stream has recorded so far."""

    active: ClassVar[list[Capture]] = []  # of all streams

    def __init__(self, stream):
        self.stream, self.valid, self.operations, self.used = stream, True, [], {}
        self._before = {root: root.content.copy() for root in memory.roots()}
        self._made, self._sources, self._given_back = weakref.WeakSet(), [], []
        self.active.append(self)

    @classmethod
    def made(cls, block):
        """A pool hands out a block."""
        for capture in cls.active:
            capture._made.add(block)
            capture._sources.append(block.came_from)

    @classmethod
    def given_back(cls, block):
        """A block returns to its pool, which may hand it out again at once."""
        for capture in cls.active:
            if block in capture._made:
                capture._given_back.append((block.bytes, block.start, block.size))

    def record(self, operation, blocks):
        """An operation is a function without arguments; the blocks are those that it reads or writes."""
        self.operations.append(operation)
        self.used.update((block.serial, weakref.ref(block)) for block in blocks if block not in self._made)

    def refuse(self, status):
        """As on a card, a forbidden call is an error at once, and the capture is lost."""
        self.valid = False
        raise runtime.CUDARuntimeError(status)

    def end(self):
        self.active.remove(self)
        for root, content in self._before.items():
            root.content[...] = content
        for block in list(self._made):
            block.poison()
        if not self.valid:
            raise runtime.CUDARuntimeError(runtime.STREAM_CAPTURE_INVALIDATED)
        graph = Graph.__new__(Graph)
        graph._operations, graph._given_back = self.operations, self._given_back
        graph._needed = [*self.used.values(), *self._sources]
        return graph


class Graph:
    """The operations of a capture; each launch does them again, in the memory that they were recorded with.

    Arrays that were made before the capture must live on, as they must on a card; and so must what the pools had that
    lent memory during the capture, though the arrays in it may be gone.
    """

    def __init__(self, *args, **kwargs):
        raise NotImplementedError("a graph cannot be made but by capturing a stream")

    def launch(self, stream=None):
        if any(block() is None for block in self._needed):
            raise RuntimeError("the graph uses memory that was freed after it was captured")
        for raw, start, size in self._given_back:
            memory.fill(raw, start, size)
        for operation in self._operations:
            operation()
