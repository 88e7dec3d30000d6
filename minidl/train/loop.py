"""The steps of a training, one after the other: taken, looked at, and taken back where the loss was lost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np

from .. import functional as F
from .. import kernels
from ..backend import Array, is_array, is_at_hand
from ..backend.capacity import room_for
from ..backend.memory import with_all_memory
from ..backend.recording import Replayed
from ..checks import number
from ..nn import Module, evaluation_mode, is_minidls_own
from ..objectives import Objective, plain
from ..optim import Optimizer, Schedule
from ..tensor import Tensor
from ..tools.progress import ProgressBar
from .evaluate import Score, Tally, as_input, forward, measure
from .state import Snapshot, State


class Batches(Protocol):
    """What ``fit`` reads: ``len`` batches of (images, labels); ``data.Loader`` is one."""

    def __iter__(self) -> Any: ...
    def __len__(self) -> int: ...


class AfterStep(Protocol):
    """What follows a step of the optimiser; ``compress.MagnitudePruner`` is one.

    Its numbers, arrays and random generators are part of the training's state. It may have ``check(total_steps)``,
    called before the first step, and ``figures()``, texts by name for the bar.
    """

    def step(self, t: int) -> None: ...


class NonFiniteLossError(ArithmeticError):
    """The loss became NaN or infinite. ``fit`` puts the model back to its last good state; ``step`` is when."""

    def __init__(self, message: str, step: int) -> None:
        super().__init__(message, step)  # both, so that it can be pickled, as between processes
        self.step = step

    def __str__(self) -> str:
        return self.args[0]


class Training:
    """A training in progress."""

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer,
        objective: Objective,
        after_step: Sequence[AfterStep],
        batches: Batches,
        schedule: Schedule | None,
        record: bool | None,
    ) -> None:
        self.model, self.optimizer, self.objective = model, optimizer, objective
        self.after_step, self.batches, self.schedule = after_step, batches, schedule
        self.state = State(model, optimizer, objective, after_step, batches)
        self._ours = is_minidls_own(model) and optimizer.is_minidls_own() and plain.is_minidls_own(objective)
        if record is None:
            record = self._ours
        self._record = record
        self._forward = partial(forward, model, record)
        self._step, self.ahead = self._replayed(), self._forward()
        self._good: Snapshot | None = None  # from which an epoch went well
        # not looked at yet: step, learning rate, loss, and where to go back to if it is not finite
        self._losses: list[tuple[int, float, Array, Snapshot]] = []
        self._classes: int | None = None  # known after the first step

    def epoch(self, first: int, bar: ProgressBar) -> Tally:
        """One pass over the batches, whose first is step number ``first``."""
        self.model.train()
        start, tally, steps = self.state.capture(), Tally(), len(self.batches)
        for t, (images, labels) in enumerate(self.batches, start=first):
            if t == first + steps:
                self.state.restore(start)
                raise ValueError(
                    f"fit: there are more than the {steps} batches that len(batches) gives, and a schedule's steps "
                    "are counted by it: make the two agree. The model was put back to the start of the epoch"
                )
            if self.schedule is not None:
                self.optimizer.lr = number(self.schedule(t), f"the schedule's rate at step {t}", "[0, inf)", "fit")
            loss, logits = self._guarded(images, labels, start)
            # an epoch whose very first loss is not finite began with weights that are no good
            back = start if t > first else self._good or start
            self._losses.append((t, self.optimizer.lr, loss.copy(), back))
            tally.add(loss, logits, labels)
            if bar.due or is_at_hand(loss):  # a card would have to be waited for
                self._check_losses()
            try:
                for follower in self.after_step:
                    follower.step(t)
            except Exception:  # the step may have left weights that are NaN, whose loss nobody has seen yet
                self.state.restore(back)
                raise
            bar.advance()
            if bar.due:
                bar.show(**self.figures(tally))
        tally.wait()
        if not tally.count:
            raise ValueError("fit: the batches came to an end: give a Loader, which begins anew each epoch")
        # the last step too must leave a model that still gives a loss
        last = measure(self.ahead, self.model, [(images, labels)]).mean_loss
        self._losses.append((t, self.optimizer.lr, np.float64(last), start))
        self._check_losses()
        self._good = start
        return tally

    def _guarded(self, images: Array, labels: Any, start: Snapshot) -> Sequence[Array]:
        """One step, or an error that says what does not fit; the loss and the logits from before it."""
        labels = labels if is_array(labels) else np.asarray(labels)
        try:
            with room_for("fit", len(images), lambda count: self._rehearse(images[:count], labels[:count])):
                x = as_input(images, self.model, "fit").data
                if self._classes is not None:  # a step that is replayed cannot look at its labels
                    F.check_targets(labels, len(x), self._classes, "cross_entropy")
                loss, logits, *gradients = self._step(x, labels)
        except MemoryError:
            self.state.restore(start)
            raise
        self._classes = logits.shape[1]
        for parameter, gradient in zip(self.model.parameters(), gradients, strict=True):
            parameter.grad = gradient  # of this step, whatever has been recorded or compared since
        return loss, logits

    def _replayed(self) -> Replayed:
        """The step, as it is done again and again."""
        return Replayed(self.step, self.state.reads, self._record, self.state.writes)

    def step(self, images: Array, labels: Any) -> Sequence[Any]:
        """Once down the gradient: the loss and the logits from before it, and the gradients."""
        with kernels.together(self._ours):  # nobody in there looks at running statistics
            loss, logits = self.objective(self.model, Tensor(images), labels)
        self.model.zero_grad()  # those too that the optimiser does not have: a recording cannot add to them
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return [loss.data, logits.data, *(parameter.grad for parameter in self.model.parameters())]

    def _rehearse(self, images: Array, labels: Any) -> None:
        """All that a batch needs: steps, recorded too, what the optimiser remembers, and a look at the model between
        two epochs. It changes the training, which has to be put back."""
        self._step, self.ahead = self._replayed(), self._forward()  # without what has been recorded
        step, ahead, x = self._replayed(), self._forward(), as_input(images, self.model, "fit")
        for _ in range(4):
            step(x.data, labels)
        with evaluation_mode(self.model):
            for _ in range(3):
                with_all_memory(partial(ahead, x.data))
        self.model.zero_grad()

    def _check_losses(self) -> None:
        """Put everything back and raise, if a loss since the last look is not finite."""
        losses, self._losses = self._losses, []
        for t, lr, loss, back in losses:
            if not math.isfinite(float(loss)):
                self.state.restore(back)
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
        for follower in self.after_step:
            figures |= getattr(follower, "figures", dict)()
        if score is not None:
            figures |= {"val_loss": f"{score.loss:.3f}", "val_accuracy": f"{score.accuracy:.1%}"}
        return figures | {"images/s": f"{tally.images_per_second:.0f}"}
