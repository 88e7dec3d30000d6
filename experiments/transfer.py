"""Does what fools one network fool another? (figure 14, ours)

A dense ResNet18, a pruned one, one of low rank, one that was trained at high temperature, and as the control a dense
one of another seed: each is attacked, and all of them see what came of it. If compressed networks were robust to what
fools dense ones for a reason of their own, they would share less with a dense network than another dense one does.
Claim C13: they share as much, there and back.

    python experiments/transfer.py                       handwritten digits: minutes on two cores, no download
    python experiments/transfer.py --preset laptop       Imagenette at 64 px
    python experiments/transfer.py --preset paper        Imagenette at 128 px
"""

from __future__ import annotations

import dataclasses

import interrupts  # noqa: F401  first: it says how a study is stopped
from common import FigureMaker, main
from settings import FigureName, Settings

from minidl.study import Run, TransferFigure
from minidl.study.measure import middle


def networks(settings: Settings, seed: int) -> tuple[tuple[str, Run], ...]:
    """What each is called, and what it is; the control comes last."""
    dense = settings.run("resnet18", 128, seed)
    sparse = [sparsity for sparsity in settings.sparsities if sparsity]
    sparsity = 0.9 if 0.9 in sparse else max(sparse, default=0.0)
    low_rank = next((ranks for ranks in settings.low_ranks if ranks != "none"), None)
    hottest = float(max(settings.temperatures))
    found = {"dense": dense}
    if sparsity:
        found[f"{100 * sparsity:g} % pruned"] = dataclasses.replace(dense, pruning=settings.pruning(sparsity))
    if low_rank:
        found[low_rank] = dataclasses.replace(dense, low_rank=low_rank)
    if hottest > 1:
        found[f"T = {hottest:g}"] = dataclasses.replace(dense, temperature=hottest)
    others = [other for other in settings.seeds if other > seed] or [other for other in settings.seeds if other != seed]
    return (*found.items(), ("another seed", dataclasses.replace(dense, seed=others[0] if others else seed + 1)))


def figure(settings: Settings, name: FigureName) -> TransferFigure:
    """A matrix for each seed."""
    epsilon = middle(tuple(settings.epsilons))
    attack = dataclasses.replace(settings.attack(images="paired"), epsilons=(0.0, epsilon))
    seeds = tuple(networks(settings, seed) for seed in settings.seeds)
    return TransferFigure(name, f"do networks share what fools them? FGSM, {epsilon:g}/255", seeds, attack)


FIGURES: dict[FigureName, FigureMaker] = {"14": figure}

if __name__ == "__main__":
    main(FIGURES, __doc__ or "")
