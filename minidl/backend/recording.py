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

Where all this lies, and what may lie there, is ``memory``'s one rule. That a replay does what the step does is not
believed but compared, bit by bit, once for each recording.
"""

from __future__ import annotations

import contextlib
import traceback
import warnings
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from ..tools.numbers import whole_number
from .arrays import Array, array_module, card, is_gpu_array
from .memory import recordings, release_memory
from .trial import Draw, Step, Trial, numbers_of_the_step, on_host, same_bits

_every = 0


def compare_replays(every: int) -> None:
    """Compare every so many replays of a recording, and not its first alone, with the step done kernel by kernel.

    Where the two differ in a bit, the recording is thrown away with a RuntimeWarning, and the step goes on without.

    Parameters
    ----------
    every : int, at least 0
        1 compares each replay; 0, as it is at first, only the first of each recording.

    Examples
    --------
    >>> from minidl.backend.recording import compare_replays
    >>> compare_replays(every=100)
    >>> compare_replays(every=0)
    """
    global _every
    _every = whole_number(every, "every", 0, "compare_replays")


def is_capturing() -> bool:
    """Whether a step is being recorded: what it computes is not there yet, and cannot be looked at.

    Examples
    --------
    >>> from minidl.backend.recording import is_capturing
    >>> is_capturing()
    False
    """
    return isinstance(numbers_of_the_step.get(), _Recorded)


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
    numbers, xp = numbers_of_the_step.get(), array_module(like)
    if isinstance(numbers, _Recorded):
        return numbers.add(draw, dtype)
    number = xp.empty((), dtype)
    number.fill(draw() if numbers is None else numbers.value(draw))
    return number


class Replayed:
    """A function of arrays, recorded where it is given arrays on a card; on the CPU it is called as it is.

    For arguments of new shapes the first call is an ordinary one, which compiles what is needed. The second is done
    kernel by kernel, recorded, taken back and replayed; where the two differ in a bit, the recording is thrown away.
    From then on it is replayed. So Python runs three times only: a function that counts its calls, or asks what day it
    is, does not belong here.

    Parameters
    ----------
    function : callable
        From arrays to a sequence of arrays (or None among them). On a card the results of one call are overwritten by
        the next. What it makes and somebody wants afterwards, gradients say, has to be among its results.
    reads : callable, optional
        Gives something that changes when the function would compute otherwise than before, or read or write other
        memory: settings, and addresses such as ``p.data.data.ptr``.
    records : bool
        False: only ever call it.
    writes : callable, optional
        Gives all arrays that the function changes in place, by name: weights, momentum, running statistics.
    ordinary : int, at least 1
        How many calls with arguments of new shapes are ordinary ones: more, where few may come.

    Warns
    -----
    RuntimeWarning
        When the function cannot be recorded, or its recording does something else: it is then called as it is, which
        is slower.

    Examples
    --------
    >>> import numpy as np
    >>> from minidl.backend.recording import Replayed
    >>> twice = Replayed(lambda x: [2 * x])
    >>> twice(np.ones(2))
    [array([2., 2.])]
    """

    def __init__(
        self,
        function: Step,
        reads: Callable[[], Hashable] = tuple,
        records: bool = True,
        writes: Callable[[], Mapping[str, Array]] = dict,
        ordinary: int = 1,
    ) -> None:
        self._function, self._reads, self._writes, self._records = function, reads, writes, records
        self._graphs: dict[Hashable, _Graph | int] = {}  # or how many ordinary calls there were
        self._ordinary = ordinary
        self._pool: Any = None
        self._read: Hashable = None

    def __call__(self, *arrays: Array) -> Sequence[Any]:
        if not self._records or numbers_of_the_step.get() is not None or not any(map(is_gpu_array, arrays)):
            return self._function(*arrays)
        read, shapes = self._reads(), tuple((a.shape, a.dtype.str) for a in arrays)
        if read is not self._read and read != self._read:
            self._forget()
            self._read = read
        try:
            graph = self._graphs.get(shapes, 0)
            if isinstance(graph, int):
                if graph == self._ordinary:
                    return self._record(shapes, arrays)
                results = self._by_kernels(Trial(self._writes), arrays)
                self._graphs[shapes] = graph + 1
                return results
            graph.replays += 1
            if _every and graph.replays % _every == 0:
                trial = Trial(self._writes)
                expected = self._by_kernels(trial, arrays)
                kept = self._graphs.get(shapes) is graph  # or it had to go, for want of memory
                return self._compared(graph, trial, expected, arrays) if kept else expected
            return graph.replay(arrays)
        except MemoryError:
            self._forget()
            raise

    def __del__(self) -> None:
        with contextlib.suppress(Exception):  # Python may be about to end
            self._forget()
            if self._pool is not None:
                recordings().idle.append(self._pool)

    def _forget(self) -> None:
        """Throw the recordings away. Their memory is the default pool's again, but for arrays that somebody holds."""
        self._graphs.clear()
        if self._pool is not None:
            self._pool.free_all_blocks()

    def _by_kernels(self, trial: Trial, arrays: Sequence[Array]) -> Sequence[Any]:
        """The ordinary step; where memory does not suffice, once more with all that can be had."""
        with recordings().beside():
            try:
                return trial.run(self._function, arrays)
            except MemoryError as error:
                if not trial.can_be_taken_back():
                    raise
                traceback.clear_frames(error.__traceback__)  # they hold the arrays of what failed
            self._forget()
            release_memory()
            trial.take_back()
            return trial.run(self._function, arrays)

    def _record(self, shapes: Hashable, arrays: Sequence[Array]) -> Sequence[Any]:
        """The step kernel by kernel, and then by a recording of it, which is kept where it gives the same bits."""
        trial = Trial(self._writes)
        expected = self._by_kernels(trial, arrays)
        if self._reads() != self._read:
            return expected
        if self._pool is None:
            self._pool = recordings().pool()
        try:
            graph = _Graph(self._function, arrays, self._pool)
        except MemoryError:
            raise
        except Exception as error:
            self._stop(f"a step could not be recorded, and is done kernel by kernel, which is slower: {error}")
            return expected
        self._graphs[shapes] = graph
        return self._compared(graph, trial, expected, arrays)

    def _compared(self, graph: _Graph, trial: Trial, expected: Sequence[Any], arrays: Sequence[Array]) -> Sequence[Any]:
        """What a replay gives; or, where that is not what the step itself has given, the latter."""
        right = on_host(expected) | trial.written()
        trial.take_back()
        results = graph.replay(arrays, trial.drawn)
        got = on_host(results) | trial.written()
        different = next((name for name in right if not same_bits(right[name], got.get(name))), None)
        if different is None and len(trial.drawn) == len(graph.numbers):
            return results
        trial.put(right)
        self._stop(
            f"the replay of a recorded step gave other bits than the step itself, first in {different or 'its numbers'}"
            ": the recording is thrown away, and the step is done kernel by kernel, which is slower. Does it change "
            "arrays, or draw numbers, that it does not tell of (minidl.backend.recording.Replayed)?"
        )
        return expected

    def _stop(self, why: str) -> None:
        self._records = False
        self._forget()
        warnings.warn(why, RuntimeWarning, stacklevel=4)


