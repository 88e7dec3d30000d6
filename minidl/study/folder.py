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

from ..tools.files import PARTIAL, user_path, whole_file
from .run import Attack, Run

ELSEWHERE = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR")  # git's own hooks set these
FORMAT = 1  # raised when a folder that this code writes can no longer be read by the code before it


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

    def run(self, run: Run) -> Path:
        return self.path / "runs" / run.name

    def is_trained(self, run: Run) -> bool:
        return (self.run(run) / "run.json").is_file()

    def attack(self, run: Run, attack: Attack) -> Path:
        return self.run(run) / "attacks" / f"{attack.name}.npz"

    def is_attacked(self, run: Run, attack: Attack) -> bool:
        return self.attack(run, attack).is_file()

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
        folder.mkdir(parents=True, exist_ok=True)
        lock, owner = FileLock(folder / "lock"), folder / "owner.json"
        try:
            lock.acquire(blocking=False)
        except Timeout:
            who = "another process"
            with contextlib.suppress(OSError, ValueError, KeyError):
                found = json.loads(owner.read_text(encoding="utf-8"))
                who = f"process {found['process']} on {found['host']}"
            raise BusyError(f"{run.name}: {who} is working on it; nothing was changed") from None
        try:
            write_json(owner, {"process": os.getpid(), "host": socket.gethostname()})
            for partial in folder.rglob(f".*{PARTIAL}"):  # of a process that was killed while it wrote
                partial.unlink(missing_ok=True)
            yield folder
        finally:
            owner.unlink(missing_ok=True)
            lock.release()

    @contextlib.contextmanager
    def reporting(self) -> Iterator[None]:
        """What tells of all runs is written by one process at a time, so that the last one knows what is finished."""
        from filelock import FileLock

        self.path.mkdir(parents=True, exist_ok=True)
        with FileLock(self.path / "lock"):
            yield

    def read(self, name: str) -> dict[str, Any] | None:
        """A JSON file of the folder, None without it; a file of a newer format, or a damaged one, is a ValueError."""
        path = self.path / name
        if not path.is_file():
            return None
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            newer = found["format"] > FORMAT
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path} is damaged ({error!r}): delete it, and run the study again") from error
        if newer:
            raise ValueError(
                f"{path} was written by a newer minidl (format {found['format']}, this one knows {FORMAT}): update "
                "minidl, or choose another folder"
            )
        return found


def write_json(path: Path, record: dict[str, Any]) -> None:
    with whole_file(path) as file:
        file.write(json.dumps(record, indent=2, default=str).encode() + b"\n")


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
