"""Smaller networks: magnitude pruning, low-rank convolutions, and what a network costs."""

from ..sparsify.gates import hard_concrete, hard_concrete_open
from ..sparsify.lottery import LotteryTicket, lottery_ticket
from ..sparsify.magnitude import MagnitudePruner, RandomPruner, cubic_sparsity, sparsity
from ..sparsify.noise import NoisePruner, l0, plain, variational
from .conditioned import WellConditioned
from .cost import Cost, LayerCost, cost
from .decompose import decompose
from .low_rank import LR1, LR2, factorize, largest_ranks, low_rank
from .proximal import NuclearL1

__all__ = [
    "LR1",
    "LR2",
    "Cost",
    "LayerCost",
    "LotteryTicket",
    "MagnitudePruner",
    "NoisePruner",
    "NuclearL1",
    "RandomPruner",
    "WellConditioned",
    "cost",
    "cubic_sparsity",
    "decompose",
    "factorize",
    "hard_concrete",
    "hard_concrete_open",
    "l0",
    "largest_ranks",
    "lottery_ticket",
    "low_rank",
    "plain",
    "sparsity",
    "variational",
]
