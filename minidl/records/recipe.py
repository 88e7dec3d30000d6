"""What a run's training has beside plain steps: pruning, proximal steps, an adversary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .setting import always_named, settle

Way = Literal["magnitude", "random", "variational", "l0", "lottery"]


@dataclass(frozen=True)
class Pruning:
    """How weights become zero while a network trains: by magnitude (report, section 4.1), or in another way.

    Attributes
    ----------
    sparsity : float in (0, 1)
        The part of the weights that ends up zero.
    scope : {"layer", "global", "erk"}
    between : two floats in [0, 1]
        When it starts and ends, as parts of the training.
    steps : int
        Into how many pruning steps it is divided, at most.
    method : {"magnitude", "random", "variational", "l0", "lottery"}
        Noisy layers ("variational", "l0") are pruned once, at the end of ``between``; lottery tickets in rounds, of
        all epochs each.
    strength : float
        Of the penalty of noisy layers, over the number of images.
    part, rewind, control
        Of lottery tickets; ``rewind`` as a part of a round.
    """

    sparsity: float
    scope: Literal["layer", "global", "erk"] = always_named("layer")
    between: tuple[float, float] = always_named((0.2, 0.7))
    steps: int = always_named(100)
    method: Way = "magnitude"
    strength: float = 1.0
    part: float = 0.2
    rewind: float = 0.0
    control: Literal["winner", "random", "reinitialised"] = "winner"

    def __post_init__(self) -> None:
        settle(self)

    def schedule(self, steps: int) -> tuple[int, int, int]:
        """(start, every, count) for ``compress.MagnitudePruner`` in a training of so many steps; it ends where asked.

        Examples
        --------
        >>> from minidl.study import Pruning
        >>> Pruning(0.9, between=(0.2, 0.7), steps=10).schedule(101)
        (20, 5, 10)
        """
        start, end = (round(part * (steps - 1)) for part in self.between)
        count = max(1, min(self.steps, end - start))
        every = max(1, (end - start) // count)
        return end - count * every, every, count


@dataclass(frozen=True)
class Proximal:
    """Steps towards low rank and few weights after the optimiser's: see ``compress.NuclearL1``.

    Attributes
    ----------
    nuclear, l1 : float
        Each times the learning rate.
    every : int
        At each so many steps.
    """

    nuclear: float = 0.0
    l1: float = 0.0
    every: int = 1

    def __post_init__(self) -> None:
        settle(self)


@dataclass(frozen=True)
class Adversary:
    """Adversarial training: which attack moves the images that are trained on (``objectives.Adversarial``).

    Attributes
    ----------
    epsilon : float
        In 1/255 of the pixel range.
    steps : int, at least 1
    step : float, optional
        In 1/255; by default the attack's own.
    start : {"random", "image", "wide"}
    """

    epsilon: float
    steps: int = 1
    step: float | None = None
    start: Literal["random", "image", "wide"] = "random"

    def __post_init__(self) -> None:
        settle(self)

    @property
    def kind(self) -> str:
        """What it is called."""
        one = {"random": "FGSM-RS", "image": "FGSM", "wide": "N-FGSM"}
        return one[self.start] if self.steps == 1 else f"PGD-{self.steps}"
