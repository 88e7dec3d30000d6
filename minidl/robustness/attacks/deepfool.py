"""DeepFool: go to the nearest border of the linearised model, again and again (Moosavi-Dezfooli et al. 2016)."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ...backend import Array, array_module, to_numpy
from ...checks import number, whole_number
from ...nn import Module
from .losses import lead
from .nearest import Nearest, Smallest, checked_norm, of_all
from .points import divisor, each, norms, standing, take
from .victim import Victim, attacked

DUAL = {"inf": "1", "2": "2"}
BEYOND = 1e-4  # added to a distance to the border, which rounding might otherwise leave uncrossed


def deepfool(
    model: Module,
    images: Array,
    labels: Array,
    norm: str = "inf",
    overshoot: float = 0.02,
    steps: int = 50,
    candidates: int = 10,
    batch_size: int = 64,
) -> Smallest:
    """Step to the nearest of the planes that the classes' borders would be, were the model linear around the image.

    Between the label y and another class k the border is where z_k - z_y = 0. From a point where this is f, and its
    gradient w, the plane is ``|f| / ||w||_q`` away, with q = 1 for the largest change of a pixel and q = 2 for the
    length.

    Parameters
    ----------
    model, images, labels, batch_size
        As for ``fgsm``.
    norm : {"inf", "2"}
        What is to be small: the largest change of a pixel, or the length of the perturbation.
    overshoot : float, at least 0
        By which part the sum of the steps is lengthened, to end beyond the border.
    steps : int, at least 1
        An image that has crossed a border takes no more.
    candidates : int, at least 2
        How many classes are looked at, the likeliest of the image as it is, the label among them.

    Returns
    -------
    Smallest
        A named tuple ``adversarial (B, H, W, C), distance (B,), success (B,)``. On a linear model the distance is
        that of the nearest plane, plus a ten-thousandth, times 1 + overshoot.

    Raises
    ------
    TypeError, ValueError
        As ``fgsm``; when the norm is unknown, steps or candidates are too few, or overshoot is below 0.

    Warns
    -----
    ZeroGradientWarning
        When the gradient of some images is exactly zero at their start, with their count.

    References
    ----------
    Moosavi-Dezfooli, Fawzi and Frossard, "DeepFool: a simple and accurate method to fool deep neural networks", CVPR
    2016, arXiv:1511.04599. The order of the classes is that of the image as it is, as in foolbox.

    Examples
    --------
    >>> import numpy as np
    >>> from minidl import nn, robustness
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(2, 2))
    >>> model[1].weight.data[...] = [[1, -1], [-1, 1]]  # class 0 where the first pixel is brighter than the second
    >>> model[1].bias.data[...] = 0
    >>> images = np.array([[0.75, 0.25], [0.6, 0.7]], np.float32).reshape(2, 1, 2, 1)
    >>> robustness.deepfool(model, images, np.array([0, 0])).distance.round(3)
    array([0.255, 0.   ])
    """
    with attacked("deepfool", model, images, labels) as victim:
        steps = whole_number(steps, "steps", 1, "deepfool")
        candidates = whole_number(candidates, "candidates", 2, "deepfool")
        overshoot = number(overshoot, "overshoot", "[0, inf)", "deepfool")
        walk = partial(_walk, victim, overshoot, steps, candidates)
        return of_all(victim, checked_norm(norm, "deepfool"), batch_size, walk)


def _walk(victim: Victim, overshoot: float, steps: int, candidates: int, nearest: Nearest, index: np.ndarray) -> None:
    images, slope, at = nearest.images, victim.slope(lead), np.arange(len(index))
    x, total = images, array_module(images).zeros_like(images)
    ranked = np.argsort(-to_numpy(victim.logits(images)), axis=1, kind="stable")[:, :candidates]
    for _ in range(steps):
        total = total + _to_the_nearest_plane(slope, x, index, victim.labels[index], ranked[:, 1:], nearest.norm)
        x = (take(images, at) + (1 + overshoot) * total).clip(0, 1)
        done = victim.falls_for(x, index)
        nearest.offer(at, x, done)
        go = standing(done, x)
        if go is not None:
            x, total, at, index, ranked = take(x, go), take(total, go), at[go], index[go], ranked[go]
        if not len(at):
            break


def _to_the_nearest_plane(
    slope: Any, x: Array, index: np.ndarray, labels: np.ndarray, others: np.ndarray, norm: str
) -> Array:
    """The shortest step (b, H, W, C) from here to a plane z_k = z_y, for the nearest of the other classes k."""
    xp, shortest, step = array_module(x), np.full(len(index), np.inf), None
    for rank in range(others.shape[1]):
        _, f, w = slope(x, index, [labels, others[:, rank]])
        length = divisor(norms(w, DUAL[norm]))
        distance = abs(f) / length
        towards = xp.sign(w) if norm == "inf" else w / each(length, w)
        move = each(distance + BEYOND, w) * towards
        step = move if step is None else xp.where(xp.asarray(distance < shortest)[:, None, None, None], move, step)
        shortest = np.minimum(shortest, distance)
    return step
