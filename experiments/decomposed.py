"""A network whose kernels are cut to the effective ranks of another one's, and trained a little further."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from minidl import fit
from minidl.backend import to_numpy
from minidl.compress.decompose import composed
from minidl.nn import Conv2d, Linear, Module, Sequential
from minidl.optim import SGD, one_cycle
from minidl.study import Problem, Run
from minidl.weights import load, save

PART, SLOWER = 0.25, 5  # of the epochs, and by how much lower a rate


def decomposed(dense: Module, run: Run, goal: Module, problem: Problem, path: Path) -> Module:
    """The dense network of a run, each kernel cut to the least rank whose effective rank is that of the goal's.

    A kernel is a matrix: (in, out) of a linear layer, (N, KH * KW * C) of a convolution. It becomes two layers (Denton
    et al. 2014), the nearest of that rank; these are trained for a quarter of the epochs at a fifth of the rate. What
    was made before is read from ``path``.
    """
    model = cut(dense, {name: effective_rank(matrix) for name, matrix in matrices(goal).items()})
    if path.is_file():
        load(model, path)
        return model.eval()
    run = dataclasses.replace(run, epochs=max(1, round(PART * run.epochs)), lr=run.lr / SLOWER)
    batches = problem.batches(run)
    optimizer = SGD(model.parameters(), run.lr, momentum=0.9, weight_decay=run.weight_decay, nesterov=True)
    schedule = one_cycle(run.lr, run.epochs * len(batches))
    fit(model.train(), batches, optimizer, run.epochs, schedule=schedule, progress=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    save(model, path)
    return model.eval()


def matrices(model: Module) -> dict[str, np.ndarray]:
    """{layer's name: its kernel's matrix}, in float64."""
    kernels = {name: layer for name, layer in model.named_modules() if isinstance(layer, Linear | Conv2d)}
    return {name: _matrix(layer) for name, layer in kernels.items()}


def _matrix(layer: Any) -> np.ndarray:
    w = to_numpy(layer.weight.data).astype(np.float64)
    return w if w.ndim == 2 else w.reshape(len(w), -1)


def effective_rank(matrix: np.ndarray) -> float:
    """(sum s)^2 / sum s^2."""
    return float(_of_first(np.linalg.svd(matrix, compute_uv=False))[-1])


def _of_first(s: np.ndarray) -> np.ndarray:
    """The effective rank of the first k singular values, for each k; 0 of zeros."""
    squares = np.cumsum(s**2)
    return np.cumsum(s) ** 2 / np.where(squares > 0, squares, 1)


def cut(model: Module, goals: dict[str, float]) -> Module:
    """The model with two layers in the place of each, of the least rank whose effective rank is the goal.

    A layer that has no rank to spare for that stays as it is.
    """

    def change(name: str, layer: Module) -> Module:
        if not isinstance(layer, Linear | Conv2d) or name not in goals:
            return layer
        u, s, vt = np.linalg.svd(_matrix(layer), full_matrices=False)
        rank = min(int(np.searchsorted(_of_first(s), goals[name])), len(s) - 1) + 1
        root = np.sqrt(s[:rank])
        left, right = u[:, :rank] * root, root[:, None] * vt[:rank]
        return layer if rank == len(s) else _pair(layer, rank, left, right)

    model.replace_modules(change)
    return model


def _pair(layer: Any, rank: int, left: np.ndarray, right: np.ndarray) -> Module:
    """Two layers whose matrices are these: of a convolution ``right`` comes first, and ``left`` is 1 x 1."""
    rng: Any = np.random.default_rng(0)
    first: Any
    second: Any
    if isinstance(layer, Linear):
        first, second = Linear(len(left), rank, bias=False, rng=rng), Linear(rank, right.shape[1], rng=rng)
        first.weight.data[...], second.weight.data[...] = left, right
    else:
        n, kh, kw, c = layer.weight.shape
        first = Conv2d(c, rank, (kh, kw), layer.stride, layer.padding, bias=False, rng=rng)
        second = Conv2d(rank, n, 1, rng=rng)
        first.weight.data[...], second.weight.data[...] = right.reshape(rank, kh, kw, c), left.reshape(n, 1, 1, rank)
    second.bias = layer.bias
    return Sequential(first, second)


def composed_layers(model: Module) -> Module:
    """The model with one layer again for each pair that ``cut`` has made."""

    def change(name: str, layer: Module) -> Module:
        if not isinstance(layer, Sequential) or len(layer) != 2:
            return layer
        first, second = layer
        if isinstance(first, Linear) and isinstance(second, Linear):
            whole: Any = Linear(first.weight.shape[0], second.weight.shape[1], rng=np.random.default_rng(0))
            whole.weight.data[...] = first.weight.data.astype(np.float64) @ second.weight.data
        elif isinstance(first, Conv2d) and isinstance(second, Conv2d):
            kernel = composed(layer)
            n, kh, kw, c = kernel.shape
            whole = Conv2d(c, n, (kh, kw), first.stride, first.padding, rng=np.random.default_rng(0))
            whole.weight.data[...] = kernel
        else:
            return layer
        whole.bias = second.bias
        return whole

    model.replace_modules(change)
    return model
