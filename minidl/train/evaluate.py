"""Measuring a model: mean loss and accuracy."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterable, Sized
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from .. import functional as F
from ..backend import Array, array_module, device_of, is_array, is_at_hand, to_device, to_numpy
from ..backend.capacity import room_for
from ..backend.memory import with_all_memory
from ..backend.recording import Replayed
from ..checks import number, whole_number
from ..data import ImageSet
from ..images import real_pixels
from ..nn import Module, evaluation_mode, is_minidls_own
from ..tensor import Tensor, no_grad
from ..tools.progress import ProgressBar
from .reads import Reads

AT_ONCE = 256  # batches whose losses and logits may lie on a card before they are looked at


class Score(NamedTuple):
    """What ``evaluate`` measures: the mean loss, and the part of the images that the model classifies rightly."""

    loss: float
    accuracy: float


class Tally:
    """Running sums of the loss and of right answers, and the time they took.

    Those of a card stay there, some batches long: only to look at them is to wait for it.
    """

    def __init__(self) -> None:
        self.count = self._right = self._lost = 0
        self._loss = 0.0
        self._there: list[tuple[Any, ...]] = []  # the batches of a card that nobody has looked at yet
        self._started, self._seconds = time.perf_counter(), 0.0

    def add(self, loss: Array, logits: Array, labels: Array, answers: Array | None = None) -> None:
        """``answers``: the classes (B,) that the model gives, if others than those of the largest logits."""
        labels = labels if is_array(labels) else np.asarray(labels)
        self.count += len(labels)
        if is_at_hand(loss):
            self._add(loss, logits, labels, answers)
        else:
            self._there.append((loss.copy(), logits.copy(), labels.copy(), answers))
            if len(self._there) >= AT_ONCE:
                self.wait()
        self._seconds = time.perf_counter() - self._started

    def _add(self, loss: Any, logits: np.ndarray, labels: np.ndarray, answers: np.ndarray | None) -> None:
        self._loss += float(loss) * len(labels)
        known = np.isfinite(logits).all(axis=1)  # the argmax of NaN would be class 0
        classes = labels if np.ndim(labels) == 1 else labels.argmax(axis=1)
        answers = logits.argmax(axis=1) if answers is None else answers  # report, eq. (8)
        self._right += int(((answers == classes) & known).sum())
        self._lost += int((~known).sum())

    def wait(self) -> None:
        """Until a card has done what was asked of it: that is when its time ends, and what it gave can be counted."""
        for batch in self._there:
            self._add(*(to_numpy(a) if is_array(a) else a for a in batch))
        if self._there:
            self._seconds = time.perf_counter() - self._started
        self._there.clear()

    @property
    def mean_loss(self) -> float:
        self.wait()
        return self._loss / self.count

    @property
    def accuracy(self) -> float:
        self.wait()
        return self._right / self.count

    @property
    def not_finite(self) -> int:
        """How many images' logits are NaN or infinite: they count as wrong."""
        self.wait()
        return self._lost

    @property
    def images_per_second(self) -> float:
        """Up to the last batch that was added, or to ``wait``."""
        return self.count / max(self._seconds, 1e-9)


def evaluate(
    model: Module,
    batches: Iterable[tuple[Any, Any]],
    temperature: float = 1.0,
    *,
    stochastic: bool = False,
    seed: int = 0,
    progress: bool = True,
) -> Score:
    """Mean loss and accuracy over batches, in evaluation mode: is argmax_k p_k (report, eq. (8)) the true class?

    Parameters
    ----------
    model : Module
        From images to logits. Its mode is restored afterwards.
    batches : iterable of (images (B, H, W, C) in [0, 1], integer labels (B,))
        A ``data.Loader`` with ``shuffle=False``, say. Of labels that are probabilities (B, classes), as for
        ``cross_entropy``, the likeliest class counts as the true one.
    temperature : float > 0
        Of the loss; it does not change the accuracy, unless classes are drawn.
    stochastic : bool
        Whether each image's class is drawn from p, its probabilities at this temperature, as some do (report, section
        2.1), instead of taken where p is largest. The accuracy is then, on average, the mean p of the true class.
    seed : int, at least 0
        Of what is drawn: a number for each image, in the order of the batches, however large these are.
    progress : bool
        A bar on a terminal or in a notebook, elsewhere a line at the end. False: silence.

    Returns
    -------
    Score
        ``loss`` and ``accuracy``, in [0, 1].

    Raises
    ------
    ValueError
        When there are no batches.

    Warns
    -----
    RuntimeWarning
        When logits are NaN or infinite, of how many images: they count as wrong.

    Examples
    --------
    >>> import minidl as md
    >>> images, labels = md.data.digits("val")
    >>> model = md.models.fc5(image_size=8, channels=1)
    >>> score = md.evaluate(model, md.data.Loader(images, labels, batch_size=180, shuffle=False), progress=False)
    >>> 0 <= score.accuracy <= 1
    True
    """
    rng = np.random.default_rng(whole_number(seed, "seed", 0, "evaluate")) if stochastic else None
    return score(forward(model), model, batches, temperature, rng, progress)


