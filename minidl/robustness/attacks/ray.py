"""The FGSM ray: from each image, along the sign of the loss's gradient by its pixels (report, section 3).

The fast gradient sign method, the accuracy curve and the smallest epsilon all walk along this one ray, whose
direction takes a single backward pass however many points of it are tried. A gradient so small that its precision
has lost the digits, and then the signs, leads nowhere; the victim notes of which images that is true.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ...backend import Array, array_module
from .losses import chosen_loss
from .points import each, take
from .victim import Victim

CAUSES = {
    "cross_entropy": "Logits far apart underflow the softmax: attack with loss='margin', in float64, or at a "
    "higher temperature",
    "margin": "No pixel changes their margin: look for activations that are saturated, or dead",
}


class Ray(NamedTuple):
    """A batch of images, and the direction in which FGSM moves each.

    Attributes
    ----------
    victim : Victim
    places : integer array (B,), on the CPU: which of the victim's images these are
    images : array (B, H, W, C), on the model's device
    direction : array of the same shape: the gradient's sign, -1, 0 or 1
    fallen : boolean array (B,), on the CPU: which images are what the attacker wants as they are
    """

    victim: Victim
    places: np.ndarray
    images: Array
    direction: Array
    fallen: np.ndarray

    def at(self, epsilon: float | np.ndarray) -> Array:
        """The images moved by epsilon, one number or one for each image, and clipped to [0, 1]."""
        if np.ndim(epsilon) == 0:
            if epsilon == 0:
                return self.images.copy()
            return (self.images + float(epsilon) * self.direction).clip(0, 1)
        return (self.images + each(np.asarray(epsilon), self.images) * self.direction).clip(0, 1)

    def succeeds(self, epsilon: float | np.ndarray) -> np.ndarray:
        """(B,): whether the model takes each image, moved by epsilon, for what the attacker wants."""
        if np.ndim(epsilon) == 0 and epsilon == 0:
            return self.fallen
        return self.victim.falls_for(self.at(epsilon), self.places)

    def take(self, chosen: np.ndarray) -> Ray:
        """The ray of some of the images, chosen by index or by a boolean array (B,)."""
        images, direction = take(self.images, chosen), take(self.direction, chosen)
        return Ray(self.victim, self.places[chosen], images, direction, self.fallen[chosen])


def rays(victim: Victim, loss: str, temperature: float, batch_size: int) -> Iterator[tuple[np.ndarray, Ray]]:
    """(the index of the images, their ray), batch by batch."""
    slope = victim.slope(chosen_loss(loss, temperature, victim.name, victim.targets is not None))
    for index, x in victim.batches(batch_size):
        logits, _, gradient = slope(x, index)
        direction = array_module(gradient).sign(gradient).astype(x.dtype)
        yield index, Ray(victim, index, x, direction, victim.fooled(logits, index))
