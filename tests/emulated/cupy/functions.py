"""NumPy's functions under CuPy's names, for the card's arrays alone."""

from __future__ import annotations

import functools

import numpy as np

from . import arrays, indexing, names, pools
from .arrays import ndarray, run

__all__ = [
    "arange", "argsort", "array", "asarray", "ascontiguousarray", "concatenate", "empty", "get_default_memory_pool",
    "partition", "take_along_axis", "ufunc", "where",
]  # fmt: skip


class ufunc:  # noqa: N801
    """A ufunc of CuPy's: it takes the card's arrays and numbers, and nothing else."""

    def __init__(self, name):
        self._ufunc, self.name, self.__name__ = getattr(np, name), f"cupy_{name}", name
        self.nin = getattr(self._ufunc, "nin", 1)

    def __call__(self, *args, out=None, **kwargs):
        if unknown := kwargs.keys() - {"dtype", "casting"}:
            raise TypeError(f"Wrong arguments {unknown} for {self.name!r}")
        inputs, given = args[: self.nin], args[self.nin :]
        if len(inputs) < self.nin or len(given) + (out is not None) > 1:
            raise TypeError(f"Wrong number of arguments for {self.name!r}")
        out = given[0] if given else out[0] if isinstance(out, tuple) else out
        kwargs = {key: value for key, value in kwargs.items() if value is not None}
        return arrays.call_ufunc(self._ufunc, *inputs, **kwargs, **({} if out is None else {"out": out}))

    def at(self, a, indices, b=None):
        if self.__name__ not in ("add", "subtract", "maximum", "minimum", "bitwise_and", "bitwise_or", "bitwise_xor"):
            raise NotImplementedError(f"`{self.name}.at` is not supported yet")
        if self.__name__ == "add" and a.dtype.name not in names.ATOMIC_ADD:
            raise TypeError(f"add.at does not support {a.dtype}")
        run(indexing.at, self._ufunc, a, arrays.prepare(a, indices), b)


def function(name, numpys):
    """NumPy's function as CuPy's of the same name; that of a submodule has its name in front."""
    layout = None if name in names.KEEP_ORDER else "C"
    computes = (lambda *args, **kwargs: np.asarray(numpys(*args, **kwargs))) if name in names.COUNTING else numpys

    @functools.wraps(numpys, assigned=("__name__", "__doc__"), updated=())
    def call(*args, **kwargs):
        arrays.check_arguments(name, kwargs)
        return run(computes, *args, layout=layout, **kwargs)

    return call


def array(obj, dtype=None, copy=True, order="K", subok=False, ndmin=0, *, blocking=False):
    """From the host or from the card; lists may hold arrays of the card."""
    if isinstance(obj, ndarray) or _holds_arrays(obj):
        order = order or "K"
        return run(lambda a: np.array(a, dtype, copy=copy, order=order, ndmin=ndmin), obj, layout=None)
    new = arrays.upload(obj, dtype, None if order in (None, "K", "A") else order)
    return new.reshape((1,) * (ndmin - new.ndim) + new.shape) if new.ndim < ndmin else new


def asarray(a, dtype=None, order=None, *, copy=None, blocking=False):
    return array(a, dtype, copy, order)


def _holds_arrays(obj):
    return isinstance(obj, (list, tuple)) and any(isinstance(x, ndarray) or _holds_arrays(x) for x in obj)


def _only_arrays(name, *values):
    for a in values:
        if not isinstance(a, ndarray):
            raise TypeError(f"{name}: expected cupy.ndarray, got {type(a)}")


def ascontiguousarray(a, dtype=None):
    _only_arrays("ascontiguousarray", a)
    return run(np.ascontiguousarray, a, dtype)


def empty(shape, dtype=float, order="C"):
    return ndarray(shape, dtype, order=order)


def arange(start, stop=None, step=1, dtype=None):
    return run(np.arange, *((start,) if stop is None else (start, stop, step)), dtype=dtype)


def where(condition, x=None, y=None):
    _only_arrays("where", condition)
    if (x is None) != (y is None):
        raise ValueError("Must provide both 'x' and 'y' or neither.")
    if x is None:
        return condition.nonzero()
    return arrays.call_ufunc(np.where, condition, x, y)


def concatenate(tup, axis=0, out=None, *, dtype=None, casting="same_kind"):
    _only_arrays("concatenate", *tup)
    return run(np.concatenate, list(tup), axis=axis, out=out, dtype=dtype, casting=casting)


def argsort(a, axis=-1, kind=None):
    return a.argsort(axis)


def partition(a, kth, axis=-1):
    return run(lambda x: np.sort(x, axis, "stable"), a)


def take_along_axis(a, indices, axis):
    _only_arrays("take_along_axis", a, indices)
    if a.ndim != indices.ndim:
        raise ValueError("`indices` and `a` must have the same number of dimensions")
    return run(lambda x, i: np.take_along_axis(x, i.astype(np.int64) % x.shape[axis], axis), a, indices)


def as_strided(x, shape=None, strides=None):
    _only_arrays("as_strided", x)
    return run(np.lib.stride_tricks.as_strided, x, shape, strides)


def get_default_memory_pool():
    return pools.default_pool
