"""A study's results folder: where things are, what is finished, who works on what (docs/studies.md)."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import platform
import socket
import subprocess
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from ..records import Attack, Layout, Run, read_attack, read_run, read_study
from ..records.seal import cannot_write, write_file
from ..tools.files import PARTIAL, user_path

ELSEWHERE = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR")  # git's own hooks set these
LONGEST = 600  # seconds that a table and a page may take


class BusyError(RuntimeError):
    """Another process is working on the run."""


class Folder:
    """A results folder.

    Parameters
    ----------
    path : str or Path
        It need not be there yet.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = user_path(path).absolute()
        self.layout = Layout(self.path)

    def study(self) -> dict[str, Any] | None:
        """study.json; None without it."""
        return read_study(self.layout)

    def run(self, run: Run) -> Path:
        return self.layout.run(run.name)

    def record(self, run: Run) -> dict[str, Any] | None:
        """run.json; None while the run is not trained."""
        return read_run(self.layout, run.name)

    def is_trained(self, run: Run) -> bool:
        return self.record(run) is not None

    def attack(self, run: Run, attack: Attack) -> Path:
        return self.layout.attack(run.name, attack.name)

    def is_attacked(self, run: Run, attack: Attack) -> bool:
        """Whether the weights that the run has now were attacked so."""
        record = self.record(run)
        return record is not None and read_attack(self.layout, record, attack.name) is not None

    def is_busy(self, name: str) -> bool:
        """Whether a process is working on the run of that name."""
        from filelock import FileLock, Timeout

        try:
            with FileLock(self.layout.run(name) / "lock", blocking=False):
                return False
        except Timeout:
            return True
        except OSError:  # there is no such folder yet
            return False

    @contextlib.contextmanager
    def working_on(self, run: Run) -> Iterator[Path]:
        """The run's folder, for this process alone; the system frees it when the process dies, however it does.

        Raises
        ------
        BusyError
            When another process has it.
        """
        from filelock import FileLock, Timeout

        folder = self.run(run)
        lock, owner = FileLock(folder / "lock"), folder / "owner.json"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock.acquire(blocking=False)
        except OSError as error:
            if isinstance(error, Timeout):
                raise BusyError(f"{run.name}: {_who_has(owner)} is working on it; nothing was changed") from None
            raise cannot_write(folder / "lock", 0, error) from error
        try:
            write_file(owner, json.dumps({"process": os.getpid(), "host": socket.gethostname()}).encode())
            for partial in folder.rglob(f".*{PARTIAL}"):  # of a process that was killed while it wrote
                partial.unlink(missing_ok=True)
            yield folder
        finally:
            owner.unlink(missing_ok=True)
            lock.release()

    @contextlib.contextmanager
    def reporting(self) -> Iterator[None]:
        """What tells of all runs is written by one process at a time, so that the last one knows what is finished."""
        from filelock import FileLock, Timeout

        lock = FileLock(self.path / "lock", timeout=LONGEST)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except Timeout:
            raise BusyError(
                f"{self.path}: another process has been writing to it for {LONGEST} s: is it stopped?"
            ) from None
        except OSError as error:
            raise cannot_write(self.path / "lock", 0, error) from error
        try:
            yield
        finally:
            lock.release()


def _who_has(owner: Path) -> str:
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        found = json.loads(owner.read_text(encoding="utf-8"))
        return f"process {int(found['process'])} on {str(found['host'])[:100]}"
    return "another process"


@functools.cache
def origin() -> dict[str, Any]:
    """What makes the results: versions, the commit if there is one, and the processor."""
    versions = {"python": platform.python_version()}
    for package in ("minidl", "numpy", "numba", "cupy-cuda13x", "cupy-cuda12x"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    return {"versions": versions, "commit": _commit(), "processor": _processor()}


def _commit() -> str:
    """Of minidl's own repository, and of no other that it may have been installed in."""
    here = Path(__file__)
    with contextlib.suppress(OSError, ValueError, KeyError, subprocess.SubprocessError):
        top = Path(_git(here.parent, "rev-parse", "--show-toplevel"))
        _git(here.parent, "ls-files", "--error-unmatch", here.name)  # an error for a file that git does not know
        project = tomllib.loads((top / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        if project["name"] == "minidl" and here.parents[1].samefile(top / "minidl"):
            return _git(here.parent, "describe", "--always", "--dirty", "--abbrev=7", "--exclude=*")
    return "unknown"


def _git(folder: Path, *command: str) -> str:
    """What git says about a folder, whatever repository the environment speaks of."""
    outside = {name: value for name, value in os.environ.items() if name not in ELSEWHERE}
    done = subprocess.run(
        ["git", "-C", str(folder), *command], capture_output=True, check=True, timeout=10, env=outside
    )
    return done.stdout.decode().strip()


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
