"""How far a study is, and how long it still takes."""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Sequence

from .plan import Work


class StudyProgress:
    """Says after each run how many are done and how long the others will take.

    The time left is reckoned from the finished runs of the same model and data, or of all where there are none.

    Parameters
    ----------
    work : sequence of Work
        What is to be done.
    at_a_time : int
        How many runs go on side by side.
    """

    def __init__(self, work: Sequence[Work], at_a_time: int) -> None:
        self._left = list(work)
        self._total, self._at_a_time = len(work), max(1, min(at_a_time, len(work)))
        self._seconds: dict[tuple[str, int, int], list[float]] = defaultdict(list)
        self._started = time.monotonic()
        self._last = self._started

    def done(self, piece: Work, error: Exception | None) -> None:
        """One run has ended."""
        now = time.monotonic()
        self._left.remove(piece)
        if error is None:
            self._seconds[self._kind(piece)].append((now - self._last) * 1.0)
        self._last = now
        count = self._total - len(self._left)
        how = "done" if error is None else f"NOT done ({type(error).__name__})"
        left = f", about {duration(self._estimate())} left" if self._left and self._seconds else ""
        print(f"run {count} of {self._total} {how}: {piece.run}{left}", file=sys.stderr, flush=True)

    def _estimate(self) -> float:
        """Seconds until the last run ends."""
        every = [seconds for found in self._seconds.values() for seconds in found]
        mean = sum(every) / len(every)
        known = {kind: sum(found) / len(found) for kind, found in self._seconds.items()}
        return sum(known.get(self._kind(piece), mean) for piece in self._left)

    @staticmethod
    def _kind(piece: Work) -> tuple[str, int, int]:
        return piece.run.model, piece.run.epochs, piece.run.crop


def duration(seconds: float) -> str:
    """Seconds as a person says them.

    Examples
    --------
    >>> from minidl.study.progress import duration
    >>> duration(42), duration(300), duration(9000)
    ('42 s', '5 min', '2 h 30 min')
    """
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
