"""Low rank: every convolution as a vertical and a horizontal one (Tai et al. 2016; report, section 4.2)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from ..backend import Array, array_module, as_array, is_array
from ..nn import Conv2d, LowRankConv2d, Module
from ..nn.low_rank import checked_rank, largest_rank
from ..tensor import Parameter, Tensor
from .conditioned import checked_condition, clipped

INITS = ("scratch", "svd")

# The report's schedules (figure 12): a rank for each convolution from the first to the last. The fully-connected
# layers, and ResNet18's 1 x 1 shortcuts, stay as they are.
LR1 = {
    "alexnet": (8, 40, 60, 100, 200),
    "resnet18": (8, 5, 24, 24, 24, 48, 48, 48, 48, 64, 128, 160, 160, 192, 192, 256, 256),
}
LR2 = {model: tuple(max(1, rank // 2) for rank in ranks) for model, ranks in LR1.items()}


def factorize(weight: Array | Tensor, rank: int) -> tuple[Array, Array]:
    """The pair of convolutions that comes closest to a dense one, in closed form.

    The kernel is read as a (C * KH) x (KW * N) matrix, whose singular value decomposition U S H^T, cut after K values,
    is shared out evenly: V = U sqrt(S), H = sqrt(S) H^T. Of all kernels of the form of the report's eq. (13) this one
    has the least Euclidean distance from the dense kernel (Eckart and Young 1936): the root of the sum of the
    squares of the singular values left out.

    Parameters
    ----------
    weight : array or Tensor (N, KH, KW, C), float32 or float64
    rank : int
        K, from 1 to min(C * KH, N * KW); at the largest the kernel is kept to rounding.

    Returns
    -------
    vertical, horizontal : arrays (K, KH, 1, C) and (N, 1, KW, K)
        In the weight's precision and on its device.

    Raises
    ------
    TypeError, ValueError
        When the weight is no array of these or not finite, or the rank not one that it allows.

    References
    ----------
    Tai, Xiao, Zhang, Wang and E, "Convolutional neural networks with low-rank regularization", ICLR 2016,
    arXiv:1511.06067, theorem 1.

    Examples
    --------
    >>> import numpy as np
    >>> from minidl.compress import factorize
    >>> edge = np.outer([1.0, 2.0, 1.0], [-1.0, 0.0, 1.0])[None, :, :, None]  # Sobel's kernel is of rank 1
    >>> v, h = factorize(edge, rank=1)
    >>> v.shape, h.shape, bool(np.allclose(v * h, edge))
    ((1, 3, 1, 1), (1, 1, 3, 1), True)
    """
    weight = weight.data if isinstance(weight, Tensor) else as_array(weight) if is_array(weight) else weight
    if not is_array(weight) or weight.ndim != 4 or weight.dtype not in (np.float32, np.float64):
        what = f"{weight.dtype} of shape {weight.shape}" if is_array(weight) else f"a {type(weight).__name__}"
        raise TypeError(f"factorize: the weight must be a float32 or float64 array (N, KH, KW, C), and is {what}")
    rank = checked_rank(rank, weight.shape, "factorize")
    xp = array_module(weight)
    if not bool(xp.isfinite(weight).all()):
        raise ValueError("factorize: some of the weights are NaN or infinite")
    n, kh, kw, c = weight.shape
    matrix = weight.transpose(3, 1, 2, 0).reshape(c * kh, kw * n)
    u, s, ht = xp.linalg.svd(matrix, full_matrices=False)
    root = xp.sqrt(s[:rank])
    vertical = (u[:, :rank] * root).reshape(c, kh, 1, rank).transpose(3, 1, 2, 0)  # (K, KH, 1, C)
    horizontal = (root[:, None] * ht[:rank]).reshape(rank, 1, kw, n).transpose(3, 1, 2, 0)  # (N, 1, KW, K)
    return xp.ascontiguousarray(vertical), xp.ascontiguousarray(horizontal)


def largest_ranks(model: Module) -> dict[str, int]:
    """The convolutions that ``low_rank`` takes ranks for, in that order: {dotted name: the largest rank it allows}.

    They are those with kernels larger than 1 x 1, in the order of ``named_modules``, which in the models here is that
    of the forward pass.

    Parameters
    ----------
    model : Module

    Examples
    --------
    >>> import minidl as md
    >>> md.compress.largest_ranks(md.models.alexnet())
    {'features.0': 33, 'features.3': 320, 'features.6': 576, 'features.8': 768, 'features.10': 768}
    """
    return {name: largest_rank(layer.weight.shape) for name, layer in _dense(model)}


def low_rank(
    model: Module,
    ranks: Sequence[int | None],
    init: str = "scratch",
    norm: bool | None = None,
    rng: np.random.Generator | None = None,
    condition: float | None = None,
) -> Module:
    """Replace convolutions by ``nn.LowRankConv2d``, in place. Optimisers and pruners are to be made afterwards.

    Parameters
    ----------
    model : Module
    ranks : sequence of int or None
        K for each convolution larger than 1 x 1, in forward order (``largest_ranks`` lists them); None leaves one
        dense. ``LR1["resnet18"]`` and ``LR2`` are the report's.
    init : {"scratch", "svd"}
        Fresh weights, to be trained from the start as in the report; or the ones that come closest to the dense
        weights (``factorize``). The bias is fresh, or the dense one, likewise.
    norm : bool
        Whether batch normalisation stands between the two convolutions. By default it does "scratch", as the report has
        it, and does not with "svd", where it would undo the likeness to the dense layer as soon as training begins.
    rng : numpy.random.Generator
        Draws fresh weights; by default the "init" stream that ``md.manual_seed`` resets.
    condition : float >= 1, optional
        A bound on largest over smallest singular value of each V and each H. The layers keep it, the weights are
        clipped to it here, and again after each step where training has ``after_step=[WellConditioned(model)]``.

    Returns
    -------
    Module
        The model itself; when that is a single convolution, what takes its place.

    Raises
    ------
    TypeError, ValueError
        When ranks has the wrong length (the layers and their largest ranks are listed), a rank is not one that its
        layer allows, a layer to be replaced is pruned, init is unknown, or condition below 1. The model is left as it
        was.

    Examples
    --------
    >>> import minidl as md
    >>> model = md.compress.low_rank(md.models.resnet18(), md.compress.LR1["resnet18"])
    >>> model.conv1.vertical.weight.shape, model.conv1.horizontal.weight.shape
    ((8, 7, 1, 3), (64, 1, 7, 8))
    """
    if init not in INITS:
        raise ValueError(f"low_rank: unknown init {init!r}: choose from {', '.join(map(repr, INITS))}")
    layers = chosen(model, ranks, "low_rank")
    norm, condition = init == "scratch" if norm is None else norm, checked_condition(condition)
    new: dict[Module, Module] = {}
    for layer, rank in layers:
        new[layer] = pair = pair_of(layer, rank, init, norm, rng)
        if condition is not None:
            pair.condition = condition
            for half in (pair.vertical, pair.horizontal):
                half.weight.data[...] = clipped(half.weight.data, condition)
    model.replace_modules(lambda _, module: new.get(module, module))
    return new.get(model, model)


def chosen(
    model: Module, ranks: Any, who: str, check: Callable[[Any, tuple[int, ...], str], int] | None = None
) -> list[tuple[Conv2d, int]]:
    """(layer, rank) of each that gets one; ``check`` says what a layer allows, by default a pair's largest rank."""
    return [
        (layer, _checked(name, layer, rank, who, check or checked_rank))
        for (name, layer), rank in zip(_dense(model), _one_each(model, ranks, who), strict=True)
        if rank is not None
    ]


