"""The FGSM ray: from each image, along the sign of the loss's gradient by its pixels (report, section 3).

The fast gradient sign method, the accuracy curve and the smallest epsilon all walk along this one ray, whose
direction takes a single backward pass however many points of it are tried.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from .. import functional as F
from ..backend import Array, array_module, device_of, to_device, to_numpy
from ..functional.shape_errors import whole_number
from ..nn import Module
from ..tensor import Tensor, no_grad


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
    """

    images: Array
    direction: Array
    labels: np.ndarray
    wrong: np.ndarray

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
            return _predictions(model(Tensor(self.at(epsilon)))) != self.labels

    def take(self, chosen: np.ndarray) -> Ray:
        """The ray of some of the images, chosen by index or by a boolean array (B,)."""
        there = array_module(self.images).asarray(chosen)
        return Ray(self.images[there], self.direction[there], self.labels[chosen], self.wrong[chosen])


def rays(
    model: Module, images: Array, labels: Any, temperature: float, batch_size: int, name: str
) -> Iterator[tuple[slice, Ray]]:
    """(which images, their ray), batch by batch; warns at the end when gradients were exactly zero, with the count."""
    batch_size = whole_number(batch_size, "batch_size", 1, name)
    device = next((parameter.device for parameter in model.parameters()), device_of(images))
    motionless = 0
    for start in range(0, len(images), batch_size):
        part = slice(start, start + batch_size)
        x = Tensor(to_device(images[part], device), requires_grad=True)
        logits = model(x)
        if start == 0:  # the model says how many classes there are
            labels = to_numpy(F.check_labels(labels, len(images), logits.shape[-1], name))
        wrong = _predictions(logits) != labels[part]
        # The sum, not the mean: an average over the batch would only push small gradients towards underflow.
        F.cross_entropy(logits, labels[part], temperature, reduction="sum").backward(inputs=[x])
        direction = array_module(x.grad).sign(x.grad).astype(x.dtype)
        _check_finite(direction, "the loss's gradient by the pixels")
        ray = Ray(x.data, direction, labels[part], wrong)
        motionless += int(zero_gradient(ray).sum())
        yield part, ray
    if motionless:
        warnings.warn(
            f"{name}: the gradient is exactly zero for {motionless} of {len(images)} images, which FGSM cannot move: "
            "they say nothing about robustness. Logits far apart underflow the softmax: attack in float64, or at a "
            "higher temperature",
            ZeroGradientWarning,
            stacklevel=3,
        )


def zero_gradient(ray: Ray) -> np.ndarray:
    """(B,): whether the gradient by the image is zero at every pixel."""
    return to_numpy((ray.direction == 0).all(axis=(1, 2, 3)))


def _predictions(logits: Tensor) -> np.ndarray:
    """(B,): the class of the largest logit, counted from 0 (report, eq. 8)."""
    _check_finite(logits.data, "the model's logits")
    return to_numpy(logits.data.argmax(axis=-1))


def _check_finite(values: Array, what: str) -> None:
    """NaN compares as not equal to any label: an attack on a broken model would seem to succeed."""
    if not bool(array_module(values).isfinite(values).all()):
        raise ValueError(
            f"attack: {what} are NaN or infinite: look at the model's weights, which training may have lost"
        )
