"""Projected gradient descent: FGSM's step, many times, each followed by a return into the box (Madry et al. 2018)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from ...backend import Array
from ...checks import number, whole_numbers
from ...nn import Module
from .fixed import Attack, Found, at_each_epsilon, best_of
from .losses import Loss, chosen_loss
from .points import Best, ascend, box, standing, take, uniform
from .victim import Victim, attacked

Watch = Callable[[Array, np.ndarray], object]


def pgd(
    model: Module,
    images: Array,
    labels: Array,
    epsilons: float | Sequence[float] | np.ndarray,
    steps: int = 20,
    step: float | None = None,
    restarts: int = 1,
    start: str = "random",
    loss: str = "cross_entropy",
    temperature: float = 1.0,
    seed: int = 0,
    batch_size: int = 64,
    targets: Array | None = None,
    stop_early: bool = False,
) -> Attack:
    """Climb the loss in steps of its gradient's sign, within epsilon of the image and within [0, 1].

    The model is attacked in evaluation mode, and every module is left in the mode it was in. Neither the images nor
    the gradients of the parameters are touched.

    Parameters
    ----------
    model, images, labels, epsilons, loss, temperature, batch_size, targets
        As for ``fgsm``.
    steps : int, at least 1
    step : float > 0, optional
        How far each pixel moves in one step; by default 2.5 epsilon / steps.
    restarts : int, at least 1
        How often to begin anew, with other random numbers, on the images that still stand.
    start : {"random", "image"}
        Begin at a point drawn evenly from the box of epsilon, or at the image.
    seed : int, at least 0
        Of the random starts, which each image has from a stream of its own.
    stop_early : bool
        Leave each image where it first succeeds. The success is the same and takes a fraction of the time; the images
        that are returned lie nearer to the border between two classes.

    Returns
    -------
    Attack
        Each image where its last step led; where that fails, where an earlier step succeeded. Of several restarts
        the point that succeeds, or else that of the largest loss.

    Raises
    ------
    TypeError, ValueError
        As ``fgsm``; when steps or restarts are not whole numbers of at least 1, step is not above 0, start is unknown.

    Warns
    -----
    ZeroGradientWarning
        When the gradient of some images is exactly zero at their start, with their count.

    Notes
    -----
    What succeeds at some step, some restart or a smaller epsilon is kept, so that accuracy never rises with the
    number of steps of one size, with restarts or with epsilon. One step from the image, with ``step=epsilon``, is
    FGSM bit for bit, and keeps nothing else.

    References
    ----------
    Madry, Makelov, Schmidt, Tsipras and Vladu, "Towards deep learning models resistant to adversarial attacks", ICLR
    2018, arXiv:1706.06083.

    Examples
    --------
    >>> import numpy as np
    >>> from minidl import nn, robustness
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(2, 2))
    >>> model[1].weight.data[...] = [[1, -1], [-1, 1]]  # class 0 where the first pixel is brighter than the second
    >>> model[1].bias.data[...] = 0
    >>> image = np.array([0.75, 0.25], np.float32).reshape(1, 1, 2, 1)
    >>> attack = robustness.pgd(model, image, np.array([0]), [0.125, 0.5], steps=4)
    >>> attack.adversarial.reshape(2, 2)
    array([[0.625, 0.375],
           [0.25 , 0.75 ]], dtype=float32)
    >>> attack.success.ravel()
    array([False,  True])
    """
    with attacked("pgd", model, images, labels, targets) as victim:
        climbed = chosen_loss(loss, temperature, "pgd", targets is not None)
        steps, restarts = whole_numbers("pgd", 1, steps=steps, restarts=restarts)
        if start not in ("random", "image"):
            raise ValueError(f"pgd: unknown start {start!r}: choose 'random' or 'image'")
        if step is not None:
            step = number(step, "step", "(0, inf)", "pgd", ", in units of pixels: epsilon / 4, say")
        ascent = Pgd(victim, climbed, steps, step, start == "random", seed, stop_early)
        fgsm = steps == restarts == 1 and start == "image"
        result = at_each_epsilon(victim, epsilons, batch_size, partial(ascent.runs, restarts), remembers=not fgsm)
        victim.warn_of_zeros("Try loss='margin', float64, or a higher temperature; and ask robustness.diagnose why")
    return result


class Pgd:
    """PGD on a batch."""

    def __init__(
        self, victim: Victim, loss: Loss, steps: int, step: float | None, random: bool, seed: int, stop_early: bool
    ) -> None:
        self.victim, self.loss, self.slope = victim, loss, victim.slope(loss)
        self.steps, self.step, self.random, self.seed, self.stop_early = steps, step, random, seed, stop_early

    def runs(self, restarts: int, images: Array, index: np.ndarray, epsilon: float) -> Found:
        """The best of several runs."""
        return best_of(restarts, images, lambda run, at: self.run(take(images, at), index[at], epsilon, run))

    def run(
        self, images: Array, index: np.ndarray, epsilon: float, run: int = 0, watch: Watch = lambda *_: None
    ) -> Best:
        """Step, normalise, project; and remember. ``watch`` sees the logits and losses of every point."""
        step = 2.5 * epsilon / self.steps if self.step is None else self.step
        best, at, (low, high) = Best(images), np.arange(len(images)), box(images, epsilon)
        x, spare = self.start(images, index, epsilon, run).clip(low, high), None
        for k in range(self.steps + 1):
            aim: Any = self.victim.aim(index)
            if k < self.steps:
                logits, loss, gradient = self.slope(x, index)
            else:
                logits, loss = self.victim.look(self.loss, x, aim)
            watch(logits, loss)
            if k > 0 or self.random:
                best.offer(at, x, loss, self.victim.fooled(logits, index), newer_wins=True)
            if k == self.steps:
                break
            x, spare = ascend(x, gradient, step, low, high, out=spare), x  # two arrays, in turn
            go = standing(best.success[at], x) if self.stop_early else None
            if go is not None:
                x, low, high, at, index = take(x, go), take(low, go), take(high, go), at[go], index[go]
                spare = None
            if not len(at):
                break
        return best

    def start(self, images: Array, index: np.ndarray, epsilon: float, run: int) -> Array:
        """The image, or a point drawn evenly from the box around it."""
        if not self.random:
            return images
        return images + epsilon * uniform(self.victim.noise(index, self.seed, run), images)
