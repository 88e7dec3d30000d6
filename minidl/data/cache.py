"""Decode images once, into a memory-mapped file that holds all of them or does not exist."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np

from ..tools.files import first_writable, whole_file
from ..tools.progress import ProgressBar
from ..tools.threads import cores
from .picture import square

FORMAT = 1  # to be raised whenever the same files and options would give other pixels
FILTER = "bilinear, antialiased"
CHUNK = 512  # images decoded between two waits for the file, so that few are ever in memory


def decoded(paths: Sequence[Path], pixels: int, folder: Path, name: str, own: bool = False) -> np.ndarray:
    """All images as a read-only memory map (n, pixels, pixels, 3) of uint8, decoded only the first time.

    The cache is a file of ``folder``, or of the user's cache folder where that one cannot be written.
    """
    if isinstance(pixels, bool) or not isinstance(pixels, (int, np.integer)) or pixels < 1:
        raise ValueError(f"pixels must be a whole number, at least 1, got {pixels!r}")
    pixels = int(pixels)
    shape = (len(paths), pixels, pixels, 3)
    filename = f"{name}-{pixels}px-{_key(paths, pixels, own)}.npy"
    for candidate in (folder, _user_folder()):
        if (images := _mapped(candidate / filename, shape)) is not None:
            return images
    path = first_writable(folder, _user_folder()) / filename
    try:
        with whole_file(path) as file:
            _write(file, paths, shape, name, own)
    except PermissionError:  # Windows replaces no file that is mapped: another process was quicker
        if (images := _mapped(path, shape)) is not None:
            return images
        raise
    return np.load(path, mmap_mode="r")


def _write(file: IO[bytes], paths: Sequence[Path], shape: tuple[int, ...], name: str, own: bool) -> None:
    """Decode in parallel, write in order: through a file, where a full disk is an ordinary error."""
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
    with ProgressBar(len(paths), f"decoding {name} at {shape[1]} px", shown=True, unit="images") as bar:
        for image in _in_parallel(paths, shape[1], own):
            file.write(image)
            bar.advance()
            if bar.due:
                bar.show()
        bar.finish(images=f"{len(paths)}")


def _in_parallel(paths: Sequence[Path], pixels: int, own: bool) -> Iterator[bytes]:
    """Decode on every core, in order: threads do, since Pillow releases the interpreter while it works."""
    with ThreadPoolExecutor(cores()) as pool:
        for start in range(0, len(paths), CHUNK):
            yield from pool.map(partial(square, pixels=pixels, own=own), paths[start : start + CHUNK])


def _key(paths: Sequence[Path], pixels: int, own: bool) -> str:
    """A name for the pixels to come: it changes with everything that they depend on."""
    from PIL import __version__, features

    recipe = [FORMAT, FILTER, pixels, __version__, features.version("jpg"), *(["upright"] if own else [])]
    stats = ((path, path.stat()) for path in paths)
    files = [(path.parent.name, path.name, stat.st_size, stat.st_mtime_ns) for path, stat in stats]
    return hashlib.sha256(json.dumps([recipe, files]).encode()).hexdigest()[:16]


def _mapped(path: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    """The cache at ``path``, or None where there is none that can be used."""
    try:
        images = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return images if images.shape == shape and images.dtype == np.uint8 else None


def _user_folder() -> Path:
    import pooch

    return Path(pooch.os_cache("minidl")) / "decoded"
