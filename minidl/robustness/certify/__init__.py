"""What no attack can break: bounds of margins over every image within epsilon, and what is proved by them."""

from .bounds import Bounds, interval_bounds, linear_bounds
from .certificate import Certificate, certified, certified_epsilon
from .two_sided import BrokenCertificateError, TwoSided

__all__ = [
    "Bounds",
    "BrokenCertificateError",
    "Certificate",
    "TwoSided",
    "certified",
    "certified_epsilon",
    "interval_bounds",
    "linear_bounds",
]
