"""Trained convolutions as smaller ones, in the four ways that the report names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from ..backend import Array, to_device, to_numpy
from ..checks import whole_number
from ..images import as_images
from ..nn import Conv2d, LowRankConv2d, Module, Sequential, evaluation_mode
from ..tensor import Parameter, Tensor, no_grad
from ..trace import watching
from .cp import CPConv2d, cp_of
from .low_rank import chosen, pair_of

METHODS = ("tai", "jaderberg", "denton", "cp")
ROUNDS, CG_STEPS, AT_ONCE = 15, 20, 32


def decompose(
    model: Module,
    ranks: Sequence[int | None],
    method: str = "tai",
    images: Array | None = None,
    rng: np.random.Generator | None = None,
) -> Module:
    """Replace trained convolutions by smaller ones that come near them, in place. Optimisers are to be made afterwards.

    Parameters
    ----------
    model : Module
    ranks : sequence of int or None
        K for each convolution larger than 1 x 1, in forward order (``largest_ranks`` lists them); None leaves one
        dense.
    method : {"tai", "jaderberg", "denton", "cp"}
        "tai": a vertical and a horizontal convolution, nearest to the kernel, in closed form (``factorize``).
        "jaderberg": the same two, nearest in what they give for the images. For these the second moments of the layer's
        input are added up, and V and H found by least squares in turns. "denton": K kernels of full size and a 1 x 1
        convolution from them, nearest to the kernel: the SVD of its (N, KH * KW * C) matrix. "cp": four convolutions,
        of which the middle two stay within a channel each, by alternating least squares (Lebedev et al. 2015, who take
        another solver for the same sum of squares).
    images : array (B, H, W, C) in [0, 1], optional
        For "jaderberg".
    rng : numpy.random.Generator, optional
        The start of "cp".

    Returns
    -------
    Module
        The model itself; when that is a single convolution, what takes its place.

    Raises
    ------
    TypeError, ValueError
        When the method is unknown, images are missing or too many, a rank is not one that its layer allows, or a layer
        is pruned. The model is left as it was.

    References
    ----------
    Tai et al. 2016, arXiv:1511.06067. Jaderberg, Vedaldi and Zisserman, "Speeding up convolutional neural networks with
    low rank expansions", 2014, arXiv:1405.3866. Denton, Zaremba, Bruna, LeCun and Fergus, "Exploiting linear structure
    within convolutional networks for efficient evaluation", 2014, arXiv:1404.0736. Lebedev, Ganin, Rakhuba, Oseledets
    and Lempitsky, "Speeding-up convolutional neural networks using fine-tuned CP-decomposition", 2015, arXiv:1412.6553.

    Examples
    --------
    >>> import minidl as md
    >>> model = md.nn.Sequential(md.nn.Conv2d(16, 32, 3, padding=1), md.nn.ReLU())
    >>> before = md.compress.cost(model, (8, 8, 16)).multiply_adds
    >>> md.compress.decompose(model, [8], method="denton")[0][1].weight.shape
    (32, 1, 1, 8)
    >>> before, md.compress.cost(model, (8, 8, 16)).multiply_adds
    (294912, 90112)
    """
    if method not in METHODS:
        raise ValueError(f"decompose: unknown method {method!r}: choose from {', '.join(map(repr, METHODS))}")
    if (images is None) == (method == "jaderberg"):
        what = "needs images, whose outputs it keeps" if method == "jaderberg" else "takes no images"
        raise ValueError(f"decompose: method {method!r} {what}")
    layers = chosen(model, ranks, "decompose", _limit(method))
    rng = np.random.default_rng(0) if rng is None else rng
    if method == "jaderberg":
        moments = second_moments(model, [layer for layer, _ in layers], as_images(images, "decompose"))
        new: dict[Module, Module] = {layer: _jaderberg(layer, rank, moments[layer]) for layer, rank in layers}
    else:
        make: Callable[[Conv2d, int], Module] = {
            "tai": lambda layer, rank: pair_of(layer, rank, "svd", False, None),
            "denton": denton_of,
            "cp": lambda layer, rank: cp_of(layer, rank, rng),
        }[method]
        new = {layer: make(layer, rank) for layer, rank in layers}
    for layer, other in new.items():
        other.train(layer.training)
    model.replace_modules(lambda _, module: new.get(module, module))
    return new.get(model, model)


def _limit(method: str) -> Callable[[Any, tuple[int, ...], str], int] | None:
    """What a rank may be; None for that of a pair."""
    if method == "denton":
        return _rank_of_matrix
    return None if method in ("tai", "jaderberg") else lambda rank, shape, who: whole_number(rank, "the rank", 1, who)


def _rank_of_matrix(rank: Any, shape: tuple[int, ...], who: str) -> int:
    rank, (n, kh, kw, c) = whole_number(rank, "the rank", 1, who), shape
    if rank > min(n, kh * kw * c):
        raise ValueError(
            f"{who}: the rank is {rank}, and a matrix of {n} x {kh * kw * c} has at most {min(n, kh * kw * c)}"
        )
    return rank


def composed(layer: Any) -> np.ndarray:
    """The kernel (N, KH, KW, C), in float64, of what ``decompose`` has put in a convolution's place."""

    def kernel_of(part: Any) -> np.ndarray:
        return to_numpy(part.weight.data).astype(np.float64)

    if isinstance(layer, CPConv2d):
        return to_numpy(layer.kernel().data).astype(np.float64)
    if isinstance(layer, LowRankConv2d):
        return np.einsum("khc,nwk->nhwc", kernel_of(layer.vertical)[:, :, 0], kernel_of(layer.horizontal)[:, 0])
    if isinstance(layer, Sequential):
        return np.einsum("khwc,nk->nhwc", kernel_of(layer[0]), kernel_of(layer[1])[:, 0, 0])
    return kernel_of(layer)


