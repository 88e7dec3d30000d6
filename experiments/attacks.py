"""The figures once more, under attacks that are stronger than FGSM: each attacks the networks that are there.

    python experiments/study.py --attacks fgsm pgd auto          figures 9-pgd, 9-auto, 11-pgd, ... beside 9, 11, ...

A network that was trained before is attacked only with what is missing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from minidl.records.run import NO_TEMPERATURE, OWN, Method
from minidl.report.flags import METHODS
from minidl.study import Attack, Figure

TEMPERATURE = ("13a", "13b", "13c")
TWINNED = ("9", "11", "12b", *TEMPERATURE)


@dataclass(frozen=True)
class Strength:
    """How hard one method attacks; what is left out is the method's own."""

    steps: int | None = None
    """Gradients for each image (20 for PGD, 100 for APGD and within the worst case)."""
    restarts: int | None = None
    """How often PGD or APGD begins anew on what stands (1)."""
    queries: int | None = None
    """Answers that the worst case's search without gradients asks for, for each image (5000)."""
    every: int = 1
    """Of the attacked images only every so many-th."""

    def on(self, attack: Attack, method: Method) -> Attack:
        """The attack as this method does it; of the worst case there is only one, whatever loss the others climb."""
        if method == "auto":
            attack = dataclasses.replace(attack, loss="cross_entropy", temperature=1.0)
        numbers: Any = {"steps": self.steps, "restarts": self.restarts, "queries": self.queries}
        return dataclasses.replace(attack, method=method, every=self.every, **numbers)


def twin(figure: Figure, method: Method, strength: Strength) -> Figure | None:
    """The figure's networks under another method; None where it has none."""
    alike = figure.figure in TEMPERATURE and method == "auto"
    if figure.figure not in TWINNED or (
        method in NO_TEMPERATURE and not alike and any(attack.temperature != 1 for _, attack in figure.attacked)
    ):
        return None
    return Figure(
        f"{'13' if alike else figure.figure}-{method}",
        f"{figure.title}, under {METHODS[method]}",
        figure.varied,
        tuple((run, strength.on(attack, method)) for run, attack in figure.attacked),
        TEMPERATURE if alike else (figure.figure,),
    )


def with_twins(figures: Sequence[Figure], settings: Any) -> list[Figure]:
    """Each figure under each of the settings' attacks, from the weakest to the strongest."""
    found: dict[str, Figure] = {}
    for figure in figures:
        for method in OWN:
            each = figure if method == "fgsm" else twin(figure, method, getattr(settings, method))
            if method in settings.attacks and each is not None:
                found.setdefault(each.figure, each)
    return list(found.values())
