"""Attacks and certificates, and what measures by them; epsilons are in units of pixels in [0, 1], labels are (B,)."""

from ..spectral import spectral_norm
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
    SmoothedCertificate,
    TwoSided,
    certified,
    certified_epsilon,
    certify_smoothed,
    interval_bounds,
    linear_bounds,
    smooth,
)
from .comparison import McNemar, SeedSummary, mcnemar, over_seeds
from .curves import AccuracyCurve, accuracy_curve
from .doctor import Diagnosis, diagnose
from .intervals import clopper_pearson_lower, paired_difference_interval, wilson_interval
from .lipschitz import LayerBound, LipschitzBound, lipschitz_bound
from .smallest import smallest_epsilon
from .spectrum import LayerSpectrum, Spectrum, spectrum
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
    "LayerSpectrum",
    "LipschitzBound",
    "McNemar",
    "SeedSummary",
    "Smallest",
    "SmoothedCertificate",
    "Spectrum",
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
    "certify_smoothed",
    "clopper_pearson_lower",
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
    "smooth",
    "spectral_norm",
    "spectrum",
    "square",
    "transfer",
    "wilson_interval",
]
