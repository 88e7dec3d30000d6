"""Gradient descent, w <- w - eta dL/dw (report, section 2.1), and how the learning rate eta changes with time."""

from ..graph import SpentGradientWarning
from .optimizers import SGD, Adam, AdamW, Optimizer
from .schedules import Schedule, constant, cosine, one_cycle, step_decay

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "Optimizer",
    "Schedule",
    "SpentGradientWarning",
    "constant",
    "cosine",
    "one_cycle",
    "step_decay",
]
