"""Training a network, and measuring it."""

from .evaluate import Score, evaluate
from .fit import Epoch, fit
from .guard import CatastrophicOverfittingError, CatastrophicOverfittingWarning, Guard, Watched
from .loop import AfterStep, Batches, NonFiniteLossError
from .objectives import Adversarial, CrossEntropy, Distillation, Objective
from .state import Snapshot, State, StateError
from .values import StateWarning

__all__ = [
    "Adversarial",
    "AfterStep",
    "Batches",
    "CatastrophicOverfittingError",
    "CatastrophicOverfittingWarning",
    "CrossEntropy",
    "Distillation",
    "Epoch",
    "Guard",
    "NonFiniteLossError",
    "Objective",
    "Score",
    "Snapshot",
    "State",
    "StateError",
    "StateWarning",
    "Watched",
    "evaluate",
    "fit",
]
