"""The singular values of each layer as a linear map: how it stretches, and along how many directions."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..backend import to_device, to_numpy
from ..checks import whole_number
from ..nn import Conv2d, Linear, Module, evaluation_mode
from ..nn.noisy import Noisy
from ..periodic import periodic_blocks, periodic_size
from ..tensor import Parameter, Tensor, no_grad
from ..trace import calls

ROUNDING = 1e-6  # of the largest singular value: below, one is zero but for the rounding of float32 weights


@dataclass(frozen=True, eq=False)
class LayerSpectrum:
    """The singular values of one layer's operator.

    Attributes
    ----------
    name : str
        The layer's dotted name.
    kind : str
        Its type.
    values : array, descending
        All singular values, in float64; zeros too.
    how : {"exact", "periodic"}
        Of the layer as it is; or, for a convolution too large for that, of one whose images have their opposite borders
        joined, which differs at the border only.
    weights : array
        Those of the layer's kernels, in a row.
    """

    name: str
    kind: str
    values: np.ndarray
    how: str
    weights: np.ndarray

    @property
    def norm(self) -> float:
        """The largest singular value."""
        return float(self.values[0])

    @property
    def condition(self) -> float:
        """The largest singular value over the smallest; infinite where that is zero, to rounding."""
        least = float(self.values[-1])
        return self.norm / least if least > self.norm * ROUNDING else math.inf

    @property
    def effective_rank(self) -> float:
        """(sum s)^2 / sum s^2: the number of singular values, were all of one size, and those of another next to 0."""
        return effective_count(self.values)

    @property
    def effective_sparsity(self) -> float:
        """``1 - (sum |w|)^2 / (n sum w^2)``: the part of n weights that are zero, were all others of one size."""
        return 1 - effective_count(np.abs(self.weights)) / self.weights.size


@dataclass(frozen=True)
class Spectrum:
    """What ``spectrum`` found; ``print`` shows it as a table, ``plot.spectrum`` as a picture.

    Attributes
    ----------
    layers : tuple of LayerSpectrum
    """

    layers: tuple[LayerSpectrum, ...]

    @property
    def effective_rank(self) -> float:
        """The layers' effective ranks over the numbers of their singular values: the mean over layers, in (0, 1]."""
        return float(np.mean([layer.effective_rank / layer.values.size for layer in self.layers]))

    @property
    def effective_sparsity(self) -> float:
        """The mean over layers."""
        return float(np.mean([layer.effective_sparsity for layer in self.layers]))

    def __str__(self) -> str:
        width = max([len(layer.name) for layer in self.layers] + [5])
        rows = [
            f"{'layer':<{width}}  {'type':<8}  {'values':>6}  {'largest':>8}  {'condition':>9}  {'eff. rank':>9}  "
            f"{'eff. sparsity':>13}  how"
        ]
        rows += [
            f"{layer.name:<{width}}  {layer.kind:<8}  {layer.values.size:>6}  {layer.norm:>8.3f}  "
            f"{layer.condition:>9.3g}  {layer.effective_rank:>9.2f}  {layer.effective_sparsity:>13.3f}  {layer.how}"
            for layer in self.layers
        ]
        return "\n".join(rows)


def spectrum(model: Module, input_shape: int | Sequence[int], largest: int = 2048) -> Spectrum:
    """The singular values of each convolution and fully-connected layer, as a linear map of its input.

    Condition number, effective rank and effective sparsity follow from them. The effective rank is (sum s)^2 / sum s^2,
    and the effective sparsity the same count of the weights, as the part that it leaves: neither changes when a layer
    is multiplied by a number, and neither needs a threshold.

    Parameters
    ----------
    model : Module
        Measured in evaluation mode; every module is left in the mode it was in.
    input_shape : (H, W, C) or (B, H, W, C), in pixels; or (features,)
        A convolution's singular values depend on the size of what it slides over.
    largest : int
        A convolution's own operator is written out, and its singular values are exact, where inputs or outputs are no
        more numbers than this for an image, and the matrix has at most 2^25 entries. Beyond, those of the convolution
        with its borders joined take their place (``LayerSpectrum.how``), found from the kernel's Fourier transform.

    Returns
    -------
    Spectrum
        A row for each layer that has a kernel and is affine, in the order of the forward pass.

    Raises
    ------
    ValueError
        When the shape does not fit the model, a weight is NaN or infinite, or the model has no such layer.
    NotImplementedError
        When a layer of your own is too large to be written out.

    References
    ----------
    Langenberg, Balda, Behboodi and Mathar, "On the effect of low-rank weights on adversarial robustness of neural
    networks", 2019, arXiv:1901.10371. Sedghi, Gupta and Long, "The singular values of convolutional layers", ICLR 2019,
    arXiv:1805.10408.

    Examples
    --------
    >>> import numpy as np
    >>> from minidl import nn, robustness
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    >>> model[1].weight.data[...] = [[3, 0], [0, 1], [0, 0], [0, 0]]
    >>> print(robustness.spectrum(model, (2, 2, 1)))
    layer  type      values  largest  condition  eff. rank  eff. sparsity  how
    1      Linear         2    3.000          3       1.60          0.800  exact
    """
    largest = whole_number(largest, "largest", 0, "spectrum")
    met: dict[Module, tuple[str, tuple[int, ...]]] = {}
    for name, layer, x, _ in calls(model, input_shape, "spectrum", _is_affine):
        met.setdefault(layer, (name, x.shape))
    if not met:
        raise ValueError("spectrum: the model has no affine layer with a kernel: no convolution, nothing linear")
    with evaluation_mode(model), no_grad():
        return Spectrum(tuple(_layer(layer, name, shape, largest) for layer, (name, shape) in met.items()))


