"""A kernel as a sum of products of four vectors (CP decomposition), found by alternating least squares."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import functional as F
from ..backend import Array, to_device, to_numpy
from ..kernels.shapes import Pair
from ..nn import Conv2d, Module
from ..nn.layers import windows_formula
from ..spectral import spectral_norm
from ..tensor import Parameter, Tensor

ROUNDS, RIDGE = 200, 1e-10


class CPConv2d(Module):
    """The convolution with kernels W = sum_r E_r B_r D_r A_r, over R products of four vectors (Lebedev et al. 2015).

    It stands for four convolutions: 1 x 1 to R channels, KH x 1 and 1 x KW within each of them, 1 x 1 to N; their
    products are what ``multiply_adds`` counts. Here it is computed as one, with the kernel multiplied out: the value
    and the gradients are the same, the time is that of a dense convolution.

    Attributes
    ----------
    channels, vertical, horizontal, kernels : Parameter (C, R), (KH, R), (KW, R), (N, R)
        A, B, D and E.
    bias : Parameter (N,) or None
    """

    def __init__(self, factors: list[Array], bias: Parameter | None, stride: Pair, padding: Pair) -> None:
        self.channels, self.vertical, self.horizontal, self.kernels = map(Parameter, factors)
        self.bias, self.stride, self.padding = bias, stride, padding

    def kernel(self) -> Tensor:
        """(N, KH, KW, C): the factors multiplied out."""
        (c, r), kh, kw, n = self.channels.shape, *(len(p) for p in (self.vertical, self.horizontal, self.kernels))
        small = self.vertical.reshape(kh, 1, 1, r) * self.horizontal.reshape(1, kw, 1, r)
        rows = (small * self.channels.reshape(1, 1, c, r)).reshape(kh * kw * c, r)
        return (self.kernels @ rows.T).reshape(n, kh, kw, c)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.kernel(), self.bias, self.stride, self.padding)

    def formula(self, x: Tensor) -> str:
        sizes = windows_formula(x.shape, (len(self.vertical), len(self.horizontal)), self.stride, self.padding)
        return f"{sizes}, CP rank {self.channels.shape[1]}"

    def multiply_adds(self, x: Tensor, y: Tensor) -> int:
        (c, r), (batch, oh, ow, n) = self.channels.shape, y.shape
        h, w = x.shape[1:3]
        return batch * r * (h * w * c + oh * w * len(self.vertical) + oh * ow * (len(self.horizontal) + n))

    def lipschitz(self, x: Tensor) -> float:
        return spectral_norm(self, x)

    def spread(self, radius: Tensor) -> Tensor:
        return F.conv2d(radius, self.kernel().abs(), None, self.stride, self.padding)


def cp_of(layer: Conv2d, rank: int, rng: np.random.Generator) -> CPConv2d:
    """What comes near a dense layer, from a random start."""
    found = alternating_least_squares(to_numpy(layer.weight.data).astype(np.float64), rank, rng)
    kernels, vertical, horizontal, channels = (
        to_device(factor.astype(layer.weight.dtype), layer.weight.device) for factor in found
    )
    return CPConv2d([channels, vertical, horizontal, kernels], layer.bias, layer.stride, layer.padding)


def alternating_least_squares(tensor: np.ndarray, rank: int, rng: np.random.Generator) -> list[Any]:
    """Factors (size, R), one for each axis, whose products' sum is near a tensor.

    Each round solves for one factor after the other, exactly but for a ridge that keeps factors from growing against
    each other without end (a best approximation need not exist). It ends at a stationary point, not always the best.
    """
    factors: list[Any] = [rng.standard_normal((size, rank)) for size in tensor.shape]
    last, norm = math.inf, float((tensor**2).sum())
    for _ in range(ROUNDS):
        for axis in range(tensor.ndim):
            others = [factors[i] for i in range(tensor.ndim) if i != axis]
            rows = others[0]
            for factor in others[1:]:  # Khatri-Rao: a row for each place of the other axes
                rows = (rows[:, None] * factor[None]).reshape(-1, rank)
            unfolded = np.moveaxis(tensor, axis, 0).reshape(tensor.shape[axis], -1)
            gram = rows.T @ rows
            gram += RIDGE * np.trace(gram) * np.eye(rank)
            factors[axis] = np.linalg.solve(gram, (unfolded @ rows).T).T
        error = float(((unfolded - factors[-1] @ rows.T) ** 2).sum())
        size = np.prod([np.linalg.norm(factor, axis=0) for factor in factors], axis=0) ** (1 / tensor.ndim)
        factors = [factor / np.maximum(np.linalg.norm(factor, axis=0), 1e-300) * size for factor in factors]
        if last - error < 1e-7 * norm:
            break
        last = error
    return factors
