"""``cupy.cuda``: the card's streams, memory, libraries and compiler."""

from .. import memory
from ..capture import Graph
from ..compiler import CompileException
from ..memory import Memory, MemoryPointer, alloc, get_allocator, set_allocator, using_allocator
from ..pools import MemoryPool
from . import compiler, cublas, runtime, stream
from .stream import Device, Event, Stream, get_current_stream, get_elapsed_time

__all__ = [
    "CompileException", "Device", "Event", "Graph", "Memory", "MemoryPointer", "MemoryPool", "Stream", "alloc",
    "compiler", "cublas", "get_allocator", "get_current_stream", "get_elapsed_time", "memory", "runtime",
    "set_allocator", "stream", "using_allocator",
]  # fmt: skip
