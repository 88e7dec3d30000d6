"""Do the images that fool one network fool another? (Szegedy et al. 2014)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..backend import Array
from ..checks import number
from ..images import checked_epsilon
from ..nn import Module
from .attacks import Attack, fgsm
from .attacks.victim import attacked
from .comparison import McNemar, mcnemar
from .intervals import wilson_interval


@dataclass(frozen=True, eq=False)
class TransferMatrix:
    """What ``transfer`` measured between M models.

    Attributes
    ----------
    names : tuple of str (M,)
    rate : array (M, M)
        rate[i, j]: of the images that both i and j have right, the part that j has wrong once they were made to fool
        i. The diagonal is the attack on a model itself.
    low, high : array (M, M)
        Wilson's interval of each rate.
    counts : integer array (M, M)
        How many images both have right.
    passed_on : array (M, M)
        The same of only those images that did fool i: how many of them fool j too. NaN where none did.
    confidence : float
    right : boolean array (M, B)
        Which images each model has right as they are.
    fooled : boolean array (M, M, B)
        fooled[i, j]: whether j has wrong what was made to fool i.
    """

    names: tuple[str, ...]
    rate: np.ndarray
    low: np.ndarray
    high: np.ndarray
    counts: np.ndarray
    passed_on: np.ndarray
    confidence: float
    right: np.ndarray
    fooled: np.ndarray

    @classmethod
    def of(
        cls, names: Sequence[str], right: np.ndarray, fooled: np.ndarray, confidence: float = 0.95
    ) -> TransferMatrix:
        """The matrix, from what happened to each image; a ValueError where two models share no image that both have
        right.
        """
        both = right[:, None] & right  # (M, M, B)
        counts, broken = both.sum(axis=2), (both & fooled).sum(axis=2)  # (M, M)
        if not counts.all():
            i, j = np.argwhere(counts == 0)[0]
            raise ValueError(f"transfer: there is no image that both {names[i]!r} and {names[j]!r} have right")
        of_i = both & fooled[np.arange(len(names)), np.arange(len(names))][:, None]
        low, high = np.empty(counts.shape), np.empty(counts.shape)
        for place, count in np.ndenumerate(counts):
            low[place], high[place] = wilson_interval(broken[place], int(count), confidence)
        with np.errstate(invalid="ignore"):
            passed_on = (of_i & fooled).sum(axis=2) / of_i.sum(axis=2)
        return cls(tuple(names), broken / counts, low, high, counts, passed_on, confidence, right, fooled)

    def compare(self, first: str, second: str, on: str) -> McNemar:
        """Does what was made to fool ``first`` fool model ``on`` as often as what was made to fool ``second``?

        McNemar's test, on the images that all three have right: ``only_a`` counts those that survive the first alone.
        """
        unknown = [name for name in (first, second, on) if name not in self.names]
        if unknown:
            raise ValueError(f"compare: {unknown[0]!r} is not among the models: {', '.join(self.names)}")
        i, k, j = (self.names.index(name) for name in (first, second, on))
        all_right = self.right[i] & self.right[k] & self.right[j]
        return mcnemar(~self.fooled[i, j][all_right], ~self.fooled[k, j][all_right])

    def __str__(self) -> str:
        wide = max(8, *(len(name) for name in self.names))
        lines = ["made on \\ seen by".ljust(18) + "".join(name.rjust(wide + 2) for name in self.names)]
        for name, row in zip(self.names, self.rate, strict=True):
            lines.append(name.ljust(18) + "".join(f"{part:.1%}".rjust(wide + 2) for part in row))
        return "\n".join(lines)


def transfer(
    models: Mapping[str, Module],
    images: Array,
    labels: Array,
    epsilon: float,
    attack: Callable[..., Attack] = fgsm,
    confidence: float = 0.95,
    batch_size: int = 64,
) -> TransferMatrix:
    """Attack each model, and show what comes of it to all of them.

    Give it a control: networks that started from the same weights fool each other trivially, so that another seed of
    the same network belongs beside them.

    Parameters
    ----------
    models : mapping from names to Modules
    images, labels, batch_size : as for ``fgsm``
    epsilon : float in [0, 1]
    attack : callable
        ``fgsm``, ``pgd``, ``apgd`` or ``square``, or one of these with settings: ``partial(pgd, steps=40)``.
    confidence : float in (0, 1)
        Of each interval by itself.

    Returns
    -------
    TransferMatrix
        ``print`` shows the rates; ``compare`` tests two rows against each other.

    Raises
    ------
    TypeError, ValueError
        As the attack; when there are no models, or no image that two of them both have right.

    References
    ----------
    Szegedy et al., "Intriguing properties of neural networks", ICLR 2014, arXiv:1312.6199.

    Examples
    --------
    >>> import numpy as np, minidl as md
    >>> train, val = md.data.digits("train"), md.data.digits("val")
    >>> models = {}
    >>> for seed in (0, 1):
    ...     model = md.models.fc5(num_classes=10, image_size=8, channels=1, seed=seed)
    ...     optimizer = md.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    ...     history = md.fit(model, md.data.Loader(*train, batch_size=64), optimizer, epochs=2, progress=False)
    ...     models[f"seed {seed}"] = model
    >>> matrix = md.robustness.transfer(models, val.images[:100], val.labels[:100], 0.1)
    >>> bool(matrix.rate[0, 0] > matrix.rate[0, 1] > 0)
    True
    """
    if not isinstance(models, Mapping) or not models:
        raise TypeError("transfer: models must be a mapping from names to Modules, such as {'dense': a, 'pruned': b}")
    names, epsilon = tuple(models), checked_epsilon(epsilon, "transfer")
    confidence = number(confidence, "confidence", "(0, 1)", "transfer")
    return TransferMatrix.of(names, *seen(models, images, labels, epsilon, attack, batch_size), confidence)


def seen(
    models: Mapping[str, Module],
    images: Array,
    labels: Array,
    epsilon: float,
    attack: Callable[..., Attack],
    batch_size: int = 64,
) -> tuple[np.ndarray, np.ndarray]:
    """``right`` (M, B) and ``fooled`` (M, M, B) of a TransferMatrix, of which this is all that has to be kept."""
    right = np.stack([~_fooled(model, images, images, labels, batch_size) for model in models.values()])
    fooled = np.empty((len(models), *right.shape), bool)
    for i, model in enumerate(models.values()):
        moved = attack(model, images, labels, epsilon, batch_size=batch_size).adversarial[0]
        for j, other in enumerate(models.values()):
            fooled[i, j] = _fooled(other, moved, images, labels, batch_size)
    return right, fooled


def _fooled(model: Module, moved: Array, images: Array, labels: Array, batch_size: int) -> np.ndarray:
    """(B,): what the model has wrong of some images."""
    with attacked("transfer", model, moved, labels) as victim:
        return np.concatenate([victim.falls_for(x, index) for index, x in victim.batches(batch_size)])
