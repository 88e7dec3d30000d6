"""Training a network, and measuring it."""

from .evaluate import Score, evaluate
from .fit import Epoch, fit
from .guard import CatastrophicOverfittingError, CatastrophicOverfittingWarning, Guard, Watched
from .loop import AfterStep, Batches, NonFiniteLossError
from .objectives import Adversarial, CrossEntropy, Distillation, Objective, Penalized
from .state import Snapshot, State, StateError

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
    "Penalized",
    "Score",
    "Snapshot",
    "State",
    "StateError",
    "Watched",
    "evaluate",
    "fit",
]
