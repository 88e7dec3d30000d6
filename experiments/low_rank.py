"""Do convolutions of low rank make networks robust? (report, section 4.2, figure 12, claims C6 and C7)

Every convolution becomes a vertical one to K channels and a horizontal one from them (Tai et al. 2016), trained from
scratch; the ranks K are the report's schedules LR1 and LR2 = LR1 / 2. One line for each.

Is it the rank, or what training makes of it? In our figure 12c LR1 is trained once more while no singular value of a
V or an H may fall below a part of its largest (claim C15: this brings back half of the
robustness that low rank costs, and costs no accuracy).

    python experiments/low_rank.py                       handwritten digits: minutes on two cores, no download
    python experiments/low_rank.py --preset laptop       ResNet18 on Imagenette at 64 px
    python experiments/low_rank.py --preset paper        Imagenette at 128 px, with the report's batch sizes
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import interrupts  # noqa: F401  first: it says how a study is stopped
from common import FigureMaker, main
from settings import FigureName, Settings

from minidl.records.run import ModelName
from minidl.study import Figure

# The report's figures, and ours: which model, trained with which batch size
NETWORKS: dict[FigureName, tuple[ModelName, Literal[128, 512]]] = {
    "12a": ("alexnet", 512),
    "12b": ("resnet18", 128),
    "12c": ("resnet18", 128),
}


def figure(settings: Settings, name: FigureName) -> Figure:
    """A line for each schedule of ranks; in figure 12c for LR1, free and bounded, beside full rank."""
    model, batch_size = NETWORKS[name]
    lines: list[dict[str, Any]] = [{"low_rank": low_rank} for low_rank in settings.low_ranks]
    if name == "12c":
        lines = [{"low_rank": "none"}, {"low_rank": "LR1"}, {"low_rank": "LR1", "condition": settings.condition}]
    attacked = [
        (dataclasses.replace(settings.run(model, batch_size, seed), **line), settings.attack())
        for line in lines
        for seed in settings.seeds
    ]
    return settings.figure(name, "low_rank", attacked)


FIGURES: dict[FigureName, FigureMaker] = dict.fromkeys(NETWORKS, figure)

if __name__ == "__main__":
    main(FIGURES, __doc__ or "")
