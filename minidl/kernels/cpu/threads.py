"""A pool of threads that share out the tasks of one kernel at a time.

Numba's own parallel loops wait by spinning, and give each thread a fixed share: on a busy machine both cost far more
than the work (two trainings at once, on two cores, took eight times as long). Here a waiting thread sleeps, and takes
the next task whenever it has finished one, so that a thread that is held up holds up one task.
"""

import os
import threading
import time
from queue import SimpleQueue
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types

from .. import num_threads

MAX_ARGUMENTS = 28
SPINS = 2000  # looks at the count of finished tasks, some microseconds in all, before giving up the processor

_lock = threading.RLock()  # one kernel at a time
_jobs: SimpleQueue[tuple[int, int, np.ndarray, np.ndarray]] = SimpleQueue()
_threads: list[threading.Thread] = []
intrinsic: Any = numba.extending.intrinsic


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


def _compiled(signature: str) -> Any:
    """Compile a function that lets other threads run meanwhile; keep it on disk where some folder can be written."""

    def decorate(function: Any) -> Any:
        try:
            return numba.njit(signature, cache=True, nogil=True)(function)
        except RuntimeError:  # no folder, not even the user's own
            return numba.njit(signature, nogil=True)(function)

    return decorate


@_compiled("void(int64, int64, int64[::1], int64[::1])")
def _take_tasks(address, count, arguments, counters):
    """Run tasks until none is left; counters holds how many are taken, and how many finished."""
    number = _fetch_add(counters.ctypes, 0, 1)
    while number < count:
        _call(address, number, arguments.ctypes)
        _fetch_add(counters.ctypes, 1, 1)
        number = _fetch_add(counters.ctypes, 0, 1)


@_compiled("boolean(int64, int64[::1])")
def _all_finished(count, counters):
    """Wait a little for the last tasks; whether they came to an end."""
    for _ in range(SPINS):  # noqa: SIM110  Numba compiles the loop, not its shorter form
        if _fetch_add(counters.ctypes, 1, 0) >= count:
            return True
    return False


def _serve() -> None:
    while True:
        _take_tasks(*_jobs.get())  # of a kernel that is over by now, no task is left


def run_tasks(address: int, count: int, arguments: list[Any]) -> None:
    """Call the C function at that address with 0 ... count - 1, each followed by the arguments (int64)."""
    words = np.zeros(MAX_ARGUMENTS, np.int64)
    words[: len(arguments)] = arguments
    job = (address, count, words, np.zeros(2, np.int64))
    with _lock:
        helpers = min(num_threads(), count) - 1
        while len(_threads) < helpers:
            _threads.append(threading.Thread(target=_serve, name=f"minidl-{len(_threads)}", daemon=True))
            _threads[-1].start()
        try:
            for _ in range(helpers):
                _jobs.put(job)
            _take_tasks(*job)
        finally:  # also after Ctrl-C: the arrays must live until the last task is over
            while helpers > 0 and not _all_finished(count, job[3]):
                time.sleep(0)


def _forget_threads() -> None:
    """A forked process has none of its parent's threads."""
    global _lock, _jobs
    _lock, _jobs = threading.RLock(), SimpleQueue()
    _threads.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)
