"""Training: gradient descent over batches, watched."""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from .. import functional as F
from ..backend import Array, is_array, is_gpu_array, to_device, to_numpy
from ..backend.capacity import explained
from ..backend.recording import Replayed
from ..kernels import precision
from ..nn import Module, evaluation_mode
from ..optim import Optimizer, Schedule
from ..tensor import Tensor, no_grad
from ..tools.progress import ProgressBar
from .evaluate import Score, Tally, as_input, check_batches, evaluate
from .state import arrays_of, masks_of


class Batches(Protocol):
    """What ``fit`` reads: ``len`` batches of (images, labels); ``data.Loader`` is one."""

    def __iter__(self) -> Any: ...
    def __len__(self) -> int: ...


class Pruner(Protocol):
    """What ``fit`` needs of a pruner; ``compress.MagnitudePruner`` is one."""

    @property
    def sparsity(self) -> float: ...
    def check(self, total_steps: int) -> None: ...
    def step(self, t: int) -> None: ...


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
        super().__init__(message, step)  # both, so that it can be pickled, as between processes
        self.step = step

    def __str__(self) -> str:
        return self.args[0]


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
    first_epoch: int = 0,
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
        T of the loss (report, eqs. (22)-(24)).
    pruner : compress.MagnitudePruner, optional
        Its ``step(t)`` follows each step of the optimiser; a schedule that does not end in time is an error.
    progress : bool
        A bar on a terminal or in a notebook, elsewhere a line an epoch. False: silence.
    on_epoch : callable, optional
        Called with each ``Epoch`` when it ends.
    first_epoch : int
        The epochs behind a training that is taken up again (``minidl.checkpoint``); ``batches`` goes on from there too.
    name : str
        Shown before the bar.

    Returns
    -------
    list of Epoch
        The training curve, from ``first_epoch`` on.

    Raises
    ------
    NonFiniteLossError
        When the loss is NaN or infinite: at which step. The model, its masks and the optimiser are put back to the
        start of an epoch from which the loss was still finite.
    ValueError
        When the pruning schedule does not end before the training does.
    MemoryError
        When a batch does not fit on the card: which one would. Everything is put back to the start of the epoch.

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
    steps = len(check_batches(batches, "fit"))
    if not 0 <= first_epoch < epochs or steps < 1:
        behind = f" with {first_epoch} behind" if first_epoch else ""
        raise ValueError(f"fit: there is nothing to train on: {epochs} epochs{behind} of {steps} batches")
    if {*model.parameters()}.isdisjoint(optimizer.parameters):
        raise ValueError("fit: the optimiser has none of this model's parameters: make it from model.parameters()")
    if pruner is not None:
        pruner.check(epochs * steps)
        weights = getattr(pruner, "weights", None)
        if weights is not None and {*model.parameters()}.isdisjoint(weights.values()):
            raise ValueError("fit: the pruner has none of this model's weights: make it from this model")
    if schedule is not None and not callable(schedule):
        raise TypeError(f"fit: schedule is {schedule!r}, and must be a function, such as optim.one_cycle(lr, steps)")
    training = _Training(model, optimizer, schedule, temperature, pruner)
    step = training.replayed()
    curve: list[Epoch] = []
    try:
        for epoch in range(first_epoch, epochs):
            with ProgressBar(steps, f"{name} epoch {epoch + 1}/{epochs}".strip(), progress) as bar:
                tally = training.epoch(step, batches, epoch * steps, bar)
                score = None if validation is None else evaluate(model, validation, temperature, progress=False)
                bar.finish(**training.figures(tally, score))
            row = training.row(epoch, tally, score)
            curve.append(row)
            if on_epoch is not None:
                on_epoch(row)
    finally:
        model.eval()
    return curve


class _State:
    """A training between two steps: weights, masks and what the optimiser remembers."""

    def __init__(self, model: Module, optimizer: Optimizer) -> None:
        self._model, self._optimizer = model, optimizer
        self._weights, self._masks = model.state_dict(), masks_of(model)
        self._arrays = [[to_numpy(a).copy() if is_array(a) else a for a in state] for state in optimizer.state]
        others = {name: value for name, value in vars(optimizer).items() if name not in ("parameters", "state")}
        self._memory = copy.deepcopy(others)

    def restore(self) -> None:
        for parameter, mask in zip(self._model.parameters(), self._masks, strict=True):
            parameter.mask = mask
        self._model.load_state_dict(self._weights)
        vars(self._optimizer).update(self._memory)
        for i, (parameter, state) in enumerate(zip(self._optimizer.parameters, self._arrays, strict=True)):
            self._optimizer.state[i] = [to_device(a.copy(), parameter.device) if is_array(a) else a for a in state]