def _dense(model: Module) -> list[tuple[str, Conv2d]]:
    """(name, layer) of each convolution larger than 1 x 1 that is not half of a low-rank one; a shared one, once."""
    found: dict[Conv2d, str] = {}
    halves: set[Module] = set()
    for name, module in model.named_modules():
        if isinstance(module, LowRankConv2d):
            halves |= {module.vertical, module.horizontal}
        elif isinstance(module, Conv2d) and module not in halves and math.prod(module.weight.shape[1:3]) > 1:
            found.setdefault(module, name)
    return [(name, layer) for layer, name in found.items()]


def _one_each(model: Module, ranks: Any, who: str) -> list[Any]:
    """The ranks as a list with one entry for each layer, or an error that says which layers these are."""
    layers = largest_ranks(model)
    one = isinstance(ranks, str) or not isinstance(ranks, Iterable)
    entries = [] if one else list(ranks)
    if not one and len(entries) == len(layers):
        return entries
    what = f"ranks is {ranks!r}" if one else f"ranks has {len(entries)} entries"
    if not layers:
        raise ValueError(f"{who}: {what}, and the model has no convolution larger than 1 x 1 that could be replaced")
    expected = "".join(f"\n  {name or type(model).__name__}: 1 to {largest}" for name, largest in layers.items())
    raise ValueError(
        f"{who}: {what}, and the model has {len(layers)} convolutions larger than 1 x 1: give a rank for each, or "
        f"None to leave it dense, in this order{expected}"
    )


def _checked(name: str, layer: Conv2d, rank: Any, who: str, check: Callable[[Any, tuple[int, ...], str], int]) -> int:
    """The rank, for a layer that can be replaced."""
    where = f"{who}: {name or type(layer).__name__}"
    if type(layer).forward is not Conv2d.forward or "forward" in vars(layer):
        raise ValueError(
            f"{where} is a {type(layer).__name__} with a forward of its own, which a pair of convolutions cannot stand "
            "for: leave it dense (None)"
        )
    if layer.weight.mask is not None:
        raise ValueError(
            f"{where} is pruned, and a low-rank pair would fill its zeros again: call low_rank first and prune the "
            "pair, or give the pruning up (weight.mask = None)"
        )
    return check(rank, layer.weight.shape, where)


def pair_of(layer: Conv2d, rank: int, init: str, norm: bool, rng: np.random.Generator | None) -> LowRankConv2d:
    """What takes the place of a dense layer, in its precision, on its device, in its mode."""
    n, kh, kw, c = layer.weight.shape
    bias = layer.bias
    new = LowRankConv2d(c, n, (kh, kw), rank, layer.stride, layer.padding, bias is not None, norm, rng)
    new.astype(layer.weight.dtype).to(layer.weight.device).train(layer.training)
    if init == "svd":
        vertical, horizontal = factorize(layer.weight, rank)
        new.vertical.weight, new.horizontal.weight = Parameter(vertical), Parameter(horizontal)
        if bias is not None:
            new.horizontal.bias = Parameter(bias.data.copy())
    return new
