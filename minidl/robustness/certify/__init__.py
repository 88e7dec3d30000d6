"""What no attack can break: bounds of margins over every image within epsilon, and what is proved by them."""

from .bounds import Bounds, interval_bounds, linear_bounds
from .certificate import Certificate, certified, certified_epsilon
from .smoothing import SmoothedCertificate, certify_smoothed, smooth
from .two_sided import BrokenCertificateError, TwoSided

__all__ = [
    "Bounds",
    "BrokenCertificateError",
    "Certificate",
    "SmoothedCertificate",
    "TwoSided",
    "certified",
    "certified_epsilon",
    "certify_smoothed",
    "interval_bounds",
    "linear_bounds",
    "smooth",
]
