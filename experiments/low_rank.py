"""Do convolutions of low rank make networks robust? (report, section 4.2, figure 12, claims C6 and C7)

Every convolution becomes a vertical one to K channels and a horizontal one from them (Tai et al. 2016), trained from
scratch; the ranks K are the report's schedules LR1 and LR2 = LR1 / 2. One line for each.

    python experiments/low_rank.py                       handwritten digits: minutes on two cores, no download
    python experiments/low_rank.py --preset laptop       ResNet18 on Imagenette at 64 px
    python experiments/low_rank.py --preset paper        Imagenette at 128 px, with the report's batch sizes
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
NETWORKS: dict[FigureName, tuple[ModelName, Literal[128, 512]]] = {"12a": ("alexnet", 512), "12b": ("resnet18", 128)}


def figure(settings: Settings, name: FigureName) -> Figure:
    """A line for each schedule of ranks."""
    model, batch_size = NETWORKS[name]
    attacked = [
        (dataclasses.replace(settings.run(model, batch_size, seed), low_rank=low_rank), settings.attack())
        for low_rank in settings.low_ranks
        for seed in settings.seeds
    ]
    return settings.figure(name, "low_rank", attacked)


FIGURES: dict[FigureName, FigureMaker] = dict.fromkeys(NETWORKS, figure)

if __name__ == "__main__":
    main(FIGURES, __doc__ or "")
