"""What the three models share."""

from __future__ import annotations

from ..nn import Normalize

IMAGENET_MEAN = (0.485, 0.456, 0.406)  # of red, green and blue over ImageNet's training images in [0, 1]
IMAGENET_STD = (0.229, 0.224, 0.225)


def standard_normalize(channels: int) -> Normalize:
    """ImageNet's mean and deviation for colour images, 0.5 and 0.25 otherwise."""
    return Normalize(IMAGENET_MEAN, IMAGENET_STD) if channels == 3 else Normalize(0.5, 0.25)
