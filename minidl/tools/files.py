"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

PARTIAL = ".partial"  # how the names of files end that are being written
_UMASK = os.umask(0)  # it can only be read by setting it, which is not for a time with several threads
os.umask(_UMASK)
TRIES, PAUSE = 20, 0.05  # how often, and seconds between: Windows replaces no file that anybody has open


def user_path(path: str | os.PathLike[str]) -> Path:
    """The path, with the user's home folder for a ``~`` at its beginning."""
    return Path(os.path.expanduser(path))


def first_writable(*folders: Path) -> Path:
    """The first folder, made if need be, in which files can be made; without one, an OSError that says why."""
    refused = OSError("there is no folder")
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()
            return folder
        except OSError as error:
            refused = error
    raise refused


@contextlib.contextmanager
def whole_file(path: str | Path) -> Iterator[BinaryIO]:
    """A file to write to, in the place of ``path`` once the block ends well; otherwise what was there stays.

    As with ``open``, a link leads to the file that is written, a file that is there keeps its mode, and what is no
    file (a device, a pipe) is written to as it is. ``~`` is the user's home folder.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from minidl.tools.files import whole_file
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with whole_file(folder + "/a.txt") as file:
    ...         _ = file.write(b"all of it")
    ...     Path(folder, "a.txt").read_text(encoding="utf-8")
    'all of it'
    """
    path = user_path(path)
    path = Path(os.path.realpath(path)) if path.is_symlink() else path
    path.parent.mkdir(parents=True, exist_ok=True)
    before = path.stat() if path.exists() else None
    if before is not None and not (stat.S_ISREG(before.st_mode) and os.access(path, os.W_OK)):
        with path.open("wb") as file:  # or the error that says why not
            yield file
        return
    handle, partial = tempfile.mkstemp(prefix=".", suffix=PARTIAL, dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if before is not None and hasattr(os, "chown"):
            with contextlib.suppress(OSError):  # whoever may write it need not be its owner
                os.chown(partial, before.st_uid, before.st_gid)
        # mkstemp's files are for their owner alone
        os.chmod(partial, 0o666 & ~_UMASK if before is None else stat.S_IMODE(before.st_mode))
        _replace(partial, path)
    except BaseException:  # an interrupt too leaves nothing half-written behind
        Path(partial).unlink(missing_ok=True)
        raise


def _replace(partial: str, path: Path) -> None:
    for left in reversed(range(TRIES)):
        try:
            return os.replace(partial, path)
        except PermissionError as error:
            if not left:
                raise PermissionError(
                    error.errno, "the file cannot be replaced: close what has it open, or write another", str(path)
                ) from error
        time.sleep(PAUSE)
