"""Robustness from both sides: what is proved from below, what an attack leaves from above, and what lies between."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..attacks import Attack
from ..curves import AccuracyCurve
from ..intervals import paired_difference_interval, wilson_interval
from .certificate import Certificate


class BrokenCertificateError(RuntimeError):
    """An attack broke what was certified: one of the two is wrong, or they are not of the same network and images."""


@dataclass(frozen=True, eq=False)
class TwoSided:
    """The accuracy of a network under the strongest attack there is: between these two, for each of E epsilons.

    Temperature changes no argmax: a network has one certificate, whatever T its softmax is given. Where accuracy under
    an attack rises with T and the certificate does not, gradients were masked, and nothing became robust.

    Parameters
    ----------
    certificate : Certificate
        What ``certified`` proved, with norm "inf".
    attack : Attack, AccuracyCurve, or boolean array (E, B)
        On the same images at the same epsilons; an array says which images are still right. Several attacks count as
        one: which images all of them leave right.

    Attributes
    ----------
    epsilons : array (E,)
    certified, standing : boolean array (E, B)
        Which images are proved, and which the attack leaves right.
    lower, upper, undecided : array (E,)
        The part proved, the part that stands, and the difference: robust or not, nobody knows.
    lower_band, upper_band : array (2, E)
        Wilson's intervals of the two.
    count : int
    confidence : float

    Raises
    ------
    BrokenCertificateError
        When the attack changed the class of an image that is certified at its epsilon or above.
    ValueError
        When images or epsilons differ.

    Examples
    --------
    >>> import numpy as np
    >>> from minidl import nn, robustness
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(2, 2)).eval()
    >>> model[1].weight.data[...] = [[1, -1], [-1, 1]]  # class 0 where the first pixel is brighter than the second
    >>> model[1].bias.data[...] = 0
    >>> images, labels = np.array([[0.75, 0.25], [1, 0]], np.float32).reshape(2, 1, 2, 1), np.array([0, 0])
    >>> certificate = robustness.certified(model, images, labels, [0.125, 0.375])
    >>> both = robustness.TwoSided(certificate, robustness.fgsm(model, images, labels, [0.125, 0.375]))
    >>> both.lower, both.upper
    (array([1. , 0.5]), array([1. , 0.5]))
    """

    certificate: Certificate
    attack: Attack | AccuracyCurve | np.ndarray

    def __post_init__(self) -> None:
        attack, certificate = self.attack, self.certificate
        if isinstance(attack, Attack):
            standing, at = ~attack.success, attack.epsilons
        elif isinstance(attack, AccuracyCurve):
            standing, at = attack.right, attack.epsilons
        else:
            standing, at = np.asarray(attack), certificate.epsilons
        if standing.dtype != bool or standing.shape != certificate.verified.shape:
            raise ValueError(
                f"TwoSided: the certificate is of (E, B) = {certificate.verified.shape} epsilons and images, and the "
                f"attack of {standing.shape}, of {standing.dtype}: both must be of the same images, in the same order"
            )
        if not np.array_equal(at, certificate.epsilons):
            raise ValueError(f"TwoSided: certified at epsilons {certificate.epsilons}, and attacked at {at}")
        if certificate.norm != "inf":
            raise ValueError(f"TwoSided: the certificate is for norm {certificate.norm!r}, and attacks move by 'inf'")
        _check_nothing_broke(certificate, standing)
        object.__setattr__(self, "attack", standing)

    epsilons = property(lambda self: self.certificate.epsilons)
    certified = property(lambda self: self.certificate.verified)
    standing = property(lambda self: self.attack)
    lower = property(lambda self: self.certificate.part)
    upper = property(lambda self: self.attack.mean(axis=1))
    undecided = property(lambda self: self.upper - self.lower)
    lower_band = property(lambda self: self.certificate.part_band)
    upper_band = property(lambda self: wilson_interval(self.attack.sum(axis=1), self.count, self.confidence))
    count = property(lambda self: self.certificate.verified.shape[1])
    confidence = property(lambda self: self.certificate.confidence)

    def verdicts(self, other: TwoSided) -> tuple[str, ...]:
        """At each epsilon, what is known of "this network is more robust than the other".

        "proved on these images" where this one's certified part exceeds the other's attacked part, and the paired
        interval of the difference lies above 0; "refuted on these images" where it is the other way round; "undecided"
        otherwise.
        """
        if not np.array_equal(self.epsilons, other.epsilons) or self.count != other.count:
            raise ValueError("TwoSided.verdicts: both must be of the same images, in the same order, and epsilons")
        known = []
        for e in range(len(self.epsilons)):
            if _exceeds(self.certified[e], other.standing[e], self.confidence):
                known.append("proved on these images")
            elif _exceeds(other.certified[e], self.standing[e], self.confidence):
                known.append("refuted on these images")
            else:
                known.append("undecided")
        return tuple(known)


def _check_nothing_broke(certificate: Certificate, standing: np.ndarray) -> None:
    """What is proved at an epsilon holds at each smaller one, in whatever order they come."""
    proved = np.where(certificate.verified, certificate.epsilons[:, None], -1).max(axis=0)  # (B,)
    broken = ~standing & (certificate.epsilons[:, None] <= proved)
    if broken.any():
        e, b = np.argwhere(broken)[0]
        raise BrokenCertificateError(
            f"an attack broke what was certified: image {b} at epsilon {certificate.epsilons[e]:g}, and it is proved "
            f"up to {proved[b]:g} ({int(broken.sum())} such in all). Are both of the same network, images and labels? "
            "If so, a bound is wrong, and no certificate of this network counts"
        )


def _exceeds(certified: np.ndarray, standing: np.ndarray, confidence: float) -> bool:
    """Whether what is proved of one network is more than what stands of another, beyond the draw of the images."""
    low, _ = paired_difference_interval(certified, standing, confidence)
    return bool(certified.mean() > standing.mean() and low > 0)
