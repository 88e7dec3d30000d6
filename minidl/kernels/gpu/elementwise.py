"""ReLU, random numbers and sums by place, each in one pass over memory."""

from __future__ import annotations

import numpy as np

from ...backend import Array, array_module
from ...backend.recording import fresh
from ..types import bfloat16, of_type, real_dtype
from .launch import launch, width_of

FILE = "elementwise.cu"


def _each(name: str, like: Array, inputs: tuple[Array, ...], out: Array) -> Array:
    """A kernel that goes number by number through arrays of one shape, wherever their numbers lie."""
    inputs = tuple(array_module(a).asarray(a, order="C") for a in inputs)
    width = width_of(out.size, *inputs, out)
    count = out.size // width
    launch(FILE, name, like, (*inputs, out, np.int64(count)), count, width=width)
    return out


def relu_grad(dy: Array, y: Array) -> Array:
    dx = array_module(dy).empty(y.shape, y.dtype)
    return _each("where_positive", y, (of_type(dy, y.dtype), y), dx)


def relu(x: Array) -> Array:
    return relu_grad(x, x)


def add(x: Array, y: Array) -> Array:
    """x + y, of one type and shape, which CuPy could do but for bfloat16."""
    return _each("add", x, (x, y), array_module(x).empty(x.shape, x.dtype))


def widen(x: Array) -> Array:
    """From bfloat16 to float32, which has all of its numbers."""
    return _each("widen", x, (x,), array_module(x).empty(x.shape, real_dtype(x)))


def narrow(x: Array) -> Array:
    """From float32 to bfloat16, to the nearest."""
    y = array_module(x).empty(x.shape, bfloat16())
    return _each("narrow", y, (x,), y)


def add_up(values: Array, places: Array, size: int) -> Array:
    """Sorted by place first: atomic additions would come in any order."""
    xp = array_module(values)
    order = xp.argsort(places)  # a stable sort
    ends = xp.searchsorted(places[order], xp.arange(size), side="right")
    sums = xp.empty(size, values.dtype)
    launch(FILE, "add_up", values, (values, order, ends, sums, np.int64(size)), size)
    return sums


def dropout_scale(x: Array, p: float, rng: np.random.Generator) -> Array:
    """From a key that the generator draws, on the card: no number travels but that one. A factor is never bfloat16."""
    scale = array_module(x).empty(x.shape, real_dtype(x))
    launch(FILE, "dropout_scale", scale, (_key(rng, x), np.float64(p), scale, np.int64(x.size)), x.size)
    return scale


def uniform(x: Array, rng: np.random.Generator) -> Array:
    """From a key too."""
    drawn = array_module(x).empty(x.shape, real_dtype(x))
    launch(FILE, "uniform", drawn, (_key(rng, x), drawn, np.int64(x.size)), x.size)
    return drawn


def _key(rng: np.random.Generator, like: Array) -> Array:
    return fresh(lambda: rng.integers(2**63), np.uint64, like)
