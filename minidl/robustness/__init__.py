"""Attacks with FGSM and what measures with them; epsilons are in units of pixels in [0, 1], labels integers (B,)."""

from ..nn.spectral import spectral_norm
from .attacks import (
    Attack,
    Flag,
    Smallest,
    WorstCase,
    ZeroGradientWarning,
    apgd,
    auto_attack,
    deepfool,
    fab,
    fgsm,
    fmn,
    pgd,
    square,
)
from .comparison import McNemar, SeedSummary, mcnemar, over_seeds
from .curves import AccuracyCurve, accuracy_curve
from .doctor import Diagnosis, diagnose
from .intervals import paired_difference_interval, wilson_interval
from .lipschitz import LayerBound, LipschitzBound, lipschitz_bound
from .smallest import smallest_epsilon

__all__ = [
    "AccuracyCurve",
    "Attack",
    "Diagnosis",
    "Flag",
    "LayerBound",
    "LipschitzBound",
    "McNemar",
    "SeedSummary",
    "Smallest",
    "WorstCase",
    "ZeroGradientWarning",
    "accuracy_curve",
    "apgd",
    "auto_attack",
    "deepfool",
    "diagnose",
    "fab",
    "fgsm",
    "fmn",
    "lipschitz_bound",
    "mcnemar",
    "over_seeds",
    "paired_difference_interval",
    "pgd",
    "smallest_epsilon",
    "spectral_norm",
    "square",
    "wilson_interval",
]
