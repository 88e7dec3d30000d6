"""The type of what lies between products: where precision is "bfloat16", a card keeps activations in half the bytes.

bfloat16 is the upper half of a float32: its range, and 8 of its 24 digits. One function, ``activation``, says where
that type begins: a convolution asks it of its images. All kernels that follow give what they were given, so that it
lasts until an operation takes float32. NumPy has no such type: the package ml_dtypes adds one, which CuPy knows too. It
holds the numbers; no arithmetic is done with them but by minidl's own kernels.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from ..backend import Array, is_gpu_array
from . import module, of, precision


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
    >>> from minidl.kernels.activations import bfloat16
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
    """Whether x is an array of bfloat16 on a card; elsewhere nothing computes with such.

    Parameters
    ----------
    x : object

    Examples
    --------
    >>> import numpy as np
    >>> from minidl.kernels.activations import is_bfloat16
    >>> is_bfloat16(np.ones(1))
    False
    """
    return is_gpu_array(x) and x.dtype.name == "bfloat16"


def real_dtype(x: Array) -> np.dtype:
    """The type in which one computes with an array: its own, but float32 for bfloat16.

    Parameters
    ----------
    x : array

    Examples
    --------
    >>> import numpy as np
    >>> from minidl.kernels.activations import real_dtype
    >>> real_dtype(np.ones(1))
    dtype('float64')
    """
    return np.dtype(np.float32) if is_bfloat16(x) else x.dtype


def activation(x: Array) -> Array:
    """Images as a convolution reads them, and will write its own: bfloat16 where that is allowed, else x itself.

    Parameters
    ----------
    x : array

    Examples
    --------
    >>> import numpy as np
    >>> from minidl.kernels.activations import activation
    >>> x = np.ones((1, 4, 4, 3), np.float32)
    >>> activation(x) is x  # no card
    True
    """
    if precision() != "bfloat16" or not is_gpu_array(x) or x.dtype != np.float32 or of(x) is not module("gpu"):
        return x
    return of_type(x, bfloat16())


def of_type(x: Array, dtype: np.dtype) -> Array:
    """x, real numbers, as numbers of another type; x itself where they have it.

    Parameters
    ----------
    x : array
    dtype : of float32, float64 or, on a card, bfloat16

    Examples
    --------
    >>> import numpy as np
    >>> from minidl.kernels.activations import of_type
    >>> of_type(np.ones(2), np.dtype(np.float32))
    array([1., 1.], dtype=float32)
    """
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
    >>> from minidl.kernels.activations import widened
    >>> widened(np.ones(2))
    array([1., 1.])
    """
    return of_type(x, np.dtype(np.float32)) if is_bfloat16(x) else x


def add(x: Any, y: Any) -> Array:
    """x + y: bfloat16 where both are, else as NumPy and CuPy have it, and float32 where one is bfloat16.

    Parameters
    ----------
    x, y : array, or one of them a number

    Examples
    --------
    >>> import numpy as np
    >>> from minidl.kernels.activations import add
    >>> add(np.ones(2), 1.0)
    array([2., 2.])
    """
    if is_bfloat16(x) and is_bfloat16(y) and x.shape == y.shape:
        return module("gpu").elementwise.add(x, y)
    return widened(x) + widened(y)
