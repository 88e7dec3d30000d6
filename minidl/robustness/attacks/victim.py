"""A model as its attacker sees it: what it answers, and whither the pixels must go; always in evaluation mode."""

from __future__ import annotations

import contextlib
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NoReturn

import numpy as np

from ... import functional as F
from ... import kernels
from ...backend import Array, array_module, device_of, to_device, to_numpy
from ...backend.capacity import room_for
from ...backend.recording import Replayed
from ...checks import whole_number
from ...graph import reachable_from
from ...images import as_images
from ...nn import Module, evaluation_mode, is_minidls_own
from ...tensor import Tensor, no_grad
from .losses import Loss
from .points import largest_in, moved, take


class ZeroGradientWarning(UserWarning):
    """The gradient of some images is exactly zero: FGSM cannot move them, and the model only looks robust."""


@contextlib.contextmanager
def attacked(name: str, model: Module, images: Any, labels: Any, targets: Any = None) -> Iterator[Victim]:
    """The model, held in evaluation mode, with images that are fit to be attacked; ``name`` starts every message."""
    images = as_images(images, name)
    with evaluation_mode(model):
        # nobody changes weights meanwhile, but for layers whose forward we have not written
        weights = [p.data for p in model.parameters()] if is_minidls_own(model) else []
        with kernels.fixed(weights):
            yield Victim(name, model, images, labels, targets)


class Victim:
    """A model, N images and their labels. Images are known by their index (B,), wherever in a batch they stand.

    Attributes
    ----------
    images : array (N, H, W, C), where the caller has them
    labels, targets : integer NumPy array (N,); targets are None unless the model is to be led to a class
    classes : int
    zero, vanished : boolean NumPy array (N,)
        Whose first gradient was zero at every pixel; or below the smallest normal number of its precision, or infinite.
    """

    def __init__(self, name: str, model: Module, images: Array, labels: Any, targets: Any) -> None:
        self.name, self.model, self.images = name, model, images
        self.device = device_for(model, images)
        first = Tensor(to_device(images[:1], self.device), requires_grad=True)
        logits = model(first)  # says how many classes there are, and whether a gradient leads back to the pixels
        self.classes, self._differentiable = logits.shape[-1], _depends(logits, first)
        self.labels = to_numpy(F.check_labels(labels, len(images), self.classes, name))
        self.targets = None if targets is None else self._checked_targets(targets)
        self.zero, self.vanished, self._felt = (np.zeros(len(images), bool) for _ in range(3))
        ours = is_minidls_own(model)  # what is known to do the same each time may be recorded
        self._ahead = Replayed(partial(_answer, model), records=ours, ordinary=3)
        self._along = Replayed(partial(_answer_along, model), records=ours, ordinary=3)

    def _checked_targets(self, targets: Any) -> np.ndarray:
        targets = to_numpy(F.check_labels(targets, len(self.images), self.classes, f"{self.name}: targets"))
        same = np.flatnonzero(targets == self.labels)
        if len(same):
            raise ValueError(
                f"{self.name}: the target of image {same[0]} is its own label, {targets[same[0]]}, and so for "
                f"{len(same)} of {len(targets)}: a target is another class, such as (labels + 1) % {self.classes}"
            )
        return targets

    def batches(self, batch_size: int, among: np.ndarray | None = None) -> Iterator[tuple[np.ndarray, Array]]:
        """(index (B,), images (B, H, W, C) on the model's device), batch by batch: of all images, or ``among`` some."""
        batch_size = whole_number(batch_size, "batch_size", 1, self.name)
        chosen = np.arange(len(self.images)) if among is None else among
        for start in range(0, len(chosen), batch_size):
            index = chosen[start : start + batch_size]
            yield index, to_device(take(self.images, index), self.device)

    def noise(self, index: np.ndarray, seed: int, run: int = 0) -> list[np.random.Generator]:
        """A stream for each image, named by its own pixels: the same beside whatever other images it is attacked."""
        seed = whole_number(seed, "seed", 0, self.name)
        pixels = [to_numpy(self.images[i]).astype(np.float32).tobytes() for i in index]
        return [np.random.default_rng((seed, run, zlib.crc32(p))) for p in pixels]

    def _known(self, answers: Array) -> np.ndarray:
        """On the CPU, where they can be looked at: a card is waited for here."""
        known = to_numpy(answers)
        if (known < 0).any():
            raise_not_finite(f"{self.name}: the model's logits")
        return known

    def logits(self, x: Array) -> Array:
        """(B, classes), which must be finite; on a card the next ones may be written over them."""
        return self._logits_and_answers(x)[0]

    def _logits_and_answers(self, x: Array) -> tuple[Array, np.ndarray]:
        with no_grad(), self._room_for(x, lambda few: self.model(Tensor(few))):
            logits, answers = self._ahead(x)
            return logits, self._known(answers)

    def succeeds(self, answers: np.ndarray, index: np.ndarray) -> np.ndarray:
        """(B,): whether these classes are what the attacker wants: not the label, or, of targets, the target."""
        return answers != self.labels[index] if self.targets is None else answers == self.targets[index]

    def fooled(self, logits: Array, index: np.ndarray) -> np.ndarray:
        """(B,): whether the answers that these logits are succeed."""
        return self.succeeds(to_numpy(logits.argmax(axis=-1)), index)

    def falls_for(self, x: Array, index: np.ndarray) -> np.ndarray:
        """(B,): whether the model's answers to these images are what the attacker wants."""
        return self.succeeds(self._logits_and_answers(x)[1], index)

    def along(self, x: Array, direction: Array, epsilons: Sequence[Any], index: np.ndarray) -> np.ndarray:
        """(E, B): whether the images succeed when they are moved so far, by one number or by one each (B,).

        A card is told all of it, and waited for once.
        """
        answers = []
        with no_grad(), self._room_for(x, lambda few: self.model(Tensor(few))):
            for epsilon in epsilons:
                size = np.asarray(epsilon, x.dtype).reshape(-1, 1, 1, 1)
                answers.append(self._along(x, direction, to_device(size, self.device))[1].copy())
            return self.succeeds(self._known(array_module(x).stack(answers)), index)

    def look(self, loss: Loss, x: Array, aim: Sequence[np.ndarray]) -> tuple[Array, np.ndarray]:
        """The logits (B, classes) and each image's loss (B,), without a gradient."""
        logits = self.logits(x)
        with no_grad():
            return logits, to_numpy(loss(Tensor(logits), *aim).data)

    def slope(self, loss: Loss) -> Callable[..., tuple[Array, np.ndarray, Array]]:
        """The function (x, index, aim) -> logits (B, classes), each image's loss (B,), its gradient by the pixels.

        ``aim`` is what the loss takes after the logits, (B,) each; by default the labels, or the targets.
        """

        def climb(pixels: Array, *aim: Array) -> tuple[Array, Array, Array]:
            x = Tensor(pixels, requires_grad=True)
            logits, xp = self.model(x), array_module(pixels)
            each = loss(logits, *aim)
            if self._differentiable:
                # Each image's own loss, not their mean, which would only push small gradients towards underflow
                each.backward(xp.ones_like(each.data), inputs=[x])
            gradient: Any = x.grad if self._differentiable else xp.zeros_like(pixels)
            known, largest = xp.isfinite(logits.data).all(axis=-1), largest_in(gradient)
            facts = xp.stack([a.astype(np.float64) for a in (each.data, largest, known)])  # to be looked at as one
            return logits.data, gradient, facts

        def rehearse(*arrays: Array) -> None:
            again = Replayed(climb, records=is_minidls_own(self.model))  # which is called, recorded, and replayed
            for _ in range(3):
                again(*arrays)

        recorded = Replayed(climb, records=is_minidls_own(self.model))  # what is known to do the same each time

        def slope(x: Array, index: np.ndarray, aim: Sequence[np.ndarray] | None = None) -> Any:
            aim = self.aim(index) if aim is None else aim
            with self._room_for(x, lambda few: rehearse(few, *(a[: len(few)] for a in aim))):
                logits, gradient, facts = recorded(x, *aim)
                each, largest, known = to_numpy(facts).astype(gradient.dtype)
            if not known.all():
                raise_not_finite(f"{self.name}: the model's logits")
            self._feel(largest, index)
            return logits, each, gradient

        return slope

    def aim(self, index: np.ndarray) -> tuple[np.ndarray, ...]:
        """What a loss of one class is about: the targets, or else the labels."""
        return ((self.labels if self.targets is None else self.targets)[index],)

    def _feel(self, largest: np.ndarray, index: np.ndarray) -> None:
        """Note, the first time that an image is met, whether its gradient is there: the largest number in it (B,)."""
        if np.isnan(largest).any():
            raise_not_finite(f"{self.name}: the loss's gradient by the pixels")
        if not self._felt[index].all():
            new = ~self._felt[index]
            self.zero[index[new]] = largest[new] == 0
            # what has overflowed has lost its digits as what has underflowed
            lost = (largest < np.finfo(largest.dtype).tiny) | ~np.isfinite(largest)
            self.vanished[index[new]] = lost[new]
            self._felt[index] = True

    def _room_for(self, x: Array, again: Callable[[Array], object]) -> contextlib.AbstractContextManager[None]:
        return room_for(self.name, len(x), lambda count: again(x[:count]))

    def warn_of_zeros(self, cause: str) -> None:
        """Called by a function that the user called."""
        warn_of_zeros(self.name, self.zero, cause, stacklevel=4)


