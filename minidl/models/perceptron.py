"""FC5: the report's perceptron of five fully-connected layers."""

from __future__ import annotations

import itertools
import math

from ..checks import pair, whole_numbers
from ..kernels.shapes import Pair
from ..nn import Flatten, Linear, ReLU, Sequential
from .standard import standard_normalize, stream

HIDDEN = (1344, 672, 588, 294)


def fc5(num_classes: int = 10, image_size: int | Pair = 64, channels: int = 3, seed: int | None = None) -> Sequential:
    """Five fully-connected layers of 1344, 672, 588, 294 and ``num_classes`` neurons (report, section 4, eq. (1)).

    Parameters
    ----------
    num_classes : int
    image_size : int or (H, W) pair, in pixels
        A perceptron takes images of one size only.
    channels : int
    seed : int, optional
        Of the initial weights; by default the "init" stream that ``md.manual_seed`` resets draws them.

    Returns
    -------
    Sequential
        From images (B, H, W, channels) in [0, 1] to logits (B, num_classes).

    Examples
    --------
    >>> import numpy as np, minidl as md
    >>> md.models.fc5(image_size=8, channels=1)(np.zeros((2, 8, 8, 1), np.float32)).shape
    (2, 10)
    """
    num_classes, channels = whole_numbers("fc5", 1, num_classes=num_classes, channels=channels)
    rng = stream("init", seed, "fc5")
    sizes = (channels * math.prod(pair(image_size, "image_size", 1, "fc5")), *HIDDEN, num_classes)
    layers = {"normalize": standard_normalize(channels), "flatten": Flatten()}
    for i, (before, after) in enumerate(itertools.pairwise(sizes), start=1):
        layers[f"fc{i}"] = Linear(before, after, rng=rng)
        if i <= len(HIDDEN):
            layers[f"relu{i}"] = ReLU()
    return Sequential(**layers)
