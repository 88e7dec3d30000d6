"""Accuracy against epsilon, and the drop from epsilon 0: the report's figures 8 to 13, with how far to trust them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ..backend import Array
from ..checks import number
from ..images import as_images, checked_epsilons
from ..nn import Module
from .attacks import Attack, WorstCase, ZeroGradientWarning, fgsm
from .attacks.fgsm import CAUSES, rays
from .attacks.victim import attacked, warn_of_zeros
from .intervals import paired_difference_interval, wilson_interval


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
        The part of the images that the attack cannot move: where it is not small, the curve flatters the model.
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
    attack: Callable[..., Attack | WorstCase] | None = None,
) -> AccuracyCurve:
    """Accuracy under attack at each epsilon, over all images: one that is wrong from the start is broken at epsilon 0.

    Parameters
    ----------
    model, images, labels, epsilons, temperature, loss, batch_size
        As for ``fgsm``. The adversarial images are not kept: memory grows with batch_size alone.
    confidence : float in (0, 1)
        Of the bands, at each epsilon by itself.
    attack : callable, optional
        FGSM by default; or ``pgd``, ``apgd``, ``square`` or ``auto_attack``, or one of these with settings:
        ``partial(pgd, steps=40, stop_early=True)``. It is asked, from the smallest epsilon up, only about images that
        stand.

    Returns
    -------
    AccuracyCurve

    Raises
    ------
    TypeError, ValueError
        As the attack; when confidence is not within (0, 1), or a loss or temperature is given that the attack does
        not know.

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
    images, sizes = as_images(images, "accuracy_curve"), checked_epsilons(epsilons, "accuracy_curve")
    confidence, count = number(confidence, "confidence", "(0, 1)", "accuracy_curve"), len(images)
    temperature = number(temperature, "temperature", "(0, inf)", "accuracy_curve")
    climbed: dict[str, Any] = {"temperature": temperature} if temperature != 1 else {}
    climbed |= {"loss": loss} if loss != "cross_entropy" else {}
    if attack is not None and not callable(attack):
        raise TypeError(f"accuracy_curve: attack is {attack!r}, and must be a function, such as robustness.pgd")
    chosen = partial(fgsm if attack is None else attack, **climbed)  # of a partial, one with the settings of both
    if "targets" in chosen.keywords:
        raise ValueError(
            "accuracy_curve: the attack has targets, and an image that is led elsewhere would count as right: leave "
            "them out, or take the part that reaches them from the attack itself"
        )
    by = _on_the_ray if chosen.func is fgsm and not chosen.args else _under
    clean, right, zero, vanished = by(chosen, model, images, labels, sizes, batch_size)
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


Measured = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # clean (B,), right (E, B), zero, vanished (B,)


def _on_the_ray(
    attack: partial[Any], model: Module, images: Array, labels: Any, sizes: np.ndarray, batch_size: int
) -> Measured:
    """FGSM, of whose images only the answers are kept."""
    loss, temperature = attack.keywords.get("loss", "cross_entropy"), attack.keywords.get("temperature", 1.0)
    clean, right = np.empty(len(images), bool), np.empty((len(sizes), len(images)), bool)
    with attacked("accuracy_curve", model, images, labels) as victim:
        for index, ray in rays(victim, loss, temperature, batch_size):
            clean[index] = ~ray.fallen
            right[:, index] = ~ray.succeed(sizes)
        warn_of_zeros("accuracy_curve", victim.zero, CAUSES[loss], stacklevel=4)
    return clean, right, victim.zero, victim.vanished


def _under(
    attack: partial[Any], model: Module, images: Array, labels: Any, sizes: np.ndarray, batch_size: int
) -> Measured:
    """Another attack, at each epsilon on the images that the smaller ones left standing."""
    with attacked("accuracy_curve", model, images, labels) as victim:
        clean = np.concatenate([~victim.falls_for(x, index) for index, x in victim.batches(batch_size)])
    right = np.broadcast_to(clean, (len(sizes), len(images))).copy()
    standing, zero, vanished = clean.copy(), np.zeros(len(images), bool), np.zeros(len(images), bool)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ZeroGradientWarning)  # for each batch anew: all of them are told of once
        for e in np.argsort(sizes, kind="stable"):
            for index, x in victim.batches(batch_size, among=np.flatnonzero(standing & (sizes[e] > 0))):
                found = attack(model, x, victim.labels[index], float(sizes[e]), batch_size=batch_size)
                standing[index] = ~np.atleast_2d(found.success)[0]
                zero[index] |= found.zero_gradient
                vanished[index] |= found.vanished_gradient
            right[e] = standing
    warn_of_zeros("accuracy_curve", zero, "Ask robustness.diagnose why", stacklevel=4)
    return clean, right, zero, vanished


def _drop_band(epsilons: np.ndarray, clean: np.ndarray, right: np.ndarray, confidence: float) -> np.ndarray:
    """(2, E). At epsilon 0 the drop is zero by definition, and nothing about it is uncertain."""
    ends = [
        paired_difference_interval(clean, still, confidence) if epsilon > 0 else np.zeros(2)
        for epsilon, still in zip(epsilons, right, strict=True)
    ]
    return np.stack(ends, axis=1)
