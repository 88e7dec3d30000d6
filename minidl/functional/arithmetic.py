"""Arithmetic on tensors: each operation beside its derivative. They are also Tensor's operators and methods."""

from __future__ import annotations

from functools import partial
from typing import Any

from numpy.lib.array_utils import normalize_axis_tuple

from .. import kernels
from ..backend import Array, array_module
from ..checks import check_real, numbers
from ..kernels.types import add as sum_of
from ..kernels.types import widened
from ..tensor import Tensor, Vjp, op

Result = tuple[Array, Vjp]


@partial(op, bfloat16=True)
def add(x: Array, y: Array) -> Result:
    return sum_of(x, y), (lambda dz: dz, lambda dz: dz)


@op
def subtract(x: Array, y: Array) -> Result:
    return x - y, (lambda dz: dz, lambda dz: -dz)


@op
def multiply(x: Array, y: Array) -> Result:
    return x * y, (lambda dz: dz * y, lambda dz: dz * x)


@op
def divide(x: Array, y: Array) -> Result:
    return x / y, (lambda dz: dz / y, lambda dz: -dz * (x / y) / y)  # y * y could overflow


@op
def negative(x: Array) -> Result:
    return -x, (lambda dy: -dy,)


@op
def power(x: Array, exponent: float) -> Result:
    """x to a constant power."""
    lower = exponent - 1 + (exponent == 0)  # x**0 has slope 0 everywhere, and 0 * 0**-1 would have none at 0
    return x**exponent, (lambda dy: dy * exponent * x**lower,)


@op
def exp(x: Array) -> Result:
    y = array_module(x).exp(x)
    return y, (lambda dy: dy * y,)


@op
def log(x: Array) -> Result:
    return array_module(x).log(x), (lambda dy: dy / x,)


@op
def sqrt(x: Array) -> Result:
    y = array_module(x).sqrt(x)
    return y, (lambda dy: dy / (2 * y),)


@op
def abs(x: Array) -> Result:
    """The size of x, without its sign; its slope at 0 is taken as 0."""
    xp = array_module(x)
    return xp.abs(x), (lambda dy: dy * xp.sign(x),)


@op
def matmul(x: Array, y: Array) -> Result:
    """x @ y for matrices, or stacks of them; a vector is a row as x and a column as y, whose 1 is left out."""
    if x.ndim < 1 or y.ndim < 1 or x.shape[-1] != y.shape[-min(y.ndim, 2)]:
        raise ValueError(
            f"matmul: shapes {x.shape} and {y.shape} do not fit: the last axis of the first and the last but one "
            "of the second (a vector's only one) must be equal, and neither may be a number"
        )
    product, expand = kernels.of(x).matmul, array_module(x).expand_dims
    a, b = x[None] if x.ndim == 1 else x, y[:, None] if y.ndim == 1 else y
    left_out = (-2,) * (x.ndim == 1) + (-1,) * (y.ndim == 1)

    def grad_y(dz: Array) -> Array:
        dy = product(a.swapaxes(-1, -2), expand(dz, left_out))
        return dy[..., 0] if y.ndim == 1 else dy

    return product(a, b).squeeze(left_out), (lambda dz: product(expand(dz, left_out), b.swapaxes(-1, -2)), grad_y)


@op
def getitem(x: Array, index: Any) -> Result:
    """x[index], for any index that NumPy takes."""

    def grad_x(dy: Array) -> Array:
        xp = array_module(x)
        if _picks_once(index):
            dx = xp.zeros_like(x)
            dx[index] = dy
            return dx
        places = xp.arange(x.size).reshape(x.shape)[index]  # an element that is picked twice gets both gradients
        return kernels.of(x).add_up(dy.reshape(-1), places.reshape(-1), x.size).reshape(x.shape)

    return x[index], (grad_x,)


def _picks_once(index: Any) -> bool:
    """Whether an index is made of slices and numbers only, and so picks no element twice."""
    parts = index if isinstance(index, tuple) else (index,)
    return all(part is None or part is Ellipsis or isinstance(part, slice | int) for part in parts)


