"""From both sides: what no attack breaks below, what the strongest one breaks above (figure 15, ours)

Networks at each sparsity, low rank and temperature are certified by lines through their layers, and attacked on the
same images by PGD on the margin. Where the two meet, nothing is left to argue about.

    python experiments/study.py --certify fc5                                    figures 15a (sparsity) and 15b (T)
    python experiments/study.py --pixels 8 --crop 8 --certify resnet18           15c, 15d (low rank) and 15e

Temperature changes no argmax, so that one network has one certificate at every T: 15b and 15e show networks that were
trained at T, each with the one certificate that it has.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from minidl.records.run import ModelName
from minidl.study import Attack, Figure, Run

FIGURES: dict[str, tuple[ModelName, Any, str]] = {  # model, what varies, the figure of the same networks
    "15a": ("fc5", "sparsity", "11"),
    "15b": ("fc5", "temperature", ""),
    "15c": ("resnet18", "sparsity", "9"),
    "15d": ("resnet18", "low_rank", "12b"),
    "15e": ("resnet18", "temperature", "13c"),
}
LARGEST = 8  # pixels of an image through whose convolutions a proof is affordable: 9 s for each with ResNet18
BATCHES: dict[str, Any] = {"fc5": 512, "resnet18": 128}


def check(settings: Any) -> None:
    """Refuse, by name, what cannot be certified in reasonable time."""
    for model in settings.certify:
        size = settings.run(model, 128, 0).crop
        if model != "fc5" and size > LARGEST:
            smaller = f", or --pixels {LARGEST} --crop {LARGEST}" if model == "resnet18" else ""
            raise ValueError(
                f"--certify {model}: its images have {size} pixels, and proofs through convolutions are affordable up "
                f"to {LARGEST} (9 s an image with ResNet18): choose fc5{smaller}"
            )


def figures(settings: Any) -> list[Figure]:
    """The bands of the networks that are to be certified."""
    return [
        _figure(settings, name, model, varied, twin)
        for name, (model, varied, twin) in FIGURES.items()
        if model in settings.certify
    ]


def _figure(settings: Any, name: str, model: ModelName, varied: Any, twin: str) -> Figure:
    epsilons = tuple(sorted({0.0, *map(float, settings.band_epsilons)}))
    on: Any = {"images": "paired", "part": settings.attack_part, "every": settings.band_every}
    attack = Attack(epsilons, "margin", method="pgd", steps=50, restarts=3, **on)
    networks = [(run, attack) for run in _networks(settings, settings.run(model, BATCHES[model], 0), varied)]
    proof = Attack(epsilons, method="certify", **on)
    return dataclasses.replace(settings.figure(name, varied, networks), of=(twin,) * bool(twin), certificate=proof)


def _networks(settings: Any, plain: Run, varied: str) -> list[Run]:
    """In the order of the lines, seeds of one line next to each other."""
    changes: list[dict[str, Any]] = {
        "sparsity": [{"pruning": settings.pruning(sparsity)} for sparsity in settings.sparsities],
        "low_rank": [{"low_rank": low_rank} for low_rank in settings.low_ranks],
        "temperature": [{"temperature": float(temperature)} for temperature in settings.temperatures],
    }[varied]
    return [dataclasses.replace(plain, seed=seed, **change) for change in changes for seed in settings.seeds]
