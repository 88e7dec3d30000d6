"""Kernels in CUDA C: compiled for a card when first used (CuPy keeps them on disk), and launched."""

from __future__ import annotations

import functools
from importlib import resources
from typing import Any

import numpy as np

from ...backend import Array, array_module
from ..types import real_dtype

BLOCK = 256  # threads in a block
BLOCKS = 132 * 16  # enough for every multiprocessor of a large card; with fewer, each thread does more
ALIGNED = 16  # bytes: where a load of four floats may begin

_NAMES = {"float32": "float", "float64": "double"}  # but for those that have one name everywhere


_TILES = ("matrix_units.cuh", "tiles.cuh")  # what a file that computes tiles begins with


def program(
    file: str, real: str, width: int, factor: str, columns: int, activation: str = ""
) -> tuple[str, tuple[str, ...]]:
    """(code, options): what NVRTC is given; activations are real where nothing else is said."""
    here = resources.files(__package__)  # it may lie in a zip file
    files = ("common.cuh", *(_TILES if columns else ()), file)
    code = "".join(here.joinpath(name).read_text(encoding="utf-8") for name in files)
    choice = {"REAL": real, "ACTIVATION": activation or real, "WIDTH": width, "FACTOR": factor}
    choice |= {"COLUMNS": columns} if columns else {}
    return code, ("-std=c++17", *(f"-D{name}={value}" for name, value in choice.items()))


@functools.cache
def _module(xp: Any, *choice: Any) -> Any:
    code, options = program(*choice)
    return xp.RawModule(code=code, options=options)


@functools.cache
def _function(xp: Any, name: str, *choice: Any) -> Any:
    return _module(xp, *choice).get_function(name)


def width_of(channels: int, *arrays: Array | None) -> int:
    """How many neighbouring channels a thread may take at a time: four where all arrays allow it, else one."""
    fit = channels % 4 == 0 and all(a is None or a.data.ptr % ALIGNED == 0 for a in arrays)
    return 4 if fit else 1


def _argument(value: Any) -> Any:
    """Whole numbers become C's int unless they say otherwise; a pointer to nothing is 0."""
    return np.int64(0) if value is None else np.int32(value) if isinstance(value, int) else value


def launch(
    file: str, name: str, like: Array, arguments: tuple[Any, ...], threads: int | None = None, *, width: int = 1,
    half: bool = False, columns: int = 0, grid: tuple[int, ...] = (), block: tuple[int, ...] = (BLOCK,),
) -> None:  # fmt: skip
    """Run a kernel of a file for activations like an array: about that many threads, or a grid of blocks.

    ``half``: what is multiplied is bfloat16; ``columns``: of the tile that a block multiplies, if it does.
    """
    xp, (real, activation) = array_module(like), (_NAMES.get(t.name, t.name) for t in (real_dtype(like), like.dtype))
    function = _function(xp, name, file, real, width, "bfloat16" if half else real, columns, activation)
    if threads is not None:
        grid = (max(1, min(BLOCKS, -(-threads // BLOCK))),)
    function(grid, block, tuple(map(_argument, arguments)))
