"""The Square Attack: squares of colour at random places, kept where the margin falls (Andriushchenko et al. 2020)."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from ... import functional as F
from ...backend import Array, array_module
from ...checks import whole_number
from ...nn import Module
from .fixed import Attack, Found, at_each_epsilon
from .points import Best, box, standing, take
from .victim import Victim, attacked

PART = 0.8  # of the image that the first squares cover
HALVED_AT = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)  # queries
AHEAD = 500  # queries whose random numbers are drawn at a time


def square(
    model: Module,
    images: Array,
    labels: Array,
    epsilons: float | Sequence[float] | np.ndarray,
    queries: int = 5000,
    seed: int = 0,
    batch_size: int = 64,
) -> Attack:
    """Search at random, with no gradient at all: where this breaks what gradients do not, the gradients are masked.

    It begins with vertical stripes of plus and minus epsilon, one pixel wide. Then each query moves a square to one
    side of the box, in each channel by itself, and the image keeps it where that makes the margin smaller. The squares
    shrink on a schedule.

    Parameters
    ----------
    model, images, labels, epsilons, batch_size
        As for ``fgsm``. Images may be of any height and width.
    queries : int, at least 1
        How often the model is asked about an image, at each epsilon; an image that falls is left alone.
    seed : int, at least 0
        Of the squares, which each image has from a stream of its own.

    Returns
    -------
    Attack
        Each image with its first squares that succeed, or else at its smallest margin. Images that are wrong from the
        start are returned as they are. No gradient is computed: none is reported as zero.

    Raises
    ------
    TypeError, ValueError
        As ``fgsm``; when queries is not a whole number of at least 1.

    References
    ----------
    Andriushchenko, Croce, Flammarion and Hein, "Square Attack: a query-efficient black-box adversarial attack via
    random search", ECCV 2020, arXiv:1912.00049.

    Examples
    --------
    >>> import numpy as np
    >>> from minidl import nn, robustness
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(2, 2))
    >>> model[1].weight.data[...] = [[1, -1], [-1, 1]]  # class 0 where the first pixel is brighter than the second
    >>> model[1].bias.data[...] = 0
    >>> image = np.array([0.75, 0.25], np.float32).reshape(1, 1, 2, 1)
    >>> robustness.square(model, image, np.array([0]), [0.125, 0.5], queries=50).success.ravel()
    array([False,  True])
    """
    with attacked("square", model, images, labels) as victim:
        queries = whole_number(queries, "queries", 1, "square")
        return at_each_epsilon(victim, epsilons, batch_size, partial(search, victim, queries, seed), skip_wrong=True)


def search(victim: Victim, queries: int, seed: int, images: Array, index: np.ndarray, epsilon: float) -> Found:
    """The random search on a batch."""
    best, at, (low, high) = Best(images), np.arange(len(images)), box(images, epsilon)
    xp, streams = array_module(images), victim.noise(index, seed)
    height, width, channels = images.shape[1:]
    stripes = np.stack([stream.choice((-epsilon, epsilon), (1, width, channels)) for stream in streams])
    x = (images + xp.asarray(stripes, images.dtype)).clip(low, high)
    drawn: Any = None
    for query in range(queries):
        if query > 0:
            if (query - 1) % AHEAD == 0:
                drawn = np.stack([stream.random((AHEAD, 2 + channels)) for stream in streams])  # (b, AHEAD, 2 + C)
            place, sides = np.split(drawn[:, (query - 1) % AHEAD], [2], axis=1)
            inside = squares(place, side_of(query - 1, height, width), images)
            bright = xp.asarray(sides < 0.5)[:, None, None, :]  # (b, 1, 1, C)
            x = xp.where(inside, xp.where(bright, high, low), take(best.x, at))
        logits, loss = victim.look(partial(F.margin_loss, reduction="none"), x, [victim.labels[index]])
        best.offer(at, x, loss, victim.fooled(logits, index))
        go = standing(best.success[at], images)
        if go is not None:
            at, index, low, high = at[go], index[go], take(low, go), take(high, go)
            streams, drawn = [streams[i] for i in go], None if drawn is None else drawn[go]
        if not len(at):
            break
    return best.x, best.success


def side_of(query: int, height: int, width: int) -> int:
    """The side of a square that covers its part of the image, which is halved again and again."""
    part = PART / 2 ** bisect.bisect_left(HALVED_AT, query)
    return min(max(round((part * height * width) ** 0.5), 1), height, width)


def squares(place: np.ndarray, side: int, images: Array) -> Any:
    """(b, H, W, 1): which pixels lie in the square of each image, whose place (b, 2) is given in [0, 1)."""
    xp = array_module(images)
    first = [(place[:, i] * (images.shape[1 + i] - side + 1)).astype(int)[:, None] for i in (0, 1)]  # (b, 1) each
    rows, columns = (
        (np.arange(size) >= start) & (np.arange(size) < start + side)
        for size, start in zip(images.shape[1:3], first, strict=True)
    )
    return xp.asarray(rows)[:, :, None, None] & xp.asarray(columns)[:, None, :, None]
