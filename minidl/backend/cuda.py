"""What only a card has: a name, CUDA's libraries, and a memory of its own to which numbers have to be sent."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .arrays import Array, card, is_gpu_array
from .memory import lasting


def constant(values: Any, dtype: Any, like: Array) -> Array:
    """Numbers that never change, as an array on the device of ``like``; a card is sent the same numbers once only.

    Parameters
    ----------
    values : number, (nested) sequence of numbers or NumPy array
    dtype : of the array
    like : array

    Examples
    --------
    >>> import numpy as np
    >>> from minidl.backend.cuda import constant
    >>> constant([1, 2], np.float32, np.ones(1))
    array([1., 2.], dtype=float32)
    """
    array = np.asarray(values, dtype)
    return _on_card(array.tobytes(), array.dtype.str, array.shape) if is_gpu_array(like) else array


@functools.cache  # for good, as recordings read them
def _on_card(data: bytes, dtype: str, shape: tuple[int, ...]) -> Array:
    with lasting():
        return card().asarray(np.frombuffer(data, dtype).reshape(shape))


def cuda_library(name: str) -> str:
    """The path of one of CUDA's libraries, where CuPy finds it.

    Parameters
    ----------
    name : str
        "cublas", say.

    Examples
    --------
    >>> from minidl.backend import gpu_available
    >>> from minidl.backend.cuda import cuda_library
    >>> path = cuda_library("cublas") if gpu_available() else None
    """
    card()
    from cuda import pathfinder  # comes with CuPy

    try:
        path = pathfinder.load_nvidia_dynamic_lib(name).abs_path
    except Exception as error:
        raise RuntimeError(
            f"device 'gpu' was asked for, and CUDA's library {name} is not found: pip install 'minidl[gpu]', which "
            f"brings CUDA's libraries along, or use device 'cpu' ({error})"
        ) from error
    return str(path)


def card_name() -> str:
    """What card it is, with CUDA's version and the driver's: "NVIDIA H200, CUDA 13.0, driver 13.0".

    Examples
    --------
    >>> from minidl.backend import gpu_available
    >>> from minidl.backend.cuda import card_name
    >>> name = card_name() if gpu_available() else "no card"
    """
    runtime = card().cuda.runtime
    versions = [f"{v // 1000}.{v % 1000 // 10}" for v in (runtime.runtimeGetVersion(), runtime.driverGetVersion())]
    name = runtime.getDeviceProperties(card().cuda.Device().id)["name"].decode()
    return f"{name}, CUDA {versions[0]}, driver {versions[1]}"
