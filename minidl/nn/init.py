"""Where training starts: random weights whose scale keeps signals and gradients alive through many layers."""

from __future__ import annotations

import math

import numpy as np


def uniform_fan_in(rng: np.random.Generator, shape: tuple[int, ...], fan_in: int) -> np.ndarray:
    """Uniform in +-1 / sqrt(fan_in): PyTorch's default for weights and biases."""
    bound = 1 / math.sqrt(fan_in) if fan_in else 0.0
    return rng.uniform(-bound, bound, shape).astype(np.float32)


def he_normal(rng: np.random.Generator, shape: tuple[int, ...], fan: int) -> np.ndarray:
    """Normal with standard deviation sqrt(2 / fan) (He et al. 2015): ReLU halves the variance, 2 makes up for it."""
    return (rng.standard_normal(shape) * math.sqrt(2 / fan)).astype(np.float32)
