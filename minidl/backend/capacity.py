"""What does not fit on a card, and what would."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Callable, Iterator

from . import card
from .recording import release_memory

SPARE = 0.85  # of the memory that is left: a part goes to gaps between blocks, and to evaluating what is trained


@contextlib.contextmanager
def explained(name: str, count: int, rehearse: Callable[[int], object]) -> Iterator[None]:
    """Where a card's memory does not suffice within the block, say how many images it would suffice for.

    Parameters
    ----------
    name : str
        Of the function that is called, for the message.
    count : int
        Images in the batch that is worked on.
    rehearse : callable
        Does the same work for fewer images: how much memory it takes tells how many fit.

    Raises
    ------
    MemoryError
        In place of CuPy's.

    Examples
    --------
    >>> from minidl.backend.capacity import explained
    >>> with explained("fit", 64, lambda count: None):
    ...     pass
    """
    try:
        yield
        return
    except MemoryError as error:
        if type(error).__module__.partition(".")[0] != "cupy":  # the computer's own memory
            raise
        reason = str(error)
        traceback.clear_frames(error.__traceback__)  # they hold the arrays of what failed
    fits = _largest(count, rehearse)
    advice = f"a batch of {fits} would fit" if fits else "not even a small one fits: use a smaller model or images"
    raise MemoryError(f"{name}: a batch of {count} images does not fit into the card's memory; {advice} ({reason})")


def _largest(count: int, rehearse: Callable[[int], object]) -> int:
    """The most images that fit, from the memory that two small batches take; 0 where these do not fit either."""
    if count < 2:
        return 0
    xp = card()
    pool, few = xp.get_default_memory_pool(), max(1, count // 8)

    def taken(images: int) -> int:
        release_memory()
        rehearse(images)
        return pool.total_bytes()

    try:
        first, second = taken(few), taken(2 * few)
    except MemoryError:
        return 0
    release_memory()
    free, _ = xp.cuda.runtime.memGetInfo()
    room = min(free + pool.total_bytes(), pool.get_limit() or free + pool.total_bytes())
    each = max(1, (second - first) // few)
    return max(few, min(count - 1, few + int(room * SPARE - first) // each))
