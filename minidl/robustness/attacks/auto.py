"""AutoAttack: four attacks in turn, each on what survived the ones before (Croce and Hein 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from ...backend import Array, device_of, to_device
from ...checks import whole_numbers
from ...images import checked_epsilon
from ...nn import Module
from ..intervals import wilson_interval
from .apgd import Apgd
from .fab import search as fab_search
from .fixed import Found, Run
from .flags import Flag, instead_of_warnings, of_square, of_the_gradient, of_the_model
from .nearest import Nearest
from .points import put, take
from .square import search as square_search
from .victim import Victim, attacked

PARTS = ("apgd_ce", "apgd_t", "fab_t", "square")
LOSSES = {"apgd_ce": "cross_entropy", "apgd_dlr": "dlr", "apgd_t": "targeted_dlr"}


@dataclass(frozen=True, eq=False)
class WorstCase:
    """What several attacks found together, at one epsilon.

    Attributes
    ----------
    adversarial : array (B, H, W, C)
        An image as it was where it is wrong from the start, or where nothing broke it.
    success : boolean NumPy array (B,)
        Whether the model takes the image for another class than its label.
    broken_by : NumPy array of str (B,)
        The first part that broke each image; "clean" for those that are wrong as they are, "" for those that stand.
    parts : tuple of str
        In the order in which they were tried.
    epsilon : float
    flags : tuple of Flag
        What speaks against the number.
    zero_gradient, vanished_gradient : boolean NumPy array (B,)
        As an ``Attack`` has them.
    """

    adversarial: Array
    success: np.ndarray
    broken_by: np.ndarray
    parts: tuple[str, ...]
    epsilon: float
    flags: tuple[Flag, ...]
    zero_gradient: np.ndarray
    vanished_gradient: np.ndarray

    @property
    def accuracy(self) -> float:
        """The part of all images that stand."""
        return float(1 - self.success.mean())

    def __str__(self) -> str:
        count, standing = len(self.success), int((~self.success).sum())
        low, high = wilson_interval(standing, count)
        told, left = [], count
        for part in ("clean", *self.parts):
            left -= int((self.broken_by == part).sum())
            told.append(f"{part} {left / count:.1%}")
        first = (
            f"{self.accuracy:.1%} of {count} images stand at {255 * self.epsilon:.3g}/255 "
            f"(95 % interval {low:.1%} to {high:.1%}; after {', '.join(told)})"
        )
        return "\n".join([first, *map(str, self.flags)])


def auto_attack(
    model: Module,
    images: Array,
    labels: Array,
    epsilon: float,
    parts: Sequence[str] = PARTS,
    queries: int = 5000,
    seed: int = 0,
    steps: int = 100,
    batch_size: int = 64,
) -> WorstCase:
    """The worst of several attacks for each image: what the field takes for the accuracy of a model under attack.

    Parameters
    ----------
    model, images, labels, batch_size
        As for ``fgsm``.
    epsilon : float in [0, 1]
    parts : sequence of {"apgd_ce", "apgd_dlr", "apgd_t", "fab_t", "square"}
        ``apgd`` on the cross-entropy, on the DLR, and on the DLR towards nine classes; ``fab`` towards nine classes;
        ``square``. Each attacks, from the image as it is, those that none before it has broken.
    queries : int, at least 1
        Of ``square``.
    seed : int, at least 0
    steps : int, at least 1
        Of ``apgd`` and ``fab``; AutoAttack's number is 100.

    Returns
    -------
    WorstCase
        ``print`` shows the accuracy after each part, and what speaks against it.

    Raises
    ------
    TypeError, ValueError
        As ``fgsm``; when a part is unknown, or a DLR is asked for with fewer than four classes.

    Notes
    -----
    What the other attacks warn of is among the flags.

    References
    ----------
    Croce and Hein, "Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free
    attacks", ICML 2020, arXiv:2003.01690; the flags are those of their code.

    Examples
    --------
    >>> import numpy as np
    >>> from minidl import nn, robustness
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(2, 4))
    >>> model[1].weight.data[...] = [[1, -1, 0, 0], [-1, 1, 0, 0]]  # class 0 where the first pixel is the brighter
    >>> model[1].bias.data[...] = [0, 0, -1, -2]
    >>> images = np.array([[0.75, 0.25], [1, 0], [0.6, 0.7]], np.float32).reshape(3, 1, 2, 1)
    >>> worst = robustness.auto_attack(model, images, np.array([0, 0, 0]), 0.3, queries=100)
    >>> worst.success.tolist(), worst.broken_by.tolist()
    ([True, False, True], ['apgd_ce', '', 'clean'])
    """
    with instead_of_warnings(), attacked("auto_attack", model, images, labels) as victim:
        size, runs = checked_epsilon(epsilon, "auto_attack"), _runs(victim, tuple(parts), steps, queries, seed)
        adversarial, broken_by = victim.images.copy(), np.full(len(victim.images), "", "<U9")
        flags: list[Flag] = []
        for index, x in victim.batches(batch_size):
            flags += of_the_model(victim, x) if index[0] == 0 else []
            broken_by[index[victim.falls_for(x, index)]] = "clean"
        right = broken_by == ""
        for part, run in runs.items() if size > 0 else ():
            for index, x in victim.batches(batch_size, among=np.flatnonzero(broken_by == "")):
                found, success = run(x, index, size)
                put(adversarial, index[success], to_device(take(found, success), device_of(adversarial)))
                broken_by[index[success]] = part
        flags += [*of_the_gradient(victim, right), *_of_square(broken_by, runs)]
    success = broken_by != ""
    return WorstCase(adversarial, success, broken_by, tuple(parts), size, tuple(flags), victim.zero, victim.vanished)


def _runs(victim: Victim, parts: tuple[str, ...], steps: int, queries: int, seed: int) -> dict[str, Run]:
    """What each part does with a batch."""
    unknown = [part for part in parts if part not in (*LOSSES, "fab_t", "square")]
    if unknown or not parts:
        raise ValueError(
            f"auto_attack: parts are {parts!r}: choose from 'apgd_ce', 'apgd_dlr', 'apgd_t', 'fab_t', 'square', at "
            "least one"
        )
    if victim.classes < 4 and {"apgd_t", "apgd_dlr"} & set(parts):
        raise ValueError(
            f"auto_attack: the DLR compares four logits, and the model has {victim.classes} classes: leave its parts "
            "out, parts=('apgd_ce', 'fab_t', 'square')"
        )
    steps, queries = whole_numbers("auto_attack", 1, steps=steps, queries=queries)

    def fab(x: Array, index: np.ndarray, epsilon: float) -> Found:
        nearest = Nearest(x, "inf")
        fab_search(victim, steps, 9, nearest, index, enough=epsilon)
        return nearest.x, nearest.distance <= epsilon

    runs: dict[str, Run] = {"fab_t": fab, "square": partial(square_search, victim, queries, seed)}
    for part in set(parts) & set(LOSSES):
        runs[part] = Apgd(victim, LOSSES[part], steps, 1, seed, stop_early=True).runs
    return {part: runs[part] for part in parts}


def _of_square(broken_by: np.ndarray, parts: dict[str, Run]) -> list[Flag]:
    """Whether the search without gradients, where it is not alone, still broke something."""
    if "square" not in parts or len(parts) == 1:
        return []
    standing, by_square = (broken_by == "").mean(), (broken_by == "square").mean()
    return list(of_square(float(standing), float(standing + by_square)))
