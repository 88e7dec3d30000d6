"""Does training at high temperature make networks robust? (report, section 4.3, figure 13, claims C8 and C9)

A ResNet18 is trained at each temperature T of the softmax, and attacked three times: in figure 13 a by an attacker who
takes T for 1, in 13 b by one who knows T, and in our 13 c by one who climbs the logit margin instead of the
cross-entropy. The margin cannot saturate: what robustness it leaves is real, and what it takes away was only a gradient
that had become too small for float32.

    python experiments/temperature.py                    handwritten digits: minutes on two cores, no download
    python experiments/temperature.py --preset laptop    Imagenette at 64 px
    python experiments/temperature.py --preset paper     Imagenette at 128 px
"""

from __future__ import annotations

import dataclasses

import interrupts  # noqa: F401  first: it says how a study is stopped
from common import FigureMaker, main
from settings import FigureName, Settings

from minidl.study import Attack, Figure


def attack(settings: Settings, name: FigureName, temperature: float) -> Attack:
    """On a network that was trained at this temperature."""
    if name == "13a":
        return settings.attack()
    return settings.attack(temperature=temperature) if name == "13b" else settings.attack(loss="margin")


def figure(settings: Settings, name: FigureName) -> Figure:
    """A line for each temperature."""
    attacked = [
        (
            dataclasses.replace(settings.run("resnet18", 128, seed), temperature=float(temperature)),
            attack(settings, name, float(temperature)),
        )
        for temperature in settings.temperatures
        for seed in settings.seeds
    ]
    return settings.figure(name, "temperature", attacked)


NAMES: tuple[FigureName, ...] = ("13a", "13b", "13c")
FIGURES: dict[FigureName, FigureMaker] = dict.fromkeys(NAMES, figure)

if __name__ == "__main__":
    main(FIGURES, __doc__ or "")
