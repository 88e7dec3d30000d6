"""Which arrays a fast kernel takes, and that ``portable`` takes all others."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from ..backend import Array, array_module, is_array
from . import portable
from .activations import real_dtype, widened


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
