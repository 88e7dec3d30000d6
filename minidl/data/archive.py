"""Fetch an archive of images, check it and unpack it: wholly, or not at all."""

from __future__ import annotations

import hashlib
import os
import sys
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..tools.progress import is_live


@dataclass(frozen=True)
class Archive:
    """A published archive: the one folder it holds, and how to tell that it is whole."""

    folder: str
    server: str
    md5: str
    counts: Mapping[str, int]  # images in each split

    @property
    def filename(self) -> str:
        return f"{self.folder}.tgz"

    @property
    def url(self) -> str:
        return self.server + self.filename


def install(archive: Archive, base: Path, check: Callable[[Path], object]) -> Path:
    """Download ``archive`` and unpack it in ``base``; returns the new folder.

    The folder takes its name only once all of it is there and ``check``, which raises if it is wrong, passed.
    """
    _require_safe_tarfile()  # before a download of a gigabyte, not after
    base.mkdir(parents=True, exist_ok=True)
    path = _fetch(archive, base)
    target = base / archive.folder
    with tempfile.TemporaryDirectory(dir=base, prefix=f".{archive.folder}-") as unpacked:
        _unpack(path, Path(unpacked))
        source = Path(unpacked) / archive.folder
        check(source)
        try:
            os.replace(source, target)
        except OSError as error:
            raise FileExistsError(
                f"cannot put the images in place, {target} is in the way ({error.strerror}): if another "
                "process has just installed them, try again; otherwise move that folder aside or delete it"
            ) from error
    return target


def _fetch(archive: Archive, base: Path) -> Path:
    """The checked archive in ``base``, downloaded unless it is there already."""
    import pooch

    path = base / archive.filename
    try:
        pooch.retrieve(archive.url, f"md5:{archive.md5}", fname=archive.filename, path=base, progressbar=is_live())
    except (OSError, ValueError) as error:  # requests' errors are OSErrors; a wrong checksum is a ValueError
        advice = f"Check the network and try again, or download it by other means to {path}"
        if path.exists():
            advice += f" (the file there now has md5 {_md5(path)}, not {archive.md5}: delete it)"
        raise RuntimeError(f"cannot fetch {archive.url}: {error}. {advice}") from error
    return path


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def _unpack(path: Path, into: Path) -> None:
    try:
        with tarfile.open(path) as archive:
            archive.extractall(into, filter="data")
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise RuntimeError(f"cannot unpack {path}: {error}. Delete it and download it again") from error


def _require_safe_tarfile() -> None:
    """Without the filter, an archive could write outside its folder."""
    if not hasattr(tarfile, "data_filter"):
        raise RuntimeError(
            f"Python {sys.version.split()[0]} cannot unpack archives safely (no filters in tarfile): "
            "upgrade to Python 3.11.4 or later, or unpack the archive yourself and set MINIDL_DATA"
        )
