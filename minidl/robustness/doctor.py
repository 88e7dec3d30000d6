"""The doctor: when is an accuracy under attack the attack's failure? (Pintor et al. 2022, Athalye et al. 2018)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from .. import functional as F
from ..backend import Array, device_of, to_device, to_numpy
from ..checks import whole_number
from ..images import checked_epsilon
from ..nn import Module
from ..tensor import Tensor, no_grad
from .attacks.flags import SLACK, Flag, instead_of_warnings, of_square, of_the_gradient, of_the_model
from .attacks.losses import chosen_loss
from .attacks.pgd import Pgd
from .attacks.points import put, take, uniform
from .attacks.square import search
from .attacks.victim import Victim, attacked

SHARE = 0.05  # of the images: where fewer show I2, I3 or I4, the attack has not failed for that reason
NEAR, DRAWS, UNSTABLE = 1e-3, 10, 0.1  # I2: how far the random points lie, how many, and the change that is too much
LAST, MOVING = 10, 0.05  # I4: the last steps, and the part of its whole rise by which the loss still rises in them
FEW = 64  # images are enough for I6
MASKING = (
    "Temperature changes no argmax: one network has one certificate (certified) at every T, and robustness that comes "
    "and goes with the T of an attack is a masked gradient."
)


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """What ``diagnose`` found; ``print`` shows it, and ``minidl.plot.diagnosis`` draws it.

    Attributes
    ----------
    flags : tuple of Flag
        What was raised, each with its evidence and advice; none where nothing speaks against the number.
    epsilon : float
    clean_accuracy, accuracy : float
        As the images are, and under the attack: PGD from the image.
    loss, margin : array (steps + 1, B)
        What the attack climbed, and the largest other logit less the label's, at each step of it: above 0 in the
        margin, an image is lost.
    right : boolean array (B,)
        Which images the model has right as they are: the others were not looked at.
    """

    flags: tuple[Flag, ...]
    epsilon: float
    clean_accuracy: float
    accuracy: float
    loss: np.ndarray
    margin: np.ndarray
    right: np.ndarray

    def __str__(self) -> str:
        number = (
            f"{self.accuracy:.1%} of {len(self.right)} images stand at {255 * self.epsilon:.3g}/255 "
            f"under PGD of {len(self.loss) - 1} steps ({self.clean_accuracy:.1%} without attack)"
        )
        if not self.flags:
            return f"{number}: nothing was found that speaks against this."
        masked = [MASKING] if any(flag.name == "I1" for flag in self.flags) else []
        return "\n".join([f"{number}: do not believe this number.", *(f"  {line}" for line in (*self.flags, *masked))])


def diagnose(
    model: Module,
    images: Array,
    labels: Array,
    epsilon: float,
    steps: int = 50,
    loss: str = "cross_entropy",
    temperature: float = 1.0,
    surrogate: Module | None = None,
    queries: int = 200,
    seed: int = 0,
    batch_size: int = 64,
) -> Diagnosis:
    """Ask of an accuracy under attack whether the model is robust, or the attack has failed.

    I1: gradients are zero, or below the smallest normal number. I2: the loss jumps between points that lie side by
    side. I3: an image is lost on the way, and found again at the end. I4: the loss still rises at the end. I5: images
    made on another model break more. I6: even at epsilon 1, where any image is within reach, many stand. And of
    AutoAttack's flags: "random", "not logits", "gradients are zero", "few classes", and "square", where a random
    search breaks more than the gradients.

    Parameters
    ----------
    model, images, labels, loss, temperature, batch_size
        As for ``fgsm``.
    epsilon : float in (0, 1]
    steps : int, at least 1
        Of PGD; I4 needs more than ten.
    surrogate : Module, optional
        Another model of the same task, for I5, which is left out without it.
    queries : int, at least 0
        Of the random search; 0 leaves it out.
    seed : int, at least 0

    Returns
    -------
    Diagnosis

    Raises
    ------
    TypeError, ValueError
        As ``fgsm``; when epsilon is 0.

    References
    ----------
    Pintor et al., "Indicators of attack failure: debugging and improving optimization of adversarial examples",
    NeurIPS 2022, arXiv:2106.09947; Athalye, Carlini and Wagner, "Obfuscated gradients give a false sense of
    security", ICML 2018, arXiv:1802.00420.

    Examples
    --------
    >>> import numpy as np
    >>> from minidl import nn, robustness
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(2, 4))
    >>> model[1].weight.data[...] = [[900, -900, 0, 0], [-900, 900, 0, 0]]  # so sure of itself that float32 overflows
    >>> model[1].bias.data[...] = [0, 0, -1, -2]
    >>> images = np.array([[0.75, 0.25], [1, 0]], np.float32).reshape(2, 1, 2, 1)
    >>> diagnosis = robustness.diagnose(model, images, np.array([0, 0]), 0.3)
    >>> [flag.name for flag in diagnosis.flags]
    ['I1', 'I6', 'gradients are zero', 'square']
    """
    with instead_of_warnings(), attacked("diagnose", model, images, labels) as victim:
        epsilon = checked_epsilon(epsilon, "diagnose", "(0, 1]")
        steps = whole_number(steps, "steps", 1, "diagnose")
        queries = whole_number(queries, "queries", 0, "diagnose")
        climbed = chosen_loss(loss, temperature, "diagnose")
        patient = Patient(victim, Pgd(victim, climbed, steps, None, False, seed, False), epsilon, batch_size)
        examinations = [
            of_the_model(victim, next(victim.batches(batch_size))[1]),
            patient.vanished(),
            patient.unstable(seed),
            patient.lost_and_found(),
            patient.unfinished(),
            [] if surrogate is None else patient.transferred(surrogate),
            patient.unbounded(),
            of_the_gradient(victim, patient.right),
            patient.searched(queries, seed) if queries else [],
        ]
        flags = tuple(flag for found in examinations for flag in found)
    return Diagnosis(
        flags,
        epsilon,
        float(patient.right.mean()),
        float(patient.standing.mean()),
        patient.loss,
        patient.margin,
        patient.right,
    )


class Patient:
    """A model that was attacked once by PGD, from the image and to its end, and what was seen on the way."""

    def __init__(self, victim: Victim, attack: Pgd, epsilon: float, batch_size: int) -> None:
        self.victim, self.attack, self.epsilon, self.batch_size = victim, attack, epsilon, batch_size
        count = len(victim.images)
        self.loss, self.margin = (np.zeros((attack.steps + 1, count)) for _ in range(2))
        self.found, (self.right, self.standing) = victim.images.copy(), np.empty((2, count), bool)
        for index, x in victim.batches(batch_size):
            path: list[tuple[np.ndarray, np.ndarray]] = []
            best = attack.run(x, index, epsilon, watch=partial(_note, path, victim.labels[index]))
            self.margin[:, index], self.loss[:, index] = np.swapaxes(path, 0, 1)
            put(self.found, index, to_device(best.x, device_of(self.found)))
            self.right[index] = ~victim.falls_for(x, index)  # a margin of 0 may be either
            self.standing[index] = self.right[index] & ~best.success

    def share(self, which: np.ndarray) -> float:
        """Of the images that are right as they are."""
        return float((which & self.right).sum() / max(1, self.right.sum()))

    def vanished(self) -> Iterator[Flag]:
        """I1, at the image."""
        part = self.share(self.victim.vanished)
        if part > SLACK:
            yield Flag(
                "I1",
                f"{part:.1%} of the gradients vanished: they are zero, or below the smallest normal number",
                "Attack the margin, or in float64.",
            )

    def unstable(self, seed: int) -> Iterator[Flag]:
        """I2, where images still stand: the mean change of the loss at random points nearby, as a part of it."""
        shaky, standing = np.zeros(len(self.right), bool), np.flatnonzero(self.standing)
        for index, x in self.victim.batches(self.batch_size, among=standing):
            x = to_device(take(self.found, index), self.victim.device)
            streams, aim = self.victim.noise(index, seed), self.victim.aim(index)
            _, here = self.victim.look(self.attack.loss, x, aim)
            changes = []
            for _ in range(DRAWS):
                there = x + NEAR * uniform(streams, x)
                _, loss = self.victim.look(self.attack.loss, there.clip(0, 1), aim)
                changes.append(np.minimum(1, abs(loss - here) / np.maximum(abs(here), 1e-12)))
            shaky[index] = np.mean(changes, axis=0) > UNSTABLE
        if self.share(shaky) > SHARE:
            yield Flag(
                "I2",
                f"{self.share(shaky):.1%} of the images stand where the loss changes by more than {UNSTABLE:.0%} "
                f"within {NEAR:g} of them",
                "Average the gradient over random points nearby, or search without gradients (square).",
            )

    def lost_and_found(self) -> Iterator[Flag]:
        """I3."""
        part = self.share((self.margin > 0).any(axis=0) & (self.margin[-1] <= 0))
        if part > SHARE:
            yield Flag(
                "I3",
                f"{part:.1%} of the images were lost at some step and right again at the last",
                "Keep the best step, as minidl does, and take smaller ones.",
            )

    def unfinished(self) -> Iterator[Flag]:
        """I4, where images still stand, and for most of them: the best loss so far, as a part of its whole rise."""
        if len(self.loss) <= LAST + 1:
            return
        best = np.maximum.accumulate(self.loss, axis=0)
        rise = best[-1] - best[0]
        moving = self.standing & (best[-1] - best[-1 - LAST] > MOVING * rise)
        if self.share(moving) > max(SHARE, self.share(self.standing) / 2):  # a few always find a little more
            yield Flag(
                "I4",
                f"for {self.share(moving):.1%} of the images the loss still rises in the last {LAST} steps",
                "Take more steps, or larger ones, or let apgd choose them.",
            )

    def transferred(self, surrogate: Module) -> Iterator[Flag]:
        """I5."""
        broken = np.zeros(len(self.right), bool)
        with attacked("diagnose: surrogate", surrogate, self.victim.images, self.victim.labels) as other:
            attack = Pgd(other, self.attack.loss, self.attack.steps, None, False, 0, False)
            for index, x in other.batches(self.batch_size):
                broken[index] = self.victim.falls_for(attack.run(x, index, self.epsilon).x, index)
        part, white = self.share(~broken), self.share(self.standing)
        if part < white - SLACK:
            yield Flag(
                "I5",
                f"images made on another model leave {part:.1%} right, where the attack on this one leaves {white:.1%}",
                "The gradients mislead: attack through the other model, or the margin.",
            )

    def unbounded(self) -> Iterator[Flag]:
        """I6, on a few images."""
        few = np.flatnonzero(self.right)[:FEW]
        stand = []
        for index, x in self.victim.batches(self.batch_size, among=few):
            stand.append(~self.attack.run(x, index, 1.0).success)
        part = float(np.concatenate(stand).mean()) if stand else 0.0
        if part > SHARE:
            yield Flag(
                "I6",
                f"{part:.1%} stand even at epsilon 1, where every image is within reach",
                "The attack is broken, not the model robust: attack the margin, or in float64, before anything else.",
            )

    def searched(self, queries: int, seed: int) -> Iterator[Flag]:
        """Whether a random search on the images that are right breaks more than the gradients."""
        broken = np.zeros(len(self.right), bool)
        attack = partial(search, self.victim, queries, seed)
        for index, x in self.victim.batches(self.batch_size, among=np.flatnonzero(self.right)):
            broken[index] = attack(x, index, self.epsilon)[1]
        yield from of_square(self.share(~broken), self.share(self.standing))


def _note(path: list[tuple[np.ndarray, np.ndarray]], labels: np.ndarray, logits: Array, loss: np.ndarray) -> None:
    """Add the margins and the losses (b,) of one step."""
    with no_grad():
        path.append((to_numpy(F.margin_loss(Tensor(logits), labels, reduction="none").data), loss))
