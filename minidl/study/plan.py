"""What a study is: figures, each a set of runs and how they are attacked."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ..records import Transfer
from ..records.run import Attack, Method, Run

IMAGES: tuple[Literal["fresh", "paired"], ...] = ("fresh", "paired")


@dataclass(frozen=True)
class Figure:
    """One figure of the report.

    Attributes
    ----------
    figure : str
        Its number: "9", "13a".
    title : str
    varied : {"sparsity", "low_rank", "temperature", "defence", "pruned"}
        What tells its lines apart.
    attacked : tuple of (Run, Attack)
        In the order of the lines. FGSM is done on fresh images and on the paired ones, other methods on these alone.
    of : tuple of str
        The figures whose networks another method attacks here: this one is their twin.
    certificate : Attack, optional
        By the method "certify": what is proved of each network, for a figure that shows both sides.
    """

    figure: str
    title: str
    varied: Literal["sparsity", "low_rank", "temperature", "defence", "pruned"]
    attacked: tuple[tuple[Run, Attack], ...]
    of: tuple[str, ...] = ()
    certificate: Attack | None = None

    @property
    def runs(self) -> list[Run]:
        return [run for run, _ in self.attacked]

    @property
    def method(self) -> Method:
        return self.attacked[0][1].method

    @property
    def images(self) -> tuple[Literal["fresh", "paired"], ...]:
        return IMAGES if self.method == "fgsm" else ("paired",)

    def attacks(self, images: Literal["fresh", "paired"]) -> dict[Run, Attack]:
        """Each run's attack on these images."""
        return {run: dataclasses.replace(attack, images=images) for run, attack in self.attacked}

    def record(self) -> dict[str, Any]:
        """As ``study.json`` has it."""
        first, names = self.runs[0], [run.name for run in self.runs]
        return {
            "figure": self.figure,
            "title": self.title,
            "model": first.model,
            "batch_size": first.batch_size,
            "varied": self.varied,
            "runs": names,
            "attacks": {
                images: {run.name: attack.name for run, attack in self.attacks(images).items()}
                for images in self.images
            },
            **({} if self.method == "fgsm" else {"method": self.method, "of": list(self.of)}),
            **({"certificates": dict.fromkeys(names, self.certificate.name)} if self.certificate else {}),
        }


@dataclass(frozen=True)
class TransferFigure:
    """Does what fools one network fool another? A matrix of networks, one for each seed.

    Attributes
    ----------
    figure, title : str
    networks : tuple of tuples of (str, Run)
        Of each seed, how each network is called and what it is.
    attack : Attack
        On the paired images; its last epsilon is the one. FGSM, PGD or APGD.
    """

    figure: str
    title: str
    networks: tuple[tuple[tuple[str, Run], ...], ...]
    attack: Attack

    @property
    def runs(self) -> list[Run]:
        return list(dict.fromkeys(run for seed in self.networks for _, run in seed))

    def transfers(self) -> list[tuple[Transfer, dict[str, Run]]]:
        """Of each seed what its file is of, and the networks."""
        return [
            (Transfer(tuple((label, run.name) for label, run in seed), self.attack), dict(seed))
            for seed in self.networks
        ]

    def record(self) -> dict[str, Any]:
        """As ``study.json`` has it."""
        return {
            "figure": self.figure,
            "title": self.title,
            "method": self.attack.method,
            "epsilon": self.attack.epsilons[-1] / 255,
            "seeds": [
                {"transfer": transfer.name, "networks": dict(transfer.networks)} for transfer, _ in self.transfers()
            ],
        }


@dataclass(frozen=True)
class Work:
    """A run, and all the attacks on it that some figure shows."""

    run: Run
    attacks: tuple[Attack, ...]


def teachers_of(run: Run) -> list[Run]:
    """Whom a run learns from, and whom these did: the first of them first."""
    return [] if run.teacher is None else [*teachers_of(run.teacher), run.teacher]


def all_work(figures: Iterable[Figure | TransferFigure]) -> list[Work]:
    """Each run of the figures once, in the order in which they first need it; teachers come before who learns."""
    figures = list(figures)
    everyone = (each for figure in figures for run in figure.runs for each in (*teachers_of(run), run))
    attacks: dict[Run, dict[Attack, None]] = {run: {} for run in everyone}
    for figure in figures:
        if isinstance(figure, TransferFigure):
            continue
        for images in figure.images:
            for run, attack in figure.attacks(images).items():
                attacks[run][attack] = None
        if figure.certificate:
            for run in figure.runs:
                attacks[run][figure.certificate] = None
    return [Work(run, tuple(found)) for run, found in attacks.items()]


def shard(work: Sequence[Work], which: str) -> list[Work]:
    """The part of the work that ``"i/N"`` names, i from 1 to N: every N-th, so that the parts are of one size.

    Examples
    --------
    >>> from minidl.study import shard
    >>> shard("abcde", "2/3")
    ['b', 'e']
    """
    try:
        i, n = (int(part) for part in which.split("/"))
    except ValueError:
        i, n = 0, 0
    if not 1 <= i <= n:
        raise ValueError(f"shard {which!r}: give i/N, the i-th of N parts, such as 1/4 to 4/4")
    return list(work[i - 1 :: n])
