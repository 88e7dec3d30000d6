"""A step that can be taken back and done again, with the same numbers: to compare its recording with, for one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any

import numpy as np

from .arrays import Array, array_module, to_numpy

Step = Callable[..., Sequence[Any]]
Draw = Callable[[], Any]

# who keeps the fresh numbers of the step that is being done: a Trial, a recording (``recording``), or nobody
numbers_of_the_step: ContextVar[Any] = ContextVar("numbers of the step", default=None)


class Trial:
    """One step that can be taken back and done again: as it was before, and the fresh numbers that it has drawn."""

    def __init__(self, writes: Callable[[], Mapping[str, Array]]) -> None:
        self._writes, self._next = writes, 0
        self.drawn: list[Any] = []
        self._before = self.written()

    def written(self) -> dict[str, np.ndarray]:
        return {name: to_numpy(array).copy() for name, array in self._writes().items()}

    def can_be_taken_back(self) -> bool:
        return self._writes().keys() == self._before.keys()

    def take_back(self) -> None:
        self.put(self._before)

    def put(self, values: Mapping[str, np.ndarray]) -> None:
        for name, array in self._writes().items():
            array[...] = array_module(array).asarray(values[name])

    def value(self, draw: Draw) -> Any:
        """The step's next number: drawn, or the one that was drawn when the step was done first."""
        if self._next == len(self.drawn):
            self.drawn.append(draw())
        self._next += 1
        return self.drawn[self._next - 1]

    def run(self, function: Step, arrays: Sequence[Array]) -> Sequence[Any]:
        self._next, token = 0, numbers_of_the_step.set(self)
        try:
            return function(*arrays)
        finally:
            numbers_of_the_step.reset(token)


def on_host(results: Sequence[Any]) -> dict[str, np.ndarray]:
    """Copies of a step's results, by name."""
    return {f"result {i}": to_numpy(array).copy() for i, array in enumerate(results) if array is not None}


def same_bits(a: np.ndarray, b: np.ndarray | None) -> bool:
    return b is not None and (a.shape, a.dtype, a.tobytes()) == (b.shape, b.dtype, b.tobytes())
