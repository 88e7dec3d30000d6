"""Low-rank convolution: a vertical convolution to K channels, then a horizontal one (report, eqs. (12)-(14))."""

from __future__ import annotations

import numpy as np

from ..backend import default_rng
from ..checks import pair, whole_number, whole_numbers
from ..kernels.shapes import Pair
from ..tensor import Tensor
from .init import he_normal
from .layers import Conv2d
from .module import Module
from .normalization import BatchNorm2d


class LowRankConv2d(Module):
    """A convolution whose kernels share K vertical and K horizontal filters (Tai et al. 2016; report, section 4.2).

    Without ``norm`` it is the convolution with kernels W_n^c = sum_d V_d^c H_n^d, an outer product for each d < K
    (report, eq. (13)), computed as F^n = sum_d H_n^d * (sum_c V_d^c * Z^c) (eq. (14)): a KH x 1 convolution to K
    channels, then a 1 x KW one to N. For kernels of d x d that takes d K (C + N) weights in place of d^2 C N, and as
    much less work: it pays below rank d C N / (C + N).

    Parameters
    ----------
    in_channels, out_channels : int
        C and N.
    kernel_size : int or (vertical, horizontal) pair
        KH and KW.
    rank : int
        K, from 1 to min(C * KH, N * KW): at the largest the pair can be any convolution.
    stride, padding : int or (vertical, horizontal) pair
        Of the whole: V takes the vertical part and H the horizontal one.
    bias : bool
        H has it; V has none.
    norm : bool
        Whether batch normalisation stands between V and H. It keeps the doubled depth trainable (report); Tai's own
        code has none there.
    rng : numpy.random.Generator
        Draws the initial weights; by default the "init" stream that ``md.manual_seed`` resets.

    Attributes
    ----------
    vertical : Conv2d
        V, with weights (K, KH, 1, C).
    norm : BatchNorm2d or None
    horizontal : Conv2d
        H, with weights (N, 1, KW, K).
    condition : float or None
        The bound on largest over smallest singular value of V and of H that ``compress.WellConditioned`` keeps.

    Raises
    ------
    TypeError, ValueError
        When the rank is no whole number, or not one that the layer allows.

    References
    ----------
    Tai, Xiao, Zhang, Wang and E, "Convolutional neural networks with low-rank regularization", ICLR 2016,
    arXiv:1511.06067.

    Examples
    --------
    >>> import numpy as np
    >>> from minidl import nn
    >>> layer = nn.LowRankConv2d(16, 32, kernel_size=3, rank=8, padding=1, bias=False)
    >>> layer(np.zeros((1, 10, 10, 16), np.float32)).shape
    (1, 10, 10, 32)
    >>> layer.vertical.weight.size + layer.horizontal.weight.size, 3 * 8 * (16 + 32), 3 * 3 * 16 * 32
    (1152, 1152, 4608)
    """

    condition: float | None = None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Pair,
        rank: int,
        stride: int | Pair = 1,
        padding: int | Pair = 0,
        bias: bool = True,
        norm: bool = True,
        rng: np.random.Generator | None = None,
    ) -> None:
        rng = rng or default_rng("init")
        in_channels, out_channels = whole_numbers(
            "LowRankConv2d", 1, in_channels=in_channels, out_channels=out_channels
        )
        kh, kw = pair(kernel_size, "kernel_size", 1, "LowRankConv2d")
        sh, sw = pair(stride, "stride", 1, "LowRankConv2d")
        ph, pw = pair(padding, "padding", 0, "LowRankConv2d")
        rank = checked_rank(rank, (out_channels, kh, kw, in_channels), "LowRankConv2d")
        self.vertical = Conv2d(in_channels, rank, (kh, 1), (sh, 1), (ph, 0), bias=False, rng=rng)
        self.norm = BatchNorm2d(rank) if norm else None
        self.horizontal = Conv2d(rank, out_channels, (1, kw), (1, sw), (0, pw), bias=bias, rng=rng)
        # V keeps the scale of its input, and H makes up for the ReLU that follows it; none follows V
        v, h = self.vertical.weight, self.horizontal.weight
        v.data[...] = he_normal(rng, v.shape, 2 * kh * in_channels)
        h.data[...] = he_normal(rng, h.shape, kw * rank)

    def forward(self, x: Tensor) -> Tensor:
        x = self.vertical(x)  # (B, OH, W, K)
        if self.norm is not None:
            x = self.norm(x)
        return self.horizontal(x)  # (B, OH, OW, N)


def largest_rank(weight_shape: tuple[int, ...]) -> int:
    """min(C * KH, N * KW) for weights (N, KH, KW, C): a (C * KH) x (KW * N) matrix has no higher rank."""
    n, kh, kw, c = weight_shape
    return min(c * kh, n * kw)


def checked_rank(rank: int, weight_shape: tuple[int, ...], where: str) -> int:
    """The rank as an int, or an error that says what weights (N, KH, KW, C) allow."""
    number = whole_number(rank, "the rank", None, where)
    n, kh, kw, c = weight_shape
    if not 1 <= number <= largest_rank(weight_shape):
        raise ValueError(
            f"{where}: the rank is {number}, and {n} kernels of {kh} x {kw} over {c} channels allow 1 to "
            f"min(C * KH, N * KW) = min({c * kh}, {n * kw}) = {largest_rank(weight_shape)}"
        )
    return number
