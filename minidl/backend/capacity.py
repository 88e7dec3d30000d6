"""What does not fit on a card, and what would."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Callable, Iterator

from .arrays import card
from .memory import release_memory


@contextlib.contextmanager
def room_for(name: str, count: int, rehearse: Callable[[int], object]) -> Iterator[None]:
    """Where a card's memory does not suffice within the block, say how many images it would suffice for.

    Parameters
    ----------
    name : str
        Of the function that is called, for the message.
    count : int
        Images in the batch that is worked on.
    rehearse : callable
        Does the same work, and all that follows, for fewer images. What is advised has been rehearsed.

    Raises
    ------
    MemoryError
        In place of CuPy's.

    Examples
    --------
    >>> from minidl.backend.capacity import room_for
    >>> with room_for("fit", 64, lambda count: None):
    ...     pass
    """
    try:
        yield
        return
    except (MemoryError, RuntimeError) as error:
        if not _is_full(error):  # the computer's own memory, or something else
            raise
        reason = str(error)
        traceback.clear_frames(error.__traceback__)  # they hold the arrays of what failed
    fits = _largest(count, rehearse)
    advice = f"a batch of {fits} would fit" if fits else "not even a small one fits: use a smaller model or images"
    raise MemoryError(f"{name}: a batch of {count} images does not fit into the card's memory; {advice} ({reason})")


def _is_full(error: Exception) -> bool:
    """Whether the card has no more memory: pools say so in one way, CUDA in another."""
    if type(error).__module__.partition(".")[0] not in ("cupy", "cupy_backends"):
        return False
    return isinstance(error, MemoryError) or getattr(error, "status", 0) == card().cuda.runtime.errorMemoryAllocation


def _largest(count: int, rehearse: Callable[[int], object]) -> int:
    """An eighth less than the most images that have been seen to fit, as blocks are cut otherwise each time; or 0."""
    fits, fails = 0, count
    while fails - fits > max(1, fits // 16):
        images = (fits + fails) // 2
        release_memory()
        try:
            rehearse(images)
            fits = images
        except Exception as error:
            if not isinstance(error, MemoryError | ValueError) and not _is_full(
                error
            ):  # ValueError: too few for BatchNorm
                raise
            traceback.clear_frames(error.__traceback__)
            fails = images
    release_memory()
    return min(fits, max(1, fits * 7 // 8))
