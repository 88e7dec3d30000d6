"""Compiled tasks: a kernel whose results are numbered, and that threads share out.

A kernel is a function of which results to compute, start ... stop - 1, and of what it computes with::

    @task
    def add_one(start, stop, x, y):
        for i in range(start, stop):
            y[i] = x[i] + 1

    add_one.run(x.size, x, y)         # all of them, in pieces, on all threads

Numba compiles it for the types of its arguments when it first meets them (None is a type too, and what asks for it is
left out), and keeps the code on disk. Each result must depend on its number alone, never on the piece or the thread:
then results are the same, to the bit, with any number of threads.

Numba's own parallel loops wait by spinning, and give each thread a fixed share: on a busy machine both cost far more
than the work (two trainings at once, on two cores, took eight times as long). Here a thread without work sleeps, the
one that waits for the last piece soon offers the processor to others, and each takes the next piece whenever it has
finished one, so that a thread that is held up holds up one piece.
"""

import functools
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Any

import numba
import numba.extending
import numpy as np
from numba import types
from numba.core import cgutils, config

from ...tools.threads import deep
from .. import num_threads
from . import compiling, keeping
from .memory import empty

if config.DISABLE_JIT:  # type: ignore[attr-defined]  # Numba then hands functions back as they are, and these cannot run as Python
    raise ImportError("NUMBA_DISABLE_JIT switches Numba's compiler off: unset it to have minidl's compiled kernels")

# a * b + c may round once instead of twice; NaN and infinity are not assumed away
OPTIONS: dict[str, Any] = {"error_model": "numpy", "fastmath": {"contract"}, "nogil": True}
PIECES = 8  # for each thread, the most into which a kernel is cut
SPINS = 2000  # looks at the count of finished pieces, some microseconds in all, before giving up the processor

helper: Any = numba.njit(**OPTIONS)  # a function that tasks call
intrinsic: Any = numba.extending.intrinsic  # one that writes its own LLVM code


@intrinsic
def at(_, x, index):
    """The pointer to number ``index`` of x: of a pointer, or of an array, whatever its shape.

    Truth values are bytes there, and None stays None.
    """

    def generate(context, builder, signature, args):
        first = context.make_array(x)(context, builder, args[0]).data if isinstance(x, types.Array) else args[0]
        return first if x is types.none else builder.gep(first, [args[1]])

    if x is types.none:
        return x(x, types.int64), generate
    return types.CPointer(types.uint8 if x.dtype == types.boolean else x.dtype)(x, types.int64), generate


def stack(dtype: Any, size: int) -> Any:
    """A function for tasks that gives them room for a few numbers, until they end: a thread's stack may be small."""
    kind = types.CPointer(numba.from_dtype(dtype))

    @intrinsic
    def room(context):
        def generate(context, builder, signature, args):
            return cgutils.alloca_once(builder, context.get_value_type(kind.dtype), size)

        return kind(), generate

    return room


@helper
def share(part, parts, size):
    """(start, stop) of one of ``parts`` nearly equal parts of range(size)."""
    return part * size // parts, (part + 1) * size // parts


def _kept(function: Callable[..., None]) -> Any:
    """Compiled when it is first called, where the stack is deep enough for a compiler, and kept on disk."""
    compiled = numba.njit(**OPTIONS)(function)
    keeping.keep(compiled, function)
    compiled._compile_for_args = functools.partial(deep, _compile, compiled._compile_for_args)
    return compiled


_compiling = threading.RLock()


def _compile(for_arguments: Callable[..., Any], *arguments: Any) -> Any:
    with _compiling:
        return for_arguments(*arguments)


class _Rooms(threading.local):
    """The memory that each thread lends to the task that it works on."""

    def __init__(self) -> None:
        self._room = np.empty(0, np.float32)

    def of(self, size: int) -> tuple[np.ndarray, ...]:
        """One array of at least so many floats; none where none are wanted."""
        if self._room.size < size:
            self._room = empty(size)
        return (self._room,) if size else ()


_rooms = _Rooms()


