"""Training a network, and measuring it."""

from .evaluate import Score, evaluate
from .fit import Batches, Epoch, NonFiniteLossError, Pruner, fit

__all__ = ["Batches", "Epoch", "NonFiniteLossError", "Pruner", "Score", "evaluate", "fit"]
