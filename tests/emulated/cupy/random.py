"""``cupy.random``: only ``default_rng``."""

from .functions import Generator


def default_rng(seed=None):
    return Generator(seed)
