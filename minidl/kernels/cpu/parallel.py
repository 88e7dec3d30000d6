"""Compiled tasks: a kernel cut into pieces that threads share out.

A kernel is a function of a task's number and of what it computes with, marked ``@task``::

    @task
    def add_one(part, x: Floats, y: Floats, size): ...

    add_one.run(8, x, y, x.size)         # parts 0 ... 7, shared among the threads

It is compiled when first run, on its own and without Numba's parallel machinery, which would triple the time. Each
task's result must depend on its number alone, never on the thread it runs on: then results are the same, to the bit,
with any number of threads.
"""

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numba
import numba.extending
import numpy as np
from numba import types
from numba.core import cgutils
from numba.core.ccallback import CFunc

from . import compiling
from .threads import run_tasks

# In a task an array is a bare pointer: x[i] is its i-th number, whatever its shape. All other arguments are int64.
if TYPE_CHECKING:
    Floats: TypeAlias = Any
    Doubles: TypeAlias = Any
    Bytes: TypeAlias = Any
    Ints: TypeAlias = Any
else:
    Floats, Doubles = types.CPointer(types.float32), types.CPointer(types.float64)
    Bytes, Ints = types.CPointer(types.uint8), types.CPointer(types.int64)

# a * b + c may round once instead of twice; NaN and infinity are not assumed away
OPTIONS: dict[str, Any] = {"error_model": "numpy", "fastmath": {"contract"}}

helper: Any = numba.njit(**OPTIONS)  # a function that tasks call
intrinsic: Any = numba.extending.intrinsic  # one that writes its own LLVM code


@intrinsic
def at(_, pointer, index):
    """The pointer to x[index]."""
    return pointer(pointer, types.int64), lambda context, builder, signature, args: builder.gep(args[0], [args[1]])


def stack(kind: Any, size: int) -> Any:
    """A function for tasks that gives them room for that many numbers, until they end."""

    @intrinsic
    def room(context):
        def generate(context, builder, signature, args):
            return cgutils.alloca_once(builder, context.get_value_type(kind.dtype), size)

        return kind(), generate

    return room


def _source_stamp() -> tuple[tuple[str, int, int], ...]:
    """What Numba's cache compares: a task is compiled anew when any file here changes, not only its own."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return tuple((file.name, file.stat().st_mtime_ns, file.stat().st_size) for file in files)


class _CFunc(CFunc):
    def _compile_uncached(self) -> Any:  # only if no process before has
        base: Any = super()
        with compiling.shown():
            return base._compile_uncached()


class Task:
    """A function of a task's number, compiled to be called as C; see the top of this file."""

    def __init__(self, function: Callable[..., None]) -> None:
        self.function = function
        self.__doc__ = function.__doc__
        compiling.tasks += 1

    @functools.cached_property
    def compiled(self) -> Any:
        parameters = inspect.signature(self.function).parameters.values()
        kinds = [types.int64 if p.annotation is p.empty else p.annotation for p in parameters]
        compiled: Any = _CFunc(self.function, (tuple(kinds), types.void), {}, OPTIONS)
        try:
            compiled.enable_caching()
            compiled._cache._cache_file._source_stamp = _source_stamp()
        except RuntimeError:
            pass  # no folder to cache in, not even the user's own: compile in each process
        compiled.compile()
        return compiled

    def run(self, count: int, *arguments: Any) -> None:
        """Run the tasks 0 ... count - 1 with these arrays and integers."""
        run_tasks(self.compiled.address, count, [a.ctypes.data if isinstance(a, np.ndarray) else a for a in arguments])


task = Task


@helper
def share(part, parts, size):
    """(start, stop) of one of ``parts`` nearly equal parts of range(size)."""
    return part * size // parts, (part + 1) * size // parts
