"""Sparsity in five ways: by magnitude, variational dropout, l0, lottery tickets and at random (figure 17, ours)

One dense network, and at each sparsity one for each way; all end as masks over weights that are zero. Each is attacked
by FGSM, by PGD and by the worst of several attacks for each image, on the same images.
Claim C10: magnitude, variational dropout and l0 are equal at equal sparsity, up to 90 %.

    python experiments/sparsifiers.py                          handwritten digits: minutes on two cores, no download
    python experiments/sparsifiers.py --preset laptop          ResNet18 on Imagenette at 64 px, 90 % sparse: hours
    python experiments/sparsifiers.py --seeds 0 1 2 --attack-part 1    with which a verdict on the claim is possible
"""

from __future__ import annotations

import dataclasses
from itertools import product

import interrupts  # noqa: F401  first: it says how a study is stopped
from common import FigureMaker, main
from settings import FigureName, Settings

from minidl.records.run import Method
from minidl.study import Figure, Run


def networks(settings: Settings, seed: int) -> list[Run]:
    """In the order of the lines."""
    how = settings.sparsifying
    plain = settings.run(how.model, 128, seed)
    levels = product(sorted({*how.sparsities} - {0}), how.ways)
    pruned = [how.pruning(way, sparsity, settings.prune_between, settings.prune_steps) for sparsity, way in levels]
    return [plain, *(dataclasses.replace(plain, pruning=pruning) for pruning in pruned)]


def figure(settings: Settings, name: FigureName) -> Figure:
    """A line for each way and sparsity."""
    return settings.figure(name, "pruned", settings.each_attacked(networks))


ATTACKS: tuple[Method, ...] = ("fgsm", "pgd", "auto")
FIGURES: dict[FigureName, FigureMaker] = {"17": figure}

if __name__ == "__main__":
    main(FIGURES, __doc__ or "", attacks=ATTACKS)
