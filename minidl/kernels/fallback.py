"""Which arrays a fast kernel takes, and that ``portable`` takes all others."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from ..backend import Array, array_module, is_array
from . import portable

BESIDE = {"?", "B"}  # masks, and places of maxima: they lie beside numbers of any precision


def of_precision(arrays: list[Array], kinds: set[str]) -> bool:
    """Whether all numbers are of one of these precisions (NumPy's letters), and no array is empty."""
    found = {a.dtype.char for a in arrays} - BESIDE
    return len(found) == 1 and found <= kinds and all(a.size > 0 for a in arrays)


def with_fallback(kernel: Callable[..., Any], fits: Callable[[list[Array]], bool], in_place: bool = False) -> Any:
    """The kernel for arrays that fit it, its namesake in ``portable`` for all others.

    The kernel sees C-contiguous arrays: copies, if need be, unless it works in place. Then all must be of one shape,
    and such that it can write there; what else there may be, portable broadcasts or refuses.
    """
    other = getattr(portable, kernel.__name__)

    @functools.wraps(kernel)
    def choose(*args: Any, **kwargs: Any) -> Any:
        arrays = [a for a in (*args, *kwargs.values()) if is_array(a) and a.ndim]
        if not fits(arrays) or (in_place and not all(_can_write(a) and a.shape == arrays[0].shape for a in arrays)):
            return other(*args, **kwargs)
        return kernel(*map(_contiguous, args), **{name: _contiguous(a) for name, a in kwargs.items()})

    return choose


def _can_write(array: Array) -> bool:
    return array.flags.carray if isinstance(array, np.ndarray) else array.flags.c_contiguous


def _contiguous(argument: Any) -> Any:
    return array_module(argument).asarray(argument, order="C") if is_array(argument) else argument
