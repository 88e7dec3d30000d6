"""AlexNet (Krizhevsky et al. 2012), in the single-tower form of Krizhevsky 2014 that torchvision has."""

from __future__ import annotations

import numpy as np

from ..checks import number, whole_numbers
from ..nn import AdaptiveAvgPool2d, Conv2d, Dropout, Flatten, Linear, MaxPool2d, Module, ReLU, Sequential
from ..tensor import Tensor
from .standard import standard_normalize, stream

SMALLEST = 63  # pixels: what the strides and poolings need


class AlexNet(Module):
    """Five convolutions and three fully-connected layers, as ``alexnet`` makes it.

    Parameters
    ----------
    num_classes, channels : int
    dropout : float in [0, 1]
    seed : int or None

    Examples
    --------
    >>> import minidl as md
    >>> len(list(md.models.AlexNet(num_classes=2).parameters()))
    16
    """

    def __init__(self, num_classes: int = 10, channels: int = 3, dropout: float = 0.5, seed: int | None = None) -> None:
        num_classes, channels = whole_numbers("AlexNet", 1, num_classes=num_classes, channels=channels)
        dropout = number(dropout, "dropout", "[0, 1]", "AlexNet")
        init, drop = stream("init", seed, "AlexNet"), stream("dropout", seed, "AlexNet")
        self.normalize = standard_normalize(channels)
        self.features = _features(channels, init)
        self.avgpool = AdaptiveAvgPool2d(6)
        self.flatten = Flatten(channels_first=True)  # the order of torchvision's first linear weights
        self.classifier = Sequential(
            Dropout(dropout, drop),
            Linear(256 * 6 * 6, 4096, rng=init),
            ReLU(),
            Dropout(dropout, drop),
            Linear(4096, 4096, rng=init),
            ReLU(),
            Linear(4096, num_classes, rng=init),
        )

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim == 4 and min(x.shape[1:3]) < SMALLEST:
            raise ValueError(f"AlexNet needs images of {SMALLEST} x {SMALLEST} pixels or more, and got shape {x.shape}")
        x = self.avgpool(self.features(self.normalize(x)))  # (B, 6, 6, 256)
        return self.classifier(self.flatten(x))


def _features(channels: int, rng: np.random.Generator | None) -> Sequential:
    """The convolutions, from (B, H, W, channels) to (B, H / 32, W / 32, 256)."""
    return Sequential(
        Conv2d(channels, 64, kernel_size=11, stride=4, padding=2, rng=rng),
        ReLU(),
        MaxPool2d(3, stride=2),
        Conv2d(64, 192, kernel_size=5, padding=2, rng=rng),
        ReLU(),
        MaxPool2d(3, stride=2),
        Conv2d(192, 384, kernel_size=3, padding=1, rng=rng),
        ReLU(),
        Conv2d(384, 256, kernel_size=3, padding=1, rng=rng),
        ReLU(),
        Conv2d(256, 256, kernel_size=3, padding=1, rng=rng),
        ReLU(),
        MaxPool2d(3, stride=2),
    )


def alexnet(num_classes: int = 10, channels: int = 3, dropout: float = 0.5, seed: int | None = None) -> AlexNet:
    """AlexNet, with torchvision's names and shapes in its ``state_dict``.

    Parameters
    ----------
    num_classes, channels : int
    dropout : float in [0, 1]
        Of the first two fully-connected layers.
    seed : int, optional
        Of the initial weights and of dropout; by default the streams that ``md.manual_seed`` resets draw both.

    Returns
    -------
    AlexNet
        From images (B, H, W, channels) in [0, 1], at least 63 x 63 pixels, to logits (B, num_classes).

    Examples
    --------
    >>> import numpy as np, minidl as md
    >>> md.models.alexnet().eval()(np.zeros((1, 63, 63, 3), np.float32)).shape
    (1, 10)
    """
    return AlexNet(num_classes, channels, dropout, seed)
