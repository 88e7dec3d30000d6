"""How far a measured proportion can be trusted: confidence intervals for one, and for the difference of two.

On 785 images the standard error of an accuracy is one to two points, which is more than lies between many curves.
"""

from __future__ import annotations

import functools
import math
from statistics import NormalDist
from typing import Any

import numpy as np

from ..backend import to_numpy
from ..checks import number, truths, whole_number


def wilson_interval(successes: Any, count: int, confidence: float = 0.95) -> np.ndarray:
    """The score interval of a proportion, which stays within [0, 1] and is right at 0 % and 100 % too.

    Parameters
    ----------
    successes : int, or integer array of any shape
    count : int
        Of trials, at least 1.
    confidence : float in (0, 1)

    Returns
    -------
    array (2, ...), after the 2 the shape of successes
        The lower ends and the upper ends.

    Raises
    ------
    TypeError, ValueError
        When successes are no whole numbers, or not within [0, count], or the confidence not within (0, 1).

    References
    ----------
    Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927).

    Examples
    --------
    >>> from minidl import robustness
    >>> robustness.wilson_interval(81, 263).round(4)
    array([0.2553, 0.3662])
    """
    successes, count = to_numpy(successes), whole_number(count, "count", 1, "wilson_interval")
    confidence = number(confidence, "confidence", "(0, 1)", "wilson_interval")
    if successes.dtype.kind not in "iu":
        raise TypeError(f"wilson_interval: successes must be whole numbers, and are {successes.dtype}")
    if not ((successes >= 0) & (successes <= count)).all():
        raise ValueError(f"wilson_interval: {successes} successes in {count} trials cannot be")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    p = successes.astype(np.float64) / count  # and count an int: small integer types would overflow
    centre = (p + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * np.sqrt(p * (1 - p) / count + z**2 / (4 * count**2))
    # rounding may put an end beside p where they should coincide, at 0 and at 1
    return np.stack([np.clip(centre - half, 0, p), np.clip(centre + half, p, 1)])


def paired_difference_interval(before: np.ndarray, after: np.ndarray, confidence: float = 0.95) -> np.ndarray:
    """The interval of mean(before) - mean(after), where both were seen on the same images.

    The two Wilson intervals are joined by squares, less what the correlation phi of the two answers explains: a
    difference on the same images is known better than one between two independent samples.

    Parameters
    ----------
    before, after : boolean array (count,)
    confidence : float in (0, 1)

    Returns
    -------
    array (2,)
        The lower and the upper end.

    Raises
    ------
    TypeError, ValueError
        When the arrays are not boolean, not of one shape (count,), or empty; when the confidence is not within (0, 1).

    References
    ----------
    Newcombe, "Improved confidence intervals for the difference between binomial proportions based on paired data",
    Statistics in Medicine 17 (1998), method 10.

    Examples
    --------
    >>> import numpy as np
    >>> from minidl import robustness
    >>> before = np.repeat([True, True, False], [14, 5, 22])
    >>> after = np.repeat([True, False, False], [14, 5, 22])
    >>> robustness.paired_difference_interval(before, after).round(3)
    array([0.011, 0.226])
    """
    before, after = truths("paired_difference_interval", before=before, after=after)
    count = whole_number(len(before), "the number of images", 1, "paired_difference_interval")
    confidence = number(confidence, "confidence", "(0, 1)", "paired_difference_interval")
    p, q = before.mean(), after.mean()
    p_low, p_high = wilson_interval(before.sum(), count, confidence)
    q_low, q_high = wilson_interval(after.sum(), count, confidence)
    phi = _correlation(before, after)

    def joined(a: float, b: float) -> float:
        return np.sqrt(max(0.0, a * a - 2 * phi * a * b + b * b))

    return np.array([p - q - joined(p - p_low, q_high - q), p - q + joined(p_high - p, q - q_low)])


@functools.lru_cache(maxsize=1024)
def clopper_pearson_lower(successes: int, count: int, alpha: float) -> float:
    """The exact lower confidence bound of a proportion: with probability 1 - alpha it is not above the true one.

    The p at which as many successes, or more, have probability alpha. Found by halving, and taken from below.

    Parameters
    ----------
    successes, count : int
    alpha : float in (0, 1)

    Returns
    -------
    float

    Raises
    ------
    ValueError
        When successes are not within [0, count], or alpha not within (0, 1).

    References
    ----------
    Clopper and Pearson, "The use of confidence or fiducial limits illustrated in the case of the binomial", Biometrika
    26 (1934).

    Examples
    --------
    >>> from minidl import robustness
    >>> round(robustness.clopper_pearson_lower(100, 100, 0.001), 4)  # 0.001 ** (1 / 100)
    0.9333
    """
    if not 0 < alpha < 1:
        raise ValueError(f"clopper_pearson_lower: alpha is {alpha}, and must lie between 0 and 1, such as 0.001")
    if count < 1 or not 0 <= successes <= count:
        raise ValueError(f"clopper_pearson_lower: {successes} successes in {count} trials cannot be")
    if successes == 0:
        return 0.0
    k = np.arange(successes, count + 1)
    log_factorial = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, count + 1)))])
    ways = log_factorial[count] - log_factorial[k] - log_factorial[count - k]
    low, high = 0.0, 1.0
    for _ in range(60):
        p = (low + high) / 2
        tail = np.exp(ways + k * math.log(p) + (count - k) * math.log1p(-p)).sum()
        low, high = (p, high) if tail <= alpha else (low, p)
    return max(0.0, low - 1e-9)  # what the sums may have lost


def _correlation(before: np.ndarray, after: np.ndarray) -> float:
    """Pearson's phi of two boolean arrays, brought towards 0 by Newcombe's continuity correction where positive."""
    both, neither = int((before & after).sum()), int((~before & ~after).sum())
    lost, gained = int((before & ~after).sum()), int((~before & after).sum())
    covariance = float(both * neither - lost * gained)
    if covariance > 0:
        covariance = max(0.0, covariance - len(before) / 2)
    margins = float(both + lost) * (gained + neither) * (both + gained) * (lost + neither)
    return covariance / np.sqrt(margins) if margins else 0.0
