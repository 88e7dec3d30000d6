"""Showing how training goes: a bar on a terminal or in a notebook, one line an epoch elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Any

REFRESH = 0.2  # seconds between two updates of a bar's numbers


class ProgressBar:
    """A tqdm bar over a number of steps that also shows some figures; it closes at the end of its ``with`` block.

    Parameters
    ----------
    total : int or None
        Steps, where their number is known.
    title : str
    shown : bool
        False: nothing is written anywhere.
    """

    def __init__(self, total: int | None, title: str, shown: bool) -> None:
        self._title, self._shown = title, shown
        self._bar: Any = None
        self._due = 0.0
        if shown and (sys.stderr.isatty() or "ipykernel" in sys.modules):
            from tqdm.auto import tqdm

            self._bar = tqdm(total=total, desc=title, unit="batch", dynamic_ncols=True, leave=True)

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    @property
    def due(self) -> bool:
        """Whether it is time to compute new figures: they may cost more than a step."""
        return self._bar is not None and time.monotonic() >= self._due

    def advance(self) -> None:
        """One step is done."""
        if self._bar is not None:
            self._bar.update()

    def show(self, **figures: str) -> None:
        """Put figures behind the bar."""
        if self._bar is not None:
            self._bar.set_postfix(figures)
            self._due = time.monotonic() + REFRESH

    def finish(self, **figures: str) -> None:
        """The last figures: behind the bar, or as the one line that is written where there is no terminal."""
        self.show(**figures)
        if self._shown and self._bar is None:
            print(f"{self._title}:", ", ".join(f"{name}={text}" for name, text in figures.items()), file=sys.stderr)
