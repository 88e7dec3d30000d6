"""The FGSM ray: from each image, along the sign of the loss's gradient by its pixels (report, section 3).

The fast gradient sign method, the accuracy curve and the smallest epsilon all walk along this one ray, whose
direction takes a single backward pass however many points of it are tried. A gradient so small that its precision
has lost the digits, and then the signs, leads nowhere; the ray says of which images that is true.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from .. import functional as F
from ..backend import Array, array_module, device_of, to_device, to_numpy
from ..backend.capacity import room_for
from ..backend.recording import Replayed
from ..checks import whole_number
from ..nn import Module
from ..tensor import Tensor, no_grad
from .checks import checked_loss


class ZeroGradientWarning(UserWarning):
    """The gradient of some images is exactly zero: FGSM cannot move them, and the model only looks robust."""


class Ray(NamedTuple):
    """A batch of images, and the direction in which FGSM moves each.

    Attributes
    ----------
    images : array (B, H, W, C), on the model's device
    direction : array of the same shape: the gradient's sign, -1, 0 or 1
    labels : integer array (B,), on the CPU
    wrong : boolean array (B,), on the CPU: which images the model misclassifies as they are
    zero_gradient : boolean array (B,), on the CPU: whose gradient is zero at every pixel
    vanished_gradient : boolean array (B,), on the CPU: whose gradient is at every pixel below the smallest normal
        number of its precision, zeros included
    """

    images: Array
    direction: Array
    labels: np.ndarray
    wrong: np.ndarray
    zero_gradient: np.ndarray
    vanished_gradient: np.ndarray

    def at(self, epsilon: float | np.ndarray) -> Array:
        """The images moved by epsilon, one number or one for each image, and clipped to [0, 1]."""
        if np.ndim(epsilon) == 0:
            if epsilon == 0:
                return self.images.copy()
            length: Any = float(epsilon)
        else:
            xp, dtype = array_module(self.images), self.images.dtype
            length = xp.asarray(np.asarray(epsilon)[:, None, None, None], dtype)  # (B, 1, 1, 1)
        return (self.images + length * self.direction).clip(0, 1)

    def misclassified(self, model: Module, epsilon: float | np.ndarray) -> np.ndarray:
        """(B,): whether the model takes each image, moved by epsilon, for another class than its label."""
        if np.ndim(epsilon) == 0 and epsilon == 0:
            return self.wrong
        with no_grad():
            return _predictions(model(Tensor(self.at(epsilon))).data) != self.labels

    def take(self, chosen: np.ndarray) -> Ray:
        """The ray of some of the images, chosen by index or by a boolean array (B,)."""
        there = array_module(self.images).asarray(chosen)
        return Ray(self.images[there], self.direction[there], *(known[chosen] for known in self[2:]))


def rays(
    model: Module, images: Array, labels: Any, temperature: float, loss: str, batch_size: int, name: str
) -> Iterator[tuple[slice, Ray]]:
    """(which images, their ray), batch by batch; warns at the end when gradients were exactly zero, with the count."""
    climbed = checked_loss(loss, temperature, name)
    batch_size = whole_number(batch_size, "batch_size", 1, name)
    device = next((parameter.device for parameter in model.parameters()), device_of(images))
    with no_grad():  # the model says how many classes there are
        classes = model(Tensor(to_device(images[:1], device))).shape[-1]
    labels = to_numpy(F.check_labels(labels, len(images), classes, name))

    def climb(pixels: Array, labels: Array) -> tuple[Array, Array]:
        x = Tensor(pixels, requires_grad=True)
        logits = model(x)
        # The sum, not the mean: an average over the batch would only push small gradients towards underflow.
        climbed(logits, labels, reduction="sum").backward(inputs=[x])
        return logits.data, x.grad

    def rehearse(part: slice, count: int) -> None:
        x, gradient_of = to_device(images[part][:count], device), Replayed(climb)
        for _ in range(3):
            gradient_of(x, labels[part][:count])

    motionless, gradient_of = 0, Replayed(climb)
    for start in range(0, len(images), batch_size):
        part = slice(start, start + batch_size)
        with room_for(name, len(images[part]), functools.partial(rehearse, part)):
            x = to_device(images[part], device)
            logits, gradient = gradient_of(x, labels[part])
        ray = _ray(x, gradient, labels[part], _predictions(logits) != labels[part])
        motionless += int(ray.zero_gradient.sum())
        yield part, ray
    if motionless:
        cause = {
            "cross_entropy": "Logits far apart underflow the softmax: attack with loss='margin', in float64, or at a "
            "higher temperature",
            "margin": "No pixel changes their margin: look for activations that are saturated, or dead",
        }
        warnings.warn(
            f"{name}: the gradient is exactly zero for {motionless} of {len(images)} images, which FGSM cannot move: "
            f"they say nothing about robustness. {cause[loss]}",
            ZeroGradientWarning,
            stacklevel=3,
        )


def _ray(images: Array, gradient: Array, labels: np.ndarray, wrong: np.ndarray) -> Ray:
    """The ray along the sign of a gradient by the images."""
    direction = array_module(gradient).sign(gradient).astype(images.dtype)
    _check_finite(direction, "the loss's gradient by the pixels")
    largest = to_numpy(abs(gradient).max(axis=(1, 2, 3)))
    return Ray(images, direction, labels, wrong, largest == 0, largest < np.finfo(largest.dtype).tiny)


def _predictions(logits: Array) -> np.ndarray:
    """(B,): the class of the largest logit, counted from 0 (report, eq. (8))."""
    _check_finite(logits, "the model's logits")
    return to_numpy(logits.argmax(axis=-1))


def _check_finite(values: Array, what: str) -> None:
    """NaN compares as not equal to any label: an attack on a broken model would seem to succeed."""
    if not bool(array_module(values).isfinite(values).all()):
        raise ValueError(
            f"attack: {what} are NaN or infinite: look at the model's weights, which training may have lost"
        )
