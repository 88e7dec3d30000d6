"""ReLU, random numbers and sums by place, each in one pass over memory."""

from __future__ import annotations

import numpy as np

from ...backend import Array, array_module
from ...backend.recording import fresh
from .launch import launch, width_of

FILE = "elementwise.cu"


def relu_grad(dy: Array, y: Array) -> Array:
    dx = array_module(dy).empty(y.shape, dy.dtype)
    width = width_of(dx.size, dy, y, dx)
    launch(FILE, "where_positive", dy, (dy, y, dx, np.int64(dx.size // width)), dx.size // width, width=width)
    return dx


def relu(x: Array) -> Array:
    return relu_grad(x, x)


def add_up(values: Array, places: Array, size: int) -> Array:
    """Sorted by place first: atomic additions would come in any order."""
    xp = array_module(values)
    order = xp.argsort(places)  # a stable sort
    ends = xp.searchsorted(places[order], xp.arange(size), side="right")
    sums = xp.empty(size, values.dtype)
    launch(FILE, "add_up", values, (values, order, ends, sums, np.int64(size)), size)
    return sums


def dropout_scale(x: Array, p: float, rng: np.random.Generator) -> Array:
    """From a key that the generator draws, on the card: no number travels but that one."""
    scale = array_module(x).empty(x.shape, x.dtype)
    launch(FILE, "dropout_scale", x, (_key(rng, x), np.float64(p), scale, np.int64(x.size)), x.size)
    return scale


def uniform(x: Array, rng: np.random.Generator) -> Array:
    """From a key too."""
    drawn = array_module(x).empty(x.shape, x.dtype)
    launch(FILE, "uniform", x, (_key(rng, x), drawn, np.int64(x.size)), x.size)
    return drawn


def _key(rng: np.random.Generator, like: Array) -> Array:
    return fresh(lambda: rng.integers(2**63), np.uint64, like)
