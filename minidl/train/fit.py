"""Training: gradient descent over batches, watched."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ..checks import number, whole_numbers
from ..nn import Module
from ..objectives import CrossEntropy, Objective
from ..optim import Optimizer, Schedule
from ..tensor import Parameter
from ..tools.progress import ProgressBar
from .evaluate import check_batches, score
from .loop import AfterStep, Batches, Training


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


def fit(
    model: Module,
    batches: Batches,
    optimizer: Optimizer,
    epochs: int,
    *,
    objective: Objective | None = None,
    after_step: Sequence[AfterStep] = (),
    schedule: Schedule | None = None,
    validation: Iterable[tuple[Any, Any]] | None = None,
    temperature: float = 1.0,
    pruner: Any = None,
    progress: bool = True,
    on_epoch: Callable[[Epoch], None] | None = None,
    first_epoch: int = 0,
    name: str = "",
    record: bool | None = None,
) -> list[Epoch]:
    """Train a model, showing a progress bar.

    Parameters
    ----------
    model : Module
        From images to logits; changed in place and left in evaluation mode.
    batches : data.Loader, or any sized iterable of (images (B, H, W, C) in [0, 1], labels)
        Labels are whole numbers (B,), or the probability of each class (B, classes), as for ``cross_entropy``.
    optimizer : optim.Optimizer
    epochs : int
        How often to go through the batches.
    objective : callable, optional
        What is minimised: (model, images, labels) to the loss and the logits (``minidl.objectives``). Default: the
        cross-entropy.
    after_step : sequence, optional
        What follows each step of the optimiser: objects with ``step(t)``, such as ``compress.MagnitudePruner``. One
        may also have ``check(total_steps)``, asked before the first step, and ``figures()``, shown behind the bar.
    schedule : callable, optional
        The learning rate at each step, counted from 0: ``optim.one_cycle(...)``, say.
    validation : iterable of batches, optional
        Evaluated after each epoch.
    temperature : float > 0
        Short for ``objective=objectives.CrossEntropy(temperature)`` (report, eqs. (22)-(24)).
    pruner : compress.MagnitudePruner, optional
        Short for ``after_step=[pruner, ...]``.
    progress : bool
        A bar on a terminal or in a notebook, elsewhere a line an epoch. False: silence.
    on_epoch : callable, optional
        Called with each ``Epoch`` when it ends.
    first_epoch : int
        The epochs behind a training that is taken up again (``minidl.checkpoint``); ``batches`` goes on from there too.
    name : str
        Shown before the bar.
    record : bool, optional
        Whether a card records a step, and an evaluation's forward pass, and replays them: they do what they did when
        they were recorded. By default it does where that is known to be safe: all layers, the optimiser and the
        objective are minidl's own. A model of your own that branches in Python must not be recorded; one that does not
        may be.

    Returns
    -------
    list of Epoch
        The training curve, from ``first_epoch`` on.

    Raises
    ------
    NonFiniteLossError
        When the loss is NaN or infinite: at which step. All that training changes (``train.State``) is put back to the
        start of an epoch from which the loss was still finite; and likewise when what follows a step raises an error.
    ValueError
        When the optimiser, or what follows a step, has parameters that are not the model's; when a pruning schedule
        does not end before the training does; when there are more batches than their ``len`` says.
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
    epochs, first_epoch = whole_numbers("fit", 0, epochs=epochs, first_epoch=first_epoch)
    temperature = number(temperature, "temperature", "(0, inf)", "fit")
    if not first_epoch < epochs or steps < 1:
        behind = f" with {first_epoch} behind" if first_epoch else ""
        raise ValueError(f"fit: there is nothing to train on: {epochs} epochs{behind} of {steps} batches")
    if objective is not None and temperature != 1:
        raise ValueError("fit: temperature is short for objective=CrossEntropy(temperature): give one of the two")
    objective = CrossEntropy(temperature) if objective is None else objective
    followers = [*([] if pruner is None else [pruner]), *after_step]
    check_belongs(model, optimizer, followers, epochs * steps)
    if schedule is not None and not callable(schedule):
        raise TypeError(f"fit: schedule is {schedule!r}, and must be a function, such as optim.one_cycle(lr, steps)")
    training = Training(model, optimizer, objective, followers, batches, schedule, record)
    curve: list[Epoch] = []
    try:
        for epoch in range(first_epoch, epochs):
            with ProgressBar(steps, f"{name} epoch {epoch + 1}/{epochs}".strip(), progress) as bar:
                tally = training.epoch(epoch * steps, bar)
                temperature = getattr(objective, "temperature", 1.0)
                result = None if validation is None else score(training.ahead, model, validation, temperature)
                bar.finish(**training.figures(tally, result))
            row = Epoch(
                epoch=epoch,
                loss=tally.mean_loss,
                accuracy=tally.accuracy,
                lr=optimizer.lr,
                sparsity=next((f.sparsity for f in followers if hasattr(f, "sparsity")), 0.0),
                images_per_second=tally.images_per_second,
                val_loss=None if result is None else result.loss,
                val_accuracy=None if result is None else result.accuracy,
            )
            curve.append(row)
            if on_epoch is not None:
                on_epoch(row)
    finally:
        model.eval()
    return curve


def check_belongs(model: Module, optimizer: Optimizer, followers: Sequence[Any], total_steps: int) -> None:
    """What is made of parameters must be made of this model's, as it is now."""
    ours = {*model.parameters()}
    holders = [("optimiser", optimizer.parameters, "model.parameters()")]
    for follower in followers:
        if not callable(getattr(follower, "step", None)):
            raise TypeError(f"fit: what follows a step needs a method step(t), and {follower!r} has none")
        weights = getattr(follower, "weights", {})
        weights = weights.values() if isinstance(weights, dict) else ()
        holders.append((type(follower).__name__, [w for w in weights if isinstance(w, Parameter)], "this model"))
        if hasattr(follower, "check"):
            follower.check(total_steps)
    for name, parameters, source in holders:
        strange = sum(parameter not in ours for parameter in parameters)
        if strange:
            raise ValueError(
                f"fit: of the {len(parameters)} parameters that the {name} has, {strange} are not this model's, which "
                f"would not be trained: make it from {source}, after all surgery such as compress.low_rank"
            )
