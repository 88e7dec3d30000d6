"""Where an attack may go, and the best that it has found so far."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...backend import Array, array_module, is_at_hand, to_numpy


def box(images: Array, epsilon: Any) -> tuple[Array, Array]:
    """The least and the most that each pixel may become: within epsilon of the image, and within [0, 1]."""
    return (images - epsilon).clip(0, 1), (images + epsilon).clip(0, 1)


def moved(images: Array, epsilon: Any, direction: Array) -> Array:
    """The images moved by epsilon, one number or one for each (B, 1, 1, 1), and clipped to [0, 1]."""
    new = epsilon * direction
    new += images
    return new.clip(0, 1, out=new)


def ascend(x: Array, gradient: Array, step: float, low: Any, high: Any, out: Array | None = None) -> Array:
    """A step of the gradient's sign, and back to where the points may be; written into ``out``, if given."""
    new = array_module(x).sign(gradient, out=out)
    new *= step
    new += x
    return new.clip(low, high, out=new)


def each(values: np.ndarray, like: Array) -> Array:
    """One number for each image, (B, 1, 1, 1), to be broadcast over the pixels of ``like``."""
    return array_module(like).asarray(np.asarray(values)[:, None, None, None], like.dtype)


def take(array: Array, where: np.ndarray) -> Array:
    """Some of the images, by index or by a boolean array (B,) on the CPU."""
    return array[array_module(array).asarray(where)]


def put(array: Array, where: np.ndarray, values: Array) -> None:
    """Write into some of the images, by index or by a boolean array (B,) on the CPU."""
    array[array_module(array).asarray(where)] = values


def uniform(streams: Sequence[np.random.Generator], like: Array) -> Array:
    """Numbers between -1 and 1, each image's from its own stream, of the shape, precision and device of ``like``."""
    return array_module(like).asarray(
        np.stack([stream.uniform(-1, 1, like.shape[1:]) for stream in streams]), like.dtype
    )


def norms(delta: Array, norm: str) -> np.ndarray:
    """(B,): the length of each perturbation; norm is "inf", "2", "1", or "0", the number of values that change."""
    flat = delta.reshape(len(delta), -1)
    if norm == "0":
        return to_numpy((flat != 0).sum(axis=1)).astype(float)
    if norm == "inf":
        return to_numpy(abs(flat).max(axis=1))
    return to_numpy(abs(flat).sum(axis=1) if norm == "1" else array_module(flat).sqrt((flat * flat).sum(axis=1)))


def largest_in(array: Array) -> Array:
    """(B,): the largest size of a number in each image, without an array of all sizes; NaN if one is no number."""
    pixels = (1, 2, 3)
    return array_module(array).maximum(array.max(axis=pixels), -array.min(axis=pixels))


def divisor(lengths: Any) -> Any:
    """Lengths (...) to divide by: at least 1e-30, so that 0 / 0 is 0, and a scale of all logits changes nothing."""
    return array_module(lengths).maximum(lengths, 1e-30)


def standing(done: np.ndarray, like: Array) -> np.ndarray | None:
    """The places (b,) of the images to go on with; None where nothing is gained by leaving some behind.

    On a card steps are recorded by their shape, so that a batch only ever shrinks to a power of two: some images that
    are done go on with the others.
    """
    count = int((~done).sum())
    if count and not is_at_hand(like):
        count = 1 << (count - 1).bit_length()
    return None if count >= len(done) else np.sort(np.argsort(done, kind="stable")[:count])


class Best:
    """For each image of a batch the best point so far: success counts first, then the loss.

    Attributes
    ----------
    x : array (B, H, W, C)
    loss : NumPy array (B,); -infinity before the first offer
    success : boolean NumPy array (B,)
    """

    def __init__(self, images: Array) -> None:
        self.x = images.copy()
        self.loss, self.success = np.full(len(images), -np.inf), np.zeros(len(images), bool)

    def offer(
        self, at: np.ndarray, x: Array, loss: np.ndarray, success: np.ndarray, newer_wins: bool = False
    ) -> np.ndarray:
        """Take the points of the images ``at`` (b,) that are better, or as good and newer; says which they were."""
        tie = (success == self.success[at]) & (newer_wins | (loss > self.loss[at]))
        better = (success & ~self.success[at]) | tie
        chosen = at[better]
        if len(at) == len(self.x):  # all are there, in their order, and nothing need be cut out
            xp = array_module(x)
            xp.copyto(self.x, x, where=xp.asarray(better)[:, None, None, None])
        else:
            put(self.x, chosen, take(x, better))
        self.loss[chosen], self.success[chosen] = loss[better], success[better]
        return better
