"""What figures 16 and 17, ours, compare: defences, and ways to come to a sparsity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from minidl.records.recipe import Way
from minidl.records.run import ModelName
from minidl.study import Proximal, Pruning


@dataclass(frozen=True)
class Hardening:
    """How a network is trained against attacks, at which temperature it is distilled, and towards which norms."""

    model: ModelName = "fc5"
    epsilon: float = 32
    """Within which adversarial training moves its images, in 1/255."""
    steps: int = 7
    """Of the PGD among its attacks."""
    temperature: float = 20
    """Of distillation, of its teacher, and of the network that is trained at it alone."""
    nuclear: float = 0.02
    """Weight of the nuclear norm, times the learning rate a step."""
    l1: float = 0.0002
    """Weight of the l1 norm, beside it."""
    every: int = 10
    """At each so many steps both norms are paid for, for all of these."""

    @property
    def norms(self) -> Proximal:
        """The steps towards low rank and few weights."""
        return Proximal(self.nuclear, self.l1, self.every)


@dataclass(frozen=True)
class Sparsifying:
    """By which ways a network becomes sparse, and how far."""

    model: ModelName = "fc5"
    ways: tuple[Way, ...] = ("magnitude", "variational", "l0", "lottery", "random")
    sparsities: tuple[float, ...] = (0.5, 0.8, 0.9)
    """Parts of the weights that end up zero."""
    scope: Literal["layer", "global", "erk"] = "global"
    """Over what weights are ranked."""
    variational: float = 0.03
    """Weight of variational dropout's penalty, over the number of images."""
    l0: float = 0.1
    """Of the gates' penalty."""
    part: float = 0.5
    """Of its weights that a lottery ticket loses in a round."""

    def pruning(self, way: Way, sparsity: float, between: tuple[float, float], steps: int) -> Pruning:
        """As a run has it: each way with its own settings alone, so that no other is trained anew for them."""
        own: dict[Way, Any] = {
            "variational": {"strength": self.variational},
            "l0": {"strength": self.l0},
            "lottery": {"part": self.part},
        }
        return Pruning(sparsity, self.scope, between, steps, way, **own.get(way, {}))
