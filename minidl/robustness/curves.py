"""Accuracy against epsilon, and the drop from epsilon 0: the report's figures 8 to 13, with how far to trust them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..backend import Array
from ..checks import number
from ..nn import Module, evaluation_mode
from .checks import checked_epsilons, checked_images
from .intervals import paired_difference_interval, wilson_interval
from .ray import rays


@dataclass(frozen=True, eq=False)
class AccuracyCurve:
    """What ``accuracy_curve`` measured at E epsilons on ``count`` images.

    Attributes
    ----------
    epsilons : array (E,), in pixel units on [0, 1]
    accuracy : array (E,)
        The part of all images that are still right.
    drop : array (E,)
        clean_accuracy - accuracy.
    accuracy_band, drop_band : array (2, E)
        Lower and upper ends of the confidence intervals: ``plt.fill_between(epsilons, *accuracy_band)``. Wilson's for
        the accuracy; for the drop Newcombe's, which knows that both accuracies are of the same images.
    clean_accuracy : float
        At epsilon 0, measured whether or not 0 is among the epsilons.
    zero_gradients : float
        The part of the images that FGSM cannot move: where it is not small, the curve flatters the model.
    vanished_gradients : float
        The part whose gradient is below the smallest normal number of its precision, zeros included: where it is much
        larger than ``zero_gradients``, signs are being lost too, and the curve flatters the model as well.
    right : boolean array (E, B)
        Image by image, whether the model is right at each epsilon; at epsilon 0, whether it is right without attack.
    zero_gradient, vanished_gradient : boolean array (B,)
        Which images ``zero_gradients`` and ``vanished_gradients`` count.
    count : int
    confidence : float
    """

    epsilons: np.ndarray
    accuracy: np.ndarray
    drop: np.ndarray
    accuracy_band: np.ndarray
    drop_band: np.ndarray
    clean_accuracy: float
    zero_gradients: float
    vanished_gradients: float
    right: np.ndarray
    zero_gradient: np.ndarray
    vanished_gradient: np.ndarray
    count: int
    confidence: float


def accuracy_curve(
    model: Module,
    images: Array,
    labels: Array,
    epsilons: float | Sequence[float] | np.ndarray,
    temperature: float = 1.0,
    loss: str = "cross_entropy",
    batch_size: int = 64,
    confidence: float = 0.95,
) -> AccuracyCurve:
    """Accuracy under FGSM at each epsilon, over all images: one that is wrong from the start is broken at epsilon 0.

    Parameters
    ----------
    model, images, labels, epsilons, temperature, loss, batch_size
        As for ``fgsm``. The adversarial images are not kept: memory grows with batch_size alone.
    confidence : float in (0, 1)
        Of the bands, at each epsilon by itself.

    Returns
    -------
    AccuracyCurve

    Raises
    ------
    TypeError, ValueError
        As ``fgsm``; when confidence is not within (0, 1).

    Warns
    -----
    ZeroGradientWarning
        When the gradient of some images is exactly zero, with their count.

    Examples
    --------
    >>> import numpy as np
    >>> from minidl import nn, robustness
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(2, 2))
    >>> model[1].weight.data[...] = [[1, -1], [-1, 1]]  # class 0 where the first pixel is brighter than the second
    >>> model[1].bias.data[...] = 0
    >>> images = np.array([[0.75, 0.25], [1, 0]], np.float32).reshape(2, 1, 2, 1)
    >>> curve = robustness.accuracy_curve(model, images, np.array([0, 0]), [0.125, 0.375, 0.625])
    >>> curve.accuracy, curve.drop
    (array([1. , 0.5, 0. ]), array([0. , 0.5, 1. ]))
    """
    images, sizes = checked_images(images, "accuracy_curve"), checked_epsilons(epsilons, "accuracy_curve")
    confidence, count = number(confidence, "confidence", "(0, 1)", "accuracy_curve"), len(images)
    clean, zero, vanished = (np.empty(count, bool) for _ in range(3))
    right = np.empty((len(sizes), count), bool)
    with evaluation_mode(model):
        for part, ray in rays(model, images, labels, temperature, loss, batch_size, "accuracy_curve"):
            clean[part] = ~ray.wrong
            zero[part], vanished[part] = ray.zero_gradient, ray.vanished_gradient
            for e, epsilon in enumerate(sizes):
                right[e, part] = ~ray.misclassified(model, epsilon)
    accuracy, clean_accuracy = right.mean(axis=1), float(clean.mean())
    return AccuracyCurve(
        epsilons=sizes,
        accuracy=accuracy,
        drop=clean_accuracy - accuracy,
        accuracy_band=wilson_interval(right.sum(axis=1), count, confidence),
        drop_band=_drop_band(sizes, clean, right, confidence),
        clean_accuracy=clean_accuracy,
        zero_gradients=float(zero.mean()),
        vanished_gradients=float(vanished.mean()),
        right=right,
        zero_gradient=zero,
        vanished_gradient=vanished,
        count=count,
        confidence=confidence,
    )


def _drop_band(epsilons: np.ndarray, clean: np.ndarray, right: np.ndarray, confidence: float) -> np.ndarray:
    """(2, E). At epsilon 0 the drop is zero by definition, and nothing about it is uncertain."""
    ends = [
        paired_difference_interval(clean, still, confidence) if epsilon > 0 else np.zeros(2)
        for epsilon, still in zip(epsilons, right, strict=True)
    ]
    return np.stack(ends, axis=1)
