"""What stops a study, Ctrl-C or a batch system's SIGTERM, ends it with one line, from its first moment on.

Imported first: the other imports take a second or two, in which Ctrl-C would else print where in them it came.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType

STOPPED = "stopped: the same command goes on, from its last checkpoint"
SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM") if hasattr(signal, name))


def end_at_once(signum: int, frame: FrameType | None) -> None:
    """Nothing has begun yet: there is nothing to tidy up."""
    if not _is_worker():
        os.write(2, f"{STOPPED}\n".encode())
    os._exit(1)


def interrupt(signum: int, frame: FrameType | None) -> None:
    """What is being done is left in order, as after Ctrl-C."""
    raise KeyboardInterrupt


def answer(handler: signal.Handlers | object) -> None:
    """Let the handler answer both signals, but for one that whoever started us has had ignored (nohup)."""
    if threading.current_thread() is not threading.main_thread():  # which alone may say so
        return
    for each in SIGNALS:
        if signal.getsignal(each) != signal.SIG_IGN:
            signal.signal(each, handler)  # type: ignore[arg-type]


def _is_worker() -> bool:
    return "--multiprocessing-fork" in sys.orig_argv


if Path(sys.argv[0]).resolve().parent == Path(__file__).resolve().parent:  # a study, not somebody who looks at it
    answer(end_at_once)
