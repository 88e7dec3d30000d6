"""Saying that kernels are being compiled, and how long that will still take: a first step would seem to hang."""

import time
from typing import Any

from numba.core import event

from ...tools.progress import is_live, is_quiet, say

GUESS = 0.5  # seconds for one task, before any has been compiled

tasks: set[Any] = set()  # that could be compiled in this process: which of them a model needs shows only as it runs
_seconds: list[float] = []  # what each one took that was compiled so far


class _Line(event.Listener):
    """A line on the terminal, or in the notebook, while Numba compiles one of the tasks; elsewhere it is said once."""

    text, started = "", 0.0
    ever = said = over = False  # whether anything was said yet; whether of this task, and so that it can be wiped out

    def on_start(self, compilation: Any) -> None:
        if compilation.data["dispatcher"] in tasks:
            left, mean = max(1, len(tasks) - len(_seconds)), sum(_seconds) / len(_seconds) if _seconds else GUESS
            self.text = f"minidl compiles its kernels for this processor, once: about {left} to go, {left * mean:.0f} s"
            self.started, self.over = time.perf_counter(), is_live()
            self.said = not is_quiet() and (self.over or not self.ever)
            if self.said:
                say("\r" * self.over + self.text, end="" if self.over else "\n")
                self.ever = True

    def on_end(self, compilation: Any) -> None:
        if compilation.data["dispatcher"] in tasks:
            _seconds.append(time.perf_counter() - self.started)
            if self.said and self.over:
                say("\r" + " " * len(self.text) + "\r", end="")


event.register("numba:compile", _Line())
