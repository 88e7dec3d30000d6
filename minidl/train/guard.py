"""A guard over adversarial training: has the network learnt to fool its attack? And which epoch was the best?

Training by attacks of one step can end in a network that the one step no longer moves, and every other attack breaks:
catastrophic overfitting, from one epoch to the next (Andriushchenko and Flammarion 2020). Later and more slowly,
robustness falls while the loss still does: robust overfitting (Rice et al. 2020). Neither shows in ``fit``'s curve.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..backend import Array
from ..checks import number, whole_number
from ..images import as_images, checked_epsilon
from ..nn import Module
from ..robustness import ZeroGradientWarning, fgsm, pgd


class CatastrophicOverfittingWarning(RuntimeWarning):
    """Accuracy under an attack of several steps has fallen, or lags behind that under one step, by too much."""


class CatastrophicOverfittingError(ArithmeticError):
    """The same, of a guard that stops the training. The guard's ``restore`` puts the best epoch's weights back."""


@dataclass(frozen=True)
class Watched:
    """What the guard saw at the end of an epoch: accuracies on its images, as they are, under FGSM and under PGD."""

    epoch: int
    accuracy: float
    fgsm: float
    pgd: float


class Guard:
    """Attacks one batch at the end of each epoch, keeps the best epoch's weights, and tells when robustness is lost.

    It is given to ``fit`` as ``on_epoch``. The training is the same to the bit with it and without.

    Parameters
    ----------
    model : Module
        The one that is trained.
    images, labels : arrays (B, H, W, C) in [0, 1] and (B,)
        The batch: images that are not trained on, from which robust overfitting shows too.
    epsilon : float in (0, 1]
        Of both attacks.
    steps : int, at least 1
        Of PGD, from a random start.
    fall : float in (0, 1)
        How far accuracy under PGD may fall below that of the best epoch; and half of how far it may lie below that
        under FGSM, where it never was any better.
    stop : bool
        Whether more ends the training with a CatastrophicOverfittingError; otherwise it is warned of, once.
    seed : int, at least 0
        Of PGD's starts.

    Attributes
    ----------
    history : list of Watched
        An entry for each epoch: ``epoch, accuracy, fgsm, pgd``.
    best : Watched
        The epoch of the highest accuracy under PGD, the first of equals.
    fallen : Watched, or None
        The first epoch whose accuracy under PGD was too low.

    Raises
    ------
    CatastrophicOverfittingError
        When called, if ``stop``.
    TypeError, ValueError
        When the batch cannot be attacked, or a setting is out of range.

    References
    ----------
    Wong et al. 2020, arXiv:2001.03994, whose guard this is; Andriushchenko and Flammarion 2020, arXiv:2007.02617; Rice,
    Wong and Kolter 2020, arXiv:2002.11569.

    Examples
    --------
    >>> import minidl as md
    >>> train, val = md.data.digits("train"), md.data.digits("val")
    >>> model = md.nn.Sequential(md.nn.Flatten(), md.nn.Linear(64, 10))
    >>> guard = md.train.Guard(model, val.images[:100], val.labels[:100], epsilon=0.1)
    >>> optimizer = md.optim.SGD(model.parameters(), lr=0.1)
    >>> objective = md.objectives.Adversarial(epsilon=0.1)
    >>> batches = md.data.Loader(*train, batch_size=64)
    >>> curve = md.fit(model, batches, optimizer, 3, objective=objective, on_epoch=guard, progress=False)
    >>> [row.epoch for row in guard.history], guard.fallen
    ([0, 1, 2], None)
    >>> guard.restore()  # the weights of epoch guard.best.epoch
    """

    def __init__(
        self,
        model: Module,
        images: Array,
        labels: Array,
        epsilon: float,
        steps: int = 5,
        fall: float = 0.2,
        stop: bool = False,
        seed: int = 0,
    ) -> None:
        self.model, self.images, self.labels = model, as_images(images, "Guard"), labels
        self.epsilon = checked_epsilon(epsilon, "Guard", "(0, 1]")
        self.steps, self.seed = whole_number(steps, "steps", 1, "Guard"), whole_number(seed, "seed", 0, "Guard")
        self.fall, self.stop = number(fall, "fall", "(0, 1)", "Guard"), stop
        self.history: list[Watched] = []
        self.best: Watched | None = None
        self.fallen: Watched | None = None
        self._weights: dict[str, np.ndarray] = {}
        self._look(-1)  # what cannot be attacked is refused now

    def __call__(self, row: Any) -> None:
        """Look at the model, at the end of the epoch that ``fit`` tells of."""
        seen = self._look(row.epoch)
        self.history.append(seen)
        if self.best is None or seen.pgd > self.best.pgd:
            self.best, self._weights = seen, self.model.state_dict()
        if self.fallen is None and (seen.pgd < self.best.pgd - self.fall or seen.fgsm > seen.pgd + 2 * self.fall):
            self.fallen = seen
            self._tell(seen, self.best)

    def restore(self) -> None:
        """Put the weights and running statistics of the best epoch back; masks stay, and what they hide stays zero."""
        if self.best is None:
            raise RuntimeError(
                "Guard: no epoch has ended yet, whose weights could be put back: fit(..., on_epoch=guard)"
            )
        self.model.load_state_dict(self._weights)

    def _look(self, epoch: int) -> Watched:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ZeroGradientWarning)
            few = fgsm(self.model, self.images, self.labels, [0, self.epsilon])
            many = pgd(self.model, self.images, self.labels, self.epsilon, self.steps, seed=self.seed)
        clean, once = 1 - few.success.mean(axis=1)
        return Watched(epoch, float(clean), float(once), float(1 - many.success.mean()))

    def _tell(self, now: Watched, best: Watched) -> None:
        why = "training has lost it: try a lower learning rate, or a smaller epsilon"
        if now.fgsm > now.pgd + self.fall:
            why = (
                f"under FGSM it is {now.fgsm:.1%}, so that the network has learnt to fool an attack of one step: use a "
                "random start, a wide one, more steps, or a smaller epsilon"
            )
        text = f"Guard: in epoch {now.epoch + 1} accuracy under PGD of {self.steps} steps is {now.pgd:.1%}, and "
        if best is now:
            text += f"was no better before; {why}"
        else:
            text += f"{best.pgd:.1%} at best, in epoch {best.epoch + 1}; {why}. guard.restore() puts back its weights"
        if self.stop:
            raise CatastrophicOverfittingError(text)
        warnings.warn(text, CatastrophicOverfittingWarning, stacklevel=4)
