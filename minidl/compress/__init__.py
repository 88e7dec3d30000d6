"""Smaller networks: magnitude pruning."""

from .magnitude import MagnitudePruner, cubic_sparsity, sparsity

__all__ = ["MagnitudePruner", "cubic_sparsity", "sparsity"]
