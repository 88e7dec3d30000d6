"""Arrays in one file, as NumPy's npz: written alike each time, and read without believing a header."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

MOST = 2**28  # bytes of a file of text, or of one array: the largest that a study writes are a few MB


def pack(**arrays: Any) -> bytes:
    """The npz file of these arrays; the same arrays give the same bytes.

    Examples
    --------
    >>> import numpy as np
    >>> from minidl.records.archive import pack, unpack
    >>> unpack(pack(a=np.arange(3)), ["a"], ["b"])
    {'a': array([0, 1, 2])}
    """
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def unpack(content: bytes, needed: Collection[str], others: Collection[str] = ()) -> dict[str, np.ndarray]:
    """The arrays that an npz file must have, and those of some others that it has; nothing in it is executed."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        there = archive.namelist()
        need([name for name in needed if f"{name}.npy" not in there])
        return {name: _array(archive, name) for name in (*needed, *others) if f"{name}.npy" in there}


def need(absent: Collection[str]) -> None:
    """Raise a ValueError that names what is not there, if anything."""
    if absent:
        raise ValueError(f"it has no {', '.join(absent)}")


def check_arrays(owner: Any, expected: Mapping[str, tuple[tuple[int, ...], str]]) -> None:
    """Raise a ValueError unless the named attributes are arrays of these shapes, each of one of NumPy's kinds."""
    for name, (shape, kinds) in expected.items():
        array = getattr(owner, name)
        if array.shape != shape or array.dtype.kind not in kinds:
            raise ValueError(f"{name} has shape {array.shape} of {array.dtype}, expected {shape} of kind {kinds!r}")


def check_rows(indices: np.ndarray, labels: np.ndarray) -> None:
    """Raise a ValueError unless these are rows of the validation set, one at least, and their classes.

    Compared as Python's numbers, as some that a file claims have no difference in 64 bits.
    """
    rows = indices.astype(object)
    if not len(rows) or rows[0] < 0 or not (np.diff(rows) > 0).all():
        raise ValueError("indices: expected rows of the validation set, ascending, each once")
    least = labels.astype(object).min()
    if least < 0:
        raise ValueError(f"labels: one is {least}, expected classes from 0")


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
