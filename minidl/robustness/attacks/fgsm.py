"""The fast gradient sign method: delta = epsilon sign(grad_x L(x, y, theta)) (report, section 3).

From each image a ray goes in that direction, which takes a single backward pass however many points of it are tried:
the attack, the accuracy curve and the smallest epsilon all walk along it. A gradient so small that its precision has
lost the digits, and then the signs, leads nowhere; the victim notes of which images that is true.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from ...backend import Array, array_module, device_of, to_device
from ...images import checked_epsilons
from ...nn import Module
from .fixed import Attack
from .losses import chosen_loss
from .points import each, moved, take
from .victim import Victim, attacked

CAUSES = {
    "cross_entropy": "Logits far apart underflow the softmax: attack with loss='margin', in float64, or at a "
    "higher temperature",
    "margin": "No pixel changes their margin: look for activations that are saturated, or dead",
}


def fgsm(
    model: Module,
    images: Array,
    labels: Array,
    epsilons: float | Sequence[float] | np.ndarray,
    temperature: float = 1.0,
    loss: str = "cross_entropy",
    batch_size: int = 64,
    targets: Array | None = None,
) -> Attack:
    """Move every pixel by epsilon, up or down, whichever raises the loss; for all epsilons from one gradient.

    Where the loss is linear in the pixels this solves the report's eq. (11), for each M_k = epsilon.

    The model is attacked in evaluation mode, and every module is left in the mode it was in. Neither the images nor
    the gradients of the parameters are touched.

    Parameters
    ----------
    model : Module
        From images in [0, 1] to logits (B, classes); normalisation is its first layer. Images move to its device.
    images : array (B, H, W, C), float32 or float64 in [0, 1], or uint8 from 0 to 255
    labels : integer array (B,)
        The true classes, which the attack leads away from.
    epsilons : float or sequence of E floats in [0, 1]
        The largest change of a pixel: 8 grey levels are 8 / 255. At 0 the images stay as they are, bit for bit.
    temperature : float > 0
        T of the cross-entropy that the attacker climbs (report, section 4.3).
    loss : {"cross_entropy", "margin"}
        What the attacker climbs. The margin between the largest other logit and the true class's cannot saturate: it
        also moves the images of which the model is so sure that the gradient of the cross-entropy is lost.
    batch_size : int
        How many images to attack at a time: bounds the memory, not the result.
    targets : integer array (B,), optional
        Lead each image to this class, another than its label, instead of merely away from its label: the loss of the
        target is climbed down, and only an image that is taken for its target counts as a success.

    Returns
    -------
    Attack
        A named tuple ``adversarial (E, B, H, W, C), success (E, B), zero_gradient (B,), vanished_gradient (B,),
        epsilons (E,)``.

    Raises
    ------
    TypeError, ValueError
        When images are not real numbers in [0, 1], labels not classes, epsilon outside [0, 1], temperature not above
        0, the loss unknown, a temperature given for the margin, a target the label, or the model's logits not finite.

    Warns
    -----
    ZeroGradientWarning
        When the gradient of some images is exactly zero, with their count.

    Notes
    -----
    Success need not grow with epsilon: a larger step may overshoot, and an image that was wrong may even become
    right. ``success`` says what the model answers at each epsilon, no more; see ``smallest_epsilon`` for the first
    one that works.

    References
    ----------
    Goodfellow, Shlens and Szegedy, "Explaining and harnessing adversarial examples", ICLR 2015, arXiv:1412.6572.

    Examples
    --------
    >>> import numpy as np
    >>> from minidl import nn, robustness
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(2, 2))
    >>> model[1].weight.data[...] = [[1, -1], [-1, 1]]  # class 0 where the first pixel is brighter than the second
    >>> model[1].bias.data[...] = 0
    >>> image = np.array([0.75, 0.25], np.float32).reshape(1, 1, 2, 1)
    >>> attack = robustness.fgsm(model, image, np.array([0]), [0, 0.125, 0.5])
    >>> attack.adversarial.reshape(3, 2)
    array([[0.75 , 0.25 ],
           [0.625, 0.375],
           [0.25 , 0.75 ]], dtype=float32)
    >>> attack.success.ravel()
    array([False, False,  True])
    """
    with attacked("fgsm", model, images, labels, targets) as victim:
        sizes = checked_epsilons(epsilons, "fgsm")
        images = victim.images
        adversarial = array_module(images).empty((len(sizes), *images.shape), images.dtype)
        success = np.empty((len(sizes), len(images)), bool)
        for index, ray in rays(victim, loss, temperature, batch_size):
            success[:, index] = ray.succeed(sizes)
            for e, epsilon in enumerate(sizes):
                adversarial[e, index[0] : index[-1] + 1] = to_device(ray.at(epsilon), device_of(images))
        victim.warn_of_zeros(CAUSES[loss])
    return Attack(adversarial, success, victim.zero, victim.vanished, sizes)


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
            return moved(self.images, float(epsilon), self.direction)
        return moved(self.images, each(np.asarray(epsilon), self.images), self.direction)

    def succeed(self, epsilons: Sequence[float | np.ndarray] | np.ndarray) -> np.ndarray:
        """(E, B): whether the model takes each image, moved by each epsilon, for what the attacker wants."""
        further = [epsilon for epsilon in epsilons if np.ndim(epsilon) or epsilon != 0]
        found = iter(self.victim.along(self.images, self.direction, further, self.places) if further else ())
        return np.stack([next(found) if np.ndim(epsilon) or epsilon != 0 else self.fallen for epsilon in epsilons])

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
