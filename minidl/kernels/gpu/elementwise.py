"""ReLU, random numbers and the optimisers' steps, each in one pass over memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...backend import Array, array_module, is_gpu_array
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


def _number(value: Any, like: Array) -> Array:
    """A float64 number on the card; one that is there already stays."""
    return value if is_gpu_array(value) else fresh(lambda: value, np.float64, like)


def sgd_step(
    weight: Array, grad: Array, velocity: Array | None, mask: Array | None, lr: Any, momentum: float,
    weight_decay: float, nesterov: bool,
) -> None:  # fmt: skip
    settings = (np.float64(momentum), np.float64(weight_decay), int(nesterov), np.int64(weight.size))
    launch(FILE, "sgd_step", weight, (weight, grad, velocity, mask, _number(lr, weight), *settings), weight.size)


def adam_step(
    weight: Array, grad: Array, mean: Array, square: Array, mask: Array | None, lr: Any, beta1: float, beta2: float,
    eps: float, weight_decay: float, step: Any,
) -> None:  # fmt: skip
    numbers = (_number(lr, weight), _number(step, weight))
    settings = (*map(np.float64, (beta1, beta2, eps, weight_decay)), np.int64(weight.size))
    launch(FILE, "adam_step", weight, (weight, grad, mean, square, mask, *numbers, *settings), weight.size)
