"""A loss and a penalty that the layers say themselves, such as what variational dropout's noise costs."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from ..backend import Array, array_module, device_of, to_device
from ..checks import number, whole_number
from ..nn import Module
from ..tensor import Tensor
from .plain import CrossEntropy, Objective


class Penalized:
    """loss + weight * sum of ``layer.penalty()`` over all layers that have one.

    Parameters
    ----------
    weight : float
        For variational dropout 1 / (number of training images), which makes the sum a bound on the evidence; for l0,
        lambda / (number of training images).
    ramp : (first, last) pair of steps, int each
        The weight is 0 up to the first step and grows to all of itself at the last. By default it is there at once.
    loss : callable, an objective, optional
        Default: the cross-entropy.

    Raises
    ------
    TypeError, ValueError
        When a number is out of its range, or the loss no objective; when it is called for a model none of whose layers
        has a penalty.

    Examples
    --------
    >>> import numpy as np, minidl as md
    >>> model = md.nn.Sequential(md.nn.Flatten(), md.nn.VariationalLinear(64, 10)).eval()
    >>> images, labels = md.data.digits("val")
    >>> objective = md.objectives.Penalized(weight=1 / 1438, ramp=(0, 2))
    >>> losses = [objective(model, md.Tensor(images[:5]), labels[:5])[0].item() for _ in range(4)]
    >>> losses[0] < losses[1] < losses[2] == losses[3]
    True
    """

    parts: ClassVar[tuple[str, ...]] = ("loss",)

    def __init__(self, weight: float, ramp: tuple[int, int] = (0, 0), loss: Objective | None = None) -> None:
        self.weight = number(weight, "weight", "[0, inf)", "Penalized")
        if not isinstance(ramp, tuple | list | np.ndarray) or len(ramp) != 2:
            raise TypeError(f"Penalized: ramp is {ramp!r}, and must be two steps, (first, last)")
        self.first, self.last = (whole_number(step, f"ramp[{i}]", 0, "Penalized") for i, step in enumerate(ramp))
        if self.last < self.first:
            raise ValueError(f"Penalized: ramp is {ramp!r}, and must be two steps in order")
        self.loss = CrossEntropy() if loss is None else loss
        if not callable(self.loss) or isinstance(self.loss, Module | type):
            raise TypeError(f"Penalized: loss is {loss!r}, and must be an objective, such as objectives.CrossEntropy()")
        self.done: Array | None = None  # steps behind; an array, as a card's recorded step counts on

    @property
    def temperature(self) -> float:
        """That of the loss, for the evaluation on validation images."""
        return getattr(self.loss, "temperature", 1.0)

    def __call__(self, model: Module, images: Tensor, labels: Any) -> tuple[Tensor, Tensor]:
        loss, logits = self.loss(model, images, labels)
        penalties = [says() for says in (layer.says("penalty") for layer in model.modules()) if says is not None]
        if not penalties:
            raise ValueError(
                "Penalized: no layer of this model has a penalty: call compress.variational or compress.l0 first, or "
                "train it with CrossEntropy"
            )
        share = self._share(loss.data)
        for penalty in penalties:
            loss = loss + penalty * (self.weight * share)
        return loss, logits

    def _share(self, like: Array) -> Array:
        """From 0 to 1 along the ramp, counting one more step."""
        xp = array_module(like)
        if self.done is None:
            self.done = xp.zeros((), like.dtype)
        elif device_of(self.done) != device_of(like):  # it was put back from a file
            self.done = to_device(self.done, device_of(like))
        over = max(1, self.last - self.first)
        share = ((self.done - self.first) / over).clip(0, 1) if self.last else xp.ones((), like.dtype)
        self.done += 1
        return share.astype(like.dtype)
