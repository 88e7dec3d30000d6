"""Adversarial training: the loss is minimised on images that were moved to where it is large (Madry et al. 2018)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from .. import kernels
from ..backend import Array, default_rng
from ..checks import number, whole_number
from ..images import checked_epsilon
from ..nn import Module
from ..robustness.attacks.points import ascend, box
from ..tensor import Tensor
from .penalized import Penalized
from .plain import CrossEntropy, Objective, objectives_in

STARTS = ("random", "image", "wide")
STEP = {"random": 1.25, "image": 1.0, "wide": 1.0}  # of one step, in units of epsilon
STEPS = 2.5  # of several, all of them together


@dataclass
class Adversarial:
    """The loss of images after an attack on the model as it is at this step: min over theta of max over delta of L.

    The attack climbs the loss by steps of its gradient's sign. One step from ``start="image"`` is FGSM; from
    ``"random"`` FGSM with random start (FGSM-RS); from ``"wide"`` N-FGSM; several are PGD.

    Parameters
    ----------
    epsilon : float in [0, 1]
        The largest change of a pixel; where the start is wide, the unit of noise and step.
    steps : int, at least 1
        How often the gradient is taken: each costs about two thirds of a plain step.
    step : float > 0, optional
        How far each pixel moves in one step. By default epsilon; 1.25 epsilon from a random start; 2.5 epsilon / steps
        where there are several.
    start : {"random", "image", "wide"}
        Begin at a point drawn evenly from the box of epsilon, or at the image, or, for one step alone, at a point drawn
        from a box of twice that size, after which the image is brought back to [0, 1] and no closer.
    loss : callable, an objective, optional
        What the attack climbs and training minimises. Default: the cross-entropy. A teacher's answers are constants to
        the attack's gradient, though it sees the images that move.
    rng : numpy.random.Generator, optional
        Of the random starts; by default the stream "attack", which ``md.manual_seed`` resets.

    Raises
    ------
    TypeError, ValueError
        When epsilon is outside [0, 1], steps not at least 1, step not above 0, the start unknown or wide for several
        steps, or the loss no objective, or one with a ramp over the steps.

    Notes
    -----
    The model is attacked in the mode in which it is trained, so that batch normalisation uses each batch's own
    statistics; running statistics are moved once a step, by the pass that is trained on, and never by the attack's.
    Nothing of the attack reaches the gradients of the parameters. What ``fit`` counts as right are images after the
    attack, and so is its loss; validation is on images as they are.

    References
    ----------
    Madry et al. 2018, arXiv:1706.06083; Wong, Rice and Kolter 2020, "Fast is better than free", arXiv:2001.03994; de
    Jorge et al. 2022, "Make some noise: reliable and efficient single-step adversarial training", arXiv:2202.01181.

    Examples
    --------
    >>> import minidl as md
    >>> model = md.models.fc5(image_size=8, channels=1)
    >>> images, labels = md.data.digits("train")
    >>> objective = md.objectives.Adversarial(epsilon=0.1)
    >>> plain, _ = md.objectives.CrossEntropy()(model, md.Tensor(images[:50]), labels[:50])
    >>> loss, logits = objective(model, md.Tensor(images[:50]), labels[:50])
    >>> objective.step, loss.item() > plain.item()
    (0.125, True)
    """

    epsilon: float
    steps: int = 1
    step: float | None = None
    start: str = "random"
    loss: Objective = field(default_factory=CrossEntropy)
    rng: np.random.Generator | None = field(default=None, repr=False)

    parts: ClassVar[tuple[str, ...]] = ("loss",)

    def __post_init__(self) -> None:
        self.epsilon = checked_epsilon(self.epsilon, "Adversarial")
        self.steps = whole_number(self.steps, "steps", 1, "Adversarial")
        if self.start not in STARTS:
            raise ValueError(f"Adversarial: unknown start {self.start!r}: choose 'random', 'image' or 'wide'")
        if self.start == "wide" and self.steps > 1:
            raise ValueError(
                f"Adversarial: start='wide' is of one step, which nothing brings back into the box, and steps is "
                f"{self.steps}: use start='random'"
            )
        if not callable(self.loss) or isinstance(self.loss, Module | type):
            raise TypeError(
                f"Adversarial: loss is {self.loss!r}, and must be an objective, such as objectives.CrossEntropy()"
            )
        if any(isinstance(part, Penalized) and part.last for _, part in objectives_in(self.loss)):
            raise ValueError(
                "Adversarial: the loss has a ramp, which would count the attack's steps too: put the penalty around "
                "the attack, objectives.Penalized(weight, ramp, loss=objectives.Adversarial(...))"
            )
        if self.step is None:
            self.step = self.epsilon * (STEP[self.start] if self.steps == 1 else STEPS / self.steps)
        else:
            self.step = number(self.step, "step", "(0, inf)", "Adversarial", ", in units of pixels: epsilon / 4, say")

    @property
    def temperature(self) -> float:
        """That of the loss, for the evaluation on validation images."""
        return getattr(self.loss, "temperature", 1.0)

    def __call__(self, model: Module, images: Tensor, labels: Any) -> tuple[Tensor, Tensor]:
        return self.loss(model, Tensor(self.attack(model, images.data, labels)), labels)

    def attack(self, model: Module, images: Array, labels: Any) -> Array:
        """The images (B, H, W, C) where the attack leads them; nothing of the model is changed."""
        assert self.step is not None
        low, high = (0, 1) if self.start == "wide" else box(images, self.epsilon)
        x = images
        if self.start != "image":
            rng = default_rng("attack") if self.rng is None else self.rng  # asked for anew: md.manual_seed replaces it
            reach = 2 * self.epsilon if self.start == "wide" else self.epsilon
            x = (images + reach * kernels.of(images).uniform(images, rng)).clip(low, high)
        with _buffers_kept(model):
            for _ in range(self.steps):
                at = Tensor(x, requires_grad=True)
                loss, _ = self.loss(model, at, labels)
                # the sum over the batch, whose mean would push small gradients towards underflow
                (loss * len(images)).backward(inputs=[at])
                x = ascend(x, at.grad, self.step, low, high)
        return x


@contextlib.contextmanager
def _buffers_kept(model: Module) -> Iterator[None]:
    """What forward passes within the block write into buffers, such as running statistics, is taken back after it."""
    places = [(module, name) for module in model.modules() for name in module.buffers]
    before = [(buffer, buffer.copy()) for buffer in (getattr(*place) for place in places)]
    try:
        with kernels.together():  # and not later
            yield
    finally:
        for place, (buffer, values) in zip(places, before, strict=True):
            buffer[...] = values
            setattr(*place, buffer)  # where a layer has put another array in its place
