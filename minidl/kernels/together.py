"""Steps of many small arrays that wait for each other, and are then launched as one.

An optimiser's step is one kernel for each parameter, and a batch normalisation moves its running statistics by one more:
for a network of sixty parameters a hundred launches, most of which take longer to begin than to do. Within ``together``
the card's kernels of such steps only note what they are to do; at the block's end all notes of one kind are one launch.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Hashable, Iterator
from contextvars import ContextVar
from typing import Any

Do = Callable[[list[Any]], None]

_notes: ContextVar[dict[Hashable, tuple[Do, list[Any]]] | None] = ContextVar("what waits to be done", default=None)


@contextlib.contextmanager
def together(wait: bool = True) -> Iterator[None]:
    """Within the block steps of a card may wait for its end, where they are done; the CPU does all at once.

    Nobody within it may read what such a step writes, or write what it reads: running statistics, or weights between
    an optimiser's steps of two parameters. So it is for code that is known: minidl's own.

    Parameters
    ----------
    wait : bool
        False: nothing waits, as if there were no block.

    Examples
    --------
    >>> import numpy as np
    >>> from minidl import kernels
    >>> weight = np.ones(2)
    >>> with kernels.together():
    ...     kernels.of(weight).sgd_step(weight, np.ones(2), None, None, 0.5, 0.0, 0.0, False)
    >>> weight
    array([0.5, 0.5])
    """
    notes: dict[Hashable, tuple[Do, list[Any]]] = {}
    token = _notes.set(notes if wait else None)
    try:
        yield
    finally:
        _notes.reset(token)
    for do, noted in notes.values():  # not after an error, which leaves arrays as they were
        do(noted)


def do(kind: Hashable, work: Do, note: Any) -> None:
    """``work([note])``, now or at the end of the block; where the same is done twice, the first is not forgotten."""
    notes = _notes.get()
    if notes is None:
        work([note])
        return
    _, noted = notes.setdefault(kind, (work, []))
    if any(note[0] is earlier[0] for earlier in noted):
        work(noted[:])
        noted.clear()
    noted.append(note)
