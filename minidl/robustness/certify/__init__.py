"""What no attack can break: bounds of margins over every image within epsilon, and what is proved by them."""

from .bounds import Bounds, interval_bounds, linear_bounds
from .certificate import Certificate, certified, certified_epsilon

__all__ = ["Bounds", "Certificate", "certified", "certified_epsilon", "interval_bounds", "linear_bounds"]
