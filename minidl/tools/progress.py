"""Showing how work goes: a bar on a terminal or in a notebook, a line now and then elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import Any

REFRESH = 0.2  # seconds between two updates of a bar's numbers
EVERY = 30.0  # seconds between two lines where there is no bar


def is_live() -> bool:
    """Whether what is on standard error can be written over: on a terminal, and in a notebook."""
    try:
        return sys.stderr is not None and ("ipykernel" in sys.modules or sys.stderr.isatty())
    except (AttributeError, ValueError):  # a logger stands in its place; it is closed
        return False


def say(text: str, end: str = "\n") -> None:
    """Write to standard error. Without one, or where it takes nothing, the work goes on in silence."""
    if sys.stderr is not None:  # print would write to standard output
        with contextlib.suppress(OSError, ValueError, AttributeError):
            sys.stderr.write(text + end)
            sys.stderr.flush()


_quiet: list[None] = []  # one for each piece of work under way that is to be silent


@contextlib.contextmanager
def quiet(wanted: bool = True) -> Iterator[None]:
    """Nothing is said meanwhile of what happens on the way, such as the compilation of a kernel."""
    if wanted:
        _quiet.append(None)
    try:
        yield
    finally:
        if wanted:
            _quiet.pop()


def is_quiet() -> bool:
    return bool(_quiet)


class ProgressBar:
    """A tqdm bar over a number of steps that also shows some figures; it closes at the end of its ``with`` block.

    Where no bar can be, a line now and then.

    Parameters
    ----------
    total : int or None
        Steps, where their number is known.
    title : str
    shown : bool
        False: nothing is written anywhere.
    unit : str
        What a step is.
    """

    def __init__(self, total: int | None, title: str, shown: bool, unit: str = "batch") -> None:
        self._total, self._title, self._shown, self._unit = total, title, shown, unit
        self._bar: Any = None
        self._done, self._silence = 0, quiet(not shown)
        self._every = REFRESH if is_live() else EVERY
        self._due = 0.0 if is_live() else time.monotonic() + EVERY
        if shown and is_live():
            from tqdm.auto import tqdm

            self._bar = tqdm(total=total, desc=title, unit=unit, dynamic_ncols=True, leave=True)

    def __enter__(self) -> ProgressBar:
        self._silence.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._silence.__exit__(None, None, None)
        if self._bar is not None:
            self._bar.close()

    @property
    def due(self) -> bool:
        """Whether it is time to compute new figures: they may cost more than a step."""
        return self._shown and time.monotonic() >= self._due

    def advance(self) -> None:
        """One step is done."""
        self._done += 1
        if self._bar is not None:
            self._bar.update()

    def show(self, **figures: str) -> None:
        """Put figures behind the bar, or write a line with them."""
        if self._bar is not None:
            self._bar.set_postfix(figures)
        elif self._shown:
            of = "" if self._total is None else f" of {self._total}"
            self._say({self._unit: f"{self._done}{of}"} | figures)
        self._due = time.monotonic() + self._every

    def finish(self, **figures: str) -> None:
        """The last figures: behind the bar, or as a line."""
        if self._bar is not None:
            self._bar.set_postfix(figures)
        elif self._shown:
            self._say(figures)

    def _say(self, figures: dict[str, str]) -> None:
        say(f"{self._title}: " + ", ".join(f"{name}={text}" for name, text in figures.items()))
