"""What the three models share."""

from __future__ import annotations

import numpy as np

from ..backend import streams
from ..nn import Normalize

IMAGENET_MEAN = (0.485, 0.456, 0.406)  # of red, green and blue over ImageNet's training images in [0, 1]
IMAGENET_STD = (0.229, 0.224, 0.225)


def standard_normalize(channels: int) -> Normalize:
    """ImageNet's mean and deviation for colour images, 0.5 and 0.25 otherwise."""
    return Normalize(IMAGENET_MEAN, IMAGENET_STD) if channels == 3 else Normalize(0.5, 0.25)


def stream(name: str, seed: int | None, model: str) -> np.random.Generator | None:
    """The random stream of that name from a seed of the model's own; None lets the layers use the default streams."""
    return None if seed is None else streams(seed, model)[name]
