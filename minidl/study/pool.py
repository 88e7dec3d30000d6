"""The runs of a study, spread over whatever computes: this process, several, or a Dask cluster."""

from __future__ import annotations

import contextlib
import gc
import logging
import math
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, ProcessPoolExecutor, wait
from typing import Any

from ..records import CannotWriteError
from ..tools.progress import say
from ..tools.threads import cores
from .plan import Work

ATTEMPTS = 3  # how often a run may take its worker with it before it is given up
LOST = "the cluster's scheduler is gone, or has cancelled it: what it was doing is in its last checkpoint"
LATE = "not begun, as the hours were over"
PATIENCE = 10  # seconds that a scheduler has to answer, and to find a worker before somebody is told
LOOK = 2  # seconds between two looks at who works
AGAIN = 60  # seconds until one who waits is told once more why


class LostSchedulerError(ConnectionError):
    """A run was given to a scheduler that is gone."""


class OutOfTimeError(TimeoutError):
    """A run was not begun, as the hours for a study were over."""


class InProcess(Executor):
    """The simplest executor: what is submitted is done at once, here."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # an interrupt stops the study
            future.set_exception(error)
        return future


class Processes(Executor):
    """Processes of their own, in pools of one: a pool that loses a worker is lost altogether, and so are its runs.

    They end when the executor is shut down or the process that made it dies, in the midst of a run if need be: else
    they would go on for hours, and the command that is given again would find their runs taken.
    """

    def __init__(self) -> None:
        # spawned: a forked child would inherit the locks of the parent's threads, and no CUDA context
        self._context = multiprocessing.get_context("spawn")
        self._ours, self._theirs = self._context.Pipe()
        self._pools: dict[Future[Any], ProcessPoolExecutor] = {}

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Do it in a process that is idle, or in a new one."""
        for before in [future for future in self._pools if future.done()]:
            pool = self._pools.pop(before)
            with contextlib.suppress(BrokenExecutor):  # its worker has died: on to the next
                return self._submit(pool, fn, *args, **kwargs)
        pool = ProcessPoolExecutor(1, self._context, initializer=_end_with, initargs=(self._theirs,))
        return self._submit(pool, fn, *args, **kwargs)

    def _submit(self, pool: ProcessPoolExecutor, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Future[Any]:
        future = pool.submit(fn, *args, **kwargs)
        self._pools[future] = pool
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        for pool in self._pools.values():
            pool.shutdown(wait, cancel_futures=cancel_futures)
        self._ours.close()
        self._theirs.close()


def _end_with(connection: Any) -> None:
    """End this process as soon as the other end of the connection is closed; signals to stop are for the other end too.

    A terminal and a batch system send them to all processes, and one line shall say so.
    """

    def watch() -> None:
        with contextlib.suppress(EOFError, OSError):
            connection.recv()
        os._exit(1)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=watch, daemon=True).start()


class Workers:
    """How to get an executor, and how many runs it does at a time.

    Parameters
    ----------
    count : int
        1: in this process. More: so many processes of their own, which share the cores out.
    dask : str, optional
        The address of a Dask scheduler instead, "tcp://host:8786". Its workers must see the same results folder.
    """

    def __init__(self, count: int = 1, dask: str | None = None) -> None:
        if count < 1:
            raise ValueError(f"workers is {count}, and must be 1 or more")
        if dask is not None and count > 1:
            raise ValueError(f"give either {count} workers or the Dask cluster at {dask}: the cluster has its own")
        self.count, self.dask = count, dask
        self._client: Any = None if dask is None else connect(dask)
        self._alone = time.monotonic()  # since when no worker was seen
        self._speak = self._alone + PATIENCE

    @property
    def threads(self) -> int | None:
        """For each run: the cores shared out; None, what the machine it comes to has."""
        return max(1, cores() // self.count) if self.count > 1 else None

    @property
    def at_a_time(self) -> int:
        """More than there are workers on a cluster, whose scheduler keeps the queue."""
        return self.count if self.dask is None else 10**6

    def executor(self) -> Executor:
        if self._client is not None:  # the cluster does the work of a dead worker again by itself
            return self._client.get_executor(pure=False)
        return InProcess() if self.count == 1 else Processes()

    def look(self) -> None:
        """Say so where a cluster has had no workers for a while: what waits would wait for ever, without a word."""
        now = time.monotonic()
        if self._client is None or self._client.scheduler_info()["workers"]:
            self._alone, self._speak = now, now + PATIENCE
        elif now >= self._speak:
            self._speak = now + AGAIN
            say(
                f"no workers at {self.dask}, for {now - self._alone:.0f} s: waiting; start some with: dask worker "
                f"{self.dask} --nthreads 1"
            )

    def close(self) -> None:
        if self._client is not None:
            self._client.close()


def connect(address: str) -> Any:
    """A client of the Dask scheduler at this address, or an error that says what is missing."""
    try:
        from distributed import Client
    except ImportError:
        raise RuntimeError("a Dask cluster needs dask: pip install 'minidl[cluster]'") from None
    for name in ("distributed", *logging.root.manager.loggerDict):
        if name.partition(".")[0] == "distributed":  # what matters is said here, in one line of ours
            logging.getLogger(name).setLevel(logging.CRITICAL)
    # A client that found no scheduler is garbage in a cycle; collected while another one starts, it would close itself
    # under a lock that this very thread holds, and both would wait for ever
    gc.collect()
    try:
        return Client(address, timeout=PATIENCE)
    except (OSError, ValueError) as error:
        raise RuntimeError(
            f"no Dask scheduler answers at {address} ({error}): is it running (dask scheduler), is the address right "
            "(tcp://host:8786), and do both sides have the same version of dask?"
        ) from error


def do_all(
    work: Sequence[Work], do: Callable[[Work], Any], workers: Workers, until: float = math.inf
) -> Iterator[tuple[Work, Any | None, Exception | None]]:
    """(work, result, error) of each piece as it ends. A piece whose worker dies is done again by another.

    None is begun once ``time.monotonic()`` is ``until``. A file that cannot be written ends all of it: the next piece
    would be lost as well.
    """
    queue = [(piece, 1) for piece in reversed(work)]
    executor = workers.executor()
    pending: dict[Future[Any], tuple[Work, int]] = {}
    try:
        while queue or pending:
            if time.monotonic() >= until:
                yield from ((piece, None, OutOfTimeError(LATE)) for piece, _ in reversed(queue))
                queue.clear()
            while queue and len(pending) < workers.at_a_time:
                piece, attempt = queue.pop()
                pending[executor.submit(do, piece)] = piece, attempt
            workers.look()
            for future in wait(pending, LOOK, FIRST_COMPLETED).done:
                piece, attempt = pending.pop(future)
                error = LostSchedulerError(LOST) if future.cancelled() else future.exception()
                if isinstance(error, CannotWriteError):
                    raise error
                if isinstance(error, BrokenExecutor) and attempt < ATTEMPTS:
                    say(f"{piece.run}: its worker died; it goes on from its last checkpoint")
                    queue.append((piece, attempt + 1))
                elif error is None:
                    yield piece, future.result(), None
                elif isinstance(error, Exception):
                    yield piece, None, error
                else:
                    raise error
    finally:
        for future in pending:
            future.cancel()
        executor.shutdown(wait=False)
