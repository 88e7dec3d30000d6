"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

PARTIAL = ".partial"  # how the names of files end that are being written
_UMASK = os.umask(0)  # it can only be read by setting it, which is not for a time with several threads
os.umask(_UMASK)


@contextlib.contextmanager
def whole_file(path: str | Path) -> Iterator[BinaryIO]:
    """A file to write to, in the place of ``path`` once the block ends well; otherwise what was there stays.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from minidl.tools.files import whole_file
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with whole_file(folder + "/a.txt") as file:
    ...         _ = file.write(b"all of it")
    ...     Path(folder, "a.txt").read_text()
    'all of it'
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, partial = tempfile.mkstemp(prefix=f".{path.name}.", suffix=PARTIAL, dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(partial, 0o666 & ~_UMASK)  # mkstemp's files are for their owner alone
        os.replace(partial, path)
    except BaseException:  # an interrupt too leaves nothing half-written behind
        Path(partial).unlink(missing_ok=True)
        raise
