"""What of a run cannot work, said before hours are spent on others."""

from __future__ import annotations

import dataclasses

from ..backend import check_device
from ..records import Pruning, Run
from .problem import Problem
from .training import objective

TEMPERATURES = (1e-6, 1e6)


def check(run: Run, problem: Problem) -> None:
    """Raise a ValueError that says what of a run cannot work."""
    check_device(run.device)
    _check_recipe(run)
    _check_defence(run)
    _check_compression(run)
    problem.batches(dataclasses.replace(run, device="cpu"))
    if run.low_rank != "none":
        problem.model(dataclasses.replace(run, device="cpu"))


def _check_recipe(run: Run) -> None:
    if run.epochs < 1:
        raise ValueError(f"{run}: {run.epochs} epochs teach nothing: give 1 or more")
    if run.model == "alexnet" and run.crop < 63:
        raise ValueError(f"{run}: AlexNet needs windows of 63 pixels or more, and crop is {run.crop}")
    for name in ("lr", "weight_decay"):
        if not 0 <= getattr(run, name) < float("inf"):
            raise ValueError(f"{run}: {name} is {getattr(run, name)}, and must be finite and not negative")
    if run.seed < 0:
        raise ValueError(f"{run}: the seed is {run.seed}, and must not be negative")
    if not TEMPERATURES[0] <= run.temperature <= TEMPERATURES[1]:
        raise ValueError(
            f"{run}: the temperature is {run.temperature}, and must be above 0, from {TEMPERATURES[0]:g} to "
            f"{TEMPERATURES[1]:g}: beyond that float32 can neither divide by it nor learn from it"
        )


def _check_defence(run: Run) -> None:
    """The run's attack, and its teacher."""
    try:
        objective(run)
    except ValueError as error:
        raise ValueError(f"{run}: {error}") from error
    if not 0 <= run.mix <= 1 or (run.mix != 1 and run.teacher is None):
        raise ValueError(f"{run}: mix is {run.mix}, the teacher's part of the loss: in [0, 1], and 1 without a teacher")
    seen = ("data", "pixels", "crop", "device")
    if run.teacher is not None and any(getattr(run, name) != getattr(run.teacher, name) for name in seen):
        raise ValueError(f"{run}: its teacher, {run.teacher}, must see the same images, on the same device")


def _check_compression(run: Run) -> None:
    if run.pruning is not None:
        _check_pruning(run, run.pruning)
    if run.proximal is not None and (min(run.proximal.nuclear, run.proximal.l1) < 0 or run.proximal.every < 1):
        raise ValueError(f"{run}: neither norm's weight may be negative, and every must be at least 1")
    if run.condition is not None and (run.condition < 1 or run.low_rank == "none"):
        raise ValueError(
            f"{run}: condition is {run.condition}, and is a bound of at least 1 on low-rank layers: has it any?"
        )


def _check_pruning(run: Run, pruning: Pruning) -> None:
    first, last = pruning.between
    if not 0 <= pruning.sparsity < 1:
        raise ValueError(f"{run}: the sparsity is {pruning.sparsity}, and must be in [0, 1)")
    if not 0 <= first < last <= 1 or pruning.steps < 1:
        raise ValueError(
            f"{run}: pruning between {first} and {last} of the training in {pruning.steps} steps: it needs a "
            "step, and two parts of the training in order, within [0, 1]"
        )
    if not (0 < pruning.part < 1 and 0 <= pruning.rewind < 1 and pruning.strength >= 0):
        raise ValueError(
            f"{run}: part is {pruning.part}, rewind {pruning.rewind} and strength {pruning.strength}: they must "
            "be in (0, 1), in [0, 1) and not negative"
        )
