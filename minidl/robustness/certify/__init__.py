"""What no attack can break: bounds of margins over every image within epsilon, and what is proved by them."""

from .bounds import Bounds, interval_bounds, linear_bounds

__all__ = ["Bounds", "interval_bounds", "linear_bounds"]
