"""Smaller networks: magnitude pruning, low-rank convolutions, and what a network costs."""

from .conditioned import WellConditioned
from .cost import Cost, LayerCost, cost
from .low_rank import LR1, LR2, factorize, largest_ranks, low_rank
from .magnitude import MagnitudePruner, cubic_sparsity, sparsity
from .proximal import NuclearL1

__all__ = [
    "LR1",
    "LR2",
    "Cost",
    "LayerCost",
    "MagnitudePruner",
    "NuclearL1",
    "WellConditioned",
    "cost",
    "cubic_sparsity",
    "factorize",
    "largest_ranks",
    "low_rank",
    "sparsity",
]
