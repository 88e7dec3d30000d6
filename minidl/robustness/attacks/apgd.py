"""Auto-PGD: projected gradient ascent with momentum that chooses its step size itself (Croce and Hein 2020)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...backend import Array, array_module, to_numpy
from ...checks import whole_numbers
from ...nn import Module
from .fixed import Attack, Found, at_each_epsilon, best_of
from .losses import ratio_or_loss
from .points import Best, box, each, put, standing, take, uniform
from .victim import Victim, attacked

MOMENTUM, RHO = 0.75, 0.75


def apgd(
    model: Module,
    images: Array,
    labels: Array,
    epsilons: float | Sequence[float] | np.ndarray,
    loss: str = "cross_entropy",
    steps: int = 100,
    restarts: int = 1,
    seed: int = 0,
    batch_size: int = 64,
    stop_early: bool = False,
) -> Attack:
    """Climb with momentum, and halve an image's step wherever the loss no longer rises: no step size to choose.

    Parameters
    ----------
    model, images, labels, epsilons, restarts, seed, batch_size, stop_early
        As for ``pgd``.
    loss : {"cross_entropy", "dlr", "targeted_dlr", "margin"}
        DLR is the margin in units of the spread of the logits, which no scale of the logits can hide; targeted, it is
        tried for each of the nine likeliest other classes in turn, on the images that still stand.
    steps : int, at least 1
        The first two steps of an image are as long as two epsilons.

    Returns
    -------
    Attack
        Each image at the point of the largest loss of those that succeed, or else of all. Images that are wrong from
        the start are returned as they are.

    Raises
    ------
    TypeError, ValueError
        As ``fgsm``; when steps or restarts are not whole numbers of at least 1, or the DLR is asked for with fewer
        than four classes.

    Warns
    -----
    ZeroGradientWarning
        When the gradient of some images is exactly zero at their start, with their count.

    References
    ----------
    Croce and Hein, "Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free
    attacks", ICML 2020, arXiv:2003.01690.

    Examples
    --------
    >>> import numpy as np
    >>> from minidl import nn, robustness
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(2, 2))
    >>> model[1].weight.data[...] = [[1, -1], [-1, 1]]  # class 0 where the first pixel is brighter than the second
    >>> model[1].bias.data[...] = 0
    >>> image = np.array([0.75, 0.25], np.float32).reshape(1, 1, 2, 1)
    >>> attack = robustness.apgd(model, image, np.array([0]), [0.125, 0.5], steps=4)
    >>> attack.adversarial.reshape(2, 2)
    array([[0.625, 0.375],
           [0.25 , 0.75 ]], dtype=float32)
    """
    with attacked("apgd", model, images, labels) as victim:
        steps, restarts = whole_numbers("apgd", 1, steps=steps, restarts=restarts)
        climb = Apgd(victim, loss, steps, restarts, seed, stop_early)
        result = at_each_epsilon(victim, epsilons, batch_size, climb.runs, skip_wrong=True)
        victim.warn_of_zeros("Try loss='dlr' or 'margin', or float64; and ask robustness.diagnose why")
    return result


class Apgd:
    """APGD on a batch: its runs, one for each restart and each target."""

    def __init__(self, victim: Victim, loss: str, steps: int, restarts: int, seed: int, stop_early: bool) -> None:
        self.victim, self.steps, self.restarts, self.seed, self.stop_early = victim, steps, restarts, seed, stop_early
        targeted = loss == "targeted_dlr"
        self.aims, self.targets = 1 + targeted, min(9, victim.classes - 1) if targeted else 1
        self.slope = victim.slope(ratio_or_loss(loss, victim.classes, victim.name))

    def runs(self, images: Array, index: np.ndarray, epsilon: float) -> Found:
        """The best of all runs, each on what the ones before left standing."""
        labels = self.victim.labels[index]
        ranked = np.argsort(-to_numpy(self.victim.logits(images)), axis=1, kind="stable")  # the likeliest class first

        def attempt(run: int, at: np.ndarray) -> Best:
            x, aim = take(images, at), [labels[at], ranked[at, 1 + run % self.targets]][: self.aims]
            ascent = Ascent(self, x, index[at], aim, self.start(x, index[at], epsilon, run), epsilon)
            while ascent.step():
                if self.stop_early:
                    ascent.leave_behind(ascent.best.success[ascent.at])
            return ascent.best

        return best_of(self.restarts * self.targets, images, attempt)

    def start(self, images: Array, index: np.ndarray, epsilon: float, run: int) -> Array:
        """A random direction t, as far as the box's border: x + epsilon t / max |t|."""
        t = uniform(self.victim.noise(index, self.seed, run), images)
        return (images + epsilon * t / abs(t).max(axis=(1, 2, 3), keepdims=True)).clip(0, 1)


