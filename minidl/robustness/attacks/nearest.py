"""Attacks in search of the smallest perturbation (report, eq. (10)): what they return, and what is the same for all."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ...backend import Array, device_of, to_device
from .points import norms, put, take
from .victim import Victim, warn_of_zeros


class Smallest(NamedTuple):
    """The smallest perturbation of each of B images that an attack found.

    Attributes
    ----------
    adversarial : array (B, H, W, C)
        The moved images, in [0, 1], of the images' precision and on their device; an image as it was where the attack
        failed, or where it is wrong from the start.
    distance : NumPy array (B,)
        How far the image moved, in the norm that was asked for; 0 for images that are wrong from the start, infinity
        where the attack failed. The part of the distances that are above epsilon is the accuracy at epsilon.
    success : boolean NumPy array (B,)
    """

    adversarial: Array
    distance: np.ndarray
    success: np.ndarray


class Nearest:
    """For each image of a batch the nearest point so far that succeeds."""

    def __init__(self, images: Array, norm: str) -> None:
        self.images, self.norm, self.x = images, norm, images.copy()
        self.distance = np.full(len(images), np.inf)

    def offer(self, at: np.ndarray, x: Array, success: np.ndarray) -> np.ndarray:
        """Take the points of the images ``at`` (b,) that succeed and are nearer; returns how far they are (b,)."""
        distance = norms(x - take(self.images, at), self.norm)
        better = success & (distance < self.distance[at])
        put(self.x, at[better], take(x, better))
        self.distance[at[better]] = distance[better]
        return distance


def of_all(victim: Victim, norm: str, batch_size: int, search: Callable[[Nearest, np.ndarray], object]) -> Smallest:
    """Run a search on each batch, which is offered its finds, without the images that are wrong from the start."""
    adversarial = victim.images.copy()
    distance = np.full(len(adversarial), np.inf)
    for index, x in victim.batches(batch_size):
        fallen = victim.falls_for(x, index)
        distance[index[fallen]] = 0
        if not fallen.all():
            nearest = Nearest(take(x, ~fallen), norm)
            search(nearest, index[~fallen])
            distance[index[~fallen]] = nearest.distance
            put(adversarial, index[~fallen], to_device(nearest.x, device_of(adversarial)))
    cause = "No pixel changes their logits: look for activations that are saturated, or dead"
    warn_of_zeros(victim.name, victim.zero, cause, stacklevel=4)
    return Smallest(adversarial, distance, np.isfinite(distance))


def checked_norm(norm: str, name: str) -> str:
    """ "inf" or "2", as it is."""
    if norm not in ("inf", "2"):
        raise ValueError(f"{name}: unknown norm {norm!r}: choose 'inf', the largest change of a pixel, or '2'")
    return norm
