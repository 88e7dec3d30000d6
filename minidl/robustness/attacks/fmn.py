"""Fast minimum norm: climb the margin within a ball that shrinks while the image is lost (Pintor et al. 2021)."""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from ... import functional as F
from ...backend import Array, array_module
from ...checks import whole_number
from ...nn import Module
from .deepfool import DUAL
from .nearest import Nearest, Smallest, checked_norm, of_all
from .points import divisor, each, norms
from .victim import Victim, attacked

# Both lines are the constants of the authors' code (pralab/Fast-Minimum-Norm-FMN-Attack) and of foolbox 3.3.4.
STEP, LAST_STEP = 1.0, 0.01  # the length of a step, along a cosine from the first to the last
RATE, LAST_RATE = 0.05, 0.001  # by which part the radius changes, likewise


def fmn(
    model: Module, images: Array, labels: Array, norm: str = "inf", steps: int = 100, batch_size: int = 64
) -> Smallest:
    """Climb the margin; where the image is another class, make the ball smaller, and where it is not, larger.

    Parameters
    ----------
    model, images, labels, norm, batch_size
        As for ``deepfool``.
    steps : int, at least 1

    Returns
    -------
    Smallest
        A named tuple ``adversarial (B, H, W, C), distance (B,), success (B,)``.

    Raises
    ------
    TypeError, ValueError
        As ``fgsm``; when the norm is unknown or steps is not a whole number of at least 1.

    Warns
    -----
    ZeroGradientWarning
        When the gradient of some images is exactly zero at their start, with their count.

    Notes
    -----
    A step is the gradient divided by its 2-norm, times 1 at first and 0.01 at last. The radius starts 5 % beyond where
    the linearised model has its border (the paper: at the border, which rounding may leave uncrossed), and then changes
    by 5 % at first and by 0.1 % at last.

    References
    ----------
    Pintor, Roli, Brendel and Biggio, "Fast minimum-norm adversarial attacks through adaptive norm constraints",
    NeurIPS 2021, arXiv:2102.12827; the last rate is that of the authors' code in foolbox.

    Examples
    --------
    >>> import numpy as np
    >>> from minidl import nn, robustness
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(2, 2))
    >>> model[1].weight.data[...] = [[1, -1], [-1, 1]]  # class 0 where the first pixel is brighter than the second
    >>> model[1].bias.data[...] = 0
    >>> image = np.array([0.75, 0.25], np.float32).reshape(1, 1, 2, 1)
    >>> robustness.fmn(model, image, np.array([0])).distance.round(3)
    array([0.25])
    """
    with attacked("fmn", model, images, labels) as victim:
        steps = whole_number(steps, "steps", 1, "fmn")
        return of_all(victim, checked_norm(norm, "fmn"), batch_size, partial(_search, victim, steps))


def _search(victim: Victim, steps: int, nearest: Nearest, index: np.ndarray) -> None:
    images, norm, slope = nearest.images, nearest.norm, victim.slope(partial(F.margin_loss, reduction="none"))
    at, xp = np.arange(len(index)), array_module(images)
    farthest = norms(xp.maximum(images, 1 - images), norm)
    x, radius = images, np.full(len(index), np.inf)
    for k in range(steps):
        logits, margin, gradient = slope(x, index)
        lost = victim.fooled(logits, index)
        here = nearest.offer(at, x, lost)
        rate = _cosine(RATE, LAST_RATE, k / steps)
        border = abs(margin) / divisor(norms(gradient, DUAL[norm]))  # how far it is, were the model linear
        wider = np.where(np.isfinite(nearest.distance), radius * (1 + rate), here + border * (1 + rate))
        radius = np.where(lost, np.minimum(radius * (1 - rate), nearest.distance), wider)
        radius = np.minimum(radius, farthest)
        step = _cosine(STEP, LAST_STEP, k / steps) / divisor(norms(gradient, "2"))
        x = (x + each(step, x) * gradient).clip(0, 1)
        x = _into_the_ball(x, images, radius, norm)  # which lies on the way back to the image, and so within [0, 1]


def _cosine(first: float, last: float, part: float) -> float:
    """From the first to the last value along half a cosine."""
    return last + (first - last) * (1 + math.cos(math.pi * part)) / 2


def _into_the_ball(x: Array, centre: Array, radius: np.ndarray, norm: str) -> Array:
    """The nearest point within the radius (b,) of the centre."""
    if norm == "inf":
        return x.clip(centre - each(radius, x), centre + each(radius, x))
    shrink = np.minimum(1, radius / divisor(norms(x - centre, "2")))
    return centre + each(shrink, x) * (x - centre)
