"""Training: gradient descent over batches, watched; and measuring what came of it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from . import functional as F
from .backend import Array, device_of, to_device, to_numpy
from .nn import Module, evaluation_mode
from .optim import Optimizer, Schedule
from .progress import ProgressBar
from .tensor import Tensor, no_grad


class Batches(Protocol):
    """What ``fit`` and ``evaluate`` read: ``len`` batches of (images, labels); ``data.Loader`` is one."""

    def __iter__(self) -> Any: ...
    def __len__(self) -> int: ...


class Pruner(Protocol):
    """What ``fit`` needs of a pruner; ``compress.MagnitudePruner`` is one."""

    @property
    def sparsity(self) -> float: ...
    def check(self, total_steps: int) -> None: ...
    def step(self, t: int) -> None: ...


class Score(NamedTuple):
    """What ``evaluate`` measures: the mean loss, and the part of the images that the model classifies rightly."""

    loss: float
    accuracy: float


@dataclass(frozen=True)
class Epoch:
    """One row of the training curve.

    ``loss`` and ``accuracy`` are means over the epoch's batches as they were met; ``val_loss`` and ``val_accuracy``
    (None without validation data) are taken after its last step, as are ``lr`` and ``sparsity``.
    """

    epoch: int
    loss: float
    accuracy: float
    lr: float
    sparsity: float
    images_per_second: float
    val_loss: float | None = None
    val_accuracy: float | None = None


class NonFiniteLossError(ArithmeticError):
    """The loss became NaN or infinite. ``fit`` puts the model back to its last good state; ``step`` is when."""

    def __init__(self, message: str, step: int) -> None:
        super().__init__(message)
        self.step = step


def evaluate(model: Module, batches: Iterable[tuple[Any, Any]], temperature: float = 1.0) -> Score:
    """Mean loss and accuracy over batches, in evaluation mode.

    Parameters
    ----------
    model : Module
        From images to logits. Its mode is restored afterwards.
    batches : iterable of (images (B, H, W, C) in [0, 1], integer labels (B,))
        A ``data.Loader`` with ``shuffle=False``, say.
    temperature : float > 0
        Of the loss; it does not change the accuracy.

    Returns
    -------
    Score
        ``loss`` and ``accuracy``, in [0, 1].

    Raises
    ------
    ValueError
        When there are no batches.

    Examples
    --------
    >>> import minidl as md
    >>> images, labels = md.data.digits("val")
    >>> model = md.models.fc5(image_size=8, channels=1)
    >>> score = md.evaluate(model, md.data.Loader(images, labels, batch_size=180, shuffle=False))
    >>> 0 <= score.accuracy <= 1
    True
    """
    tally = _Tally()
    with evaluation_mode(model), no_grad():
        for images, labels in batches:
            logits = model(_as_input(images, model))
            tally.add(F.cross_entropy(logits, labels, temperature).item(), logits.data, labels)
    if not tally.count:
        raise ValueError("evaluate: there are no batches to evaluate on")
    return Score(tally.mean_loss, tally.accuracy)


def fit(
    model: Module,
    batches: Batches,
    optimizer: Optimizer,
    epochs: int,
    *,
    schedule: Schedule | None = None,
    validation: Iterable[tuple[Any, Any]] | None = None,
    temperature: float = 1.0,
    pruner: Pruner | None = None,
    progress: bool = True,
    on_epoch: Callable[[Epoch], None] | None = None,
    name: str = "",
) -> list[Epoch]:
    """Train a model, showing a progress bar.

    Parameters
    ----------
    model : Module
        From images to logits; changed in place and left in evaluation mode.
    batches : data.Loader, or any sized iterable of (images (B, H, W, C) in [0, 1], integer labels (B,))
    optimizer : optim.Optimizer
    epochs : int
        How often to go through the batches.
    schedule : callable, optional
        The learning rate at each step, counted from 0: ``optim.one_cycle(...)``, say.
    validation : iterable of batches, optional
        Evaluated after each epoch.
    temperature : float > 0
        T of the loss (report, eqs. 22-24).
    pruner : compress.MagnitudePruner, optional
        Its ``step(t)`` follows each step of the optimiser; a schedule that does not end in time is an error.
    progress : bool
        A bar on a terminal or in a notebook, elsewhere a line an epoch. False: silence.
    on_epoch : callable, optional
        Called with each ``Epoch`` when it ends.
    name : str
        Shown before the bar.

    Returns
    -------
    list of Epoch
        The training curve.

    Raises
    ------
    NonFiniteLossError
        When the loss is NaN or infinite: at which step. The model is put back to the start of its epoch.
    ValueError
        When the pruning schedule does not end before the training does.

    Examples
    --------
    >>> import minidl as md
    >>> images, labels = md.data.digits("train")
    >>> model = md.models.fc5(image_size=8, channels=1)
    >>> batches = md.data.Loader(images, labels, batch_size=128)
    >>> optimizer = md.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    >>> curve = md.fit(model, batches, optimizer, epochs=2, progress=False)
    >>> curve[1].loss < curve[0].loss
    True
    """
    steps = len(batches)
    if epochs < 1 or steps < 1:
        raise ValueError(f"fit: there is nothing to train on: {epochs} epochs of {steps} batches")
    if pruner is not None:
        pruner.check(epochs * steps)
    curve: list[Epoch] = []
    for epoch in range(epochs):
        good = model.state_dict()
        model.train()
        started, tally = time.perf_counter(), _Tally()
        with ProgressBar(steps, f"{name} epoch {epoch + 1}/{epochs}".strip(), progress) as bar:
            for t, (images, labels) in enumerate(batches, start=epoch * steps):
                optimizer.lr = optimizer.lr if schedule is None else schedule(t)
                try:
                    tally.add(*_train_step(model, optimizer, images, labels, temperature, t), labels)
                except NonFiniteLossError:
                    model.load_state_dict(good)
                    raise
                if pruner is not None:
                    pruner.step(t)
                bar.advance()
                if bar.due:
                    bar.show(**_figures(tally, optimizer.lr, pruner, time.perf_counter() - started))
            seconds = time.perf_counter() - started
            score = None if validation is None else evaluate(model, validation, temperature)
            bar.finish(**_figures(tally, optimizer.lr, pruner, seconds, score))
        row = Epoch(
            epoch=epoch,
            loss=tally.mean_loss,
            accuracy=tally.accuracy,
            lr=optimizer.lr,
            sparsity=0.0 if pruner is None else pruner.sparsity,
            images_per_second=tally.count / seconds,
            val_loss=score and score.loss,
            val_accuracy=score and score.accuracy,
        )
        curve.append(row)
        if on_epoch is not None:
            on_epoch(row)
    model.eval()
    return curve


def _train_step(
    model: Module, optimizer: Optimizer, images: Array, labels: Array, temperature: float, t: int
) -> tuple[float, Array]:
    """One step down the gradient; the loss and the logits from before it."""
    logits = model(_as_input(images, model))
    loss = F.cross_entropy(logits, labels, temperature)
    if not math.isfinite(loss.item()):
        raise NonFiniteLossError(
            f"fit: the loss is {loss.item()} at step {t} (learning rate {optimizer.lr:g}); the model was put back to "
            "the start of this epoch. A lower learning rate or a warm-up usually helps",
            step=t,
        )
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item(), logits.data


def _as_input(images: Array, model: Module) -> Tensor:
    """Images where the model's parameters are, and in their precision."""
    like = next((parameter.data for parameter in model.parameters()), images)
    return Tensor(to_device(images, device_of(like)).astype(like.dtype, copy=False))


class _Tally:
    """Running sums of the loss and of right answers."""

    def __init__(self) -> None:
        self.count, self.loss_sum, self.right = 0, 0.0, 0

    def add(self, loss: float, logits: Array, labels: Array) -> None:
        count = len(labels)
        self.count += count
        self.loss_sum += loss * count
        self.right += int((to_numpy(logits).argmax(axis=1) == to_numpy(labels)).sum())  # report, eq. (8)

    @property
    def mean_loss(self) -> float:
        return self.loss_sum / self.count

    @property
    def accuracy(self) -> float:
        return self.right / self.count


def _figures(
    tally: _Tally, lr: float, pruner: Pruner | None, seconds: float, score: Score | None = None
) -> dict[str, str]:
    figures = {"loss": f"{tally.mean_loss:.3f}", "accuracy": f"{tally.accuracy:.1%}", "lr": f"{lr:.2g}"}
    if pruner is not None:
        figures["sparsity"] = f"{pruner.sparsity:.1%}"
    if score is not None:
        figures |= {"val_loss": f"{score.loss:.3f}", "val_accuracy": f"{score.accuracy:.1%}"}
    return figures | {"images/s": f"{tally.count / max(seconds, 1e-9):.0f}"}