class Ascent:
    """One run of APGD, on images at the places ``at`` (b,): success counts for ``best``, the loss alone for ``top``."""

    def __init__(
        self, apgd: Apgd, images: Array, index: np.ndarray, aim: list[np.ndarray], start: Array, epsilon: float
    ) -> None:
        self.apgd, self.index, self.aim, self.at = apgd, index, aim, np.arange(len(index))
        self.low, self.high = box(images, epsilon)
        self.best, self.x, self.before = Best(images), start, start
        self.loss, gradient = self.look()
        self.gradient, self.top_gradient = gradient.copy(), gradient.copy()  # a card's next gradient overwrites it
        self.top, self.top_loss, self.top_at_check = start.copy(), self.loss, self.loss
        self.size, self.halved = np.full(len(index), 2 * epsilon), np.ones(len(index), bool)
        self.rises = np.zeros(len(index), int)  # since the last checkpoint
        self.k, self.next = 0, checkpoints(apgd.steps)

    def look(self) -> tuple[np.ndarray, Array]:
        """Each image's loss and its gradient here; the best point is remembered."""
        logits, loss, gradient = self.apgd.slope(self.x, self.index, self.aim)
        self.best.offer(self.at, self.x, loss, self.apgd.victim.fooled(logits, self.index))
        return loss, gradient

    def step(self) -> bool:
        """One step of all images; False where none was left to take."""
        if self.k == self.apgd.steps or not len(self.at):
            return False
        xp, momentum = array_module(self.x), MOMENTUM if self.k else 1.0
        moved = (self.x + each(self.size, self.x) * xp.sign(self.gradient)).clip(self.low, self.high)
        moved = self.x + momentum * (moved - self.x) + (1 - momentum) * (self.x - self.before)
        self.before, self.x = self.x, moved.clip(self.low, self.high)
        last = self.loss if self.k else 0.0  # the authors' code compares the first loss with 0, not with the start's
        self.loss, gradient = self.look()
        self.gradient = gradient.copy()
        self.rises += self.loss > last
        higher = self.loss > self.top_loss
        self.top_loss = np.where(higher, self.loss, self.top_loss)
        put(self.top, higher, take(self.x, higher))
        put(self.top_gradient, higher, take(self.gradient, higher))
        self.k += 1
        if self.k in self.next:
            self.halve(self.next[self.k])
        return True

    def halve(self, since: int) -> None:
        """At a checkpoint, ``since`` steps after the last: who rose too seldom, or not at all, goes back to its top."""
        stuck = ~self.halved & (self.top_at_check >= self.top_loss)
        self.halved = (self.rises <= RHO * since) | stuck
        self.top_at_check, self.rises = self.top_loss, np.zeros(len(self.at), int)
        self.size = np.where(self.halved, self.size / 2, self.size)
        self.x = self.x.copy()  # Best and ``before`` may hold it
        put(self.x, self.halved, take(self.top, self.halved))
        put(self.gradient, self.halved, take(self.top_gradient, self.halved))

    def leave_behind(self, done: np.ndarray) -> None:
        """Go on without the images that are done."""
        go = standing(done, self.x)
        if go is None:
            return
        for name in ("x", "before", "low", "high", "gradient", "top", "top_gradient"):
            setattr(self, name, take(getattr(self, name), go))
        for name in ("at", "index", "loss", "top_loss", "top_at_check", "size", "halved", "rises"):
            setattr(self, name, getattr(self, name)[go])
        self.aim = [classes[go] for classes in self.aim]


def checkpoints(steps: int) -> dict[int, int]:
    """{step: steps since the checkpoint before it}: after 22 % of all steps, then ever sooner, down to 6 %."""
    length, least, less = (max(int(part * steps), 1) for part in (0.22, 0.06, 0.03))
    found, at = {}, length
    while at <= steps:
        found[at] = length
        length = max(length - less, least)
        at += length
    return found
