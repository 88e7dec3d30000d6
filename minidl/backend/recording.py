"""Steps that a card does again and again: recorded once as a CUDA graph, then replayed.

A training step of ResNet18 is some five hundred kernels, most of which take Python longer to start than the card to
finish. A graph starts them all at once. It does exactly what it did when it was recorded: the same kernels, on the same
memory, with the same arguments. So

* what a step is given is copied into the memory that was recorded, and what it returns is always in the same place;
* a number that changes from step to step, such as the learning rate, is a ``fresh`` one: it lies in the card's memory,
  and is drawn anew before each replay;
* whatever else the step reads, weights, masks and settings, must stay where it is and as it is. ``reads`` tells; where
  that changes, the step is recorded anew;
* within a step nothing may be waited for: no number comes back from the card, and none goes there but fresh ones.
"""

from __future__ import annotations

import contextlib
import functools
import warnings
import weakref
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any

import numpy as np

from . import Array, array_module, card, is_gpu_array

Step = Callable[..., Sequence[Array]]
Draw = Callable[[], Any]

_all: weakref.WeakSet[Replayed] = weakref.WeakSet()
_fresh: ContextVar[list[tuple[Array, Draw]] | None] = ContextVar("fresh numbers of the recording", default=None)


def is_capturing() -> bool:
    """Whether a step is being recorded: what it computes is not there yet, and cannot be looked at.

    Examples
    --------
    >>> from minidl.backend.recording import is_capturing
    >>> is_capturing()
    False
    """
    return _fresh.get() is not None


def fresh(draw: Draw, dtype: Any, like: Array) -> Any:
    """A number that is drawn anew for each replay of a step.

    Parameters
    ----------
    draw : callable
        Gives the number. It is called once for each time that the step is done.
    dtype : of the number on a card
    like : array
        Where the number is wanted.

    Returns
    -------
    array of shape () on the card of ``like``; on the CPU, where nothing is recorded, the number itself.

    Examples
    --------
    >>> import numpy as np
    >>> from minidl.backend.recording import fresh
    >>> fresh(lambda: 0.1, np.float64, np.ones(1))
    0.1
    """
    if not is_gpu_array(like):
        return draw()
    number, recorded = array_module(like).empty((), dtype), _fresh.get()
    if recorded is None:
        number.fill(draw())
    else:
        recorded.append((number, draw))
    return number


def card_memory() -> int:
    """Bytes of the card's memory that this process holds now: its arrays, recordings, and what it keeps for more.

    Examples
    --------
    >>> from minidl.backend import gpu_available
    >>> from minidl.backend.recording import card_memory
    >>> used = card_memory() if gpu_available() else 0
    """
    return card().get_default_memory_pool().total_bytes() + _memory().pool.total_bytes()


def release_memory() -> None:
    """Give the card back what neither arrays nor recordings use.

    Examples
    --------
    >>> from minidl.backend import gpu_available
    >>> from minidl.backend.recording import release_memory
    >>> if gpu_available():
    ...     release_memory()
    """
    card().get_default_memory_pool().free_all_blocks()
    if not any(replayed._graphs for replayed in _all):
        _memory().release()


