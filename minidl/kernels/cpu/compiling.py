"""Saying that kernels are being compiled, and how long that will still take: a first step would seem to hang."""

import contextlib
import sys
import time
from collections.abc import Iterator

GUESS = 0.5  # seconds for one task, before any has been compiled

tasks = 0  # that could be compiled in this process: which of them a model needs shows only as it runs
_seconds: list[float] = []  # what each one took that was compiled so far


@contextlib.contextmanager
def shown() -> Iterator[None]:
    """Show a line on the terminal, or in the notebook, while the block compiles a task; elsewhere say it once."""
    left = max(1, tasks - len(_seconds))
    mean = sum(_seconds) / len(_seconds) if _seconds else GUESS
    text = f"minidl compiles its kernels for this processor, once: at most {left} to go, {left * mean:.0f} s"
    live = sys.stderr.isatty() or "ipykernel" in sys.modules
    if live or not _seconds:
        print("\r" * live + text, end="" if live else "\n", file=sys.stderr, flush=True)
    started = time.perf_counter()
    try:
        yield
    finally:
        _seconds.append(time.perf_counter() - started)
        if live:
            print("\r" + " " * len(text) + "\r", end="", file=sys.stderr, flush=True)
