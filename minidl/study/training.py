"""One run from its first step, or from its newest checkpoint, to its trained network."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

from ..backend import check_device, streams
from ..checkpoint import Checkpoints
from ..nn import Module
from ..objectives import Adversarial, CrossEntropy, Distillation, Objective
from ..optim import SGD
from ..records import Run
from ..train import Epoch, fit
from .problem import Problem
from .sparse import finished, prepared, way_of
from .watch import EventFile

TEMPERATURES = (1e-6, 1e6)


@dataclasses.dataclass(frozen=True)
class Trained:
    """A network, its training curve (a row an epoch), and the seconds it took, over all processes that had a part."""

    model: Module
    curve: list[dict[str, Any]]
    seconds: float


def train(
    run: Run,
    problem: Problem,
    folder: Path,
    checkpoint_share: float = 0.03,
    progress: bool = True,
    teacher: Module | None = None,
) -> Trained:
    """Train the run's network, from the newest checkpoint in ``folder`` if there is one; the bits are the same.

    ``teacher``: the trained network of ``run.teacher``, where the run has one.
    """
    model, batches = prepared(run, problem.model(run)), problem.batches(run)
    steps = run.epochs * len(batches)
    optimizer = SGD(model.parameters(), run.lr, momentum=0.9, weight_decay=run.weight_decay, nesterov=True)
    way = way_of(run, model, optimizer, steps, len(problem.train), objective(run, teacher))
    parts: dict[str, Any] = {"objective": way.objective, "after_step": way.after_step, "batches": batches}
    checkpoints = Checkpoints(folder, checkpoint_share)
    done = checkpoints.resume(model, optimizer, **parts) or {"epochs": 0, "curve": [], "seconds": 0.0}
    curve, started = done["curve"], time.monotonic()
    events = EventFile(folder, done["epochs"])

    def on_epoch(epoch: Epoch) -> None:
        curve.append(dataclasses.asdict(epoch))
        events.add(epoch, way.pruner)
        so_far = {"epochs": len(curve), "curve": curve, "seconds": done["seconds"] + time.monotonic() - started}
        checkpoints.save(len(curve), model, optimizer, so_far, **parts)

    try:
        if len(curve) < way.epochs:
            fit(
                model,
                batches,
                optimizer,
                way.epochs,
                schedule=way.schedule,
                validation=problem.validation(run),
                objective=parts["objective"],
                after_step=parts["after_step"],
                progress=progress,
                on_epoch=on_epoch,
                first_epoch=len(curve),
                name=f"{run}:",
            )
    finally:
        events.close()
    return Trained(finished(model), curve, done["seconds"] + time.monotonic() - started)


def objective(run: Run, teacher: Module | None = None) -> Objective:
    """What the run's training minimises."""
    loss: Objective = CrossEntropy(run.temperature)
    if run.teacher is not None and teacher is not None:
        loss = Distillation(teacher, run.temperature, run.mix)
    if run.adversary is None:
        return loss
    how, rng = run.adversary, streams(run.seed)["attack"].spawn(1)[0]  # not the stream that draws the images to attack
    step = None if how.step is None else how.step / 255
    return Adversarial(how.epsilon / 255, how.steps, step, how.start, loss, rng)


def check(run: Run, problem: Problem) -> None:
    """Raise a ValueError that says what of a run cannot work, before hours are spent on others."""
    check_device(run.device)
    if run.epochs < 1:
        raise ValueError(f"{run}: {run.epochs} epochs teach nothing: give 1 or more")
    if run.model == "alexnet" and run.crop < 63:
        raise ValueError(f"{run}: AlexNet needs windows of 63 pixels or more, and crop is {run.crop}")
    for name in ("lr", "weight_decay"):
        if not 0 <= getattr(run, name) < float("inf"):
            raise ValueError(f"{run}: {name} is {getattr(run, name)}, and must be finite and not negative")
    if run.seed < 0:
        raise ValueError(f"{run}: the seed is {run.seed}, and must not be negative")
    if not 0 <= run.sparsity < 1:
        raise ValueError(f"{run}: the sparsity is {run.sparsity}, and must be in [0, 1)")
    if not TEMPERATURES[0] <= run.temperature <= TEMPERATURES[1]:
        raise ValueError(
            f"{run}: the temperature is {run.temperature}, and must be above 0, from {TEMPERATURES[0]:g} to "
            f"{TEMPERATURES[1]:g}: beyond that float32 can neither divide by it nor learn from it"
        )
    _check_defence(run)
    if run.pruning is not None:
        first, last = run.pruning.between
        if not 0 <= first < last <= 1 or run.pruning.steps < 1:
            raise ValueError(
                f"{run}: pruning between {first} and {last} of the training in {run.pruning.steps} steps: it needs a "
                "step, and two parts of the training in order, within [0, 1]"
            )
        pruning = run.pruning
        if not (0 < pruning.part < 1 and 0 <= pruning.rewind < 1 and pruning.strength >= 0):
            raise ValueError(
                f"{run}: part is {pruning.part}, rewind {pruning.rewind} and strength {pruning.strength}: they must "
                "be in (0, 1), in [0, 1) and not negative"
            )
    if run.proximal is not None and (min(run.proximal.nuclear, run.proximal.l1) < 0 or run.proximal.every < 1):
        raise ValueError(f"{run}: neither norm's weight may be negative, and every must be at least 1")
    if run.condition is not None and (run.condition < 1 or run.low_rank == "none"):
        raise ValueError(
            f"{run}: condition is {run.condition}, and is a bound of at least 1 on low-rank layers: has it any?"
        )
    problem.batches(dataclasses.replace(run, device="cpu"))
    if run.low_rank != "none":
        problem.model(dataclasses.replace(run, device="cpu"))


def _check_defence(run: Run) -> None:
    """Raise a ValueError where the run's attack, or its teacher, cannot be."""
    try:
        objective(run)
    except ValueError as error:
        raise ValueError(f"{run}: {error}") from error
    if not 0 <= run.mix <= 1 or (run.mix != 1 and run.teacher is None):
        raise ValueError(f"{run}: mix is {run.mix}, the teacher's part of the loss: in [0, 1], and 1 without a teacher")
    seen = ("data", "pixels", "crop", "device")
    if run.teacher is not None and any(getattr(run, name) != getattr(run.teacher, name) for name in seen):
        raise ValueError(f"{run}: its teacher, {run.teacher}, must see the same images, on the same device")