def _answer(model: Module, x: Array) -> tuple[Array, Array]:
    """The logits (B, classes), and the class of the largest, counted from 0 (report, eq. (8)); -1 for no numbers."""
    with no_grad():
        logits = model(Tensor(x)).data
    xp = array_module(logits)
    return logits, xp.where(xp.isfinite(logits).all(axis=-1), logits.argmax(axis=-1), -1)


def _answer_along(model: Module, x: Array, direction: Array, epsilon: Array) -> tuple[Array, Array]:
    return _answer(model, moved(x, epsilon, direction))


def warn_of_zeros(name: str, zero: np.ndarray, cause: str, stacklevel: int) -> None:
    """Say how many images no gradient could move; ``stacklevel`` counts from here to the user."""
    if zero.any():
        warnings.warn(
            f"{name}: the gradient is exactly zero for {zero.sum()} of {len(zero)} images, which {name} cannot move: "
            f"they say nothing about robustness. {cause}",
            ZeroGradientWarning,
            stacklevel=stacklevel,
        )


def device_for(model: Module, images: Array) -> str:
    """Where a model computes: where its parameters lie; without any, where the images do."""
    return next((parameter.device for parameter in model.parameters()), device_of(images))


def _depends(result: Tensor, leaf: Tensor) -> bool:
    """Whether a gradient leads from the result back to the leaf; not so where the model rounds, or reads x.data."""
    return result._node is not None and leaf in reachable_from(result._node)


def finite(values: Array, what: str) -> Array:
    """The values, unless one of them is no number."""
    if not bool(array_module(values).isfinite(values).all()):
        raise_not_finite(what)
    return values


def raise_not_finite(what: str) -> NoReturn:
    """NaN compares as not equal to any label: an attack on a broken model would seem to succeed."""
    raise ValueError(f"{what} are NaN or infinite: look at the model's weights, which training may have lost")
