"""What is proved: which images no attack within epsilon can change the class of, and up to which epsilon."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...backend import Array
from ...checks import number, whole_number
from ...images import checked_epsilons
from ...nn import Module
from ..intervals import wilson_interval
from .bounds import Question
from .slopes import improved
from .way import Way


@dataclass(frozen=True, eq=False)
class Certificate:
    """What ``certified`` proved at E epsilons of B images.

    Attributes
    ----------
    epsilons : array (E,)
    verified : boolean array (E, B)
        Whether every image within epsilon of this one is taken for the label's class. False says nothing: the proof
        failed, and the image may be robust or not.
    part : array (E,)
        The part of all images that is verified; those that are wrong from the start are not.
    part_band : array (2, E)
        Wilson's interval of the part, for the images that these ones were drawn from.
    norm : "inf" or "2"
    confidence : float
    """

    epsilons: np.ndarray
    verified: np.ndarray
    part: np.ndarray
    part_band: np.ndarray
    norm: str
    confidence: float


def certified(
    model: Module,
    images: Array,
    labels: Array,
    epsilons: float | Sequence[float] | np.ndarray,
    norm: str = "inf",
    steps: int = 0,
    arithmetic: str = "exact",
    batch_size: int = 64,
    confidence: float = 0.95,
) -> Certificate:
    """Prove, image by image, that nothing within epsilon is taken for another class than the label.

    Parameters
    ----------
    model, images, norm, steps, arithmetic, batch_size
        As for ``linear_bounds``; the steps are taken where the plain bounds prove nothing.
    labels : integer array (B,)
        The true classes.
    epsilons : float or sequence of E floats in [0, 1]
        In any order.
    confidence : float in (0, 1)
        Of the band.

    Returns
    -------
    Certificate

    Raises
    ------
    TypeError, ValueError, NotImplementedError
        As ``linear_bounds``; when the confidence is not within (0, 1).

    Notes
    -----
    What is proved at an epsilon holds at each smaller one. So the epsilons of an image are searched by halving, with
    its own class at epsilon 0 first, and it need not be asked at all of them.

    Examples
    --------
    >>> import numpy as np
    >>> from minidl import nn, robustness
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(2, 2)).eval()
    >>> model[1].weight.data[...] = [[1, -1], [-1, 1]]  # class 0 where the first pixel is brighter than the second
    >>> model[1].bias.data[...] = 0
    >>> images = np.array([[0.75, 0.25], [1, 0]], np.float32).reshape(2, 1, 2, 1)
    >>> certificate = robustness.certified(model, images, np.array([0, 0]), [0.125, 0.375, 0.625])
    >>> certificate.part
    array([1. , 0.5, 0. ])
    """
    question = Question("certified", model, images, labels, norm, arithmetic)
    given = checked_epsilons(epsilons, "certified")
    confidence = number(confidence, "confidence", "(0, 1)", "certified")
    steps = whole_number(steps, "steps", 0, "certified")
    sizes = np.unique(given)
    known = np.zeros(question.count, int)  # how many of the sizes, from the smallest, are proved
    open_to = np.where(question.answers == question.labels, len(sizes), 0)
    while (asked := np.flatnonzero(known < open_to)).size:
        middle = (known[asked] + open_to[asked] - 1) // 2
        proved = _proved(question, asked, sizes[middle], steps, batch_size)
        known[asked] = np.where(proved, middle + 1, known[asked])
        open_to[asked] = np.where(proved, open_to[asked], middle)
    verified = np.searchsorted(sizes, given)[:, None] < known  # (E, B)
    band = wilson_interval(verified.sum(axis=1), question.count, confidence)
    return Certificate(given, verified, verified.mean(axis=1), band, norm, confidence)


def certified_epsilon(
    model: Module,
    images: Array,
    labels: Array,
    max_epsilon: float = 64 / 255,
    tolerance: float = 0.05 / 255,
    norm: str = "inf",
    steps: int = 0,
    arithmetic: str = "exact",
    batch_size: int = 64,
) -> np.ndarray:
    """Up to which epsilon each image is certified, by halving: a lower bound of the report's eq. (10).

    Parameters
    ----------
    model, images, labels, norm, steps, arithmetic, batch_size
        As for ``certified``.
    max_epsilon : float in (0, 1]
        Nothing beyond it is tried.
    tolerance : float > 0
        How much more might be proved than is found.

    Returns
    -------
    NumPy array (B,)
        Within this epsilon no image is taken for another class: it is proved. 0 where nothing is, and for images that
        are wrong from the start.

    Raises
    ------
    TypeError, ValueError, NotImplementedError
        As ``certified``; when max_epsilon is outside (0, 1], or tolerance not above 0.

    Examples
    --------
    >>> import numpy as np
    >>> from minidl import nn, robustness
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(2, 2)).eval()
    >>> model[1].weight.data[...] = [[1, -1], [-1, 1]]  # class 0 where the first pixel is brighter than the second
    >>> model[1].bias.data[...] = 0
    >>> images = np.array([[0.75, 0.25], [0.6, 0.7], [1, 0]], np.float32).reshape(3, 1, 2, 1)
    >>> robustness.certified_epsilon(model, images, np.array([0, 0, 0]), max_epsilon=0.4).round(2)
    array([0.25, 0.  , 0.4 ])
    """
    question = Question("certified_epsilon", model, images, labels, norm, arithmetic)
    steps = whole_number(steps, "steps", 0, "certified_epsilon")
    max_epsilon = number(max_epsilon, "max_epsilon", "(0, 1]", "certified_epsilon")
    tolerance = number(tolerance, "tolerance", "(0, inf)", "certified_epsilon")
    low, high = np.zeros(question.count), np.where(question.answers == question.labels, max_epsilon, 0.0)
    middle = high.copy()  # first of all the largest
    while (asked := np.flatnonzero(high - low > tolerance)).size:
        proved = _proved(question, asked, middle[asked], steps, batch_size)
        low[asked] = np.where(proved, middle[asked], low[asked])
        high[asked] = np.where(proved, high[asked], middle[asked])
        middle = (low + high) / 2
    return low


def _proved(question: Question, asked: np.ndarray, sizes: np.ndarray, steps: int, batch_size: int) -> np.ndarray:
    """(A,): whether the margins of these images, each at its own epsilon, are all above 0."""
    proved = np.empty(len(asked), bool)
    for a, i, enclosure in question.enclosures(sizes, asked, batch_size):
        rows = question.margins(question.labels[asked[a]])
        proved[a] = (Way(enclosure, i).least(rows) > 0).all()
        if steps and not proved[a]:
            proved[a] = (improved(enclosure, rows, i, steps) > 0).all()
    return proved
