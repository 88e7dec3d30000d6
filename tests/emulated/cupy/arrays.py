"""``cupy.ndarray``: a NumPy array that NumPy cannot see, in the card's memory; and ``run``, which computes with it."""

from __future__ import annotations

import math

import numpy as np

from . import indexing, memory
from .cuda import stream as streams
from .names import METHODS, REFUSED, SYNCHRONISING

BY_CUBLAS = (np.matmul, np.dot, np.tensordot, np.inner, np.vdot, np.einsum, np.ndarray.dot)
SCALARS = (bool, int, float, complex, np.generic)


def run(function, *args, layout="C", **kwargs):
    """function(*args, **kwargs) for NumPy's function, on the card: every operation but kernels and cuBLAS comes here.

    A result that is no view of an argument is moved into memory of the card: in C order, as CuPy's functions return
    it, unless ``layout`` is None. While the current stream captures, the call is recorded too.
    """
    capture = streams.capture_of()
    if capture is not None and function in BY_CUBLAS:
        raise NotImplementedError("calling cuBLAS API during stream capture is currently unsupported")
    arrays: dict[int, ndarray] = {}
    args, kwargs = _to_numpy(args, arrays), _to_numpy(kwargs, arrays)
    targets: list[np.ndarray | None] = []
    _ask_for(function, args, kwargs, bool(arrays))
    with np.errstate(all="ignore"):  # a card warns of nothing
        result = function(*args, **kwargs)
        _refuse_bfloat16(function, result, arrays, kwargs)
        result = _to_card(result, arrays, layout, targets)
    if capture is not None:

        def again():
            with np.errstate(all="ignore"):
                values = function(*args, **kwargs)
            for target, value in zip(targets, values if isinstance(values, (tuple, list)) else [values], strict=False):
                if target is not None:
                    target[...] = value

        capture.record(again, [a._memory for a in arrays.values()])
    return result


asked_for: set[tuple] = set()  # kinds of operations: CuPy compiles one kernel for each of most of them
VIEWS = {"reshape", "transpose", "squeeze", "swapaxes", "moveaxis", "broadcast_to", "as_strided", "view"}


def _ask_for(function, args, kwargs, computes):
    """Note an operation by its name and the types of its arguments, but for uploads and those that only look."""
    name = getattr(function, "__name__", "")
    looks = name == "read" and not any(isinstance(part, np.ndarray) for part in args[1])
    if computes and not looks and name not in VIEWS:
        asked_for.add((name, *(getattr(a, "dtype", type(a)) for a in args), *sorted(kwargs)))


def _refuse_bfloat16(function, result, arrays, kwargs):
    """Views of such arrays cost nothing. All else is a kernel, for which CuPy needs CUDA's header of the type."""
    looks = isinstance(result, np.ndarray) and memory.root_of(result) is not None and "out" not in kwargs
    if not looks and any(getattr(a, "dtype", np.dtype(bool)).name == "bfloat16" for a in (*arrays.values(), result)):
        raise TypeError(f"{getattr(function, '__name__', function)}: CuPy was asked to compute with bfloat16")


def _to_numpy(value, arrays):
    if isinstance(value, ndarray):
        arrays[id(value._a)] = value
        return value._a
    if isinstance(value, np.ndarray):
        if memory.root_of(value) is None:
            raise TypeError(f"Unsupported type {type(value)}")
    elif type(value) in (list, tuple):
        return type(value)(_to_numpy(v, arrays) for v in value)
    elif type(value) is dict:
        return {key: _to_numpy(v, arrays) for key, v in value.items()}
    return value


def _to_card(result, arrays, layout, targets):
    if isinstance(result, (tuple, list)):
        parts = [_to_card(r, arrays, layout, targets) for r in result]
        return tuple(parts) if isinstance(result, tuple) else parts
    if not isinstance(result, (np.ndarray, np.generic)):
        targets.append(None)
        return result
    if id(result) in arrays:
        targets.append(None)
        return arrays[id(result)]
    root = memory.root_of(result)
    if root is None:
        new = empty_for(result, layout)
        new._a[...] = result
        targets.append(new._a)
        return new
    targets.append(None)
    owner = next(a for a in arrays.values() if a._memory.holds(result))
    return ndarray._view_of(result, owner._memory, owner if owner.base is None else owner.base)


