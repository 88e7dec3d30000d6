"""Training a network, and measuring it."""

from .evaluate import Score, evaluate
from .fit import Epoch, fit
from .guard import CatastrophicOverfittingError, CatastrophicOverfittingWarning, Guard, Watched
from .loop import AfterStep, Batches, NonFiniteLossError
from .state import Snapshot, State, StateError
from .values import StateWarning

__all__ = [
    "AfterStep",
    "Batches",
    "CatastrophicOverfittingError",
    "CatastrophicOverfittingWarning",
    "Epoch",
    "Guard",
    "NonFiniteLossError",
    "Score",
    "Snapshot",
    "State",
    "StateError",
    "StateWarning",
    "Watched",
    "evaluate",
    "fit",
]
