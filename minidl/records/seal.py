"""Files that show whether they are what was written: JSON with a checksum of itself, and hashes of files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..tools.files import whole_file


class CannotWriteError(OSError):
    """A file of the results could not be written: which, what it needs, and why not. The study ends."""


def write_file(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all; a CannotWriteError names it.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from minidl.records.seal import write_file
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_file(pathlib.Path(folder, "a.txt"), b"all of it")
    ...     pathlib.Path(folder, "a.txt").read_text(encoding="utf-8")
    'all of it'
    """
    try:
        with whole_file(path) as file:
            file.write(content)
    except OSError as error:
        raise cannot_write(path, len(content), error) from error


def cannot_write(path: Path, size: int, error: OSError) -> CannotWriteError:
    """What to say when a file of so many bytes could not be written."""
    why = error.strerror or str(error)
    needs = f", which needs {megabytes(size)}" if size else ""
    return CannotWriteError(f"{path} could not be written{needs} ({why})")


def megabytes(size: float) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.0f} KB" if size >= 1e3 else f"{size:.0f} bytes"


def write_sealed(path: Path, record: Mapping[str, Any]) -> None:
    """Write a record as JSON with its checksum."""
    plain = json.loads(json.dumps(record, default=str))
    plain["checksum"] = checksum(plain)
    write_file(path, json.dumps(plain, indent=2).encode() + b"\n")


def checksum(record: Mapping[str, Any]) -> str:
    """SHA-256 of what a record says, but for its own checksum; how it is spaced and ordered does not matter."""
    rest = {name: value for name, value in record.items() if name != "checksum"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def hash_of(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_of_all(contents: Iterable[tuple[str, bytes]]) -> str:
    """SHA-256 of several named contents, in this order."""
    total = hashlib.sha256()
    for name, content in contents:
        total.update(f"{name}\0{len(content)}\0".encode() + content)
    return total.hexdigest()