def empty_for(like, layout="C"):
    """Poisoned memory for a NumPy array; in its own order where ``layout`` is None."""
    fortran = layout is None and like.ndim > 1 and like.flags.f_contiguous and not like.flags.c_contiguous
    new = ndarray(like.shape, like.dtype, order="F" if fortran else "C")
    if layout is None and like.ndim > 2 and not (like.flags.c_contiguous or fortran):
        strides = np.empty_like(like).strides  # NumPy's way of keeping the order of axes
        new._a = new._memory.array(like.shape, like.dtype, strides)
    return new


def check_dtype(dtype):
    if dtype.kind not in "biufc" and dtype.name != "bfloat16":
        raise ValueError(f"Unsupported dtype {dtype}")


def upload(values, dtype=None, order=None):
    """Host data -> the card. Nothing but a single number can be moved so while a stream captures."""
    a = np.array(values, dtype, order="K" if order is None else order)
    check_dtype(a.dtype)
    if a.ndim:
        streams.host_waits()
        new = empty_for(a, None if a.flags.fnc else "C")
        new._a[...] = a
        return new
    return run(np.array, a[()])


class Flags:
    def __init__(self, a):
        self.c_contiguous, self.f_contiguous = a.flags.c_contiguous, a.flags.f_contiguous
        self.fnc, self.forc = a.flags.fnc, a.flags.forc


class ndarray:  # noqa: N801
    __module__ = "cupy"
    __slots__ = ("__weakref__", "_a", "_memory", "base")
    __array_priority__ = 100
    __hash__ = None

    def __init__(self, shape, dtype=float, memptr=None, strides=None, order="C"):
        shape = (int(shape),) if isinstance(shape, (int, np.integer)) else tuple(int(n) for n in shape)
        dtype = np.dtype(dtype)
        check_dtype(dtype)
        if memptr is None:
            if strides is not None:
                raise ValueError("memptr is required if strides is given.")
            memptr = memory.alloc(math.prod(shape) * dtype.itemsize)
            memptr.mem.dtype = dtype
            if dtype.kind == "b":
                memptr.mem.poison()
        self._memory, self.base = memptr.mem, None
        self._a = memptr.mem.array(shape, dtype, strides, memptr._offset, order or "C")

    @classmethod
    def _view_of(cls, a, block, base):
        view = cls.__new__(cls)
        view._a, view._memory, view.base = a, block, base
        return view

    # what it is

    shape = property(lambda self: self._a.shape)
    dtype = property(lambda self: self._a.dtype)
    strides = property(lambda self: self._a.strides)
    ndim = property(lambda self: self._a.ndim)
    size = property(lambda self: self._a.size)
    itemsize = property(lambda self: self._a.itemsize)
    nbytes = property(lambda self: self._a.nbytes)
    device = property(lambda self: streams.Device())
    flags = property(lambda self: Flags(self._a))
    T = property(lambda self: self if self.ndim < 2 else self.transpose())

    @property
    def data(self):
        return memory.MemoryPointer(self._memory, self._a.ctypes.data - self._memory.ptr if self.size else 0)

    def __len__(self):
        if not self.ndim:
            raise TypeError("len() of unsized object")
        return self.shape[0]

    def __getattr__(self, name):
        if name not in METHODS:
            raise AttributeError(f"'cupy.ndarray' object has no attribute {name!r}")
        method = getattr(np.ndarray, name)

        def call(*args, **kwargs):
            check_arguments(f"ndarray.{name}", kwargs)
            return run(method, self, *args, **kwargs)

        return call

    # methods that are not NumPy's, or not quite

    def astype(self, dtype, order="K", casting=None, subok=None, copy=True):
        return run(lambda a: a.astype(dtype, order, copy=copy), self, layout=None)

    def copy(self, order="C"):
        return run(lambda a: a.copy(order), self, layout=None)

    def argsort(self, axis=-1, kind=None):
        return run(np.ndarray.argsort, self, axis, "stable")

    def fill(self, value):
        run(_fill, self, _scalar_for(value, self.dtype, "fill"))

    def get(self, stream=None, order="C", out=None, blocking=True):
        if out is not None and (out.dtype != self.dtype or out.shape != self.shape):
            raise (TypeError if out.dtype != self.dtype else ValueError)(f"out: {out.dtype} {out.shape}")
        streams.host_waits(stream)
        if out is None:
            return np.array(self._a, order=order)
        out[...] = self._a
        return out

    def set(self, arr, stream=None):
        if not isinstance(arr, np.ndarray):
            raise TypeError("Only numpy.ndarray can be set to cupy.ndarray")
        if arr.dtype != self.dtype:
            raise TypeError(f"{arr.dtype} array cannot be set to {self.dtype} array")
        if arr.shape != self.shape:
            raise ValueError(f"Shape mismatch. Old shape: {self.shape}, new shape: {arr.shape}")
        if not self.flags.forc:
            raise RuntimeError("Cannot set to non-contiguous array")
        streams.host_waits(stream)
        self._a[...] = arr

    def item(self):
        if self.size != 1:
            raise ValueError("can only convert an array of size 1 to a Python scalar")
        return self.get().item()

    def __bool__(self):
        if self.size != 1:
            raise ValueError(
                "The truth value of an array with more than one element is ambiguous. Use a.any() or a.all()"
            )
        return bool(self.get())

    def __int__(self):
        return int(self.get())

    def __float__(self):
        return float(self.get())

    def __repr__(self):
        return repr(self.get())

    def __format__(self, spec):
        return format(self.get(), spec)

    def __deepcopy__(self, memo):
        return self.copy()

    # NumPy

    def __array__(self, dtype=None, copy=None):
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. "
            "Please use `.get()` to construct a NumPy array explicitly."
        )

    # indexing

    def __getitem__(self, index):
        index = prepare(self, index)
        return run(indexing.read, self, index)

    def __setitem__(self, index, value):
        index = prepare(self, index)
        if not isinstance(value, ndarray):
            if any(isinstance(i, ndarray) for i in index):
                value = upload(value, self.dtype)
            else:  # CuPy fills: it takes numbers, and nothing that has axes
                value = _scalar_for(value, self.dtype, "fill")
        run(indexing.write, self, index, value)


