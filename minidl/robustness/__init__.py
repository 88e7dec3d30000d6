"""Attacks with FGSM and what measures with them; epsilons are in units of pixels in [0, 1], labels integers (B,)."""

from ..nn.spectral import spectral_norm
from .comparison import McNemar, SeedSummary, mcnemar, over_seeds
from .curves import AccuracyCurve, accuracy_curve
from .fgsm import Attack, fgsm
from .intervals import paired_difference_interval, wilson_interval
from .lipschitz import LayerBound, LipschitzBound, lipschitz_bound
from .ray import ZeroGradientWarning
from .smallest import smallest_epsilon

__all__ = [
    "AccuracyCurve",
    "Attack",
    "LayerBound",
    "LipschitzBound",
    "McNemar",
    "SeedSummary",
    "ZeroGradientWarning",
    "accuracy_curve",
    "fgsm",
    "lipschitz_bound",
    "mcnemar",
    "over_seeds",
    "paired_difference_interval",
    "smallest_epsilon",
    "spectral_norm",
    "wilson_interval",
]
