"""How the learning rate changes with time: functions from a step, counted from 0, to the rate at that step."""

from __future__ import annotations

import math
from collections.abc import Callable

from ..checks import number, numbers, whole_number

Schedule = Callable[[int], float]


def constant(lr: float, warmup: int = 0) -> Schedule:
    """The same learning rate at every step, after ``warmup`` steps of rising to it in a straight line.

    Parameters
    ----------
    lr : float
    warmup : int, in steps

    Examples
    --------
    >>> from minidl import optim
    >>> rate = optim.constant(1.0, warmup=2)
    >>> rate(0), rate(1), rate(99)
    (0.5, 1.0, 1.0)
    """
    lr = number(lr, "lr", "[0, inf)", "constant")
    return _warm(lambda step: lr, whole_number(warmup, "warmup", 0, "constant", "steps"), "constant")


def step_decay(lr: float, every: int, factor: float = 0.1, warmup: int = 0) -> Schedule:
    """lr times ``factor`` for each ``every`` steps gone by; the first ``warmup`` of them as in ``constant``.

    Parameters
    ----------
    lr : float
        The rate at the start.
    every, warmup : int, in steps
    factor : float

    Examples
    --------
    >>> from minidl import optim
    >>> rate = optim.step_decay(1.0, every=10, factor=0.5)
    >>> rate(0), rate(10), rate(25)
    (1.0, 0.5, 0.25)
    """
    lr, factor = numbers("step_decay", "[0, inf)", lr=lr, factor=factor)
    every = whole_number(every, "every", 1, "step_decay", "steps")
    warmup = whole_number(warmup, "warmup", 0, "step_decay", "steps")
    return _warm(lambda step: lr * factor ** (step // every), warmup, "step_decay")


def cosine(lr: float, steps: int, final: float = 0.0, warmup: int = 0) -> Schedule:
    """From lr down to ``final`` along half a cosine that ends with the last of ``steps`` steps.

    The first ``warmup`` of them, fewer than all, rise to lr in a straight line.

    Parameters
    ----------
    lr, final : float
        The rates at the top and at the end.
    steps, warmup : int

    Examples
    --------
    >>> from minidl import optim
    >>> rate = optim.cosine(1.0, steps=11)
    >>> [round(rate(step), 3) for step in (0, 5, 10)]
    [1.0, 0.5, 0.0]
    """
    lr, final = numbers("cosine", "[0, inf)", lr=lr, final=final)
    steps = whole_number(steps, "steps", 1, "cosine", "steps")
    warmup = whole_number(warmup, "warmup", 0, "cosine", "steps")
    if warmup >= steps:
        raise ValueError(
            f"cosine: warmup is {warmup} of {steps} steps, and must be fewer: the rate would never come down"
        )
    return _warm(lambda step: _half_cosine(lr, final, (step - warmup) / max(1, steps - 1 - warmup)), warmup, "cosine")


def one_cycle(lr: float, steps: int, pct_start: float = 0.25, start: float = 0.04, final: float = 4e-6) -> Schedule:
    """Up to lr and down again, each along half a cosine (Smith 2018).

    Parameters
    ----------
    lr : float
        The peak.
    steps : int
        Of the whole cycle.
    pct_start : float in [0, 1]
        The part of the steps that goes up, by PyTorch's name.
    start, final : float
        Where it starts and ends, as parts of lr (PyTorch's 1/25 and 1/25 of 1e-4).

    Examples
    --------
    >>> from minidl import optim
    >>> rate = optim.one_cycle(1.0, steps=100)
    >>> [round(rate(step), 3) for step in (0, 24, 99)]
    [0.04, 1.0, 0.0]
    """
    lr, start, final = numbers("one_cycle", "[0, inf)", lr=lr, start=start, final=final)
    steps = whole_number(steps, "steps", 1, "one_cycle", "steps")
    pct_start = number(pct_start, "pct_start", "[0, 1]", "one_cycle", ": the part of the steps that go up")
    top = max(0.0, pct_start * steps - 1)  # the step at the peak, as PyTorch counts

    def rate(step: float) -> float:
        if step < top:
            return _half_cosine(start * lr, lr, step / top)
        return _half_cosine(lr, final * lr, (step - top) / max(1, steps - 1 - top))

    return _warm(rate, 0, "one_cycle")


def _half_cosine(first: float, last: float, progress: float) -> float:
    progress = min(max(progress, 0.0), 1.0)
    return last + (first - last) * (1 + math.cos(math.pi * progress)) / 2


def _warm(schedule: Callable[[float], float], warmup: int, name: str) -> Schedule:
    """Multiply the first ``warmup`` steps by 1/n, 2/n, ... n/n."""

    def rate(step: int) -> float:
        t = number(step, "step", "[0, inf)", name)
        return schedule(t) * min(1.0, (t + 1) / warmup if warmup else 1.0)

    return rate
