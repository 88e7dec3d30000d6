"""One attack on one network, or one proof: what became of each image, and what the doctor says of it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..nn import Module
from ..records import Attack, Outcome, Run, write_attack
from ..robustness import Flag, ZeroGradientWarning, accuracy_curve, apgd, auto_attack, certified, diagnose, fgsm, pgd
from .problem import Problem

PATIENTS = 64  # images that the doctor looks at: he needs three times as long for each as PGD does


def measure(run: Run, attack: Attack, model: Module, problem: Problem, path: Path, weights: str) -> None:
    """Attack a network, and keep what happened to each image, and whose it is: ``weights`` is their file's hash."""
    rows, images, labels = problem.sample(run, attack)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ZeroGradientWarning)  # which images they are is kept
        how = {"auto": _worst_case, "certify": _certificate}.get(attack.method, _curve)
        found = how(model, images, labels, np.array(attack.epsilons) / 255, attack, run.seed)
    write_attack(path, Outcome(indices=rows, labels=labels, **found), attack, run.name, weights)


def middle(epsilons: tuple[float, ...]) -> float:
    """Of the epsilons above 0 the one in the middle: where a single one has to do.

    Examples
    --------
    >>> from minidl.study.measure import middle
    >>> middle((0, 1, 2, 4, 8, 16))
    4
    """
    above = [epsilon for epsilon in epsilons if epsilon > 0]
    return above[len(above) // 2] if above else 0


def attacker(attack: Attack, seed: int) -> Callable[..., Any]:
    """The attack as robustness has it, with its settings: of (model, images, labels, epsilons)."""
    settings: dict[str, Any] = {"loss": attack.loss}
    if attack.temperature != 1:
        settings["temperature"] = attack.temperature
    if attack.method == "fgsm":
        return partial(fgsm, **settings)
    climb: Callable[..., Any] = pgd if attack.method == "pgd" else apgd
    return partial(climb, steps=attack.steps, restarts=attack.restarts, seed=seed, **settings)


def _curve(
    model: Module, images: np.ndarray, labels: np.ndarray, sizes: np.ndarray, attack: Attack, seed: int
) -> dict[str, Any]:
    """The fields of the Outcome of an attack that climbs one loss."""
    if attack.method == "fgsm":  # the curve has all epsilons of one gradient
        curve = accuracy_curve(model, images, labels, sizes, attack.temperature, attack.loss)
        flags: tuple[Flag, ...] = ()
    else:
        curve = accuracy_curve(model, images, labels, sizes, attack=partial(attacker(attack, seed), stop_early=True))
        flags = tuple(_doctor(model, images, labels, attack, seed))
    names = ("epsilons", "right", "zero_gradient", "vanished_gradient")
    return {name: getattr(curve, name) for name in names} | {"flags": flags}


def _doctor(model: Module, images: np.ndarray, labels: np.ndarray, attack: Attack, seed: int) -> Iterator[Flag]:
    """What the doctor finds at the epsilon in the middle, on images from all over the sample, which may be sorted."""
    some = np.unique(np.linspace(0, len(images) - 1, min(PATIENTS, len(images))).astype(int))
    epsilon, steps = middle(attack.epsilons), attack.steps or 1
    if epsilon > 0:
        climbed: dict[str, Any] = {"loss": attack.loss, "temperature": attack.temperature}
        found = diagnose(model, images[some], labels[some], epsilon / 255, steps, seed=seed, **climbed)
        yield from (_at(flag, epsilon, len(some)) for flag in found.flags)


def _worst_case(
    model: Module, images: np.ndarray, labels: np.ndarray, sizes: np.ndarray, attack: Attack, seed: int
) -> dict[str, Any]:
    """The fields of the Outcome of several attacks in turn: at each epsilon on what the smaller ones left standing."""
    broken_by, last = np.full((len(sizes), len(images)), "", "<U9"), np.full(len(images), "", "<U9")
    zero, vanished = np.zeros(len(images), bool), np.zeros(len(images), bool)
    flags: dict[str, Flag] = {}
    settings: Any = {"queries": attack.queries, "steps": attack.steps}
    for e, epsilon in enumerate(sizes.tolist()):
        at = np.flatnonzero(last == "")
        if len(at):
            found = auto_attack(model, images[at], labels[at], epsilon, seed=seed, **settings)
            last[at] = found.broken_by
            zero[at] |= found.zero_gradient
            vanished[at] |= found.vanished_gradient
            for flag in found.flags:
                flags.setdefault(flag.name, _at(flag, attack.epsilons[e], len(at)))
        broken_by[e] = last
    kept = {"epsilons": sizes, "right": broken_by == "", "zero_gradient": zero, "vanished_gradient": vanished}
    return kept | {"broken_by": broken_by, "flags": tuple(flags.values())}


def _certificate(
    model: Module, images: np.ndarray, labels: np.ndarray, sizes: np.ndarray, attack: Attack, seed: int
) -> dict[str, Any]:
    """The fields of the Outcome of a proof: no gradient is asked for, so that none can be lost."""
    none = np.zeros(len(images), bool)
    found = certified(model, images, labels, sizes)
    return {"epsilons": sizes, "right": found.verified, "zero_gradient": none, "vanished_gradient": none}


def _at(flag: Flag, epsilon: float, count: int) -> Flag:
    """With where it was seen."""
    return flag._replace(evidence=f"{flag.evidence} (of {count} images, at {epsilon:g}/255)")