@op
def sum(x: Array, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Result:
    """The sum over all elements, or over some axes."""
    return x.sum(axis=axis, keepdims=keepdims), (lambda dy: _spread(dy, x, axis, keepdims),)


@op
def mean(x: Array, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Result:
    """The mean of all elements, or over some axes."""
    y = x.mean(axis=axis, keepdims=keepdims)
    return y, (lambda dy: _spread(dy, x, axis, keepdims) * (y.size / x.size),)


@op
def max(x: Array, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Result:
    """The largest element of all, or along some axes; equals share the gradient, as in PyTorch's amax."""

    def grad_x(dy: Array) -> Array:
        share = (x == x.max(axis=axis, keepdims=True)).astype(x.dtype)
        share /= share.sum(axis=axis, keepdims=True)
        return _spread(dy, x, axis, keepdims) * share

    return x.max(axis=axis, keepdims=keepdims), (grad_x,)


def _spread(dy: Array, x: Array, axis: int | tuple[int, ...] | None, keepdims: bool) -> Array:
    """dy, repeated along the axes that a reduction removed."""
    xp = array_module(x)
    if axis is not None and not keepdims:
        dy = xp.expand_dims(dy, axis)
    return xp.broadcast_to(dy, x.shape)


@op
def reshape(x: Array, *shape: Any) -> Result:
    """The same numbers in the same order, in another shape."""
    return x.reshape(*shape), (lambda dy: dy.reshape(x.shape),)


@op
def transpose(x: Array, *axes: int) -> Result:
    """The axes in another order; reversed when none is given."""
    if axes and len(axes) != x.ndim:
        raise ValueError(
            f"transpose: {axes} is not an order of the {x.ndim} axes of shape {x.shape}: give all of them, such as "
            f"{tuple(reversed(range(x.ndim)))}, which is what it does when given none"
        )
    order = normalize_axis_tuple(axes, x.ndim) if axes else tuple(reversed(range(x.ndim)))
    back = tuple(order.index(i) for i in range(x.ndim))
    return x.transpose(order), (lambda dy: dy.transpose(back),)


@op
def clip(x: Array, low: float, high: float) -> Result:
    """x where it lies between two numbers, else the nearer of them; its slope is 1 from the one to the other.

    Parameters
    ----------
    x : Tensor of any shape
    low, high : float

    Examples
    --------
    >>> from minidl import Tensor, functional as F
    >>> F.clip(Tensor([-1.0, 0.5, 2.0]), 0, 1).data
    array([0. , 0.5, 1. ], dtype=float32)
    """
    low, high = numbers("clip", "(-inf, inf)", low=low, high=high)
    if low > high:
        raise ValueError(f"clip: low is {low:g}, above high, which is {high:g}")
    inside = (check_real(x, "clip") >= low) & (x <= high)
    return x.clip(low, high), (lambda dy: dy * inside,)


_METHODS: dict[str, Any] = {
    "__add__": add,
    "__radd__": add,
    "__sub__": subtract,
    "__rsub__": lambda y, x: subtract(x, y),
    "__mul__": multiply,
    "__rmul__": multiply,
    "__truediv__": divide,
    "__rtruediv__": lambda y, x: divide(x, y),
    "__matmul__": matmul,
    "__rmatmul__": lambda y, x: matmul(x, y),
    "__neg__": negative,
    "__abs__": abs,
    "__pow__": power,
    "__getitem__": getitem,
    "argmax": lambda x, axis=None: widened(x.data).argmax(axis=axis),  # an array, as labels are
    "clip": clip,
    "exp": exp,
    "log": log,
    "sqrt": sqrt,
    "abs": abs,
    "sum": sum,
    "mean": mean,
    "max": max,
    "reshape": reshape,
    "transpose": transpose,
}
for _name, _operation in _METHODS.items():
    setattr(Tensor, _name, _operation)
