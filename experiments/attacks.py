"""The figures once more, under attacks that are stronger than FGSM: each attacks the networks that are there.

    python experiments/study.py --attacks fgsm pgd auto          figures 9-pgd, 9-auto, 11-pgd, ... beside 9, 11, ...

A network that was trained before is attacked only with what is missing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from minidl.records.run import NO_TEMPERATURE, Method
from minidl.report.language import say
from minidl.study import Attack, Figure, TransferFigure

TEMPERATURE = ("13a", "13b", "13c")
TWINNED = ("8", "9", "10a", "10b", "11", "12a", "12b", "12c", *TEMPERATURE, "16", "17")


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
        f"{figure.title}, under {say(f'method.{method}')}",
        figure.varied,
        tuple((run, strength.on(attack, method)) for run, attack in figure.attacked),
        TEMPERATURE if alike else (figure.figure,),
    )


def transfer_twin(figure: TransferFigure, method: Method, strength: Strength) -> TransferFigure | None:
    """The matrix under another attack that moves each image as far as it may: the worst case is none."""
    if method == "auto":
        return None
    title = figure.title.replace(say("method.fgsm"), say(f"method.{method}"))
    return TransferFigure(f"{figure.figure}-{method}", title, figure.networks, strength.on(figure.attack, method))


def with_twins(figures: Sequence[Figure | TransferFigure], settings: Any) -> list[Figure | TransferFigure]:
    """Each figure under each of the settings' attacks, from the weakest to the strongest."""
    found: dict[str, Figure | TransferFigure] = {}
    for figure in figures:
        for method in settings.attacks:
            make: Any = transfer_twin if isinstance(figure, TransferFigure) else twin
            each = figure if method == "fgsm" else make(figure, method, getattr(settings, method))
            if each is not None:
                found.setdefault(each.figure, each)
    return list(found.values())
