"""What an objective is, and the plain one: the cross-entropy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from .. import functional as F
from .. import nn
from ..nn import Module
from ..tensor import Tensor


class Objective(Protocol):
    """What ``fit`` asks for at each step, with the model in training mode.

    Numbers, arrays and random generators among its attributes are part of the training's state; so are those of the
    objectives within it, whose attributes it names in ``parts``. One that has a ``temperature`` lends it to the
    evaluation on validation images.

    Examples
    --------
    >>> import numpy as np, minidl as md
    >>> def label_smoothing(model, images, labels):
    ...     logits = model(images)
    ...     smooth = 0.9 * np.eye(10)[labels] + 0.01  # (B, 10)
    ...     return md.functional.cross_entropy(logits, smooth), logits
    >>> model, (images, labels) = md.models.fc5(image_size=8, channels=1), md.data.digits("train")
    >>> optimizer = md.optim.SGD(model.parameters(), lr=0.1)
    >>> batches = md.data.Loader(images[:64], labels[:64], 32)
    >>> len(md.fit(model, batches, optimizer, 2, objective=label_smoothing, progress=False))
    2
    """

    def __call__(self, model: Module, images: Tensor, labels: Any) -> tuple[Tensor, Tensor]: ...


@dataclass
class CrossEntropy:
    """The cross-entropy of the logits divided by T (report, eqs. (6)-(7), (22)-(24)).

    Parameters
    ----------
    temperature : float > 0
        T; 1 is the plain cross-entropy.

    Examples
    --------
    >>> import numpy as np, minidl as md
    >>> model = md.models.fc5(image_size=8, channels=1)
    >>> images, labels = md.data.digits("val")
    >>> loss, logits = md.objectives.CrossEntropy(temperature=2.0)(model, md.Tensor(images[:5]), labels[:5])
    >>> loss.shape, logits.shape
    ((), (5, 10))
    """

    temperature: float = 1.0

    def __call__(self, model: Module, images: Tensor, labels: Any) -> tuple[Tensor, Tensor]:
        logits = model(images)
        return F.cross_entropy(logits, labels, self.temperature), logits


def objectives_in(objective: Any, name: str = "objective") -> Iterator[tuple[str, Any]]:
    """(name, objective) of this one and of all within it."""
    yield name, objective
    for part in getattr(objective, "parts", ()):
        yield from objectives_in(getattr(objective, part), f"{name}.{part}")


def is_minidls_own(objective: Any) -> bool:
    """Whether it does the same each time, and so does all within it: its steps may be recorded."""
    return all(
        type(one).__module__.startswith("minidl.")
        and all(nn.is_minidls_own(value) for value in vars(one).values() if isinstance(value, Module))
        for _, one in objectives_in(objective)
    )
