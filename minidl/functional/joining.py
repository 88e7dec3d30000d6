"""Operations that join tensors, or choose among their values, by NumPy's names."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import accumulate
from typing import Any

import numpy as np

from ..backend import Array, array_module, is_array
from ..checks import number, pair, whole_number
from ..graph import once
from ..tensor import Tensor, op
from .arithmetic import Result


@op
def maximum(x: Array, y: Array) -> Result:
    """The larger of two, value by value; equals share the gradient.

    Parameters
    ----------
    x, y : Tensor, array or number

    Examples
    --------
    >>> from minidl import Tensor, functional as F
    >>> F.maximum(Tensor([-1.0, 2.0]), 0.5).data
    array([0.5, 2. ], dtype=float32)
    """
    xp = array_module(x if is_array(x) else y)
    z = xp.maximum(x, y)
    share = xp.where(x > y, 1, xp.where(x == y, 0.5, 0)).astype(z.dtype)
    return z, (lambda dz: dz * share, lambda dz: dz * (1 - share))


@op
def where(condition: Array, x: Array, y: Array) -> Result:
    """x where the condition is true, y elsewhere.

    Parameters
    ----------
    condition : boolean array
    x, y : Tensor, array or number

    Examples
    --------
    >>> from minidl import Tensor, functional as F
    >>> x = Tensor([-1.0, 4.0])
    >>> F.where(x.data > 0, x, 0.5).data
    array([0.5, 4. ], dtype=float32)
    """
    xp = array_module(condition)
    if not is_array(condition) or condition.dtype.kind != "b":
        raise TypeError("where: the condition must be a boolean array, such as x.data > 0")
    return xp.where(condition, x, y), (None, lambda d: xp.where(condition, d, 0), lambda d: xp.where(condition, 0, d))


@op
def pad(x: Array, widths: Any, value: float = 0.0) -> Result:
    """A border of one value around x.

    Parameters
    ----------
    x : Tensor of any shape
    widths : sequence of a (before, after) pair for each axis of x
    value : float

    Examples
    --------
    >>> import numpy as np
    >>> from minidl import functional as F
    >>> F.pad(np.ones((2, 8, 8, 3)), ((0, 0), (1, 1), (2, 2), (0, 0))).shape
    (2, 10, 12, 3)
    """
    value = number(value, "value", "(-inf, inf)", "pad")
    if np.ndim(widths) != 2 or len(widths) != x.ndim:
        raise ValueError(f"pad: widths are {widths!r}: give a (before, after) pair for each axis of shape {x.shape}")
    sides = [pair(side, "each of the widths", 0, "pad") for side in widths]
    inside = tuple(slice(before, -after or None) for before, after in sides)
    return array_module(x).pad(x, sides, constant_values=value), (lambda dy: dy[inside],)


def concatenate(tensors: Iterable[Any], axis: int = 0) -> Tensor:
    """Tensors one after the other, along an axis that they have.

    Parameters
    ----------
    tensors : sequence of Tensor or array, of one shape but for that axis
    axis : int

    Examples
    --------
    >>> import numpy as np
    >>> from minidl import functional as F
    >>> F.concatenate([np.ones((2, 8, 8, 3)), np.zeros((2, 8, 8, 1))], axis=-1).shape
    (2, 8, 8, 4)
    """
    parts = (x if isinstance(x, Tensor) else Tensor(x) for x in tensors)
    return _concatenate(whole_number(axis, "axis", None, "concatenate"), *parts)


@op
def _concatenate(axis: int, *parts: Array) -> Result:
    xp = array_module(parts[0] if parts else None)
    y = xp.concatenate(parts, axis)
    ends = list(accumulate(part.shape[axis] for part in parts))[:-1]
    pieces = once(lambda dy: xp.split(dy, ends, axis))
    return y, (None, *(lambda dy, i=i: pieces(dy)[i] for i in range(len(parts))))


def stack(tensors: Iterable[Any], axis: int = 0) -> Tensor:
    """Tensors of one shape side by side, along a new axis.

    Parameters
    ----------
    tensors : sequence of Tensor or array
    axis : int, of the result

    Examples
    --------
    >>> from minidl import Tensor, functional as F
    >>> F.stack([Tensor([1.0, 2.0]), Tensor([3.0, 4.0])], axis=1).data
    array([[1., 3.],
           [2., 4.]], dtype=float32)
    """
    parts = (x if isinstance(x, Tensor) else Tensor(x) for x in tensors)
    return _stack(whole_number(axis, "axis", None, "stack"), *parts)


@op
def _stack(axis: int, *parts: Array) -> Result:
    xp = array_module(parts[0] if parts else None)
    return xp.stack(parts, axis), (None, *(lambda dy, i=i: xp.moveaxis(dy, axis, 0)[i] for i in range(len(parts))))