class Task:
    """A function of a range of results; see the top of this file.

    With a ``room``, it gets an array of at least so many floats as its third argument, to keep in it what it likes
    until it ends: more than a few numbers do not fit on the stack of some threads.
    """

    room = 0

    def __init__(self, function: Callable[..., None], room: int = 0) -> None:
        self.function, self.room = function, room
        self.__doc__ = function.__doc__
        self.compiled = _kept(function)
        compiling.tasks.add(self.compiled)

    def run(self, size: int, *arguments: Any) -> None:
        """Compute the results 0 ... size - 1."""
        threads = min(num_threads(), size)
        if threads <= 1 or sys.is_finalizing():  # then no other thread goes on, whatever it holds
            return self.compiled(0, size, *_rooms.of(self.room), *arguments)
        pieces = _pieces(size, threads)
        left, finished, errors = iter(pieces), np.zeros(1, np.int64), list[Exception]()
        given = list(arguments)
        job = (self.compiled, self.room, left, given, finished, errors)
        with _lock:
            helpers = min(threads - 1, _start(threads - 1))
            try:
                for _ in range(helpers):
                    _jobs.put(job)
                _work(*job)
                _watch(finished, len(pieces), SPINS)
            finally:  # after Ctrl-C too: what nobody has begun is left, what others have begun is waited for
                _add(finished, len(list(left)))
                while finished[0] < len(pieces):
                    time.sleep(0)
                given.clear()  # a thread that wakes up late finds no piece, and need not hold the arrays until then
        if errors:
            raise errors[0]


def task(function: Callable[..., None] | None = None, *, room: int = 0) -> Any:
    """Make a Task of a function: ``@task``, or ``@task(room=floats)``."""
    return functools.partial(Task, room=room) if function is None else Task(function)


@functools.lru_cache(maxsize=256)
def _pieces(size: int, threads: int) -> list[tuple[int, int]]:
    """(start, stop) of large pieces first, and small ones at last, so that all threads end at once."""
    pieces, start = [], 0
    while start < size:
        stop = start + max(1, (size - start) // (2 * threads), size // (PIECES * threads))
        pieces.append((start, min(stop, size)))
        start = stop
    return pieces


@intrinsic
def _fetch_add(_, counter, amount):
    """Add to counter[0] and give what it was, in one indivisible step."""

    def generate(context, builder, signature, args):
        return builder.atomic_rmw("add", args[0], args[1], "seq_cst")

    return types.int64(counter, types.int64), generate


@_kept
def _add(finished, amount):
    _fetch_add(at(finished, 0), amount)


@_kept
def _watch(finished, count, spins):
    """Wait a little for the last pieces, without Python's lock, which the others need to report them."""
    while spins > 0 and _fetch_add(at(finished, 0), 0) < count:
        spins -= 1


_lock = threading.RLock()  # one kernel at a time
_jobs: SimpleQueue[Any] = SimpleQueue()
_threads: list[threading.Thread] = []


def _start(count: int) -> int:
    """See to it that so many threads wait for jobs; how many there are (no new ones while Python goes down)."""
    if not _threads:
        _add(np.zeros(1, np.int64), 0)  # compiled before anything depends on its count
        _watch(np.zeros(1, np.int64), 0, 0)
    while len(_threads) < count:
        thread = threading.Thread(target=_serve, name=f"minidl-{len(_threads)}", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            break
        _threads.append(thread)
    return len(_threads)


def _serve() -> None:
    while True:
        _work(*_jobs.get())  # of a kernel that is over by now, no piece is left


def _work(
    function: Any,
    room: int,
    pieces: Iterator[tuple[int, int]],
    arguments: list[Any],
    finished: Any,
    errors: list[Exception],
) -> None:
    lent = None
    for start, stop in pieces:  # one iterator for all threads
        try:
            lent = _rooms.of(room) if lent is None else lent
            function(start, stop, *lent, *arguments)
        except Exception as error:  # run raises it: a thread of ours must not die of it
            errors.append(error)
        finally:
            _add(finished, 1)


def _forget_threads() -> None:
    """A forked process has none of its parent's threads."""
    global _lock, _jobs
    _lock, _jobs = threading.RLock(), SimpleQueue()
    _threads.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)
    # no compiler is forked in the midst of its work: it would never be free again
    os.register_at_fork(
        before=_compiling.acquire, after_in_parent=_compiling.release, after_in_child=_compiling.release
    )
