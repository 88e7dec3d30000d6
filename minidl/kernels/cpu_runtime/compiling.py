"""Saying that kernels are being compiled, and how long that will still take: a first step would seem to hang."""

import sys
import time
from typing import Any

from numba.core import event

GUESS = 0.5  # seconds for one task, before any has been compiled

tasks: set[Any] = set()  # that could be compiled in this process: which of them a model needs shows only as it runs
_seconds: list[float] = []  # what each one took that was compiled so far


def _live() -> bool:
    return sys.stderr.isatty() or "ipykernel" in sys.modules


class _Line(event.Listener):
    """A line on the terminal, or in the notebook, while Numba compiles one of the tasks; elsewhere it is said once."""

    text, started = "", 0.0

    def on_start(self, compilation: Any) -> None:
        if compilation.data["dispatcher"] in tasks:
            left, mean = max(1, len(tasks) - len(_seconds)), sum(_seconds) / len(_seconds) if _seconds else GUESS
            self.text = f"minidl compiles its kernels for this processor, once: about {left} to go, {left * mean:.0f} s"
            if _live() or not _seconds:
                print("\r" * _live() + self.text, end="" if _live() else "\n", file=sys.stderr, flush=True)
            self.started = time.perf_counter()

    def on_end(self, compilation: Any) -> None:
        if compilation.data["dispatcher"] in tasks:
            _seconds.append(time.perf_counter() - self.started)
            if _live():
                print("\r" + " " * len(self.text) + "\r", end="", file=sys.stderr, flush=True)


event.register("numba:compile", _Line())
