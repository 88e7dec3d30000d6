"""A network whose kernels are cut to the effective ranks of another one's, and trained a little further."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from minidl import fit, settings
from minidl.backend import to_numpy
from minidl.compress.decompose import composed, denton_of
from minidl.nn import Conv2d, Linear, Module, Sequential
from minidl.optim import SGD, one_cycle
from minidl.robustness.spectrum import effective_count
from minidl.study import Problem, Run
from minidl.weights import load, save

PART, SLOWER = 0.25, 5  # of the epochs, and by how much lower a rate


def decomposed(dense: Module, run: Run, goal: Module, problem: Problem, path: Path) -> Module:
    """The dense network of a run, each kernel cut to the least rank whose effective rank is that of the goal's.

    A kernel is a matrix: (in, out) of a linear layer, (N, KH * KW * C) of a convolution. It becomes two layers (Denton
    et al. 2014), the nearest of that rank; these are trained for a quarter of the epochs at a fifth of the rate. What
    was made before is read from ``path``.
    """
    model = cut(dense, kernel_ranks(goal)).to(run.device)
    if path.is_file():
        load(model, path)
        return model.eval()
    run = dataclasses.replace(run, epochs=max(1, round(PART * run.epochs)), lr=run.lr / SLOWER)
    batches = problem.batches(run)
    optimizer = SGD(model.parameters(), run.lr, momentum=0.9, weight_decay=run.weight_decay, nesterov=True)
    schedule = one_cycle(run.lr, run.epochs * len(batches))
    with settings(precision=run.precision):
        fit(model.train(), batches, optimizer, run.epochs, schedule=schedule, progress=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    save(model, path)
    return model.eval()


def kernel_ranks(model: Module) -> dict[str, float]:
    """{layer's name: the effective rank of its kernel's matrix}."""
    kernels = {name: layer for name, layer in model.named_modules() if isinstance(layer, Linear | Conv2d)}
    return {name: effective_count(np.linalg.svd(_matrix(k), compute_uv=False)) for name, k in kernels.items()}


def _matrix(layer: Any) -> np.ndarray:
    w = to_numpy(layer.weight.data).astype(np.float64)
    return w if w.ndim == 2 else w.reshape(len(w), -1)


def cut(model: Module, goals: dict[str, float]) -> Module:
    """The model with two layers in the place of each, of the least rank whose effective rank is the goal.

    A layer that has no rank to spare for that stays as it is.
    """

    def change(name: str, layer: Module) -> Module:
        if not isinstance(layer, Linear | Conv2d) or name not in goals:
            return layer
        s = np.linalg.svd(_matrix(layer), compute_uv=False)
        reached = (effective_count(s[:k]) for k in range(1, len(s)))  # it grows with k
        rank = next((k for k, reach in enumerate(reached, 1) if reach >= goals[name]), None)
        if rank is None:
            return layer
        return denton_of(layer, rank) if isinstance(layer, Conv2d) else _linear_pair(layer, rank)

    model.replace_modules(change)
    return model


def _linear_pair(layer: Linear, rank: int) -> Module:
    u, s, vt = np.linalg.svd(_matrix(layer), full_matrices=False)
    root, rng = np.sqrt(s[:rank]), np.random.default_rng(0)
    first, second = Linear(len(u), rank, bias=False, rng=rng), Linear(rank, vt.shape[1], rng=rng)
    first.weight.data[...], second.weight.data[...] = u[:, :rank] * root, root[:, None] * vt[:rank]
    second.bias = layer.bias
    return Sequential(first, second)


def composed_layers(model: Module) -> Module:
    """The model, on the CPU, with one layer again for each pair that ``cut`` has made."""
    model = model.to("cpu")

    def change(name: str, layer: Module) -> Module:
        if not isinstance(layer, Sequential) or len(layer) != 2:
            return layer
        first, second = layer
        if isinstance(first, Linear) and isinstance(second, Linear):
            whole: Any = Linear(first.weight.shape[0], second.weight.shape[1], rng=np.random.default_rng(0))
            whole.weight.data[...] = to_numpy(first.weight.data).astype(np.float64) @ to_numpy(second.weight.data)
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
