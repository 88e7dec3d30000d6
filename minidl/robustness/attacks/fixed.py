"""Attacks of a fixed size: what they return, and what is the same for all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from ...backend import Array, array_module, device_of, to_device
from ...images import checked_epsilons
from .points import Best, put, take
from .victim import Victim


class Attack(NamedTuple):
    """What an attack of fixed size found, for E epsilons and B images.

    Attributes
    ----------
    adversarial : array (E, B, H, W, C)
        The moved images, in [0, 1], of the images' precision and on their device.
    success : boolean NumPy array (E, B)
        Whether the model takes the moved image for another class than its label; with targets, for its target. An
        image that is wrong from the start succeeds at epsilon 0; ``1 - success.mean(axis=1)`` is the accuracy over
        all images.
    zero_gradient : boolean NumPy array (B,)
        The images that no gradient can move: at the start of the attack no pixel changes their loss.
    vanished_gradient : boolean NumPy array (B,)
        The images whose largest pixel gradient, in absolute value, is at the start below the smallest normal number
        of its precision, zeros included: its digits, and soon its signs, are gone, and the attack on them is weaker
        than it seems.
    epsilons : NumPy array (E,)
    """

    adversarial: Array
    success: np.ndarray
    zero_gradient: np.ndarray
    vanished_gradient: np.ndarray
    epsilons: np.ndarray


Found = tuple[Array, np.ndarray]  # moved images (b, H, W, C), whether they succeed (b,)
Run = Callable[[Array, np.ndarray, float], Found]  # of images, their index, and epsilon


def at_each_epsilon(
    victim: Victim,
    epsilons: float | Sequence[float] | np.ndarray,
    batch_size: int,
    run: Run,
    skip_wrong: bool = False,
    remembers: bool = True,
) -> Attack:
    """Run an attack on each batch at each epsilon, from the smallest up.

    What a smaller epsilon found, and the image as it is, are within reach of a larger one: where the attack fails and
    these succeed, they stand for it, unless it is not to remember them. So accuracy never rises with epsilon.
    """
    sizes = checked_epsilons(epsilons, victim.name)
    images = victim.images
    adversarial = array_module(images).empty((len(sizes), *images.shape), images.dtype)
    success = np.empty((len(sizes), len(images)), bool)
    for index, x in victim.batches(batch_size):
        known, fell = x.copy(), victim.falls_for(x, index)
        for e in np.argsort(sizes, kind="stable"):
            moved, falls = known, fell
            tried = np.flatnonzero(~fell) if skip_wrong else np.arange(len(index))
            if sizes[e] > 0 and len(tried):
                moved, falls = known.copy(), fell.copy()
                found, won = run(take(x, tried), index[tried], float(sizes[e]))
                better = won | ~fell[tried] if remembers else np.ones(len(tried), bool)
                put(moved, tried[better], take(found, better))
                falls[tried[better]] = won[better]
            adversarial[e, index[0] : index[-1] + 1] = to_device(moved, device_of(images))
            success[e, index] = falls
            if remembers:
                put(known, falls, take(moved, falls))
                fell = fell | falls
    return Attack(adversarial, success, victim.zero, victim.vanished, sizes)


def best_of(runs: int, images: Array, attempt: Callable[[int, np.ndarray], Best]) -> Found:
    """The best of several runs, each on the images ``at`` (b,) that the ones before left standing."""
    best = Best(images)
    for run in range(runs):
        at = np.flatnonzero(~best.success)
        if len(at):
            found = attempt(run, at)
            best.offer(at, found.x, found.loss, found.success)
    return best.x, best.success
