"""Run an iterator ahead of its consumer, in one background thread."""

from __future__ import annotations

import os
import queue
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class End:
    """The last thing in the queue: the items are finished, or preparing the next one failed."""

    error: BaseException | None = None


def run_ahead(items: Iterator[T], depth: int) -> Iterator[T]:
    """Yield ``items``, of which a thread keeps up to ``depth`` ready.

    The thread starts with the first item asked for. It ends when the items do, or when the consumer leaves
    early (by a break, an exception, dropping the iterator): each of these closes this generator, and its
    ``finally`` waits for the thread. An exception raised by ``items`` reaches the consumer in its place.

    At the end of the interpreter no thread can be started any more, and items are then prepared when asked for; and
    none is waited for, as a daemon stands still there for ever, with whatever locks it holds.
    """
    ready: queue.Queue[T | End] = queue.Queue(depth)
    stop, here = threading.Event(), os.getpid()
    # The thread must not refer to this generator: dropping the last reference to it is what closes it.
    # A daemon, since an interpreter that exits mid-loop would otherwise wait for a thread that waits for it.
    thread = threading.Thread(target=_fill, args=(ready, items, stop), name="minidl-batches", daemon=True)
    try:
        thread.start()
    except RuntimeError:
        yield from items
        return
    try:
        while not isinstance(item := ready.get(), End):
            yield item
            if os.getpid() != here:
                raise RuntimeError("this process was forked within a loop over batches: begin a new loop here")
        if item.error is not None:
            raise item.error
    finally:
        if os.getpid() == here and not sys.is_finalizing():
            stop.set()
            _empty(ready)  # frees a thread that waits at a full queue: it then sees `stop` before its next wait
            if thread is not threading.current_thread():  # a garbage collection may run this inside the thread
                thread.join()


def _fill(ready: queue.Queue[T | End], items: Iterator[T], stop: threading.Event) -> None:
    try:
        for item in items:
            ready.put(item)
            if stop.is_set():
                return
        ready.put(End())
    except BaseException as error:  # whatever it is, the consumer must hear of it rather than wait for ever
        ready.put(End(error))


def _empty(ready: queue.Queue[T | End]) -> None:
    while True:
        try:
            ready.get_nowait()
        except queue.Empty:
            return
