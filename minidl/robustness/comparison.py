"""Two networks on the same images, and one number over several seeds: is a difference more than chance?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..checks import number, truths, vector


class McNemar(NamedTuple):
    """What ``mcnemar`` counted.

    Attributes
    ----------
    only_a, only_b : int
        Images on which a alone, or b alone, is right. Those on which both are right, or both wrong, say nothing about
        which is better.
    p_value : float
        How probable a split at least as uneven is where both are equally good.
    """

    only_a: int
    only_b: int
    p_value: float


def mcnemar(right_a: np.ndarray, right_b: np.ndarray) -> McNemar:
    """The exact test of McNemar: are two networks, seen on the same images, equally often right?

    Of the images that tell the networks apart, each would favour either with probability 1/2 if they were equally
    good; the p-value is two-sided and from the binomial distribution itself. It speaks of these two networks: that
    another seed would give the same, only other seeds can say.

    Parameters
    ----------
    right_a, right_b : boolean array (B,)

    Returns
    -------
    McNemar
        A named tuple ``only_a, only_b, p_value``.

    Raises
    ------
    TypeError, ValueError
        When the arrays are not boolean, or not of one shape (B,).

    References
    ----------
    McNemar, "Note on the sampling error of the difference between correlated proportions or percentages",
    Psychometrika 12 (1947).

    Examples
    --------
    >>> import numpy as np
    >>> from minidl import robustness
    >>> a = np.repeat([True, True, False], [50, 9, 2])
    >>> b = np.repeat([True, False, True], [50, 9, 2])
    >>> robustness.mcnemar(a, b)
    McNemar(only_a=9, only_b=2, p_value=0.0654296875)
    """
    right_a, right_b = truths("mcnemar", right_a=right_a, right_b=right_b)
    only_a, only_b = int((right_a & ~right_b).sum()), int((~right_a & right_b).sum())
    told = only_a + only_b
    tail = sum(math.comb(told, k) for k in range(min(only_a, only_b) + 1))  # whole numbers, exact at any size
    return McNemar(only_a, only_b, min(1.0, 2 * tail / 2**told))


@dataclass(frozen=True)
class SeedSummary:
    """One number for each of several seeds, summed up.

    Attributes
    ----------
    count : int
    mean : float
    deviation : float or None
        The standard deviation of the seeds, not of their mean; None for one seed.
    interval : (float, float) or None
        Of the mean; None for one seed, which says nothing about its spread.
    confidence : float
    """

    count: int
    mean: float
    deviation: float | None
    interval: tuple[float, float] | None
    confidence: float

    def __str__(self) -> str:
        if self.deviation is None or self.interval is None:
            return f"{self.mean:.4g} (one seed: no spread, no interval)"
        low, high = self.interval
        return (
            f"{self.mean:.4g} (standard deviation {self.deviation:.2g} over {self.count} seeds; "
            f"{100 * self.confidence:g} % interval of the mean {low:.4g} to {high:.4g})"
        )


def over_seeds(values: Sequence[float] | np.ndarray, confidence: float = 0.95) -> SeedSummary:
    """Mean, standard deviation and Student's interval of the mean, of one value a seed.

    The interval supposes that the seeds' values are about normal, and is wide for few seeds, as it should be: the
    half-width is 12.7 standard errors for two, 4.3 for three, 2.8 for five.

    Parameters
    ----------
    values : sequence of floats, one or more
    confidence : float in (0, 1)

    Returns
    -------
    SeedSummary
        With one seed its deviation and interval are None.

    Raises
    ------
    ValueError
        When there is no value, one is NaN or infinite, or the confidence is not within (0, 1).

    References
    ----------
    Student, "The probable error of a mean", Biometrika 6 (1908).

    Examples
    --------
    >>> from minidl import robustness
    >>> print(robustness.over_seeds([0.78, 0.80, 0.79]))
    0.79 (standard deviation 0.01 over 3 seeds; 95 % interval of the mean 0.7652 to 0.8148)
    >>> print(robustness.over_seeds([0.78]))
    0.78 (one seed: no spread, no interval)
    """
    values = vector(values, "values", "(-inf, inf)", "over_seeds")
    confidence = number(confidence, "confidence", "(0, 1)", "over_seeds")
    count, mean = len(values), float(values.mean())
    if count == 1:
        return SeedSummary(1, mean, None, None, confidence)
    deviation = float(values.std(ddof=1))
    half = student_half_width(deviation, count, confidence)
    return SeedSummary(count, mean, deviation, (mean - half, mean + half), confidence)


def student_half_width(deviation: float, count: int, confidence: float) -> float:
    """Half of Student's interval of a mean: ``count`` values whose standard deviation is ``deviation``.

    Examples
    --------
    >>> from minidl.robustness.comparison import student_half_width
    >>> round(student_half_width(0.01, 3, 0.95), 4)
    0.0248
    """
    return student_quantile(confidence, count - 1) * deviation / math.sqrt(count)


def student_quantile(confidence: float, freedom: int) -> float:
    """The t that Student's variable of ``freedom`` degrees of freedom exceeds in neither direction, at a confidence.

    The distribution of a whole number of degrees of freedom is a finite sum in the angle arctan(t / sqrt(freedom))
    (Abramowitz and Stegun, 26.7.3 and 26.7.4), which grows with it: 60 halvings of the angle find t.

    Examples
    --------
    >>> from minidl.robustness.comparison import student_quantile
    >>> round(student_quantile(0.95, 2), 4)
    4.3027
    """
    low, high = 0.0, math.pi / 2
    for _ in range(60):
        angle = (low + high) / 2
        low, high = (angle, high) if _within(angle, freedom) < confidence else (low, angle)
    return math.sqrt(freedom) * math.tan((low + high) / 2)


def _within(angle: float, freedom: int) -> float:
    """P(|t| < sqrt(freedom) tan(angle))."""
    odd, cos = freedom % 2, math.cos(angle)
    term = cos if odd else 1.0
    total = 0.0 if freedom == 1 else term
    for k in range(2 + odd, freedom, 2):  # each term from the one before it
        term *= (k - 1) / k * cos * cos
        total += term
    return 2 / math.pi * (angle + math.sin(angle) * total) if odd else math.sin(angle) * total