def _is_affine(layer: Module) -> bool:
    return layer.says("spread") is not None and bool(_kernels_of(layer))


def _layer(layer: Module, name: str, shape: tuple[int, ...], largest: int) -> LayerSpectrum:
    kernels = [layer.expected()] if isinstance(layer, Noisy) else _kernels_of(layer)
    weights = np.concatenate([to_numpy(w.data).ravel() for w in kernels]).astype(np.float64)
    if not np.isfinite(weights).all():
        raise ValueError(f"spectrum: weights of layer {name!r} ({type(layer).__name__}) are NaN or infinite")
    matrices, how = _matrices(layer, name, shape, largest)
    values = np.sort(np.linalg.svd(matrices, compute_uv=False), axis=None)[::-1]
    return LayerSpectrum(name, type(layer).__name__, values, how, weights)


def _matrices(layer: Module, name: str, shape: tuple[int, ...], largest: int) -> tuple[np.ndarray, str]:
    """One matrix, or a stack, whose singular values together are the layer's."""
    if isinstance(layer, Linear) and type(layer).forward is Linear.forward:
        return to_numpy(layer.weight.data).astype(np.float64), "exact"
    x = Tensor(np.zeros((1, *shape[1:]), next(layer.parameters()).dtype)).to(next(layer.parameters()).device)
    inputs, outputs = x.size, layer(x).size
    if min(inputs, outputs) <= largest and inputs * outputs <= 2**25:
        # in float64, where a large bias costs no digits
        twin, zero = copy.deepcopy(layer).astype(np.float64), Tensor(x.data.astype(np.float64))
        return _written_out(twin, zero, outputs), "exact"
    if not isinstance(layer, Conv2d) or type(layer).forward is not Conv2d.forward:
        raise NotImplementedError(
            f"spectrum: layer {name!r} ({type(layer).__name__}) is a map from {inputs:,} to {outputs:,} numbers: too "
            f"many to write out (largest={largest}), and no Conv2d, of which a Fourier transform would tell"
        )
    weight = to_numpy(layer.weight.data).astype(np.float64)
    return periodic_blocks(weight, periodic_size(x.shape, layer.weight.shape, layer.stride), layer.stride), "periodic"


def _written_out(layer: Module, x: Tensor, outputs: int) -> np.ndarray:
    """(inputs, outputs): the layer's results for every image of a single 1, less its bias."""
    matrix, at_once = np.empty((x.size, outputs)), max(1, 2**22 // outputs)
    constant = to_numpy(layer(x).data).reshape(-1)
    for start in range(0, x.size, at_once):
        ones = np.eye(min(at_once, x.size - start), x.size, start, dtype=x.dtype).reshape(-1, *x.shape[1:])
        y = layer(Tensor(to_device(ones, x.device)))
        matrix[start : start + len(ones)] = to_numpy(y.data).reshape(len(ones), -1) - constant
    return matrix


def _kernels_of(layer: Module) -> list[Parameter]:
    return [value for value in vars(layer).values() if isinstance(value, Parameter) and value.ndim > 1]


def effective_count(sizes: np.ndarray) -> float:
    """(sum s)^2 / sum s^2, from 1 for a single one to n for n of one size; 0 for zeros alone."""
    squares = float((sizes**2).sum())
    return float(sizes.sum()) ** 2 / squares if squares > 0 else 0.0
