"""One run from its first step, or from its newest checkpoint, to its trained network."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from pathlib import Path
from typing import Any

from ..backend import streams
from ..checkpoint import Checkpoints
from ..nn import Module
from ..objectives import Adversarial, CrossEntropy, Distillation, Objective
from ..optim import SGD
from ..records import Run
from ..train import Epoch, fit
from .problem import Problem
from .sparse import finished, prepared, way_of
from .watch import EventFile


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
    with contextlib.closing(EventFile(folder, done["epochs"])) as events:

        def on_epoch(epoch: Epoch) -> None:
            curve.append(dataclasses.asdict(epoch))
            events.add(epoch, way.pruner)
            so_far = {"epochs": len(curve), "curve": curve, "seconds": done["seconds"] + time.monotonic() - started}
            checkpoints.save(len(curve), model, optimizer, so_far, **parts)

        if len(curve) < way.epochs:
            fit(
                model,
                optimizer=optimizer,
                epochs=way.epochs,
                schedule=way.schedule,
                validation=problem.validation(run),
                progress=progress,
                on_epoch=on_epoch,
                first_epoch=len(curve),
                name=f"{run}:",
                **parts,
            )
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
