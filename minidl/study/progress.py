"""How far a study is, and how long it still takes."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Hashable, Sequence
from typing import Any

from ..report.wording import duration
from ..tools.progress import is_live, say
from .plan import Work


class StudyProgress:
    """A bar over the runs on a terminal, below that of the run in training; elsewhere a line after each run.

    The time left is reckoned from the finished runs of the same model and size, or of all where there are none.

    Parameters
    ----------
    work : sequence of Work
        What is to be done.
    """

    def __init__(self, work: Sequence[Work]) -> None:
        self._left, self._total = list(work), len(work)
        self._seconds: dict[Hashable, list[float]] = defaultdict(list)
        self._last = time.monotonic()
        self._bar: Any = None

    def __enter__(self) -> StudyProgress:
        if self._total and is_live():
            from tqdm.auto import tqdm

            form = "{desc}: {n_fmt}/{total_fmt} runs |{bar}| {elapsed}{postfix}"
            self._bar = tqdm(total=self._total, desc="study", dynamic_ncols=True, bar_format=form)
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def done(self, piece: Work, error: Exception | None) -> None:
        """A run has ended."""
        now = time.monotonic()
        self._left.remove(piece)
        if error is None:  # runs side by side end more often: the time between two ends knows that
            self._seconds[_kind(piece)].append(now - self._last)
        self._last = now
        left = f"about {duration(self._estimate())} left" if self._left and self._seconds else ""
        if self._bar is not None:
            self._bar.set_postfix_str(left, refresh=False)
            self._bar.update()
            return
        how = "done" if error is None else f"NOT done ({type(error).__name__})"
        count = f"run {self._total - len(self._left)} of {self._total}"
        say(f"{count} {how}: {piece.run}{left and ', '}{left}")

    def _estimate(self) -> float:
        """Seconds until the last run ends."""
        every = [seconds for found in self._seconds.values() for seconds in found]
        mean = sum(every) / len(every)
        known = {kind: sum(found) / len(found) for kind, found in self._seconds.items()}
        return sum(known.get(_kind(piece), mean) for piece in self._left)


def _kind(piece: Work) -> Hashable:
    """Runs of one kind take about the same time."""
    return piece.run.model, piece.run.all_epochs, piece.run.crop, piece.run.pruning is not None, piece.run.low_rank
