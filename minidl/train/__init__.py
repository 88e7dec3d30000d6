"""Training a network, and measuring it."""

from .evaluate import Score, evaluate
from .fit import Epoch, fit
from .loop import AfterStep, Batches, NonFiniteLossError
from .objectives import CrossEntropy, Objective
from .state import Snapshot, State, StateError
from .values import StateWarning

__all__ = [
    "AfterStep",
    "Batches",
    "CrossEntropy",
    "Epoch",
    "NonFiniteLossError",
    "Objective",
    "Score",
    "Snapshot",
    "State",
    "StateError",
    "StateWarning",
    "evaluate",
    "fit",
]
