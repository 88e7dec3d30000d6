"""What one figure's networks did to the same images, and differences between its lines, with how far to trust them.

All runs of one seed are attacked on the same images. A difference between lines is therefore taken image by image
within each seed, and what the seeds say is summed up over them: their spread holds everything that would come out
otherwise another time, the initialisation, the order of the batches and the draw of the images.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Any

import numpy as np

from ..records import Outcome
from ..robustness.comparison import student_half_width
from .language import say
from .results import Results

FEWEST_SEEDS = 3  # of two, the interval is 13 standard errors to either side; of one there is none


class MissingError(Exception):
    """What a study lacks for an answer, and what to run."""


@dataclass(frozen=True, eq=False)
class Estimate:
    """One quantity, seen with several seeds.

    Attributes
    ----------
    values : array (S,)
        What each seed's networks say.
    image_variance : float
        How much one seed's value would vary with other images, its networks staying the same: the seeds' mean.
    """

    values: np.ndarray
    image_variance: float

    @classmethod
    def of(cls, seeds: Iterable[np.ndarray], most: float = 1.0) -> Estimate:
        """From what each seed's images say, of which one alone may count for ``most``."""
        values, variances = [], []
        for each in seeds:
            count = len(each)
            # at least what a single image that tells the lines apart would make: no variance at all is luck
            least = (most / count) ** 2
            values.append(each.mean())
            variances.append(max(each.var(ddof=1) / count if count > 1 else math.inf, least))
        return cls(np.array(values), float(np.mean(variances)))

    @property
    def effect(self) -> float:
        """The mean over the seeds."""
        return float(self.values.mean())

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Of the mean over seeds; of fewer than three seeds it is that of these very networks, over images alone."""
        half = self.half_width(confidence)
        return self.effect - half, self.effect + half

    def half_width(self, confidence: float = 0.95, count: int | None = None) -> float:
        """Student's, from the seeds' spread; never less than the images alone make it. ``count``: if so many seeds.

        The floor matters where few seeds agree by luck: from three seeds the spread itself is hardly known, while
        what the images contribute to it is known from hundreds of them.
        """
        seeds = count or len(self.values)
        by_images = NormalDist().inv_cdf((1 + confidence) / 2) * math.sqrt(self.image_variance / seeds)
        if len(self.values) < FEWEST_SEEDS:
            return by_images
        return max(by_images, student_half_width(float(self.values.std(ddof=1)), seeds, confidence))


@dataclass(frozen=True, eq=False)
class Lines:
    """The paired outcomes of one figure, of the seeds that all its lines have.

    Attributes
    ----------
    figure, varied : str
        And what tells the lines apart: "sparsity", "low_rank", "temperature", "defence" or "pruned".
    levels : list
        The lines' values of it.
    seeds : list of int
        Those of which every line has a network.
    epsilons : array (E,)
    outcomes : {(level, seed): Outcome}
    unfinished : list of str
        The figure's runs that are not trained, or not attacked, yet.
    names : {(level, seed): str}
        Of the runs of a study's own figure.
    """

    figure: str
    varied: str
    levels: list[Any]
    seeds: list[int]
    epsilons: np.ndarray
    outcomes: Mapping[tuple[Any, int], Outcome]
    unfinished: list[str]
    names: Mapping[tuple[Any, int], str] = field(default_factory=dict)

    @classmethod
    def of(cls, results: Results, figure: str) -> Lines:
        """Read the outcomes of a figure; MissingError when there is no seed that has all lines."""
        entry = next((entry for entry in results.study["figures"] if entry["figure"] == figure), None)
        if entry is None:
            base, _, method = figure.partition("-")
            there = [entry["figure"] for entry in results.study["figures"]]
            twin = any(name.startswith(f"{figure}-") for name in there)  # the same networks, under another attack
            how = "--attacks fgsm" if twin else f"--figures {base}" + f" --attacks {method}" * bool(method)
            raise MissingError(say("missing.figure", figure=figure, how=how))
        attacks = entry["attacks"].get("paired", {})
        rows = {r["run"]: r for r in results.rows if r["figure"] == figure and r["images"] == "paired"}
        outcomes, names, unfinished = {}, {}, []
        for run in entry["runs"]:
            found = _outcome(results, run, attacks.get(run)) if run in rows and run in results.runs else None
            if found is None:
                unfinished.append(run)
            else:
                place = rows[run][entry["varied"]], rows[run]["seed"]
                outcomes[place], names[place] = found, run
        levels = list(dict.fromkeys(level for level, _ in outcomes))
        seeds = [s for s in sorted({seed for _, seed in outcomes}) if all((level, s) in outcomes for level in levels)]
        if not seeds:
            raise MissingError(say("missing.seed", figure=figure, run=to_run(unfinished)))
        for seed in seeds:
            _check_paired(figure, seed, [outcomes[level, seed] for level in levels], outcomes[levels[0], seeds[0]])
        epsilons = outcomes[levels[0], seeds[0]].epsilons
        return cls(figure, entry["varied"], levels, seeds, epsilons, outcomes, unfinished, names)

    def need(self, *levels: Any) -> None:
        """MissingError unless all of these lines are there."""
        absent = [str(level) for level in levels if level not in self.levels]
        if absent:
            about = {"what": say(f"varied.{self.varied}"), "levels": ", ".join(absent)}
            raise MissingError(say("missing.level", figure=self.figure, **about))

    def to_run(self) -> str:
        """What is unfinished, as a sentence."""
        return to_run(self.unfinished)

    def accuracy(self, level: Any) -> np.ndarray:
        """(E,): the mean over seeds."""
        return np.mean([self.outcomes[level, seed].right.mean(axis=1) for seed in self.seeds], axis=0)

    def vanished(self, levels: Iterable[Any]) -> float:
        """The part of the images whose gradient vanished: the mean over lines and seeds."""
        return float(np.mean([self.outcomes[k, seed].vanished_gradient.mean() for k in levels for seed in self.seeds]))

    def difference(self, weights: Mapping[Any, float], at: Iterable[int], drop: bool = False) -> Estimate:
        """The sum over lines of weight times accuracy, or times drop, averaged over some epsilons.

        Parameters
        ----------
        weights : {level: weight}
            Which add up to 0.
        at : indices of epsilons
        drop : bool
            The drop from epsilon 0 in place of the accuracy.
        """
        at = list(at)
        each = [
            np.sum([w * self._per_image(level, seed, at, drop) for level, w in weights.items()], axis=0)
            for seed in self.seeds
        ]
        return Estimate.of(each, sum(w for w in weights.values() if w > 0))

    def _per_image(self, level: Any, seed: int, at: list[int], drop: bool) -> np.ndarray:
        right = self.outcomes[level, seed].right
        accuracy = right[at].mean(axis=0)
        return right[0] - accuracy if drop else accuracy


def slope(levels: Iterable[float]) -> dict[float, float]:
    """The weights of the least-squares line's slope: how much a quantity grows when the level grows by 1."""
    x = np.array(list(levels), float)
    if len(set(x)) < 2:
        raise MissingError(say("missing.slope", levels=x.tolist()))
    centred = x - x.mean()
    return dict(zip(x.tolist(), (centred / (centred**2).sum()).tolist(), strict=True))


def _outcome(results: Results, run: str, attack: str | None) -> Outcome | None:
    if attack is None:
        return None
    try:
        return results.outcome(run, attack)
    except FileNotFoundError:
        return None
    except ValueError as error:  # damaged: the message says what to do
        raise MissingError(str(error)) from error


def _check_paired(figure: str, seed: int, outcomes: list[Outcome], first: Outcome) -> None:
    """Differences image by image need the same images; curves over seeds need the same epsilons."""
    if not all(np.array_equal(outcome.indices, outcomes[0].indices) for outcome in outcomes):
        raise MissingError(say("missing.images", figure=figure, seed=seed))
    if not all(np.array_equal(outcome.epsilons, first.epsilons) for outcome in outcomes):
        raise MissingError(say("missing.epsilons", figure=figure))


def to_run(unfinished: list[str]) -> str:
    """What is unfinished, as a sentence."""
    some = ", ".join(unfinished[:3]) + (", ..." if len(unfinished) > 3 else "")
    return say("missing.run", number=len(unfinished), some=some)
