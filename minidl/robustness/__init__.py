"""Attacks with FGSM and what measures with them; epsilons are in units of pixels in [0, 1], labels integers (B,)."""

from .curves import AccuracyCurve, accuracy_curve
from .fgsm import Attack, fgsm
from .intervals import paired_difference_interval, wilson_interval
from .ray import ZeroGradientWarning
from .smallest import smallest_epsilon

__all__ = [
    "AccuracyCurve",
    "Attack",
    "ZeroGradientWarning",
    "accuracy_curve",
    "fgsm",
    "paired_difference_interval",
    "smallest_epsilon",
    "wilson_interval",
]
