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
    jsma,
    pgd,
    square,
)
from .callables import Callables, as_callable
from .certify import (
    Bounds,
    BrokenCertificateError,
    Certificate,
    TwoSided,
    certified,
    certified_epsilon,
    interval_bounds,
    linear_bounds,
)
from .comparison import McNemar, SeedSummary, mcnemar, over_seeds
from .curves import AccuracyCurve, accuracy_curve
from .doctor import Diagnosis, diagnose
from .intervals import paired_difference_interval, wilson_interval
from .lipschitz import LayerBound, LipschitzBound, lipschitz_bound
from .smallest import smallest_epsilon
from .transfer import TransferMatrix, transfer

__all__ = [
    "AccuracyCurve",
    "Attack",
    "Bounds",
    "BrokenCertificateError",
    "Callables",
    "Certificate",
    "Diagnosis",
    "Flag",
    "LayerBound",
    "LipschitzBound",
    "McNemar",
    "SeedSummary",
    "Smallest",
    "TransferMatrix",
    "TwoSided",
    "WorstCase",
    "ZeroGradientWarning",
    "accuracy_curve",
    "apgd",
    "as_callable",
    "auto_attack",
    "certified",
    "certified_epsilon",
    "deepfool",
    "diagnose",
    "fab",
    "fgsm",
    "fmn",
    "interval_bounds",
    "jsma",
    "linear_bounds",
    "lipschitz_bound",
    "mcnemar",
    "over_seeds",
    "paired_difference_interval",
    "pgd",
    "smallest_epsilon",
    "spectral_norm",
    "square",
    "transfer",
    "wilson_interval",
]
