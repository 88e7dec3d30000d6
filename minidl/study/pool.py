"""The runs of a study, spread over whatever computes: this process, several, or a Dask cluster."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, ProcessPoolExecutor, wait
from typing import Any

from .plan import Work

ATTEMPTS = 3  # how often a run may take its worker with it before it is given up
PATIENCE = 10  # seconds that a scheduler has to answer


class InProcess(Executor):
    """The simplest executor: what is submitted is done at once, here."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # an interrupt stops the study
            future.set_exception(error)
        return future


class Workers:
    """How to get an executor, anew if the one before it broke, and how many runs it does at a time.

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

    @property
    def threads(self) -> int | None:
        """For each run: the cores shared out; None, what the machine it comes to has."""
        return max(1, (os.cpu_count() or 1) // self.count) if self.count > 1 else None

    @property
    def at_a_time(self) -> int:
        """More than there are workers on a cluster, whose scheduler keeps the queue."""
        return self.count if self.dask is None else 10**6

    def executor(self) -> Executor:
        if self._client is not None:
            return self._client.get_executor(pure=False, retries=ATTEMPTS - 1)
        if self.count == 1:
            return InProcess()
        # spawned: a forked child would inherit the locks of the parent's threads, and no CUDA context
        return ProcessPoolExecutor(self.count, mp_context=multiprocessing.get_context("spawn"))

    def close(self) -> None:
        if self._client is not None:
            self._client.close()


def connect(address: str) -> Any:
    """A client of the Dask scheduler at this address, or an error that says what is missing."""
    try:
        from distributed import Client
    except ImportError:
        raise RuntimeError("a Dask cluster needs dask: pip install 'minidl[cluster]'") from None
    try:
        return Client(address, timeout=PATIENCE)
    except (OSError, ValueError) as error:
        raise RuntimeError(
            f"no Dask scheduler answers at {address} ({error}): is it running (dask scheduler), is the address right "
            "(tcp://host:8786), and do both sides have the same version of dask?"
        ) from error


def do_all(
    work: Sequence[Work], do: Callable[[Work], Any], workers: Workers
) -> Iterator[tuple[Work, Any | None, Exception | None]]:
    """(work, result, error) of each piece as it ends. A piece whose worker dies is done again by another."""
    queue = [(piece, 1) for piece in reversed(work)]
    executor = workers.executor()
    pending: dict[Future[Any], tuple[Work, int]] = {}
    try:
        while queue or pending:
            while queue and len(pending) < workers.at_a_time:
                piece, attempt = queue.pop()
                pending[executor.submit(do, piece)] = piece, attempt
            done = wait(pending, return_when=FIRST_COMPLETED).done
            if any(isinstance(future.exception(), BrokenExecutor) for future in done):
                done = wait(pending).done  # a pool that lost one worker is lost altogether
                executor = workers.executor()
            for future in done:
                piece, attempt = pending.pop(future)
                error = future.exception()
                if isinstance(error, BrokenExecutor) and attempt < ATTEMPTS:
                    print(f"{piece.run}: its worker died; it goes on from its last checkpoint", file=sys.stderr)
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
