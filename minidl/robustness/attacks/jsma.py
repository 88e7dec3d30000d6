"""Papernot's saliency map: change few pixels by much, two at a time, until the image is its target (2016)."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ...backend import Array, array_module, to_numpy
from ...checks import number, whole_number
from ...nn import Module
from ...tensor import op
from .nearest import Nearest, Smallest, of_all
from .points import take
from .victim import Victim, attacked


def jsma(
    model: Module,
    images: Array,
    targets: Array,
    theta: float = 1.0,
    gamma: float = 0.145,
    candidates: int = 256,
    batch_size: int = 64,
) -> Smallest:
    """Change two pixels at a time: the pair that raises the target's logit and lowers the sum of all others the most.

    With alpha the slope of the target's logit and beta the sum of the others', both summed over the pair, the pair of
    the largest -alpha beta is taken of those with alpha > 0 > beta (for theta < 0: alpha < 0 < beta).

    Parameters
    ----------
    model, images, batch_size
        As for ``fgsm``.
    targets : integer array (B,)
        The class to which each image is led.
    theta : float in [-1, 1], not 0
        By how much a chosen pixel changes. One that has reached 0 or 1 is not chosen again.
    gamma : float in (0, 1]
        The part of all values (pixels times channels) that may change.
    candidates : int, at least 2
        Where an image has more values than this, pairs are sought among those with the largest slopes alone: all
        pairs of 64 x 64 x 3 values would take 604 MB an image.

    Returns
    -------
    Smallest
        The distance is the number of values that changed; an image that is its target from the start has 0.

    Raises
    ------
    TypeError, ValueError
        As ``fgsm``; when theta or gamma is out of its range, or candidates below 2.

    Warns
    -----
    ZeroGradientWarning
        When the gradient of some images is exactly zero at their start, with their count.

    References
    ----------
    Papernot et al., "The limitations of deep learning in adversarial settings", EuroS&P 2016, arXiv:1511.07528; on
    logits, as Papernot's own code in cleverhans.

    Examples
    --------
    >>> import numpy as np
    >>> from minidl import nn, robustness
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(3, 2))
    >>> model[1].weight.data[...] = [[1, -1], [-1, 1], [-0.5, 0.5]]
    >>> model[1].bias.data[...] = 0
    >>> image = np.array([0.9, 0.1, 0.1], np.float32).reshape(1, 1, 3, 1)
    >>> found = robustness.jsma(model, image, np.array([1]), gamma=1.0)
    >>> found.adversarial.ravel(), found.distance
    (array([0.9, 1. , 1. ], dtype=float32), array([2.]))
    """
    theta = number(theta, "theta", "[-1, 1]", "jsma", ": the change of a pixel")
    if theta == 0:
        raise ValueError("jsma: theta is 0, and the change of a pixel must be something")
    gamma = number(gamma, "gamma", "(0, 1]", "jsma", ": the part of the values that may change")
    candidates = whole_number(candidates, "candidates", 2, "jsma")
    with attacked("jsma", model, images, targets) as victim:
        victim.targets = victim.labels  # away from nothing, and towards these
        return of_all(victim, "0", batch_size, partial(_greedy, victim, theta, gamma, candidates))


@op
def _chosen(logits: Array, classes: Any) -> tuple[Array, tuple]:
    """z_t of each image, or, for t = -1, the sum of its logits."""
    xp = array_module(logits)
    classes = xp.asarray(classes)[:, None]
    weights = ((classes == xp.arange(logits.shape[1])) | (classes < 0)).astype(logits.dtype)
    return (logits * weights).sum(axis=1), (lambda dy: dy[:, None] * weights,)


def _greedy(victim: Victim, theta: float, gamma: float, candidates: int, nearest: Nearest, index: np.ndarray) -> None:
    """Pair after pair, on the images of a batch that are not yet their targets."""
    slope, x, xp = victim.slope(_chosen), nearest.images, array_module(nearest.images)
    at, values = np.arange(len(index)), x[0].size
    for _ in range(int(values * gamma / 2)):
        target = victim.labels[index]
        # each looked at before the next is asked for, which on a card may be written over it
        rise, both = (to_numpy(slope(x, index, [t])[2]).reshape(len(at), -1) for t in (target, np.full(len(at), -1)))
        fall = both - rise  # (b, values)
        free = to_numpy((x < 1 if theta > 0 else x > 0).reshape(len(at), -1))
        pairs, found = best_pairs(rise, fall, free, np.sign(theta), candidates)
        step = np.zeros_like(rise)
        np.put_along_axis(step, pairs, np.where(found, theta, 0)[:, None], axis=1)
        x = (x + xp.asarray(step.reshape(x.shape), x.dtype)).clip(0, 1)
        done = victim.falls_for(x, index)
        nearest.offer(at, x, done)
        go = np.flatnonzero(~done & found)
        x, at, index = take(x, go), at[go], index[go]
        if not len(at):
            break


def best_pairs(
    rise: np.ndarray, fall: np.ndarray, free: np.ndarray, sign: float, candidates: int
) -> tuple[np.ndarray, np.ndarray]:
    """(b, 2): the pair of the largest saliency, and (b,) whether there is one, from slopes (b, values)."""
    worth = np.where(free, sign * (rise - fall), -np.inf)
    chosen = np.sort(np.argsort(-worth, axis=1, kind="stable")[:, :candidates], axis=1)  # (b, k)
    alpha, beta = (np.take_along_axis(sign * a, chosen, axis=1) for a in (rise, fall))
    usable = np.take_along_axis(free, chosen, axis=1)
    alpha, beta = alpha[:, :, None] + alpha[:, None], beta[:, :, None] + beta[:, None]  # (b, k, k)
    allowed = (alpha > 0) & (beta < 0) & usable[:, :, None] & usable[:, None]
    allowed &= ~np.eye(chosen.shape[1], dtype=bool)
    saliency = np.where(allowed, -alpha * beta, -np.inf).reshape(len(rise), -1)
    best = saliency.argmax(axis=1)
    first, second = np.divmod(best, chosen.shape[1])
    pairs = np.take_along_axis(chosen, np.stack([first, second], axis=1), axis=1)
    return pairs, np.isfinite(saliency[np.arange(len(rise)), best])
