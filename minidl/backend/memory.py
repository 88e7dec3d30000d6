"""The card's memory, and the one rule about it: what outlives a replay never lies where a recording works.

A recording (``recording``) writes where it wrote when it was recorded, whatever has come to lie there since. So all
that is computed *while* a step is being recorded comes from a pool that belongs to that step alone and hands out
nothing else; all the rest, whoever asks for it and whenever, comes from CuPy's default pool, where no recording works.
Nobody has to remember anything: inputs, momentum, constants and what is computed kernel by kernel are made outside of
recordings, and fresh numbers have a pool of their own. Only what else is made within and shall stay needs a word,
``lasting``.

The pools of recordings are the default pool's tenants. What they have counts there, and towards its limit, and goes
back when the recordings are gone.
"""

from __future__ import annotations

import contextlib
import functools
import traceback
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from .arrays import card, gpu_available

__all__ = ["card_memory", "lasting", "release_memory", "with_all_memory"]

Result = TypeVar("Result")


@contextlib.contextmanager
def lasting() -> Iterator[None]:
    """Within the block arrays on the card are made to stay, though a step may be being recorded.

    They are the default pool's, like all that is made outside of a recording.

    Examples
    --------
    >>> from minidl.backend import gpu_available
    >>> from minidl.backend.memory import lasting
    >>> if gpu_available():
    ...     with lasting():
    ...         pass
    """
    with card().cuda.using_allocator(card().get_default_memory_pool().malloc):
        yield


def card_memory() -> int:
    """Bytes of the card's memory that this process holds now: its arrays, recordings, and what it keeps for more.

    Examples
    --------
    >>> from minidl.backend import gpu_available
    >>> from minidl.backend.memory import card_memory
    >>> used = card_memory() if gpu_available() else 0
    """
    return int(card().get_default_memory_pool().total_bytes())


def release_memory() -> None:
    """Give the card back what neither arrays nor recordings use.

    Examples
    --------
    >>> from minidl.backend import gpu_available
    >>> from minidl.backend.memory import release_memory
    >>> if gpu_available():
    ...     release_memory()
    """
    recordings().sweep()
    card().get_default_memory_pool().free_all_blocks()


def with_all_memory(work: Callable[[], Result]) -> Result:
    """Do some work; where a card's memory does not suffice, once more with all that was kept for later.

    Parameters
    ----------
    work : callable
        That may be done twice.

    Examples
    --------
    >>> from minidl.backend.memory import with_all_memory
    >>> with_all_memory(lambda: "done")
    'done'
    """
    try:
        return work()
    except MemoryError as error:
        if not gpu_available():
            raise
        traceback.clear_frames(error.__traceback__)  # they hold the arrays of what failed
    release_memory()
    return work()


class Recordings:
    """Where steps are recorded: on a stream for it, as the default one cannot be, in pools within the default pool."""

    def __init__(self, xp: Any) -> None:
        self._xp = xp
        self.stream = xp.cuda.Stream(non_blocking=True)
        self.numbers = self._tenant()
        self.idle: list[Any] = []  # pools without recordings: arrays that somebody holds may still lie there

    def _tenant(self) -> Any:
        """A pool that has its memory from the default pool."""
        default = self._xp.get_default_memory_pool()

        def more(size: int) -> Any:
            try:
                return default.malloc(size)
            except MemoryError:  # at its limit it does not look for what it could give back
                self.sweep()
                default.free_all_blocks()
                return default.malloc(size)

        return self._xp.cuda.MemoryPool(more)

    @contextlib.contextmanager
    def beside(self) -> Iterator[None]:
        """Compute on their stream, after what the card was asked before, and before what it will be asked afterwards.

        What is free then can be had for recordings at once: of the default pool's blocks each stream has its own.
        """
        elsewhere = self._xp.cuda.get_current_stream()
        self.stream.wait_event(elsewhere.record())
        try:
            with self.stream:
                yield
        finally:
            elsewhere.wait_event(self.stream.record())

    def pool(self) -> Any:
        """One that has no recordings."""
        return self.idle.pop() if self.idle else self._tenant()

    def sweep(self) -> None:
        for pool in self.idle:
            pool.free_all_blocks()
        self.idle = [pool for pool in self.idle if pool.total_bytes()]


@functools.cache
def recordings() -> Recordings:
    return Recordings(card())
