"""CUDA graphs: what a stream is asked for while it captures is written down, and done when the graph is launched.

Shapes must be known at once, so NumPy computes everything during the capture too; but on a card nothing is. At its end
the memory that was there before gets back its old content, and what was created becomes poison: a program that reads a
result before it has launched the graph sees that there is none.
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
        self._before = {block: block.content.copy() for block in memory.live()}
        self.active.append(self)

    def record(self, operation, blocks):
        """An operation is a function without arguments; the blocks are those that it reads or writes."""
        self.operations.append(operation)
        self.used.update((block.serial, weakref.ref(block)) for block in blocks if block in self._before)

    def refuse(self, status):
        """As on a card, a forbidden call is an error at once, and the capture is lost."""
        self.valid = False
        raise runtime.CUDARuntimeError(status)

    def end(self):
        self.active.remove(self)
        for block in memory.live():
            if block in self._before:
                block.content[...] = self._before[block]
            else:
                block.poison()
        if not self.valid:
            raise runtime.CUDARuntimeError(runtime.STREAM_CAPTURE_INVALIDATED)
        graph = Graph.__new__(Graph)
        graph._operations, graph._used = self.operations, list(self.used.values())
        return graph


class Graph:
    """The operations of a capture; each launch does them again, in the memory that they were recorded with.

    Arrays that were made before the capture must live on, as they must on a card. What the operations made themselves
    lives as long as the graph: a card asks for a memory pool of the graph's own, which is not emulated.
    """

    def __init__(self, *args, **kwargs):
        raise NotImplementedError("a graph cannot be made but by capturing a stream")

    def launch(self, stream=None):
        if any(block() is None for block in self._used):
            raise RuntimeError("the graph uses an array that was freed after it was captured")
        for operation in self._operations:
            operation()

    def upload(self, stream=None):
        pass
