"""Indexing by CuPy's rules, of NumPy arrays: index arrays wrap around, and who writes a place twice cannot know."""

from __future__ import annotations

import numpy as np


def wrapped(a, index):
    """Whole numbers in arrays count modulo the axis's size: CuPy checks no bounds."""
    taken = sum(
        i.ndim if getattr(getattr(i, "dtype", None), "kind", "") == "b" else i is not None and i is not Ellipsis
        for i in index
    )
    axis, wrapped = 0, []
    for part in index:
        if part is Ellipsis:
            axis += a.ndim - taken
        elif isinstance(part, np.ndarray):
            if part.dtype != bool and axis < a.ndim and a.shape[axis]:
                part = part.astype(np.int64) % a.shape[axis]
            axis += part.ndim if part.dtype == bool else 1
        elif part is not None:
            axis += 1
        wrapped.append(part)
    return tuple(wrapped)


def read(a, index):
    return a[wrapped(a, index)]


def write(a, index, value):
    index = wrapped(a, index)
    if not any(isinstance(i, np.ndarray) for i in index):
        a[index] = value
        return
    # Which of several values for one place is left there is undefined in CuPy. Writing them from last to first leaves
    # the first, where NumPy leaves the last: code that relies on either is found out
    places = np.arange(a.size).reshape(a.shape)[index]
    value = np.asarray(value)
    value = value.reshape(value.shape[max(0, value.ndim - places.ndim) :])  # axes of length 1 in front may go
    a.flat[places.ravel()[::-1]] = np.broadcast_to(value, places.shape).ravel()[::-1]


_order = np.random.default_rng()  # of no seed: another order each time


def at(ufunc, a, index, value):
    """ufunc.at by atomic operations: where places repeat, nobody knows their order, nor the last bits of the sum."""
    places = np.arange(a.size).reshape(a.shape)[wrapped(a, index)]
    value = np.broadcast_to(np.asarray(value), places.shape).ravel()
    order = _order.permutation(places.size)
    flat = a.reshape(-1)  # a copy, where a is no plain array
    ufunc.at(flat, places.ravel()[order], value[order])
    a[...] = flat.reshape(a.shape)
