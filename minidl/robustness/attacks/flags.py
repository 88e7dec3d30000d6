"""What speaks against the number that an attack gives: signs that it measured the attack's failure, not robustness."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ...backend import Array, to_numpy
from .victim import Victim

ASKED = 10  # times about a few images: a class that is drawn by a sure network is another one rarely
SLACK = 0.002  # of all images: less is not worth a flag


@contextlib.contextmanager
def instead_of_warnings() -> Iterator[None]:
    """Within the block nobody is warned of probabilities, of which a flag will tell."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "cross_entropy: the logits look like probabilities")
        yield


class Flag(NamedTuple):
    """One reason to distrust a measured robustness.

    Attributes
    ----------
    name : str
        Such as "I1", "random", "not logits", "gradients are zero".
    evidence : str
        What was seen, with its numbers.
    advice : str
        What to do about it, in one sentence.
    """

    name: str
    evidence: str
    advice: str

    def __str__(self) -> str:
        return f"{self.name}: {self.evidence}. {self.advice}"


def of_the_model(victim: Victim, x: Array) -> Iterator[Flag]:
    """What a few images tell of a model before it is attacked."""
    first, *again = (to_numpy(victim.logits(x)) for _ in range(ASKED))
    if any((first != second).any() for second in again):
        part = np.mean([first.argmax(axis=1) != second.argmax(axis=1) for second in again])
        yield Flag(
            "random",
            f"asked again about the same images, the model gives other logits, and for {part:.1%} another class",
            "Make it a fixed function in evaluation mode, or attack the mean over many draws.",
        )
    if len(first) and (first >= 0).all() and (abs(first.sum(axis=1) - 1) < 1e-5).all():
        yield Flag(
            "not logits",
            "the outputs lie between 0 and 1 and sum to 1: they are probabilities",
            "Leave the softmax out of the model: taken twice, it hides the gradient.",
        )
    if victim.classes < 4:
        yield Flag(
            "few classes",
            f"with {victim.classes} classes there is no DLR, which compares four logits",
            "Attack the cross-entropy and the margin instead.",
        )


def of_the_gradient(victim: Victim, right: np.ndarray) -> Iterator[Flag]:
    """What the first gradients tell, of the images (N,) that the model has right."""
    zero = (victim.zero & right).sum() / max(1, right.sum())
    if zero > SLACK:
        yield Flag(
            "gradients are zero",
            f"for {zero:.1%} of the images no pixel changes the loss: no attack by gradients can move them",
            "Look for rounding and saturation, attack the margin or in float64, and compare with square.",
        )


def of_square(by_square: float, by_gradients: float) -> Iterator[Flag]:
    """Whether the accuracy that a search without gradients leaves is below what gradients leave."""
    if by_square < by_gradients - SLACK:
        yield Flag(
            "square",
            f"a random search leaves {by_square:.1%} right, where the gradients leave {by_gradients:.1%}",
            "The gradients mislead: use more queries and restarts, or an attack made for this model.",
        )