class _Recorded(list[tuple[Array, Draw]]):
    """The fresh numbers of a recording. They are written before each replay: they have a pool of their own."""

    def add(self, draw: Draw, dtype: Any) -> Array:
        with card().cuda.using_allocator(recordings().numbers.malloc):
            number = card().empty((), dtype)
        self.append((number, draw))
        return number


class _Graph:
    """One recording, with what it is given, what it returns, and its numbers that change."""

    def __init__(self, function: Step, arrays: Sequence[Array], pool: Any) -> None:
        self.numbers, self.replays = _Recorded(), 0
        self._inputs = [card().empty(a.shape, a.dtype) for a in arrays]
        stream, token = recordings().stream, numbers_of_the_step.set(self.numbers)
        with stream, card().cuda.using_allocator(pool.malloc):
            stream.begin_capture()
            try:
                self._results = function(*self._inputs)
            except BaseException:
                with contextlib.suppress(Exception):  # the first error says more
                    stream.end_capture()
                raise
            finally:
                numbers_of_the_step.reset(token)
            self._graph = stream.end_capture()

    def replay(self, arrays: Sequence[Array], values: Sequence[Any] | None = None) -> Sequence[Any]:
        """With numbers that are drawn now, or those given."""
        for ours, given in zip(self._inputs, arrays, strict=True):
            if is_gpu_array(given):
                ours[...] = given
            else:
                ours.set(np.ascontiguousarray(given))
        drawn = [draw() for _, draw in self.numbers] if values is None else values
        for (number, _), value in zip(self.numbers, drawn, strict=False):  # who compares, compares their count too
            number.fill(value)
        self._graph.launch()
        return self._results
