"""Compiled tasks: a kernel cut into pieces that threads share out.

A kernel is a function of a task's number and of what it computes with, marked ``@task``::

    @task
    def add_one(part, x: Floats, y: Floats, size): ...

    add_one.run(8, x, y, x.size)         # parts 0 ... 7, shared among the threads

It is compiled when first run, on its own and without Numba's parallel machinery, which would triple the time. Each
task's result must depend on its number alone, never on the thread it runs on: then results are the same, to the bit,
with any number of threads.

Numba's own parallel loops wait by spinning, and give each thread a fixed share: on a busy machine both cost far more
than the work (two trainings at once, on two cores, took eight times as long). Here a waiting thread sleeps, and takes
the next task whenever it has finished one, so that a thread that is held up holds up one task.
"""

import ctypes
import functools
import inspect
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeAlias

import numba
import numba.extending
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.ccallback import CFunc

from .. import num_threads
from . import compiling

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

MAX_ARGUMENTS = 28
SPINS = 2000  # looks at the count of finished tasks, some microseconds in all, before giving up the processor
STACK = 8 << 20  # bytes: tasks keep tiles of more than a megabyte there, which is all that some systems give a thread

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
        words = np.zeros(MAX_ARGUMENTS + 2, np.int64)  # the last two count tasks
        words[: len(arguments)] = [a.ctypes.data if isinstance(a, np.ndarray) else a for a in arguments]
        job = (self.compiled.address, count, words.ctypes.data, words)
        with _lock:
            helpers = min(num_threads(), count) - 1
            if len(_threads) < helpers:
                before = threading.stack_size(STACK)
                while len(_threads) < helpers:
                    _threads.append(threading.Thread(target=_serve, name=f"minidl-{len(_threads)}", daemon=True))
                    _threads[-1].start()
                threading.stack_size(before)
            try:
                for _ in range(helpers):
                    _jobs.put(job)
                _take(job, SPINS if helpers > 0 else 0)
            finally:  # also after Ctrl-C: the arrays must live until the last task is over
                while helpers > 0 and words[-1] < count:
                    time.sleep(0)


task = Task


@helper
def share(part, parts, size):
    """(start, stop) of one of ``parts`` nearly equal parts of range(size)."""
    return part * size // parts, (part + 1) * size // parts


@intrinsic
def _call(_, address, number, arguments):
    """Call the C function at that address with the task's number and all the arguments.

    Pointers and int64 travel alike, and a C function ignores arguments beyond those that it knows.
    """

    def generate(context, builder, signature, args):
        word = ir.IntType(64)
        function = ir.FunctionType(ir.VoidType(), [word] * (1 + MAX_ARGUMENTS)).as_pointer()
        values = [builder.load(builder.gep(args[2], [word(i)])) for i in range(MAX_ARGUMENTS)]
        builder.call(builder.inttoptr(args[0], function), [args[1], *values])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.CPointer(types.int64)), generate


@intrinsic
def _fetch_add(_, counters, index, amount):
    """Add to counters[index] and give what it was, in one indivisible step."""

    def generate(context, builder, signature, args):
        return builder.atomic_rmw("add", builder.gep(args[0], [args[1]]), args[2], "seq_cst")

    return types.int64(types.CPointer(types.int64), types.int64, types.int64), generate


@task
def _take_tasks(address, count, arguments: Ints, spins):
    """Run tasks until none is left, then wait a little for the last; tasks taken and finished are counted there too."""
    counters = at(arguments, MAX_ARGUMENTS)
    number = _fetch_add(counters, 0, 1)
    while number < count:
        _call(address, number, arguments)
        _fetch_add(counters, 1, 1)
        number = _fetch_add(counters, 0, 1)
    while spins > 0 and _fetch_add(counters, 1, 0) < count:
        spins -= 1


_lock = threading.RLock()  # one kernel at a time
_jobs: SimpleQueue["Job"] = SimpleQueue()
_threads: list[threading.Thread] = []


@functools.cache
def _taker() -> Any:
    """_take_tasks as a function of Python's, which lets other threads run meanwhile."""
    return ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 4)(_take_tasks.compiled.address)


Job = tuple[int, int, int, np.ndarray]  # a compiled task's address, how many, its arguments' address and they


def _take(job: Job, spins: int) -> None:
    _taker()(*job[:3], spins)


def _serve() -> None:
    while True:
        _take(_jobs.get(), 0)  # of a kernel that is over by now, no task is left


def _forget_threads() -> None:
    """A forked process has none of its parent's threads."""
    global _lock, _jobs
    _lock, _jobs = threading.RLock(), SimpleQueue()
    _threads.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)