def denton_of(layer: Conv2d, rank: int) -> Module:
    weight = to_numpy(layer.weight.data)
    n, kh, kw, c = weight.shape
    u, s, vt = np.linalg.svd(weight.reshape(n, -1).astype(np.float64), full_matrices=False)
    root = np.sqrt(s[:rank])
    first = Conv2d(c, rank, (kh, kw), layer.stride, layer.padding, bias=False, rng=np.random.default_rng(0))
    second = Conv2d(rank, n, 1, bias=layer.bias is not None, rng=np.random.default_rng(0))
    first.weight = _like(layer, root[:, None] * vt[:rank], (rank, kh, kw, c))
    second.weight = _like(layer, u[:, :rank] * root, (n, 1, 1, rank))
    second.bias = layer.bias
    return Sequential(first, second)


def _jaderberg(layer: Conv2d, rank: int, moments: np.ndarray) -> Module:
    """V and H of least E ||W x - W' x||^2, from the closest pair on; V by conjugate gradients."""
    pair = pair_of(layer, rank, "svd", False, None)
    target = to_numpy(layer.weight.data).astype(np.float64)
    n, kh, kw, c = target.shape
    v, h = (to_numpy(half.weight.data).astype(np.float64) for half in (pair.vertical, pair.horizontal))
    v, h = v[:, :, 0], h[:, 0]  # (K, KH, C), (N, KW, K)
    times = moments + 1e-9 * np.trace(moments) / len(moments) * np.eye(len(moments))
    wanted = (target.reshape(n, -1) @ times).reshape(n, kh, kw, c)

    def normal(v: np.ndarray, h: np.ndarray) -> np.ndarray:
        """The normal equations' matrix times v."""
        kernel = np.einsum("khc,nwk->nhwc", v, h, optimize=True).reshape(n, -1) @ times
        return transposed(kernel.reshape(n, kh, kw, c), h)

    def transposed(kernel: np.ndarray, h: np.ndarray) -> np.ndarray:
        return np.einsum("nhwc,nwk->khc", kernel, h, optimize=True)

    for _ in range(ROUNDS):
        columns = np.zeros((kh, kw, c, kw, rank))  # the response of V at each place of H
        for place in range(kw):
            columns[:, place, :, place] = v.transpose(1, 2, 0)
        rows = columns.reshape(kh * kw * c, kw * rank)
        gram = rows.T @ times @ rows
        gram += 1e-10 * np.trace(gram) / len(gram) * np.eye(len(gram))
        h = np.linalg.solve(gram, rows.T @ wanted.reshape(n, -1).T).T.reshape(n, kw, rank)
        v = conjugate_gradients(partial(normal, h=h), transposed(wanted, h), v)
    pair.vertical.weight = _like(layer, v, (rank, kh, 1, c))
    pair.horizontal.weight = _like(layer, h, (n, 1, kw, rank))
    return pair


def conjugate_gradients(apply: Callable[[np.ndarray], np.ndarray], wanted: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Some steps towards apply(x) = wanted, for a symmetric positive operator."""
    rest = wanted - apply(x)
    direction, size = rest, float((rest * rest).sum())
    for _ in range(CG_STEPS):
        if size <= 1e-24 * float((wanted * wanted).sum()):
            break
        image = apply(direction)
        step = size / float((direction * image).sum())
        x, rest = x + step * direction, rest - step * image
        last, size = size, float((rest * rest).sum())
        direction = rest + size / last * direction
    return x


def second_moments(model: Module, layers: Sequence[Conv2d], images: np.ndarray) -> dict[Conv2d, np.ndarray]:
    """{layer: E x x^T (KH KW C, KH KW C)} over all windows x that the layer meets with these images."""
    sums: dict[Any, Any] = dict.fromkeys(layers, 0.0)
    counts = dict.fromkeys(layers, 0)

    def watch(name: str, layer: Module) -> Any:
        if not isinstance(layer, Conv2d) or layer not in sums:
            return None
        forward = layer.forward

        def noted(x: Tensor) -> Tensor:
            rows = _windows(to_numpy(x.data), layer)
            sums[layer] = sums[layer] + rows.T @ rows
            counts[layer] += len(rows)
            return forward(x)

        return noted

    dtype, device = next((p.dtype, p.device) for p in model.parameters())
    with evaluation_mode(model), no_grad(), watching(model, watch):
        for start in range(0, len(images), AT_ONCE):
            model(Tensor(to_device(images[start : start + AT_ONCE].astype(dtype), device)))
    return {layer: sums[layer] / counts[layer] for layer in layers}


def _windows(x: np.ndarray, layer: Conv2d) -> np.ndarray:
    """(places, KH KW C): each window's pixels in a row."""
    (ph, pw), (sh, sw), (kh, kw) = layer.padding, layer.stride, layer.weight.shape[1:3]
    x = np.pad(x.astype(np.float64), ((0, 0), (ph, ph), (pw, pw), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(x, (kh, kw), axis=(1, 2))[
        :, ::sh, ::sw
    ]  # (B, OH, OW, C, KH, KW)
    return windows.transpose(0, 1, 2, 4, 5, 3).reshape(-1, kh * kw * x.shape[3])


def _like(layer: Conv2d, values: np.ndarray, shape: tuple[int, ...]) -> Parameter:
    return Parameter(to_device(np.ascontiguousarray(values.reshape(shape), layer.weight.dtype), layer.weight.device))