class _Training:
    """A training in progress."""

    def __init__(
        self, model: Module, optimizer: Optimizer, schedule: Schedule | None, temperature: float, pruner: Pruner | None
    ) -> None:
        self.model, self.optimizer, self.schedule = model, optimizer, schedule
        self.temperature, self.pruner = temperature, pruner
        self._good: _State | None = None  # from which an epoch went well
        # not looked at yet: step, learning rate, loss, and where to go back to if it is not finite
        self._losses: list[tuple[int, float, Array, _State]] = []
        self._classes: int | None = None  # known after the first step

    def epoch(self, step: Replayed, batches: Batches, first: int, bar: ProgressBar) -> Tally:
        """One pass over the batches, whose first is step number ``first``."""
        self.model.train()
        start, tally = _State(self.model, self.optimizer), Tally()
        for t, (images, labels) in enumerate(batches, start=first):
            if self.schedule is not None:
                self.optimizer.lr = self.schedule(t)
            loss, logits = self._guarded(step, images, labels, start)
            # an epoch whose very first loss is not finite began with weights that are no good
            back = start if t > first else self._good or start
            self._losses.append((t, self.optimizer.lr, loss.copy(), back))
            tally.add(loss, logits, labels)
            if bar.due or not is_gpu_array(loss):  # to look at a number on the card is to wait for it
                self._check_losses()
            if self.pruner is not None:
                self.pruner.step(t)
            bar.advance()
            if bar.due:
                bar.show(**self.figures(tally))
        tally.wait()
        if not tally.count:
            raise ValueError("fit: the batches came to an end: give a Loader, which begins anew each epoch")
        # the last step too must leave a model that still gives a loss
        last = evaluate(self.model, [(images, labels)], self.temperature, progress=False).loss
        self._losses.append((t, self.optimizer.lr, np.float64(last), start))
        self._check_losses()
        self._good = start
        return tally

    def replayed(self) -> Replayed:
        """The step, as it is done again and again."""
        arrays = functools.partial(arrays_of, self.model, self.optimizer)
        return Replayed(self.step, self.reads, arrays, self.optimizer.recordable)

    def _guarded(self, step: Replayed, images: Array, labels: Any, start: _State) -> Sequence[Array]:
        """One step, or an error that says what does not fit; the loss and the logits from before it."""
        labels = labels if is_array(labels) else np.asarray(labels)
        try:
            with explained("fit", len(images), lambda count: self._rehearse(images[:count], labels[:count])):
                x = as_input(images, self.model).data
                if is_gpu_array(x) and self._classes is not None:  # a step that is replayed cannot look at its labels
                    F.check_labels(labels, len(x), self._classes, "cross_entropy")
                loss, logits, *gradients = step(x, labels)
        except MemoryError:
            start.restore()
            raise
        self._classes = logits.shape[1]
        for parameter, gradient in zip(self.model.parameters(), gradients, strict=True):
            parameter.grad = gradient  # of this step, whatever has been recorded or compared since
        return loss, logits

    def step(self, images: Array, labels: Any) -> Sequence[Any]:
        """Once down the gradient: the loss and the logits from before it, and the gradients."""
        logits = self.model(Tensor(images))
        loss = F.cross_entropy(logits, labels, self.temperature)
        self.model.zero_grad()  # those too that the optimiser does not have: a recording cannot add to them
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return [loss.data, logits.data, *(parameter.grad for parameter in self.model.parameters())]

    def _rehearse(self, images: Array, labels: Any) -> None:
        """All that a batch needs: steps, recorded too, what the optimiser remembers, and a look at the model between
        two epochs. It changes the training, which has to be put back."""
        step, x = self.replayed(), as_input(images, self.model)
        for _ in range(4):
            step(x.data, labels)
        with no_grad(), evaluation_mode(self.model):
            self.model(x)
        self.model.zero_grad()

    def reads(self) -> tuple[Any, ...]:
        """How a step on the card computes, and where it finds what it is not given."""
        settings: list[Any] = [precision()]
        for thing in (self.optimizer, *self.model.modules()):
            settings += [
                value
                for name, value in vars(thing).items()
                if isinstance(value, int | float | str | tuple | np.generic) and name not in ("lr", "steps")  # fresh
            ]
        arrays = [array for state in self.optimizer.state for array in state]
        for parameter in self.model.parameters():
            settings.append(parameter.requires_grad)
            arrays += [parameter.data, parameter.mask]
        arrays += [getattr(module, name) for module in self.model.modules() for name in module.buffers]
        return (*settings, *(a.data.ptr if is_gpu_array(a) else None for a in arrays))

    def _check_losses(self) -> None:
        """Put everything back and raise, if a loss since the last look is not finite."""
        losses, self._losses = self._losses, []
        for t, lr, loss, back in losses:
            if not math.isfinite(float(loss)):
                back.restore()
                raise NonFiniteLossError(
                    f"fit: the loss is {float(loss)} at step {t} (learning rate {lr:g}); the model was put back to the "
                    "start of the last epoch that began with a finite loss. A lower learning rate or a warm-up usually "
                    "helps",
                    t,
                )

    def figures(self, tally: Tally, score: Score | None = None) -> dict[str, str]:
        """What the progress bar shows."""
        figures = {"loss": f"{tally.mean_loss:.3f}", "accuracy": f"{tally.accuracy:.1%}"}
        figures["lr"] = f"{self.optimizer.lr:.2g}"
        if self.pruner is not None:
            figures["sparsity"] = f"{self.pruner.sparsity:.1%}"
        if score is not None:
            figures |= {"val_loss": f"{score.loss:.3f}", "val_accuracy": f"{score.accuracy:.1%}"}
        return figures | {"images/s": f"{tally.images_per_second:.0f}"}

    def row(self, epoch: int, tally: Tally, score: Score | None) -> Epoch:
        return Epoch(
            epoch=epoch,
            loss=tally.mean_loss,
            accuracy=tally.accuracy,
            lr=self.optimizer.lr,
            sparsity=0.0 if self.pruner is None else self.pruner.sparsity,
            images_per_second=tally.images_per_second,
            val_loss=None if score is None else score.loss,
            val_accuracy=None if score is None else score.accuracy,
        )
