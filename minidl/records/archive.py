"""Arrays in one file, as NumPy's npz: written alike each time, and read without believing a header."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Collection
from typing import Any

import numpy as np

MOST = 2**28  # bytes of a file of text, or of one array: the largest that a study writes are a few MB


def pack(**arrays: Any) -> bytes:
    """The npz file of these arrays; the same arrays give the same bytes.

    Examples
    --------
    >>> import numpy as np
    >>> from minidl.records.archive import pack, unpack
    >>> unpack(pack(a=np.arange(3)), ["a", "b"])
    {'a': array([0, 1, 2])}
    """
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def unpack(content: bytes, names: Collection[str]) -> dict[str, np.ndarray]:
    """Those of the named arrays that an npz file has; nothing in it is executed."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: _array(archive, name) for name in names if f"{name}.npy" in archive.namelist()}


def _array(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    """One array of an npz file, whose header may claim no more than is there."""
    member = archive.getinfo(f"{name}.npy")
    if member.file_size > MOST:
        raise ValueError(f"{name} claims {member.file_size} bytes, and at most {MOST} were expected")
    file = io.BytesIO(archive.read(member))
    read_header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }[np.lib.format.read_magic(file)]
    shape, fortran_order, dtype = read_header(file)
    content = file.read()
    if dtype.hasobject or math.prod(shape) * dtype.itemsize != len(content):
        raise ValueError(f"{name} claims the shape {shape} of {dtype}, and has {len(content)} bytes")
    return np.frombuffer(content, dtype).reshape(shape, order="F" if fortran_order else "C")
