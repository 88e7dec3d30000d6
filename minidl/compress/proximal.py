"""Steps towards kernels of low rank and few weights: the proximal maps of the nuclear norm and of the l1 norm."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from ..backend import Array, array_module
from ..checks import number, whole_number
from ..kernels.shapes import Pair
from ..nn import Conv2d, Module
from ..optim import Optimizer
from ..periodic import from_periodic_blocks, periodic_blocks, periodic_size
from ..sparsify.magnitude import chosen_weights
from ..tensor import Parameter
from ..trace import calls

MATRICES = ("kernel", "operator")
MOST_ROUNDS = 1000
GONE = 1e-6  # of the largest singular value: below it float32 knows none


class NuclearL1:
    """After a step of the optimiser, one towards low rank and one towards zeros (Langenberg et al. 2019).

    Each kernel's matrix M = U S V^T first becomes U max(S - eta nuclear, 0) V^T, which minimises ||X - M||^2 / 2 + eta
    nuclear ||X||_*; then each weight w becomes ``sign(w) max(|w| - eta l1, 0)``, which does so for the l1 norm.
    eta is the optimiser's learning rate where one is given, and else 1. The two maps one after the other are not the
    proximal map of the sum of both norms: their order matters, and the second can raise the rank again.

    Parameters
    ----------
    model : Module
        Kernels are its parameters of two axes or more.
    nuclear, l1 : float
        The weights of the two norms; 0 leaves one out.
    matrix : {"kernel", "operator"}
        Whose singular values. "kernel": a linear layer's weights (in, out), a convolution's as (N, KH * KW * C).
        "operator": the layer as a linear map of its input. For a linear layer that is the same. A convolution's is
        taken with the borders of its images joined and its nuclear norm divided by the number of places of its output,
        so that a 1 x 1 kernel has that of its matrix; kernels keep their size. With zeros at the borders, as layers
        have them, the operator's proximal map is known to nobody in closed form, and it is not computed here.
    every : int
        Do this at each so many steps, and then as much as for all of them.
    optimizer : optim.Optimizer, optional
        Whose learning rate is eta.
    input_shape : (H, W, C), optional
        Of the images, for "operator": the operator of a convolution depends on the size of what it slides over.
    exclude : names of modules
        To be left as they are.

    Raises
    ------
    TypeError, ValueError
        When a number is negative or none, the matrix unknown, a name in ``exclude`` unknown, there is nothing to do, or
        "operator" is asked for without an input_shape.

    Notes
    -----
    Pruned weights stay zero, so that the first map is exact for kernels without a mask only. The operator's map is
    found by the alternating direction method of multipliers: some fifty Fourier transforms with an SVD for each
    frequency. Give it an ``every`` that you can afford.

    References
    ----------
    Langenberg, Balda, Behboodi and Mathar, "On the effect of low-rank weights on adversarial robustness of neural
    networks", 2019, arXiv:1901.10371.

    Examples
    --------
    >>> import numpy as np, minidl as md
    >>> layer = md.nn.Linear(2, 2, bias=False)
    >>> layer.weight.data[...] = np.diag([3.0, 0.5])
    >>> md.compress.NuclearL1(layer, nuclear=1.0, l1=0.5).step(0)
    >>> layer.weight.data
    array([[1.5, 0. ],
           [0. , 0. ]], dtype=float32)
    """

    transient = ("_operators",)

    def __init__(
        self,
        model: Module,
        nuclear: float,
        l1: float,
        matrix: str = "kernel",
        every: int = 1,
        optimizer: Optimizer | None = None,
        input_shape: Sequence[int] | None = None,
        exclude: str | Iterable[str] = (),
    ) -> None:
        self.nuclear, self.l1 = (
            number(value, key, "[0, inf)", "NuclearL1") for key, value in (("nuclear", nuclear), ("l1", l1))
        )
        self.every = whole_number(every, "every", 1, "NuclearL1", "training iterations")
        if matrix not in MATRICES:
            raise ValueError(f"NuclearL1: unknown matrix {matrix!r}: choose from {', '.join(map(repr, MATRICES))}")
        if optimizer is not None and not isinstance(optimizer, Optimizer):
            raise TypeError(f"NuclearL1: optimizer is {optimizer!r}, and must be an optim.Optimizer, or None")
        self.weights = chosen_weights(model, exclude, "NuclearL1")
        self._operators = _operators(model, input_shape) if matrix == "operator" else {}
        self.matrix, self.optimizer = matrix, optimizer

    @property
    def sparsity(self) -> float:
        """The part of these weights that are exactly zero."""
        weights = self.weights.values()
        return sum(int((w.data == 0).sum()) for w in weights) / sum(w.size for w in weights)

    def step(self, t: int) -> None:
        """Both maps, where iteration t (from 0) ends a stretch of ``every`` iterations."""
        t = whole_number(t, "t", 0, "NuclearL1.step", "training iterations")
        if (t + 1) % self.every:
            return
        eta = self.every * (1.0 if self.optimizer is None else self.optimizer.lr)
        for weight in self.weights.values():
            w = weight.data
            if self.nuclear > 0:
                w = self._low_rank(weight, eta * self.nuclear)
            if self.l1 > 0:
                w = soft_threshold(w, eta * self.l1)
            weight.data[...] = w
            if weight.mask is not None:
                weight.data *= weight.mask

    def _low_rank(self, weight: Parameter, threshold: float) -> Array:
        w = weight.data
        if weight in self._operators:
            return operator_prox(w, threshold, *self._operators[weight])[0]
        return on_singular_values(w.reshape(len(w), -1), lambda s: soft_threshold(s, threshold)).reshape(w.shape)


def soft_threshold(x: Array, threshold: float) -> Array:
    """sign(x) max(|x| - threshold, 0): the minimum of ||y - x||^2 / 2 + threshold ||y||_1 over y."""
    xp = array_module(x)
    return xp.sign(x) * xp.maximum(xp.abs(x) - x.dtype.type(threshold), 0)


def on_singular_values(matrices: Array, change: Callable[[Array], Array]) -> Array:
    """U change(S) V^T for a matrix U S V^T, or for each of a stack; S from the largest down.

    Of float32 the smaller of W W^T and W^T W is taken apart instead, all of it in float64, whose squares still know
    what float32 does: U (change(S) / S) U^T W, in a quarter of the time. Where singular values that are gone are to
    come back, only the decomposition itself has their directions.
    """
    xp = array_module(matrices)
    if matrices.dtype == np.float32:
        is_tall = matrices.shape[-2] > matrices.shape[-1]
        wide = (matrices.swapaxes(-1, -2) if is_tall else matrices).astype(np.float64)
        squares, u = xp.linalg.eigh(wide @ wide.swapaxes(-1, -2))
        s, u = xp.sqrt(squares[..., ::-1].clip(0)), u[..., ::-1]
        changed, gone = change(s), s <= GONE * s[..., :1]
        if not (gone & (changed > 0)).any():
            ratio = xp.where(gone, 0, changed / xp.where(gone, 1, s))
            low = ((u * ratio[..., None, :]) @ (u.swapaxes(-1, -2) @ wide)).astype(np.float32)
            return low.swapaxes(-1, -2) if is_tall else low
    u, s, vt = xp.linalg.svd(matrices, full_matrices=False)
    return (u * change(s)[..., None, :]) @ vt


def operator_prox(
    weight: Array, threshold: float, size: Pair, stride: Pair, tolerance: float | None = None
) -> tuple[Array, Array]:
    """The kernel K that minimises ||K - weight||^2 / 2 + threshold ||A(K)||_* / places, A(K) with its borders joined.

    Alternating direction method of multipliers, with a kernel as large as the image beside K. Returns K and, as the
    proof, the multipliers' blocks: singular values up to threshold each, and K = weight - (their kernel).
    """
    dtype, kernel = weight.dtype, weight.shape[1:3]
    tolerance = 10 * float(array_module(weight).finfo(dtype).eps) ** 0.5 if tolerance is None else tolerance
    k, dual = weight, 0 * periodic_blocks(weight, size, stride)
    for _ in range(MOST_ROUNDS):
        blocks = periodic_blocks(k, size, stride)
        low = on_singular_values(blocks + dual, lambda s: soft_threshold(s, threshold))
        dual = dual + blocks - low
        last, k = k, (weight + from_periodic_blocks(low - dual, kernel, size, stride)) / 2
        moved = max(float(abs(k - last).max()), float(abs(from_periodic_blocks(low, kernel, size, stride) - k).max()))
        if moved <= tolerance * float(abs(weight).max()):
            break
    return k.astype(dtype), dual


def _operators(model: Module, input_shape: Any) -> dict[Parameter, tuple[Pair, Pair]]:
    """{a convolution's kernel: (size of its images, up to a multiple of the stride; stride)}."""
    if input_shape is None:
        raise ValueError("NuclearL1: matrix='operator' needs an input_shape, (H, W, C): it depends on the images' size")
    met = calls(model, input_shape, "NuclearL1", lambda layer: isinstance(layer, Conv2d))
    return {
        layer.weight: (periodic_size(x.shape, layer.weight.shape, layer.stride), layer.stride) for _, layer, x, _ in met
    }
