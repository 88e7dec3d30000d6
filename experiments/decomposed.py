"""A perceptron whose kernels are cut to the effective ranks of another one, and trained a little further."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from minidl import fit
from minidl.nn import Linear, Module, Sequential
from minidl.optim import SGD, one_cycle
from minidl.robustness import Spectrum
from minidl.study import Problem, Run
from minidl.weights import load, save

PART, SLOWER = 0.25, 5  # of the epochs, and by how much lower a rate


def decomposed(dense: Module, run: Run, target: Spectrum, problem: Problem, path: Path) -> Module:
    """The dense network of a run, each layer's matrix cut to the least rank whose effective rank is the target's.

    W (in, out) becomes two layers (Denton et al. 2014), the nearest of that rank; these are trained for a quarter of
    the epochs at a fifth of the rate. What was made before is read from ``path``.
    """
    goals = {layer.name: layer.effective_rank for layer in target.layers}
    model = cut(dense, goals)
    if path.is_file():
        load(model, path)
        return model.eval()
    run = dataclasses.replace(run, epochs=max(1, round(PART * run.epochs)), lr=run.lr / SLOWER)
    batches = problem.batches(run)
    optimizer = SGD(model.parameters(), run.lr, momentum=0.9, weight_decay=run.weight_decay, nesterov=True)
    schedule = one_cycle(run.lr, run.epochs * len(batches))
    fit(model, batches, optimizer, run.epochs, schedule=schedule, progress=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    save(model, path)
    return model.eval()


def cut(model: Module, goals: dict[str, float]) -> Module:
    """The model with two layers in the place of each, of the least rank whose effective rank is the goal."""

    def change(name: str, layer: Module) -> Module:
        if not isinstance(layer, Linear) or name not in goals:
            return layer
        u, s, vt = np.linalg.svd(layer.weight.data, full_matrices=False)
        effective = np.cumsum(s) ** 2 / np.cumsum(s**2)  # of the first k singular values
        rank = min(int(np.searchsorted(effective, goals[name])) + 1, len(s))
        root = np.sqrt(s[:rank])
        rng = np.random.default_rng(0)
        first = Linear(u.shape[0], rank, bias=False, rng=rng)
        second = Linear(rank, vt.shape[1], bias=layer.bias is not None, rng=rng)
        first.weight.data[...] = u[:, :rank] * root
        second.weight.data[...] = root[:, None] * vt[:rank]
        second.bias = layer.bias
        return Sequential(first, second)

    model.replace_modules(change)
    return model


def products(model: Module) -> dict[str, np.ndarray]:
    """{layer's name: matrix (in, out)} of each pair that ``cut`` has made, multiplied out."""
    return {
        name: pair[0].weight.data.astype(np.float64) @ pair[1].weight.data
        for name, pair in model.named_modules()
        if isinstance(pair, Sequential) and len(pair) == 2 and all(isinstance(half, Linear) for half in pair)
    }
