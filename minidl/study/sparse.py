"""How a run comes to few weights, or to low rank: what is minimised, what follows a step, and for how long."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from ..backend import streams
from ..compress import (
    MagnitudePruner,
    NoisePruner,
    NuclearL1,
    RandomPruner,
    WellConditioned,
    l0,
    lottery_ticket,
    plain,
    variational,
)
from ..nn import Module
from ..objectives import Objective, Penalized
from ..optim import Optimizer, Schedule, one_cycle
from ..records import Run
from ..sparsify.scopes import Pruner

RAMP = (0.05, 0.3)  # of the training: where noise begins to be paid for, and where it is in full
NOISY = {"variational": variational, "l0": l0}


@dataclass(frozen=True)
class Way:
    """What ``fit`` is given, and the pruner among it, whose sparsities are shown."""

    objective: Objective
    after_step: list[Any]
    schedule: Schedule
    epochs: int
    pruner: Pruner | None


def prepared(run: Run, model: Module) -> Module:
    """The network as it is trained, with noisy layers where these are pruned; ``plain`` undoes that."""
    if run.pruning is not None and run.pruning.method in NOISY:
        return NOISY[run.pruning.method](model, rng=streams(run.seed)["dropout"].spawn(1)[0])
    return model


def finished(model: Module) -> Module:
    """The network as it is kept: of plain layers."""
    return plain(model).eval()


def way_of(run: Run, model: Module, optimizer: Optimizer, steps: int, images: int, loss: Objective) -> Way:
    """For a prepared model; ``steps`` are those of ``run.epochs``, and ``images`` how many there are to train on."""
    objective = loss
    schedule = one_cycle(run.lr, steps)
    pruner: Any = None
    if run.pruning is not None:
        pruning, rng = run.pruning, streams(run.seed)["init"].spawn(2)[1]
        if pruning.method in NOISY:
            ramp = (round(RAMP[0] * steps), round(RAMP[1] * steps))
            objective = Penalized(pruning.strength / images, ramp, loss)
            pruner = NoisePruner(model, round(pruning.between[1] * (steps - 1)), pruning.sparsity, pruning.scope)
        elif pruning.method == "lottery":
            rewind = round(pruning.rewind * steps)
            settings = {"part": pruning.part, "rewind": rewind, "scope": pruning.scope, "control": pruning.control}
            pruner = lottery_ticket(model, optimizer, pruning.sparsity, steps, rng=rng, **settings)  # type: ignore[arg-type]
            schedule = pruner.schedule(schedule)
        else:
            kind = partial(RandomPruner, rng=rng) if pruning.method == "random" else MagnitudePruner
            pruner = kind(model, pruning.sparsity, *pruning.schedule(steps), scope=pruning.scope)
    after_step = [] if pruner is None else [pruner]
    if run.proximal is not None:
        norms = run.proximal
        after_step.append(NuclearL1(model, norms.nuclear, norms.l1, every=norms.every, optimizer=optimizer))
    if run.condition is not None:
        after_step.append(WellConditioned(model))
    return Way(objective, after_step, schedule, run.all_epochs, pruner)
