"""Steps that a card does again and again: recorded once as a CUDA graph, then replayed.

A training step of ResNet18 is some five hundred kernels, most of which take Python longer to start than the card to
finish. A graph starts them all at once. It does exactly what it did when it was recorded: the same kernels, on the same
memory, with the same arguments. So

* what a step is given is copied into the memory that was recorded, and what it returns is always in the same place;
* a number that changes from step to step, such as the learning rate, is a ``fresh`` one: it lies in the card's memory,
  and is drawn anew before each replay;
* whatever else the step reads, weights and masks, must stay where it is. ``reads`` tells; where that changes, the step
  is recorded anew;
* within a step nothing may be waited for: no number comes back from the card, and none goes there but fresh ones.
"""

from __future__ import annotations

import contextlib
import warnings
import weakref
from collections.abc import Callable, Hashable, Sequence
from contextvars import ContextVar
from typing import Any

import numpy as np

from .backend import Array, array_module, card, is_gpu_array

Step = Callable[..., Sequence[Array]]
Draw = Callable[[], Any]

_all: weakref.WeakSet[Replayed] = weakref.WeakSet()
_fresh: ContextVar[list[tuple[Array, Draw]] | None] = ContextVar("fresh numbers of the recording", default=None)


def is_capturing() -> bool:
    """Whether a step is being recorded: what it computes is not there yet, and cannot be looked at.

    Examples
    --------
    >>> from minidl.replay import is_capturing
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
    >>> from minidl.replay import fresh
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
    """Bytes of the card's memory that this process holds, for recordings and otherwise: they never become fewer.

    Examples
    --------
    >>> from minidl.backend import gpu_available
    >>> from minidl.replay import card_memory
    >>> used = card_memory() if gpu_available() else 0
    """
    pools = [card().get_default_memory_pool(), *(replayed._pool for replayed in _all if replayed._pool is not None)]
    return sum(pool.total_bytes() for pool in pools)


class Replayed:
    """A function of arrays, recorded where it is given arrays on a card; on the CPU it is called as it is.

    For arguments of new shapes the first call is an ordinary one, which compiles what is needed. The second is
    recorded, and from then on the recording is replayed.

    Parameters
    ----------
    function : callable
        From arrays to a sequence of arrays. On a card the results of one call are overwritten by the next.
    reads : callable, optional
        Gives something that changes when the function would read or write other memory, or compute otherwise, than
        before: ``lambda: [p.data.data.ptr for p in parameters]``, say.

    Warns
    -----
    RuntimeWarning
        When the function cannot be recorded: it is then called as it is, which is slower.

    Examples
    --------
    >>> import numpy as np
    >>> from minidl.replay import Replayed
    >>> twice = Replayed(lambda x: [2 * x])
    >>> twice(np.ones(2))
    [array([2., 2.])]
    """

    def __init__(self, function: Step, reads: Callable[[], Hashable] = tuple) -> None:
        self._function, self._reads = function, reads
        self._graphs: dict[Hashable, _Graph | None] = {}
        self._state: Hashable = None
        self._pool: Any = None  # memory that belongs to the recordings alone
        self._records = True
        _all.add(self)

    def __call__(self, *arrays: Array) -> Sequence[Array]:
        if not self._records or is_capturing() or not any(map(is_gpu_array, arrays)):
            return self._function(*arrays)
        state = self._reads()
        if state != self._state:
            self._graphs.clear()
            self._state = state
        shapes = tuple((a.shape, a.dtype.str) for a in arrays)
        if shapes not in self._graphs:
            self._graphs[shapes] = None
            return self._function(*arrays)
        graph = self._graphs[shapes] or self._record(arrays)
        if graph is None:
            return self._function(*arrays)
        self._graphs[shapes] = graph
        return graph.replay(arrays)

    def _record(self, arrays: Sequence[Array]) -> _Graph | None:
        xp = array_module(next(filter(is_gpu_array, arrays)))
        xp.get_default_memory_pool().free_all_blocks()  # the recording will not use what the first call has left
        self._pool = self._pool or xp.cuda.MemoryPool()
        try:
            return _Graph(xp, self._function, arrays, self._pool)
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
    """One recording, and the memory it works on."""

    def __init__(self, xp: Any, function: Step, arrays: Sequence[Array], pool: Any) -> None:
        self._inputs = [xp.empty(a.shape, a.dtype) for a in arrays]
        self._numbers: list[tuple[Array, Draw]] = []
        stream = xp.cuda.Stream(non_blocking=True)  # the default stream cannot be recorded
        token = _fresh.set(self._numbers)
        try:
            with stream, xp.cuda.using_allocator(pool.malloc):
                stream.begin_capture()
                try:
                    self._results = function(*self._inputs)
                except BaseException:
                    with contextlib.suppress(Exception):  # the first error says more
                        stream.end_capture()
                    raise
                self._graph = stream.end_capture()
        finally:
            _fresh.reset(token)

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