def score(
    ahead: Replayed,
    model: Module,
    batches: Iterable[tuple[Any, Any]],
    temperature: float,
    rng: np.random.Generator | None = None,
    progress: bool = False,
) -> Score:
    """``evaluate``, by a ``forward`` pass that may have been recorded before."""
    check_batches(batches, "evaluate")
    temperature = number(temperature, "temperature", "(0, inf)", "evaluate")
    total = len(batches) if isinstance(batches, Sized) else None
    with ProgressBar(total, "evaluate", progress) as bar:
        tally = measure(ahead, model, batches, temperature, bar, rng)
        if not tally.count:
            raise ValueError("evaluate: there are no batches to evaluate on")
        bar.finish(loss=f"{tally.mean_loss:.3f}", accuracy=f"{tally.accuracy:.1%}")
    if tally.not_finite:
        warnings.warn(
            f"evaluate: the model's logits are NaN or infinite for {tally.not_finite} of {tally.count} images, which "
            "count as wrong: look at its weights, which training may have lost",
            RuntimeWarning,
            stacklevel=3,
        )
    return Score(tally.mean_loss, tally.accuracy)


def forward(model: Module, record: bool | None = None) -> Replayed:
    """The model's logits [(B, classes)] of images on its device, as a step that a card records, where it may."""

    def logits(images: Array) -> list[Array]:
        with no_grad():
            return [model(Tensor(images)).data]

    return Replayed(logits, Reads(model), is_minidls_own(model) if record is None else record)


def measure(
    ahead: Replayed,
    model: Module,
    batches: Iterable[tuple[Any, Any]],
    temperature: float = 1.0,
    bar: ProgressBar | None = None,
    rng: np.random.Generator | None = None,
) -> Tally:
    """Losses and right answers, drawn where there is an ``rng``, in evaluation mode, without a word about them."""
    tally = Tally()
    with evaluation_mode(model), no_grad():
        for images, labels in batches:
            x = as_input(images, model, "evaluate").data
            with room_for("evaluate", len(labels), partial(_forward, model, x)):
                (logits,) = with_all_memory(partial(ahead, x))
            answers = None if rng is None else drawn(logits, temperature, rng)
            tally.add(F.cross_entropy(Tensor(logits), labels, temperature).data, logits, labels, answers)
            if bar is not None:
                bar.advance()
    return tally


def drawn(logits: Array, temperature: float, rng: np.random.Generator) -> Array:
    """A class (B,) of each image, by its probabilities: where a number drawn evenly falls among their sums."""
    sums = F.softmax(logits, temperature).data.astype(np.float64).cumsum(axis=1)  # (B, classes), rising
    at = array_module(logits).asarray(rng.random(len(logits)))[:, None] * sums[:, -1:]
    return (sums[:, :-1] <= at).sum(axis=1)


def _forward(model: Module, images: Array, count: int) -> None:
    model(Tensor(images[:count]))


def check_batches(batches: Any, name: str) -> Any:
    """Batches as they are, unless they are whole images and labels instead."""
    if isinstance(batches, tuple | ImageSet | Tensor) or is_array(batches):
        raise TypeError(f"{name} wants batches of images and labels: data.Loader(images, labels, batch_size=64)")
    if name == "fit" and not isinstance(batches, Sized):
        raise TypeError("fit goes through the batches again and again, and cannot with a generator: use data.Loader")
    return batches


def as_input(images: Array, model: Module, name: str) -> Tensor:
    """Images as real numbers where the model's parameters are, and in their precision."""
    images = real_pixels(images, name)
    like = next((parameter.data for parameter in model.parameters()), images)
    return Tensor(to_device(images, device_of(like)).astype(like.dtype, copy=False))