class Replayed:
    """A function of arrays, recorded where it is given arrays on a card; on the CPU it is called as it is.

    For arguments of new shapes the first call is an ordinary one, which compiles what is needed. The second is
    recorded, and from then on the recording is replayed. So Python runs twice only: a function that counts its calls,
    or asks what day it is, does not belong here.

    Parameters
    ----------
    function : callable
        From arrays to a sequence of arrays. On a card the results of one call are overwritten by the next.
    reads : callable, optional
        Gives something that changes when the function would compute otherwise than before, or read or write other
        memory: settings, and addresses such as ``p.data.data.ptr``.
    records : bool
        False: only ever call it.

    Warns
    -----
    RuntimeWarning
        When the function cannot be recorded: it is then called as it is, which is slower.

    Examples
    --------
    >>> import numpy as np
    >>> from minidl.backend.recording import Replayed
    >>> twice = Replayed(lambda x: [2 * x])
    >>> twice(np.ones(2))
    [array([2., 2.])]
    """

    def __init__(self, function: Step, reads: Callable[[], Hashable] = tuple, records: bool = True) -> None:
        self._function, self._reads, self._records = function, reads, records
        self._graphs: dict[Hashable, _Graph | None] = {}
        self._state: Hashable = None
        _all.add(self)

    def __call__(self, *arrays: Array) -> Sequence[Array]:
        if not self._records or is_capturing() or not any(map(is_gpu_array, arrays)):
            return self._function(*arrays)
        state, shapes = self._reads(), tuple((a.shape, a.dtype.str) for a in arrays)
        if state != self._state:
            self._graphs.clear()
            self._state = state
        try:
            if shapes not in self._graphs:
                self._graphs[shapes] = None
                with _memory().current():
                    return self._function(*arrays)
            self._graphs[shapes] = graph = self._graphs[shapes] or self._record(arrays)
        except MemoryError:
            self._graphs.clear()  # what they hold is free again
            raise
        return self._function(*arrays) if graph is None else graph.replay(arrays)

    def _record(self, arrays: Sequence[Array]) -> _Graph | None:
        try:
            return _Graph(self._function, arrays)
        except MemoryError:
            raise
        except Exception as error:
            self._records = False
            warnings.warn(
                f"a step could not be recorded, and is done kernel by kernel, which is slower: {error}",
                RuntimeWarning,
                stacklevel=3,
            )
            return None


class _Graph:
    """One recording, with what it is given, what it returns, and its numbers that change."""

    def __init__(self, function: Step, arrays: Sequence[Array]) -> None:
        self._numbers: list[tuple[Array, Draw]] = []
        memory = _memory()
        with memory.current():
            self._inputs = [card().empty(a.shape, a.dtype) for a in arrays]
            token = _fresh.set(self._numbers)
            memory.stream.begin_capture()
            try:
                self._results = function(*self._inputs)
            except BaseException:
                with contextlib.suppress(Exception):  # the first error says more
                    memory.stream.end_capture()
                raise
            finally:
                _fresh.reset(token)
            self._graph = memory.stream.end_capture()

    def replay(self, arrays: Sequence[Array]) -> Sequence[Array]:
        for ours, given in zip(self._inputs, arrays, strict=True):
            if is_gpu_array(given):
                ours[...] = given
            else:
                ours.set(np.ascontiguousarray(given))
        for number, draw in self._numbers:
            number.fill(draw())
        self._graph.launch()
        return self._results


class _Memory:
    """Where steps that are replayed compute: a stream that can be recorded, and memory that nobody else is given.

    All recordings share it, as no two are ever replayed at once. It lives as long as the process: gradients and results
    that lie in it outlive the recording that made them.
    """

    def __init__(self, xp: Any) -> None:
        self._xp = xp
        self.stream = xp.cuda.Stream(non_blocking=True)  # the default stream cannot be recorded
        self.pool = xp.cuda.MemoryPool(self._chunk)
        self._chunks: list[Any] = []

    def _chunk(self, size: int) -> Any:
        """More memory for the pool; held here, as a pool that runs short gives back what recordings still use."""
        xp = self._xp
        try:
            memory = xp.cuda.Memory(size)
        except MemoryError:
            xp.get_default_memory_pool().free_all_blocks()
            memory = xp.cuda.Memory(size)
        self._chunks.append(memory)
        return xp.cuda.MemoryPointer(memory, 0)

    def release(self) -> None:
        """Give back what is not in use; only when there are no recordings."""
        self._chunks.clear()
        self.pool.free_all_blocks()

    @contextlib.contextmanager
    def current(self) -> Iterator[None]:
        """Compute here: after what the card was asked before, and before what it will be asked afterwards."""
        elsewhere = self._xp.cuda.get_current_stream()
        self.pool.set_limit(size=self._xp.get_default_memory_pool().get_limit())
        self.stream.wait_event(elsewhere.record())
        try:
            with self.stream, self._xp.cuda.using_allocator(self.pool.malloc):
                yield
        finally:
            elsewhere.wait_event(self.stream.record())


@functools.cache
def _memory() -> _Memory:
    return _Memory(card())
