"""Training a network, and measuring it."""

from .evaluate import Score, evaluate
from .fit import Epoch, fit
from .loop import AfterStep, Batches, NonFiniteLossError
from .objectives import CrossEntropy, Objective
from .penalty import Penalized
from .state import Snapshot, State, StateError

__all__ = [
    "AfterStep",
    "Batches",
    "CrossEntropy",
    "Epoch",
    "NonFiniteLossError",
    "Objective",
    "Penalized",
    "Score",
    "Snapshot",
    "State",
    "StateError",
    "evaluate",
    "fit",
]
