"""Which types of numbers the kernels take: float32, float64 and, between convolutions on a card, bfloat16.

bfloat16 is the upper half of a float32: its range, and 8 of its 24 digits. One function, ``activation``, says where
that type begins: a convolution asks it of its images. All kernels that follow give what they were given, so that it
lasts until an operation takes float32. NumPy has no such type: the package ml_dtypes adds one, which CuPy knows too. It
holds the numbers; no arithmetic is done with them but by minidl's own kernels.

Arrays of all other types, and whatever else a fast kernel does not take, go to ``portable`` (``with_fallback``).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from ..backend import Array, array_module, is_array, is_gpu_array
from . import module, of, portable, precision


@functools.cache
def bfloat16() -> np.dtype:
    """The type.

    Raises
    ------
    RuntimeError
        When ml_dtypes is not installed: how to get it.

    Examples
    --------
    >>> from importlib.util import find_spec
    >>> from minidl.kernels.types import bfloat16
    >>> bfloat16().itemsize if find_spec("ml_dtypes") else 2
    2
    """
    try:
        import ml_dtypes
    except ImportError as error:
        raise RuntimeError(
            "precision 'bfloat16' was asked for on a card, and ml_dtypes, which has numbers of this type, is not "
            "installed: pip install ml_dtypes, which 'minidl[gpu]' brings along, or use precision 'fast'"
        ) from error
    return np.dtype(ml_dtypes.bfloat16)


def is_bfloat16(x: Any) -> bool:
    """Whether x is an array of bfloat16 on a card; elsewhere nothing computes with such."""
    return is_gpu_array(x) and x.dtype.kind == "V" and x.dtype.name == "bfloat16"


def real_dtype(x: Array) -> np.dtype:
    """The type in which one computes with an array: its own, but float32 for bfloat16."""
    return np.dtype(np.float32) if x.dtype.kind == "V" and x.dtype.name == "bfloat16" else x.dtype


def activation(x: Array) -> Array:
    """Images as a convolution reads them, and will write its own: bfloat16 where that is allowed, else x itself."""
    if precision() != "bfloat16" or not is_gpu_array(x) or x.dtype != np.float32 or of(x) is not module("gpu"):
        return x
    return of_type(x, bfloat16())


def of_type(x: Array, dtype: np.dtype) -> Array:
    """x, real numbers, as numbers of another type; x itself where they have it."""
    if x.dtype == dtype:
        return x
    if is_bfloat16(x):
        return of_type(module("gpu").elementwise.widen(x), dtype)
    if dtype.name == "bfloat16":
        return module("gpu").elementwise.narrow(x.astype(np.float32, copy=False))
    return x.astype(dtype)


def widened(x: Any) -> Any:
    """float32 where x is an array of bfloat16, else x itself: for all that does not know that type.

    Parameters
    ----------
    x : object

    Examples
    --------
    >>> import numpy as np
    >>> from minidl.kernels.types import widened
    >>> widened(np.ones(2))
    array([1., 1.])
    """
    return of_type(x, np.dtype(np.float32)) if is_bfloat16(x) else x


def as_taken(x: Any, knows: bool) -> Any:
    """An argument as an operation gets it: bfloat16 only where it ``knows`` that type, and the card's kernels do it."""
    if isinstance(x, np.ndarray) or (knows and is_bfloat16(x) and of(x) is module("gpu")):
        return x
    return widened(x)


def add(x: Any, y: Any) -> Array:
    """x + y: bfloat16 where both are, else as NumPy and CuPy have it, and float32 where one is bfloat16."""
    if isinstance(x, np.ndarray):
        return x + y
    if is_bfloat16(x) and is_bfloat16(y) and x.shape == y.shape and of(x) is module("gpu"):
        return module("gpu").elementwise.add(x, y)
    return widened(x) + widened(y)


def of_precision(arrays: list[Array], kinds: str, beside: str = "") -> bool:
    """Whether all are of one of these precisions and none is empty; ``beside`` numbers there may lie masks or places.

    Both are NumPy's letters: "f" float32, as which bfloat16 counts, "d" float64, "?" truth values, "B" bytes.
    """
    letters = {real_dtype(a).char if a.dtype.isnative else "foreign" for a in arrays} - set(beside)
    return len(letters) == 1 and letters <= set(kinds) and all(a.size > 0 for a in arrays)


def with_fallback(
    kernel: Callable[..., Any], fits: Callable[[list[Array]], bool], alike: bool = False, in_place: bool = False
) -> Any:
    """The kernel for arrays that fit it, its namesake in ``portable`` for all others.

    The kernel sees C-contiguous arrays: copies, if need be, unless it works ``in_place`` and must be able to write
    there. ``alike`` asks for arrays of one shape; what else there may be, portable broadcasts or refuses.
    """
    other = getattr(portable, kernel.__name__)

    @functools.wraps(kernel)
    def choose(*args: Any, **kwargs: Any) -> Any:
        given = [a for a in (*args, *kwargs.values()) if is_array(a)]
        arrays = [a for a in given if a.ndim or isinstance(a, np.ndarray)]  # but a card's ``fresh`` numbers
        ok = fits(arrays) and (not alike or len({a.shape for a in arrays}) == 1)
        if not ok or (in_place and not all(map(_can_write, arrays))):
            return other(*map(widened, args), **{name: widened(a) for name, a in kwargs.items()})
        return kernel(*map(_contiguous, args), **{name: _contiguous(a) for name, a in kwargs.items()})

    return choose


def _can_write(array: Array) -> bool:
    return array.flags.carray if isinstance(array, np.ndarray) else array.flags.c_contiguous


def _contiguous(argument: Any) -> Any:
    if type(argument) is np.ndarray and argument.flags.c_contiguous:  # as nearly all are
        return argument
    return array_module(argument).asarray(argument, order="C") if is_array(argument) else argument
