"""Gradient checks against finite differences: how to know that a vector-Jacobian product is right."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from .backend import Array, device_of, is_array, to_device, to_numpy
from .checks import number, whole_number
from .tensor import Tensor, no_grad


def check_gradients(
    f: Callable[..., Tensor],
    *inputs: Tensor | np.ndarray,
    step: float = 1e-5,
    tolerance: float = 1e-6,
    seed: int = 0,
) -> bool:
    """Compare the gradients of f with central differences along a random direction, in float64.

    For each input x a direction u is drawn, and the slope of L = sum(v * f(x)), with random weights v, is computed
    twice: as the gradient's <dL/dx, u>, and as (L(x + h u) - L(x - h u)) / 2h. Two calls of f whatever the size of x.

    Parameters
    ----------
    f : callable
        Takes as many tensors as there are inputs and returns one tensor of any shape. Must give the same result each
        time (fix the seed of a dropout inside).
    *inputs : float64 tensors or arrays
        Where to check. Keep away from kinks, such as relu's at 0: at a distance of a few ``step``.
    step : float
        h. The error of a central difference is about h^2 of curvature plus 1e-16 / h of rounding.
    tolerance : float
        Largest difference allowed, relative to the larger slope; what rounding L may add to its difference, 10 times
        2e-16 / h of sum(abs(v * f(x))), is allowed besides. A function of small values is held to its own scale.
    seed : int
        Of the directions.

    Returns
    -------
    bool
        True, so that a test may assert it.

    Raises
    ------
    AssertionError
        When the two slopes differ: both are in the message.
    TypeError
        When an input is not float64: float32 has too few digits for finite differences.

    Examples
    --------
    >>> import numpy as np
    >>> import minidl as md
    >>> from minidl import functional as F
    >>> md.testing.check_gradients(lambda x, w: F.linear(x, w), np.ones((2, 3)), np.eye(3))
    True
    """
    step = number(step, "step", "(0, inf)", "check_gradients")
    tolerance = number(tolerance, "tolerance", "[0, inf)", "check_gradients")
    rng = np.random.default_rng(whole_number(seed, "seed", 0, "check_gradients"))
    arrays = [x.data if isinstance(x, Tensor) else x if is_array(x) else np.asarray(x) for x in inputs]
    for i, x in enumerate(arrays):
        if x.dtype != np.float64:
            raise TypeError(
                f"check_gradients: input {i} is {x.dtype}: finite differences need float64 (.astype(float))"
            )
    arrays = [x.copy() for x in arrays]
    for x in arrays:
        _freeze(x)  # an operation that overwrites its input would spoil the comparison, and its user's data
    leaves = [Tensor(x, requires_grad=True) for x in arrays]
    y = f(*leaves)
    v = rng.standard_normal(y.shape)
    y.backward(_like(v, y.data))
    rounding = 10 * np.finfo(float).eps * float(np.abs(v * to_numpy(y.data)).sum()) / step

    def loss(i: int, shift: np.ndarray) -> float:
        moved = [x + _like(shift, x) if j == i else x for j, x in enumerate(arrays)]
        with no_grad():
            return float((to_numpy(f(*(Tensor(x) for x in moved)).data) * v).sum())

    for i, leaf in enumerate(leaves):
        u = rng.standard_normal(leaf.shape)
        exact = 0.0 if leaf.grad is None else float((to_numpy(leaf.grad) * u).sum())
        numeric = (loss(i, step * u) - loss(i, -step * u)) / (2 * step)
        if not abs(exact - numeric) <= tolerance * max(abs(exact), abs(numeric)) + rounding < math.inf:
            raise AssertionError(
                f"gradient by input {i}, shape {leaf.shape}: the slope along a random direction is {exact:.10g} by the "
                f"gradient and {numeric:.10g} by finite differences, {_ratio(exact, numeric)}"
            )
    return True


def _freeze(x: Array) -> None:
    if isinstance(x, np.ndarray):  # CuPy's arrays have no such flag
        x.flags.writeable = False


def _ratio(exact: float, numeric: float) -> str:
    return f"{exact / numeric:.6g} times as much" if numeric else "which see no slope at all"


def _like(values: np.ndarray, array: Array) -> Array:
    """values on the device of array."""
    return to_device(np.asarray(values), device_of(array))
