"""Randomised smoothing: a certificate for any network, or rather for what it answers most often under noise."""

from __future__ import annotations

from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from ...backend import Array, device_of, to_device, to_numpy
from ...checks import number, whole_number, whole_numbers
from ...images import as_images
from ...nn import Module
from ...tensor import Tensor, no_grad
from ..attacks.victim import device_for, finite
from ..intervals import clopper_pearson_lower
from .program import check_model

ABSTAINS = -1


class SmoothedCertificate(NamedTuple):
    """What ``certify_smoothed`` found for B images.

    Attributes
    ----------
    classes : integer array (B,)
        What the smoothed network answers; -1 where it abstains.
    radius : array (B,)
        Within this Euclidean distance of the image the answer is the same; 0 where it abstains. For each image this is
        wrong with a probability of at most alpha, over the draws of the noise.
    probability : array (B,)
        Of the class under noise, at least, with confidence 1 - alpha.
    sigma : float
    """

    classes: np.ndarray
    radius: np.ndarray
    probability: np.ndarray
    sigma: float


def smooth(model: Module, sigma: float, draws: int = 100, seed: int = 0) -> Module:
    """The smoothed network: its class is the one that the model gives most often to an image with noise.

    Parameters
    ----------
    model : Module, in evaluation mode
        From images in [0, 1] to logits (B, K).
    sigma : float > 0
        Standard deviation of the noise on each pixel, which is added before normalisation.
    draws : int, at least 1
        How often each image is tried.
    seed : int, at least 0
        Of the noise, which is the same at each call and for each image: the answers are a fixed function of the images.

    Returns
    -------
    Module
        From images (B, H, W, C) to the part of the draws (B, K) that fell to each class. It has no gradient.

    Raises
    ------
    TypeError, ValueError
        When the model is in training mode, or sigma or draws are out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from minidl import nn, robustness
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(2, 2)).eval()
    >>> model[1].weight.data[...] = [[1, -1], [-1, 1]]  # class 0 where the first pixel is brighter than the second
    >>> model[1].bias.data[...] = 0
    >>> image = np.array([0.75, 0.25], np.float32).reshape(1, 1, 2, 1)
    >>> robustness.smooth(model, sigma=0.1)(image).data
    array([[1., 0.]], dtype=float32)
    """
    check_model(model, "smooth")
    sigma = number(sigma, "sigma", "(0, inf)", "smooth")
    return _Smoothed(model, sigma, whole_number(draws, "draws", 1, "smooth"), whole_number(seed, "seed", 0, "smooth"))


class _Smoothed(Module):
    """Votes of a model under noise."""

    def __init__(self, model: Module, sigma: float, draws: int, seed: int) -> None:
        self.model, self.sigma, self.draws, self.seed, self.training = model, sigma, draws, seed, False

    def forward(self, x: Tensor) -> Tensor:
        images = x.data if isinstance(x, Tensor) else x
        counts = [
            votes(self.model, image, self.sigma, self.draws, np.random.default_rng(self.seed), self.draws)
            for image in images
        ]
        parts = (np.stack(counts) / self.draws).astype(images.dtype)
        return Tensor(to_device(parts, device_of(images)))


def certify_smoothed(
    model: Module,
    images: Array,
    sigma: float,
    n0: int = 100,
    n: int = 10000,
    alpha: float = 0.001,
    seed: int = 0,
    batch_size: int = 1000,
) -> SmoothedCertificate:
    """Certify the smoothed network's class within a Euclidean radius (Cohen, Rosenfeld and Kolter 2019, theorem 1).

    n0 draws of the noise choose a class; n other draws bound its probability p from below (Clopper and Pearson). Where
    it is above one half, no image within sigma Phi^-1(p) has another class under the noise; else it abstains.

    Parameters
    ----------
    model, sigma
        As for ``smooth``. Any network will do; one trained with the same noise (``Loader(noise=sigma)``) does best.
    images : array (B, H, W, C), float32 or float64 in [0, 1], or uint8 from 0 to 255
    n0, n : int, at least 1
        The radius is at most sigma Phi^-1(alpha^(1/n)): 3.2 sigma for 10,000 draws at 0.001, 3.8 sigma for 100,000.
    alpha : float in (0, 1)
        The probability, over the draws, that an image's certificate is wrong.
    seed : int, at least 0
        Of the noise; image b has a stream of its own.
    batch_size : int
        How many noisy images the model is given at a time.

    Returns
    -------
    SmoothedCertificate

    Raises
    ------
    TypeError, ValueError
        When the model is in training mode, images are not in [0, 1], or a setting is out of its range.

    Notes
    -----
    What is certified is the *smoothed* network, which is another one and often less accurate. And the theorem is about
    real numbers: noise that is drawn, added and rounded in floating point is not quite Gaussian, so that the proof is
    not strictly one of the program (Voracek and Hein 2022, arXiv:2207.07209).

    References
    ----------
    Cohen, Rosenfeld and Kolter, "Certified adversarial robustness via randomized smoothing", ICML 2019,
    arXiv:1902.02918.

    Examples
    --------
    >>> import numpy as np
    >>> from minidl import nn, robustness
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(2, 2)).eval()
    >>> model[1].weight.data[...] = [[1, -1], [-1, 1]]  # class 0 where the first pixel is brighter than the second
    >>> model[1].bias.data[...] = 0
    >>> image = np.array([0.75, 0.25], np.float32).reshape(1, 1, 2, 1)  # the border is 0.354 away
    >>> found = robustness.certify_smoothed(model, image, sigma=0.25)
    >>> found.classes, found.radius.round(2)
    (array([0]), array([0.34]))
    """
    check_model(model, "certify_smoothed")
    images = np.ascontiguousarray(to_numpy(as_images(images, "certify_smoothed")))
    sigma = number(sigma, "sigma", "(0, inf)", "certify_smoothed")
    alpha = number(alpha, "alpha", "(0, 1)", "certify_smoothed")
    n0, n, batch_size = whole_numbers("certify_smoothed", 1, n0=n0, n=n, batch_size=batch_size)
    seed = whole_number(seed, "seed", 0, "certify_smoothed")
    classes, probability = np.empty(len(images), int), np.empty(len(images))
    for b, image in enumerate(images):
        noise = np.random.default_rng([seed, b])
        classes[b] = votes(model, image, sigma, n0, noise, batch_size).argmax()
        counts = votes(model, image, sigma, n, noise, batch_size)
        probability[b] = clopper_pearson_lower(int(counts[classes[b]]), n, alpha)
    sure = probability > 0.5
    radius = [sigma * NormalDist().inv_cdf(p) if known else 0.0 for p, known in zip(probability, sure, strict=True)]
    return SmoothedCertificate(np.where(sure, classes, ABSTAINS), np.array(radius), probability, sigma)


def votes(
    model: Module, image: Array, sigma: float, draws: int, noise: np.random.Generator, batch_size: int
) -> np.ndarray:
    """(K,): how often the model gives each class to an image (H, W, C) with noise."""
    device, pixels, counts = device_for(model, image), np.ascontiguousarray(to_numpy(image)), np.zeros(0, int)
    for start in range(0, draws, batch_size):
        size = (min(batch_size, draws - start), *pixels.shape)
        noisy = pixels + pixels.dtype.type(sigma) * noise.standard_normal(size, dtype=pixels.dtype)
        with no_grad():
            logits = to_numpy(finite(model(Tensor(to_device(noisy, device))).data, "smoothing: the model's logits"))
        if not counts.size:
            counts = np.zeros(logits.shape[1], int)
        counts += np.bincount(logits.argmax(axis=1), minlength=len(counts))
    return counts
