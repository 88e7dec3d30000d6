"""Decode images once, into a memory-mapped file that holds all of them or does not exist."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import IO
from uuid import uuid4

import numpy as np

from .picture import square

FORMAT = 1  # to be raised whenever the same files and options would give other pixels
FILTER = "bilinear, antialiased"
CHUNK = 512  # images decoded between two waits for the file, so that few are ever in memory


def decoded(paths: Sequence[Path], pixels: int, folder: Path, name: str) -> np.ndarray:
    """All images as a read-only memory map (n, pixels, pixels, 3) of uint8, decoded only the first time.

    The cache is a file of ``folder``, or of the user's cache folder where that one cannot be written.
    """
    if isinstance(pixels, bool) or not isinstance(pixels, (int, np.integer)) or pixels < 1:
        raise ValueError(f"pixels must be a whole number, at least 1, got {pixels!r}")
    pixels = int(pixels)
    shape = (len(paths), pixels, pixels, 3)
    filename = f"{name}-{pixels}px-{_key(paths, pixels)}.npy"
    for candidate in (folder, _user_folder()):
        if (images := _mapped(candidate / filename, shape)) is not None:
            return images
    folder, temporary = _create(folder, filename)
    try:
        with temporary.open("wb") as file:
            _write(file, paths, shape, name)
        os.replace(temporary, folder / filename)
    except BaseException:  # an interrupt too must not leave half a cache behind
        temporary.unlink()
        raise
    return np.load(folder / filename, mmap_mode="r")


def _write(file: IO[bytes], paths: Sequence[Path], shape: tuple[int, ...], name: str) -> None:
    """Decode in parallel, write in order: through a file, where a full disk is an ordinary error."""
    from tqdm.auto import tqdm

    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
    images = _in_parallel(paths, shape[1])
    for image in tqdm(images, f"decoding {name} at {shape[1]} px", total=len(paths), unit=" images"):
        file.write(image)
    file.flush()
    os.fsync(file.fileno())


def _in_parallel(paths: Sequence[Path], pixels: int) -> Iterator[bytes]:
    """Decode on every core, in order: threads do, since Pillow releases the interpreter while it works."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(paths), CHUNK):
            yield from pool.map(partial(square, pixels=pixels), paths[start : start + CHUNK])


def _key(paths: Sequence[Path], pixels: int) -> str:
    """A name for the pixels to come: it changes with everything that they depend on."""
    from PIL import __version__, features

    recipe = [FORMAT, FILTER, pixels, __version__, features.version("jpg")]
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


def _create(folder: Path, filename: str) -> tuple[Path, Path]:
    """The first folder that can be written, and an empty temporary file in it."""
    try:
        return folder, _temporary(folder, filename)
    except OSError:  # a dataset on a read-only disk
        folder = _user_folder()
        return folder, _temporary(folder, filename)


def _temporary(folder: Path, filename: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f".{filename}-{uuid4().hex}"
    path.touch()  # unlike those of `tempfile`, a file that other users of the folder can read
    return path


def _user_folder() -> Path:
    import pooch

    return Path(pooch.os_cache("minidl")) / "decoded"