def check_arguments(name, kwargs):
    """Refuse what NumPy's function would take but CuPy's does not; and what waits for the card, in a capture."""
    for keyword in (REFUSED & kwargs.keys()) - ({"where"} if name == "copyto" else set()):
        raise TypeError(f"{name}() got an unexpected keyword argument {keyword!r}")
    if name.rpartition(".")[2] in SYNCHRONISING:
        streams.host_waits()


def _scalar_for(value, dtype, what):
    if isinstance(value, ndarray):
        if value.shape:
            raise ValueError(f"non-scalar cupy.ndarray cannot be used for {what}")
        return value
    value = np.asarray(value, dtype)
    if value.shape:
        raise ValueError(f"non-scalar numpy.ndarray cannot be used for {what}")
    return value[()]


def _fill(a, value):
    a[...] = value


def call_ufunc(ufunc, *inputs, **kwargs):
    """A ufunc takes the card's arrays and numbers; its result has the shape of ``out`` where that is given."""
    out = kwargs.get("out")
    for x in inputs:
        if not isinstance(x, (ndarray, *SCALARS)):
            raise TypeError(f"Unsupported type {type(x)}")
    if out is not None and not isinstance(out, ndarray):
        raise TypeError("Output arguments type must be cupy.ndarray")
    shapes = [getattr(x, "shape", ()) for x in inputs]
    if out is not None and ufunc is not np.matmul and out.shape != np.broadcast_shapes(*shapes):
        raise ValueError("Out shape is mismatched")
    return run(ufunc, *inputs, **kwargs)


def prepare(a, index):
    """An index as a tuple of None, Ellipsis, slices, numbers and arrays of the card."""
    index = list(index) if isinstance(index, tuple) else [index]
    for i, part in enumerate(index):
        if part is None or part is Ellipsis or isinstance(part, (slice, ndarray)):
            continue
        if np.isscalar(part) and not isinstance(part, (bool, np.bool_)):
            continue
        part = np.asarray(part)
        index[i] = upload(part.astype(np.int32) if part.size == 0 and part.dtype == float else part)
    for part in index:
        if isinstance(part, ndarray):
            if part.dtype.kind not in "biu":
                raise IndexError(f"arrays used as indices must be of integer or boolean type. (actual: {part.dtype})")
            if part.dtype == bool:  # how many are True decides the result's shape, or is counted anyway
                streams.host_waits()
    return tuple(index) if Ellipsis in [i for i in index if not isinstance(i, ndarray)] else (*index, Ellipsis)
