"""Fast adaptive boundary: project onto the linearised border, staying near the image (Croce and Hein 2020)."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ...backend import Array, array_module, to_numpy
from ...checks import whole_numbers
from ...nn import Module
from .losses import lead
from .nearest import Nearest, Smallest, checked_norm, of_all
from .points import divisor, each, norms, put, take
from .victim import Victim, attacked

MOST_BIAS, EXTRAPOLATION, BACK = 0.1, 1.05, 0.9  # the paper's alpha_max, eta and beta


def fab(
    model: Module,
    images: Array,
    labels: Array,
    norm: str = "inf",
    steps: int = 100,
    targets: int = 9,
    batch_size: int = 64,
) -> Smallest:
    """Go from border to border: towards each likely class in turn, to the nearest point of the linearised border.

    Each step mixes two projections onto that border, of the point and of the image itself, so that the point does not
    wander off; both stay within [0, 1]. Where it has crossed, it goes a tenth of the way back, and looks for a nearer
    place.

    Parameters
    ----------
    model, images, labels, norm, batch_size
        As for ``deepfool``.
    steps : int, at least 1
        Towards each class.
    targets : int, at least 1
        How many other classes are tried, the likeliest of the image as it is.

    Returns
    -------
    Smallest
        A named tuple ``adversarial (B, H, W, C), distance (B,), success (B,)``.

    Raises
    ------
    TypeError, ValueError
        As ``fgsm``; when the norm is unknown, or steps or targets are not whole numbers of at least 1.

    Warns
    -----
    ZeroGradientWarning
        When the gradient of some images is exactly zero at their start, with their count.

    References
    ----------
    Croce and Hein, "Minimally distorted adversarial examples with a fast adaptive boundary attack", ICML 2020,
    arXiv:1907.02044; targeted, as in AutoAttack.

    Examples
    --------
    >>> import numpy as np
    >>> from minidl import nn, robustness
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(2, 2))
    >>> model[1].weight.data[...] = [[1, -1], [-1, 1]]  # class 0 where the first pixel is brighter than the second
    >>> model[1].bias.data[...] = 0
    >>> image = np.array([0.75, 0.25], np.float32).reshape(1, 1, 2, 1)
    >>> robustness.fab(model, image, np.array([0])).distance.round(2)
    array([0.25])
    """
    with attacked("fab", model, images, labels) as victim:
        steps, targets = whole_numbers("fab", 1, steps=steps, targets=targets)
        return of_all(victim, checked_norm(norm, "fab"), batch_size, partial(search, victim, steps, targets))


def search(victim: Victim, steps: int, targets: int, nearest: Nearest, index: np.ndarray, enough: float = 0) -> None:
    """Towards each of the targets in turn; an image of which a point is ``enough`` near already is not tried on."""
    slope, logits = victim.slope(lead), to_numpy(victim.logits(nearest.images))
    ranked = np.argsort(-logits, axis=1, kind="stable")  # the label, and then the others
    for rank in range(1, 1 + min(targets, victim.classes - 1)):
        at = np.flatnonzero(nearest.distance > enough)
        if len(at):
            aim = [victim.labels[index[at]], ranked[at, rank]]
            _towards(victim, slope, nearest, at, index[at], aim, steps)


def _towards(
    victim: Victim, slope: Any, nearest: Nearest, at: np.ndarray, index: np.ndarray, aim: list[np.ndarray], steps: int
) -> None:
    """One run, of the images at ``at`` (b,), each towards one class."""
    image = x = take(nearest.images, at)
    for _ in range(steps):
        _, ahead, w = slope(x, index, aim)  # the border is where ahead + w . move = 0
        from_point = to_plane(x, w, -ahead, nearest.norm)
        from_image = to_plane(image, w, _dots(w, x - image) - ahead, nearest.norm)
        near, far = (np.maximum(norms(move, nearest.norm), 1e-8) for move in (from_point, from_image))
        bias = each(np.minimum(near / (near + far), MOST_BIAS), x)
        x = (1 - bias) * (x + EXTRAPOLATION * from_point) + bias * (image + EXTRAPOLATION * from_image)
        x = x.clip(0, 1)
        crossed = victim.falls_for(x, index)
        nearest.offer(at, x, crossed)
        put(x, crossed, take(image, crossed) + BACK * take(x - image, crossed))


def _dots(w: Array, move: Array) -> np.ndarray:
    """(b,): the scalar product of each image's gradient and move."""
    return to_numpy((w * move).sum(axis=(1, 2, 3)))


def to_plane(x: Array, w: Array, change: np.ndarray, norm: str) -> Array:
    """The smallest move (b, H, W, C) with w . move = change (b,) that stays within [0, 1]; as near as that allows.

    Every pixel moves to the side that its weight asks for: by t in the norm "inf", by t |w| in the norm "2", but no
    farther than its bound. What is gained, sum |w| min(t v, room), grows with t, and is linear between the places
    room / v where a pixel meets its bound: sorted, these tell between which two of them t lies.
    """
    xp, shape = array_module(x), x.shape
    x, w, need = x.reshape(len(x), -1), w.reshape(len(x), -1), xp.asarray(change)[:, None]
    side = xp.sign(w) * xp.sign(need).astype(x.dtype)
    room, weight = xp.where(side > 0, 1 - x, x), abs(w)
    speed = xp.ones_like(w) if norm == "inf" else weight
    meets = room / divisor(speed)  # (b, pixels), the t at which each pixel meets its bound
    order = meets.argsort(axis=1)
    sorted_meets, full, slope = (xp.take_along_axis(a, order, axis=1) for a in (meets, weight * room, weight * speed))
    before = full.cumsum(axis=1) - full  # gained by the pixels that have met their bounds
    rate = slope[:, ::-1].cumsum(axis=1)[:, ::-1]  # by the others, for each unit of t
    short = (before + sorted_meets * rate < abs(need)).sum(axis=1)[:, None]
    k = xp.minimum(short, x.shape[1] - 1)
    t = (abs(need) - xp.take_along_axis(before, k, axis=1)) / divisor(xp.take_along_axis(rate, k, axis=1))
    t = xp.where(short < x.shape[1], t, xp.inf)
    move = side * xp.where(weight > 0, xp.minimum(t * divisor(speed), room), 0)
    return move.reshape(shape).astype(w.dtype)
