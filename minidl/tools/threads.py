"""How many threads can be at work, and how to have one whose stack is deep enough for a compiler."""

from __future__ import annotations

import contextlib
import math
import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

STACK = 16 << 20  # bytes: some systems give a thread 128 KiB, in which a compiler dies
SLURM = ("SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE")  # the first that is set: not every Slurm binds its tasks
CGROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")


def cores() -> int:
    """How many processor cores there are for this process: at least one.

    The least of what the system lets it run on, what Slurm gave to its task, and what the CPU quota of its container
    allows.

    Examples
    --------
    >>> from minidl.tools.threads import cores
    >>> cores() >= 1
    True
    """
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    slurm = next((os.environ[name] for name in SLURM if name in os.environ), "")
    return max(1, min([usable, *([int(slurm)] if slurm.isdecimal() else []), *map(math.ceil, _quotas())]))


def _quotas() -> Iterator[float]:
    """Processors that the control groups of this process allow, and those around them."""
    table, root = CGROUPS
    for line in (_read(table) or "").splitlines():  # "0::/user/job" or, of version 1, "4:cpu,cpuacct:/user/job"
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        for top in (root, root / "cpu", root / controllers):
            group = top / path.lstrip("/")
            for folder in (group, *group.parents):
                found = _read(folder / "cpu.max") or " ".join(
                    _read(folder / f"cpu.cfs_{name}_us") or "" for name in ("quota", "period")
                )
                with contextlib.suppress(ValueError, ZeroDivisionError):  # "max 100000" and "-1 100000": no limit
                    quota, period = map(int, found.split())
                    if quota > 0:
                        yield quota / period
                if folder == top:
                    break


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None


def deep(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function where the stack is deep: in the main thread, or else in a new one."""
    if threading.current_thread() is threading.main_thread() or sys.is_finalizing():
        return function(*arguments)
    outcome: Future[Any] = Future()

    def work() -> None:
        try:
            outcome.set_result(function(*arguments))
        except BaseException as error:
            outcome.set_exception(error)

    before = threading.stack_size(STACK)
    try:
        threading.Thread(target=work, name="minidl-deep", daemon=True).start()
    except RuntimeError:  # no new thread: while Python goes down, say
        return function(*arguments)
    finally:
        threading.stack_size(before)
    return outcome.result()
