"""The smallest epsilon that changes the class, along the FGSM ray or by a search (report, eq. (10))."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..backend import Array
from ..checks import number, whole_number
from ..nn import Module
from .attacks import Smallest, deepfool, fab, fmn
from .attacks.fgsm import CAUSES, Ray, rays
from .attacks.points import standing
from .attacks.victim import attacked


def smallest_epsilon(
    model: Module,
    images: Array,
    labels: Array,
    max_epsilon: float = 64 / 255,
    steps: int = 64,
    tolerance: float = 0.05 / 255,
    temperature: float = 1.0,
    loss: str = "cross_entropy",
    batch_size: int = 64,
    method: str = "ray",
) -> np.ndarray:
    """How far each image lies from another class: an upper bound, by one of four ways to search.

    The report's eq. (10) asks for the smallest perturbation of all. As there, the ray raises epsilon along the
    gradient's fixed sign instead: first over a grid, as success need not grow with epsilon, until the class changes;
    then the last step is halved until it is known to ``tolerance``. The other methods choose a direction anew at every
    step, and find smaller ones.

    Parameters
    ----------
    model, images, labels, temperature, loss, batch_size
        As for ``fgsm``.
    max_epsilon : float in (0, 1]
        The budget: nothing beyond it is tried.
    steps : int
        Of the grid between 0 and max_epsilon. A class that changes and changes back within one step may be missed.
    tolerance : float > 0
        How much smaller than the answer the true epsilon may be, within the step in which the class first changed.
    method : {"ray", "deepfool", "fmn", "fab"}
        All but the ray are the functions of these names in the norm "inf", and know neither steps, tolerance,
        temperature nor loss: what they find beyond the budget counts as nothing.

    Returns
    -------
    NumPy array (B,)
        At this epsilon the class is another one. 0 for images that are wrong from the start; infinity where nothing
        within the budget changes the class.

    Raises
    ------
    TypeError, ValueError
        As ``fgsm``; when max_epsilon is outside (0, 1], steps below 1, tolerance not above 0, the method unknown, or a
        setting given that the method does not know.

    Warns
    -----
    ZeroGradientWarning
        When the gradient of some images is exactly zero, with their count.

    Examples
    --------
    >>> import numpy as np
    >>> from minidl import nn, robustness
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(2, 2))
    >>> model[1].weight.data[...] = [[1, -1], [-1, 1]]  # class 0 where the first pixel is brighter than the second
    >>> model[1].bias.data[...] = 0
    >>> images = np.array([[0.75, 0.25], [0.6, 0.7], [1, 0]], np.float32).reshape(3, 1, 2, 1)
    >>> robustness.smallest_epsilon(model, images, np.array([0, 0, 0]), max_epsilon=0.4).round(2)
    array([0.25, 0.  ,  inf])
    """
    max_epsilon = number(max_epsilon, "max_epsilon", "(0, 1]", "smallest_epsilon", ": 8 grey levels are 8 / 255")
    tolerance = number(tolerance, "tolerance", "(0, inf)", "smallest_epsilon")
    steps = whole_number(steps, "steps", 1, "smallest_epsilon")
    if method != "ray":
        given = {"steps": steps, "tolerance": tolerance, "temperature": temperature, "loss": loss}
        distance = _searcher(method, given)(model, images, labels, batch_size=batch_size).distance
        return np.where(distance <= max_epsilon, distance, math.inf)
    with attacked("smallest_epsilon", model, images, labels) as victim:
        smallest = np.empty(len(victim.images))
        for index, ray in rays(victim, loss, temperature, batch_size):
            step, first = _first_on_grid(ray, max_epsilon, steps)
            smallest[index] = _bisect(ray, first, step, tolerance)
        victim.warn_of_zeros(CAUSES[loss])
    return smallest


def _searcher(method: str, given: dict[str, Any]) -> Callable[..., Smallest]:
    """The attack of this name, when nothing was asked for that only the ray knows."""
    methods: dict[str, Callable[..., Smallest]] = {"deepfool": deepfool, "fmn": fmn, "fab": fab}
    if method not in methods:
        raise ValueError(f"smallest_epsilon: unknown method {method!r}: choose 'ray', 'deepfool', 'fmn' or 'fab'")
    parameters = inspect.signature(smallest_epsilon).parameters
    changed = [name for name, value in given.items() if value != parameters[name].default]
    if changed:
        raise ValueError(
            f"smallest_epsilon: method={method!r} does not know {', '.join(changed)}, which belong to the ray: leave "
            f"them out, or call robustness.{method} with its own settings"
        )
    return methods[method]


def _first_on_grid(ray: Ray, max_epsilon: float, steps: int) -> tuple[float, np.ndarray]:
    """The grid's step, and for each image (B,) the first point of the grid that breaks it."""
    grid = np.linspace(0, max_epsilon, steps + 1)
    first, at = np.where(ray.fallen, 0.0, math.inf), np.arange(len(ray.places))
    for epsilon in grid[1:]:
        if np.isfinite(first).all():
            break
        go = standing(np.isfinite(first[at]), ray.images)  # what fell needs no further trial: most work is saved here
        if go is not None:
            at, ray = at[go], ray.take(go)
        fell = ray.succeed([epsilon])[0] & np.isinf(first[at])
        first[at[fell]] = epsilon
    return float(grid[1]), first


def _bisect(ray: Ray, high: np.ndarray, step: float, tolerance: float) -> np.ndarray:
    """Halve (high - step, high], all images at once; high is broken throughout, and stays so."""
    open_ = np.flatnonzero(np.isfinite(high) & (high > 0))
    if len(open_) == 0:
        return high
    ray, top = ray.take(open_), high[open_]
    bottom = top - step
    for _ in range(math.ceil(max(0.0, math.log2(step / tolerance)))):
        middle = (bottom + top) / 2
        (broken,) = ray.succeed([middle])
        bottom, top = np.where(broken, bottom, middle), np.where(broken, middle, top)
    high[open_] = top
    return high
