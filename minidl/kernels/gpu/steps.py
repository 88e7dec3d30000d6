"""What changes many arrays in place, in one launch for all that wait (``together``): optimisers, running statistics."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import partial
from typing import Any

import numpy as np

from ...backend import Array, is_gpu_array
from ...backend.recording import fresh
from .. import portable, waiting
from .launch import launch

FILE = "steps.cu"
ENTRIES, PART = 63, 2048  # as in the file

_MOVED = np.dtype(
    [(name, np.uint64) for name in ("weight", "grad", "first", "second", "mask")]
    + [("weight_decay", np.float64), ("count", np.int32), ("start", np.int32)]
)
_WEIGHTS = np.dtype([("entries", _MOVED, ENTRIES), ("count", np.int64)])
_TRACKED = np.dtype(
    [(name, np.uint64) for name in ("running_mean", "running_var", "mean", "var", "batches")]
    + [("momentum", np.float64), ("unbiased", np.float64), ("channels", np.int64)]
)
_STATISTICS = np.dtype([("entries", _TRACKED, ENTRIES)])


def _do(kind: Hashable, work: Callable[[list[Any]], None], note: tuple[Any, ...]) -> None:
    """``work([note])``: now, or with others where they wait; of two for one array, the first is done before."""
    steps = waiting.get()
    if steps is None:
        work([note])
        return
    notes = steps.setdefault(kind, (work, []))[1]
    if any(note[0] is earlier[0] for earlier in notes):
        work([*notes])
        notes.clear()
    notes.append(note)


def _number(value: Any, like: Array) -> Array:
    """A float64 number on the card; one that is there already stays."""
    return value if is_gpu_array(value) else fresh(lambda: value, np.float64, like)


def _address(array: Array | None) -> int:
    return 0 if array is None else array.data.ptr


def _move(name: str, settings: tuple[Any, ...], notes: list[tuple[Any, ...]]) -> None:
    """Launch a kernel for weights: (weight, gradient, first, second, mask, weight decay) each."""
    for start in range(0, len(notes), ENTRIES):
        some, blocks = notes[start : start + ENTRIES], 0
        weights = np.zeros(1, _WEIGHTS)
        weights["count"] = len(some)
        for i, (*arrays, weight_decay) in enumerate(some):
            count = arrays[0].size
            weights["entries"][0, i] = (*map(_address, arrays), weight_decay, count, blocks)
            blocks += -(-count // PART)
        launch(FILE, name, some[0][0], (weights, *settings), grid=(blocks,))


def sgd_step(
    weight: Array, grad: Array, velocity: Array | None, mask: Array | None, lr: Any, momentum: float,
    weight_decay: float, nesterov: bool,
) -> None:  # fmt: skip
    settings = (_number(lr, weight), np.float64(momentum), int(nesterov))
    _note("sgd_steps", settings, (weight, grad, velocity, None, mask, weight_decay))


def adam_step(
    weight: Array, grad: Array, mean: Array, square: Array, mask: Array | None, lr: Any, beta1: float, beta2: float,
    eps: float, weight_decay: float, step: Any,
) -> None:  # fmt: skip
    settings = (_number(lr, weight), _number(step, weight), *map(np.float64, (beta1, beta2, eps)))
    _note("adam_steps", settings, (weight, grad, mean, square, mask, weight_decay))


def _note(name: str, settings: tuple[Any, ...], note: tuple[Any, ...]) -> None:
    """Of one launch are those that have the same settings; a number on the card is known by where it lies."""
    same = tuple(_address(value) if is_gpu_array(value) else value for value in settings)
    _do((name, note[0].dtype.char, same), partial(_move, name, settings), note)


def track(
    running_mean: Array, running_var: Array, batches: Array, mean: Array, var: Array, momentum: float, count: int
) -> None:
    if batches.dtype != np.int64:  # the kernel counts in eight bytes
        portable.track(running_mean, running_var, batches, mean, var, momentum, count)
        return
    note = (running_mean, running_var, mean, var, batches, momentum, count / (count - 1), mean.size)
    _do(("track", mean.dtype.char), _track, note)


def _track(notes: list[tuple[Any, ...]]) -> None:
    for start in range(0, len(notes), ENTRIES):
        some = notes[start : start + ENTRIES]
        statistics = np.zeros(1, _STATISTICS)
        for i, (*arrays, momentum, unbiased, channels) in enumerate(some):
            statistics["entries"][0, i] = (*map(_address, arrays), momentum, unbiased, channels)
        launch(FILE, "track", some[0][0], (statistics,), grid=(len(some),))
