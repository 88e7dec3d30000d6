"""What an attacker climbs: functions (logits, classes ...) -> the loss of each image (B,), never averaged.

DLR, the difference of logits ratio, is the margin in units of the spread of the logits: neither a scale of the logits
nor a shift changes it, so that a network cannot hide its gradient behind large logits (Croce and Hein 2020,
arXiv:2003.01690).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from ... import functional as F
from ...backend import Array, array_module
from ...checks import number
from ...tensor import Tensor, op

Loss = Callable[..., Tensor]
TINY = 1e-12  # keeps the ratio finite where three logits tie


def chosen_loss(loss: str, temperature: float, name: str, targeted: bool = False) -> Loss:
    """Cross-entropy at a temperature or the margin, of the labels; or, to be led to targets, their negatives."""
    if loss not in ("cross_entropy", "margin"):
        raise ValueError(f"{name}: unknown loss {loss!r}: choose 'cross_entropy' or 'margin'")
    temperature = number(temperature, "temperature", "(0, inf)", name)
    if loss == "margin" and temperature != 1:
        raise ValueError(
            f"{name}: temperature is {temperature}, and the margin of the logits has none: leave it out, or use "
            "loss='cross_entropy'"
        )
    climbed: Loss = (
        partial(F.margin_loss, reduction="none")
        if loss == "margin"
        else partial(F.cross_entropy, temperature=temperature, reduction="none")
    )
    return (lambda logits, targets: -climbed(logits, targets)) if targeted else climbed


def ratio_or_loss(loss: str, classes: int, name: str) -> Loss:
    """What APGD climbs: the losses of one class, and the two ratios, which need four logits to compare."""
    ratios = {"dlr": dlr, "targeted_dlr": targeted_dlr}
    if loss not in ratios and loss not in ("cross_entropy", "margin"):
        raise ValueError(f"{name}: unknown loss {loss!r}: choose 'cross_entropy', 'dlr', 'targeted_dlr' or 'margin'")
    if loss in ratios and classes < 4:
        raise ValueError(
            f"{name}: loss={loss!r} compares four logits, and the model has {classes} classes: with fewer than 4 "
            "classes use loss='margin'"
        )
    return ratios[loss] if loss in ratios else chosen_loss(loss, 1.0, name)


@op
def dlr(logits: Array, labels: Any) -> tuple[Array, tuple]:
    """-(z_y - max_{i != y} z_i) / (z_1 - z_3), where z_1 >= z_2 >= ... are the logits in order (APGD, eq. (6))."""
    xp, rows = array_module(logits), _rows(logits)
    order = logits.argsort(axis=1)  # (B, classes), ascending
    rivals = logits.copy()
    rivals[rows, labels] = -math.inf
    parts = [(order[:, -1], 1.0), (order[:, -3], -1.0)]
    return _ratio(logits, xp.asarray(labels), rivals.argmax(axis=1), parts)


@op
def targeted_dlr(logits: Array, labels: Any, targets: Any) -> tuple[Array, tuple]:
    """-(z_y - z_t) / (z_1 - (z_3 + z_4) / 2), towards the class t (APGD, eq. (7))."""
    xp = array_module(logits)
    order = logits.argsort(axis=1)
    parts = [(order[:, -1], 1.0), (order[:, -3], -0.5), (order[:, -4], -0.5)]
    return _ratio(logits, xp.asarray(labels), xp.asarray(targets), parts)


def _ratio(logits: Array, label: Array, rival: Array, parts: list[tuple[Array, float]]) -> tuple[Array, tuple]:
    """(z_rival - z_label) / (the weighted sum of some logits), with the quotient rule."""
    xp, rows = array_module(logits), _rows(logits)
    over = logits[rows, rival] - logits[rows, label]
    under = sum(weight * logits[rows, column] for column, weight in parts) + TINY

    def grad_logits(dy: Array) -> Array:
        dz = xp.zeros_like(logits)
        dz[rows, rival] += 1 / under
        dz[rows, label] -= 1 / under
        for column, weight in parts:
            dz[rows, column] -= weight * over / under**2
        return dz * dy[:, None]

    return over / under, (grad_logits,)


def _rows(logits: Array) -> Array:
    return array_module(logits).arange(len(logits))


@op
def lead(logits: Array, labels: Any, targets: Any) -> tuple[Array, tuple]:
    """z_t - z_y: by how much the class t is ahead of the label; above 0 the image is no longer taken for y."""
    xp, rows = array_module(logits), _rows(logits)
    label, target = xp.asarray(labels), xp.asarray(targets)

    def grad_logits(dy: Array) -> Array:
        dz = xp.zeros_like(logits)
        dz[rows, target] += dy
        dz[rows, label] -= dy
        return dz

    return logits[rows, target] - logits[rows, label], (grad_logits,)
