"""Which array library holds an array, and moving arrays between devices.

This is the only file that imports CuPy. Everything above it asks ``array_module(x)`` and then writes the same
NumPy-style code for both devices.
"""

from __future__ import annotations

import functools
from types import ModuleType
from typing import Any

import numpy as np

Array = Any  # a numpy.ndarray or a cupy.ndarray: the two share one interface, not one type

NO_DEVICE = 100  # cudaErrorNoDevice, which CUDA raises rather than counting 0 cards


@functools.cache
def card() -> ModuleType:
    """CuPy, where there is a card that it can use.

    Raises
    ------
    RuntimeError
        That says which of the three, package, driver or card, is missing, and how to get it.

    Examples
    --------
    >>> from minidl.backend import card, gpu_available
    >>> module = card() if gpu_available() else None
    """
    try:
        import cupy
    except ImportError as error:
        raise RuntimeError(
            "device 'gpu' was asked for, but CuPy is not installed: pip install 'minidl[gpu]' "
            "(CUDA 13) or 'minidl[gpu-cuda12]', or use device 'cpu'"
        ) from error
    try:
        cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        reason = (
            "this machine has no NVIDIA card, or hides it (CUDA_VISIBLE_DEVICES)"
            if error.status == NO_DEVICE
            else f"the NVIDIA driver does not answer ({error}): install or update the driver (see nvidia-smi)"
        )
        raise RuntimeError(f"device 'gpu' was asked for, but {reason}; or use device 'cpu'") from error
    return cupy


def gpu_available() -> bool:
    """Whether ``to_device(x, "gpu")`` would work here.

    Examples
    --------
    >>> import minidl as md
    >>> device = "gpu" if md.gpu_available() else "cpu"
    """
    try:
        card()
    except RuntimeError:
        return False
    return True


def is_gpu_array(x: object) -> bool:
    """Whether x is a CuPy array; answers without importing CuPy.

    Parameters
    ----------
    x : object

    Examples
    --------
    >>> import numpy as np
    >>> from minidl.backend import is_gpu_array
    >>> is_gpu_array(np.ones(1))
    False
    """
    return type(x).__module__.partition(".")[0] == "cupy"


def is_at_hand(x: object) -> bool:
    """Whether to look at a number costs nothing: it is no result that a card may still be computing.

    Parameters
    ----------
    x : object

    Examples
    --------
    >>> import numpy as np
    >>> from minidl.backend import is_at_hand
    >>> is_at_hand(np.ones(1)), is_at_hand(1.0)
    (True, True)
    """
    return not is_gpu_array(x)


def address_of(x: Array) -> int:
    """Where in the memory of its device an array begins.

    Parameters
    ----------
    x : array

    Examples
    --------
    >>> import numpy as np
    >>> from minidl.backend import address_of
    >>> x = np.zeros(3)
    >>> address_of(x[1:]) - address_of(x)
    8
    """
    return x.data.ptr if is_gpu_array(x) else x.ctypes.data


def is_array(x: object) -> bool:
    """Whether x is a NumPy or CuPy array.

    Parameters
    ----------
    x : object

    Examples
    --------
    >>> import numpy as np
    >>> from minidl.backend import is_array
    >>> is_array(np.ones(1)), is_array([1.0])
    (True, False)
    """
    return isinstance(x, np.ndarray) or is_gpu_array(x)


def as_array(values: Any, dtype: Any = np.float32) -> np.ndarray:
    """A number, or nested lists of numbers, as an array. Arrays stay as they are, but for a foreign byte order.

    Parameters
    ----------
    values : array, number or (nested) list
    dtype : of the array, where the values have none of their own

    Raises
    ------
    TypeError, ValueError
        When they are no numbers, or lists of unequal lengths.

    Examples
    --------
    >>> from minidl.backend import as_array
    >>> as_array([1, 2])
    array([1., 2.], dtype=float32)
    """
    if is_array(values):
        return values if values.dtype.isnative else values.astype(values.dtype.newbyteorder("="))
    if isinstance(values, np.generic):
        return np.asarray(values)
    if values is None:  # NumPy would make it NaN
        raise TypeError("None is no number: is this a gradient that was not computed yet?")
    try:
        return np.asarray(values, dtype)
    except (TypeError, ValueError) as error:
        raise type(error)(f"an array, a number, or nested lists of equal lengths are wanted: {error}") from error


def array_module(x: Array) -> ModuleType:
    """The library, ``numpy`` or ``cupy``, whose functions take the array x.

    Parameters
    ----------
    x : array

    Examples
    --------
    >>> import numpy as np
    >>> from minidl.backend import array_module
    >>> array_module(np.ones(1)).__name__
    'numpy'
    """
    return card() if is_gpu_array(x) else np


def device_of(x: Array) -> str:
    """``"gpu"`` for a CuPy array, else ``"cpu"``.

    Parameters
    ----------
    x : array

    Examples
    --------
    >>> import numpy as np
    >>> from minidl.backend import device_of
    >>> device_of(np.ones(1))
    'cpu'
    """
    return "gpu" if is_gpu_array(x) else "cpu"


def check_device(device: str) -> None:
    """Raise a clear error unless device is "cpu", or "gpu" on a machine that has one.

    Parameters
    ----------
    device : str

    Raises
    ------
    ValueError
        When it is another name.
    RuntimeError
        When there is no card, no driver or no CuPy: which of them.

    Examples
    --------
    >>> from minidl.backend import check_device
    >>> check_device("cpu")
    """
    if device not in ("cpu", "gpu"):
        raise ValueError(f"unknown device {device!r}: choose 'cpu' or 'gpu'")
    if device == "gpu":
        card()


def to_device(x: Array, device: str) -> Array:
    """x on "cpu" (a NumPy array) or "gpu" (a CuPy array); x itself when it is there already.

    Parameters
    ----------
    x : array
    device : {"cpu", "gpu"}

    Examples
    --------
    >>> import numpy as np
    >>> from minidl.backend import to_device
    >>> x = np.ones(1)
    >>> to_device(x, "cpu") is x
    True
    """
    check_device(device)
    if device == device_of(x):
        return x
    return card().asarray(x) if device == "gpu" else x.get()


def to_numpy(x: Array) -> np.ndarray:
    """x as a NumPy array, copied only when it lies on the card.

    Parameters
    ----------
    x : array

    Examples
    --------
    >>> import numpy as np
    >>> from minidl.backend import to_numpy
    >>> to_numpy(np.ones(1))
    array([1.])
    """
    return x.get() if is_gpu_array(x) else np.asarray(x)
