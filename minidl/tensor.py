"""Tensors that remember how they were computed, and ``op``, which makes them do so.

* ``Tensor`` is an array plus, when it was computed from something that wants a gradient, a ``graph.Node``.
* ``op`` turns a function over *arrays* that returns its value and its vector-Jacobian product into one over tensors.
* ``Tensor.backward`` hands the recorded graph to ``graph.backward``, the chain rule.
* ``Parameter`` is a tensor that training changes, and pruning masks.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .backend import Array, array_module, as_array, device_of, is_array, to_device, to_numpy
from .checks import check_devices, check_mask, explained, value_and_vjp
from .graph import Node, Vjp, backward, is_recording
from .graph import no_grad as no_grad
from .kernels.types import as_taken, real_dtype, widened


def _array(argument: Any, precision: Any = None, listed: bool = False) -> Any:
    """What an operation computes with: arrays where they belong, in the order that sums are rounded in, and numbers."""
    if isinstance(argument, Tensor):
        argument = argument.data
    elif listed and isinstance(argument, list | tuple):
        argument = as_array(argument, precision or np.float32)
    elif isinstance(argument, np.generic) or (precision is not None and isinstance(argument, np.ndarray)):
        argument = argument if argument.ndim else argument.item()  # Python's numbers leave float32 what it is
    return np.asarray(as_array(argument), order="C") if listed and isinstance(argument, np.ndarray) else argument


def _precision(arguments: Sequence[Any]) -> Any:
    """That of the first tensor, or array with axes, of real numbers; None where there is none."""
    arrays = (a for a in arguments if isinstance(a, Tensor) or (is_array(a) and a.ndim))
    return next((dtype for dtype in map(real_dtype, arrays) if dtype.kind == "f"), None)


def _source(argument: object) -> Node | Tensor | None:
    return (argument._node or argument) if isinstance(argument, Tensor) and argument.requires_grad else None


def op(function: Callable[..., tuple[Array, Vjp]], bfloat16: bool = False) -> Callable[..., Tensor]:
    """Make a function over arrays differentiable.

    Parameters
    ----------
    function : callable
        Takes arrays (and settings) and returns ``value, vjp``. ``vjp`` is a tuple with, for each array argument in
        order, a function from dy, the gradient of the loss by the value, to the gradient by that argument (``None``
        for one that has no gradient), so that the engine computes just those it needs; what gradients share goes into
        ``graph.once``. Broadcasting is the engine's business. A vjp may keep arrays, never Tensors: a result that held
        itself would never be freed.
    bfloat16 : bool
        Whether the function takes activations of that type as they are. By default they become float32 first.

    Returns
    -------
    callable
        The same function over tensors. Arguments that are not tensors pass through as constants; lists become arrays
        where the parameter's annotation says ``"Array"``. A ValueError that does not start with the operation's name
        gets that and the shapes put before it.

    Examples
    --------
    >>> import minidl as md
    >>> @md.op
    ... def cube(x):
    ...     return x**3, (lambda dy: dy * 3 * x**2,)
    >>> x = md.Tensor([2.0], requires_grad=True)
    >>> cube(x).backward()
    >>> x.grad
    array([12.], dtype=float32)
    """
    signature = inspect.signature(function)
    name = function.__name__.removeprefix("_")  # of what stands behind a function of the same name
    # parameters that are arrays by their annotation: lists become arrays, and all lie on one device
    listed = [p.name if str(p.annotation).startswith("Array") else "" for p in signature.parameters.values()]

    @functools.wraps(function)
    def apply(*args: Any, **settings: Any) -> Tensor:
        if settings:  # a tensor passed by keyword moves to its place
            bound = signature.bind(*args, **settings)
            bound.apply_defaults()
            args, settings = bound.args, bound.kwargs
        precision = _precision(args)
        try:
            laid = (_array(a, precision, i < len(listed) and listed[i] != "") for i, a in enumerate(args))
            arrays = [as_taken(a, bfloat16) for a in laid]
            check_devices(name, listed, arrays)
            value, vjp = value_and_vjp(function(*arrays, **settings), name)
        except ValueError as error:
            if str(error).startswith(f"{name}:"):
                raise
            raise explained(name, args, error) from error
        result = Tensor(value)
        if is_recording() and any(isinstance(a, Tensor) and a.requires_grad for a in args):
            result.requires_grad = True
            shapes = [a.shape if isinstance(a, Tensor) else None for a in args]
            result._node = Node(name, [_source(a) for a in args], shapes, vjp, result.dtype)
        return result

    return apply


class Tensor:
    """An array that can be differentiated by.

    Parameters
    ----------
    data : numpy.ndarray, cupy.ndarray, number or (nested) list
        Arrays are kept as they are, in either precision, and not copied. Numbers and lists become float32.
    requires_grad : bool
        Whether ``backward`` shall leave the gradient of its loss by this tensor in ``grad``.

    Attributes
    ----------
    data : the array.
    grad : the gradient, an array of the same shape and precision, or None before a ``backward``.

    Notes
    -----
    ``==`` asks whether two tensors are the same one; compare arrays: ``x.data < y.data``. NumPy's functions refuse a
    tensor; ``np.asarray(x)`` is its array. Change no array in place between its use and ``backward``: nothing notices.

    Examples
    --------
    >>> import minidl as md
    >>> x = md.Tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    array([2., 4., 6.], dtype=float32)
    """

    __slots__ = ("__weakref__", "_node", "data", "grad", "requires_grad")
    __array_ufunc__ = None  # array + tensor asks the tensor, and np.exp(tensor) does not lose the gradient in silence

    def __init__(self, data: Any, requires_grad: bool = False) -> None:
        data = data.data if isinstance(data, Tensor) else as_array(data)
        if requires_grad and real_dtype(data).kind != "f":
            raise TypeError(f"Tensor: requires_grad needs real numbers, not {data.dtype}: use x.astype(np.float32)")
        self.data: Array = widened(data) if requires_grad else data
        self.grad: Array | None = None
        self.requires_grad = requires_grad
        self._node: Node | None = None

    shape = property(lambda self: self.data.shape)
    ndim = property(lambda self: self.data.ndim)
    size = property(lambda self: self.data.size)
    dtype = property(lambda self: self.data.dtype)
    device = property(lambda self: device_of(self.data))
    T = property(lambda self: self.transpose())

    def __len__(self) -> int:
        return len(self.data)

    def __repr__(self) -> str:
        text = np.array2string(self.numpy(), separator=", ", threshold=100)
        return f"Tensor({text}, shape={self.shape}, dtype={self.dtype}, requires_grad={self.requires_grad})"

    def __bool__(self) -> bool:
        return bool(self.data)

    def __eq__(self, other: object) -> bool:
        if is_array(other) or isinstance(other, np.generic | int | float | list):
            raise TypeError("Tensor: == tells whether two tensors are the same one: compare the array, x.data == ...")
        return self is other

    __hash__ = object.__hash__

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.numpy(), dtype=dtype, copy=copy)

    def item(self) -> float:
        """The one number in this tensor, as a Python number."""
        return self.data.item()

    def __float__(self) -> float:
        return float(self.data)

    def __format__(self, style: str) -> str:
        return format(self.item(), style) if style else repr(self)

    def numpy(self) -> np.ndarray:
        """The array on the CPU."""
        return to_numpy(widened(self.data))

    def detach(self) -> Tensor:
        """The same array without its history."""
        return Tensor(self.data)

    def to(self, device: str) -> Tensor:
        """A leaf tensor with this array on "cpu" or "gpu"."""
        return Tensor(to_device(widened(self.data), device), self.requires_grad)

    def backward(self, gradient: Array | None = None, inputs: Sequence[Tensor] | None = None) -> None:
        """Add to each leaf's ``grad`` the gradient of this tensor by it, freeing the graph on the way.

        Parameters
        ----------
        gradient : array of this tensor's shape
            The gradient of the loss by this tensor; needed unless this tensor is one number, the loss itself.
        inputs : leaf tensors
            Only these get a gradient, and only what leads to them is computed: an attack wants the gradient by the
            images and not by the weights. Default: every leaf with ``requires_grad``.

        Raises
        ------
        RuntimeError
            When there is no graph, when it was used before, or when this is not a number and no gradient is given.
        """
        if not self.requires_grad:
            how = "give an input requires_grad=True, and compute outside no_grad()"
            raise RuntimeError(f"backward: nothing here requires a gradient: {how}")
        if gradient is None:
            if self.size != 1:
                raise RuntimeError(
                    f"backward: needs one number to differentiate, and this tensor has shape {self.shape}: "
                    "reduce it first, with .sum() or .mean(), or pass the gradient by it"
                )
            gradient = array_module(self.data).ones(self.shape, real_dtype(self.data))
        else:  # a copy: what becomes of it is not the caller's business
            gradient = array_module(self.data).array(_array(gradient), dtype=real_dtype(self.data))
            if gradient.shape != self.shape:
                raise ValueError(f"backward: gradient has shape {gradient.shape}, the tensor has {self.shape}")
        backward(_source(self), gradient, inputs)

    # Operators and these methods are operations like any other: functional/arithmetic.py puts them here.
    if TYPE_CHECKING:

        def _operator(self, other: Any) -> Tensor: ...
        def _function(self) -> Tensor: ...
        def _reduction(self, axis: Any = None, keepdims: bool = False) -> Tensor: ...

        __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _operator
        __matmul__ = __rmatmul__ = __pow__ = __getitem__ = _operator
        __neg__ = exp = log = sqrt = abs = _function
        max = sum = mean = _reduction

        def argmax(self, axis: int | None = None) -> Array: ...
        def clip(self, low: float, high: float) -> Tensor: ...
        def reshape(self, *shape: int) -> Tensor: ...
        def transpose(self, *axes: int) -> Tensor: ...


class Parameter(Tensor):
    """A tensor that training changes.

    Parameters
    ----------
    data : array, which is copied where it is read-only, or list

    Attributes
    ----------
    mask : boolean array of the parameter's shape, or None
        False marks pruned weights: setting it zeroes them, optimisers keep them so. It changes in place: keep a copy,
        and set it anew rather than write into it.
    pruned : int
        How many weights the mask hides.

    Examples
    --------
    >>> import minidl as md
    >>> weight = md.Parameter([3.0, 4.0])
    >>> weight.mask = weight.data > 3
    >>> weight.data
    array([0., 4.], dtype=float32)
    """

    __slots__ = ("_mask", "_pruned")

    def __init__(self, data: Array) -> None:
        super().__init__(np.require(data, requirements="W") if isinstance(data, np.ndarray) else data, True)
        self._mask: Array | None = None
        self._pruned: int | None = 0  # None: not counted since the mask was set

    @property
    def mask(self) -> Array | None:
        return self._mask

    @mask.setter
    def mask(self, mask: Array | None) -> None:
        if mask is not None:
            check_mask(mask, self.shape)
            new, mask = to_device(mask.astype(bool), self.device), self._mask
            mask = new if mask is None else mask
            mask[...] = new  # in place, where a recorded step goes on reading it
            self.data[~new] = 0
        self._mask, self._pruned = mask, None

    @property
    def pruned(self) -> int:
        """How many weights the mask hides; counted once for each mask that is set."""
        if self._pruned is None:
            self._pruned = 0 if self._mask is None else self.size - int(self._mask.sum())
        return self._pruned
