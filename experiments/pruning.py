"""Does magnitude pruning make networks robust? (report, section 4.1, figures 8 to 11, claims C1 to C5)

Trains a network at each final sparsity, attacks it by FGSM on a random fifth of the validation images, and draws
accuracy and drop of accuracy against epsilon, one line for each sparsity.

    python experiments/pruning.py                        handwritten digits: minutes on two cores, no download
    python experiments/pruning.py --preset laptop        Imagenette at 64 px
    python experiments/pruning.py --preset paper         Imagenette at 128 px, with the report's batch sizes
"""

from __future__ import annotations

import dataclasses
from typing import Literal

import interrupts  # noqa: F401  first: it says how a study is stopped
from common import FigureMaker, main
from settings import FigureName, Settings

from minidl.records.run import ModelName
from minidl.study import Figure

# the report's figures: which model, trained with which batch size
NETWORKS: dict[FigureName, tuple[ModelName, Literal[128, 512]]] = {
    "8": ("resnet18", 512),
    "9": ("resnet18", 128),
    "10a": ("alexnet", 128),
    "10b": ("alexnet", 512),
    "11": ("fc5", 512),
}


def figure(settings: Settings, name: FigureName) -> Figure:
    """A line for each sparsity."""
    model, batch_size = NETWORKS[name]
    attacked = [
        (
            dataclasses.replace(settings.run(model, batch_size, seed), pruning=settings.pruning(sparsity)),
            settings.attack(),
        )
        for sparsity in settings.sparsities
        for seed in settings.seeds
    ]
    return settings.figure(name, "sparsity", attacked)


FIGURES: dict[FigureName, FigureMaker] = dict.fromkeys(NETWORKS, figure)

if __name__ == "__main__":
    main(FIGURES, __doc__ or "")
