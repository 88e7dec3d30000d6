"""How a sparsity is shared out among layers, and masks that hide so many weights, those of least score."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..backend import Array, array_module
from ..tensor import Parameter

SCOPES = ("layer", "global", "erk")


class Pruner:
    """What pruners share: which weights they prune, and how many of them are pruned, read off the masks."""

    weights: dict[str, Parameter]

    @property
    def sparsity(self) -> float:
        """The part of these weights that are pruned now."""
        return sum(weight.pruned for weight in self.weights.values()) / sum(w.size for w in self.weights.values())

    def layer_sparsity(self) -> dict[str, float]:
        """The pruned part of each layer, by the layer's name."""
        return {name: weight.pruned / weight.size for name, weight in self.weights.items()}

    def figures(self) -> dict[str, str]:
        """What ``fit`` shows beside the bar."""
        return {"sparsity": f"{self.sparsity:.1%}"}


def check_scope(scope: Any, who: str) -> str:
    if scope not in SCOPES:
        raise ValueError(f"{who}: unknown scope {scope!r}: choose from {', '.join(map(repr, SCOPES))}")
    return scope


def prune(
    weights: Mapping[str, Parameter], sparsity: float, scope: str, score: Callable[[Parameter], Array], who: str
) -> None:
    """Hide weights of least score, until so large a part of them is hidden; those that are hidden already stay so.

    A ValueError names layers whose weights would have to be ordered and are NaN; nothing is then hidden.
    """
    behind = [(group, goal) for group, goal in goals(weights, sparsity, scope) if goal > sum(w.pruned for w in group)]
    scores = {weight: score(weight) for group, _ in behind for weight in group}
    refuse_nan({name: (weight.data, scores[weight]) for name, weight in weights.items() if weight in scores}, who)
    for group, goal in behind:
        mask_smallest(group, [scores[weight] for weight in group], goal)


def refuse_nan(layers: Mapping[str, Sequence[Array]], who: str) -> None:
    """Raise a ValueError that names the layers among whose arrays one holds NaN."""
    lost = [name for name, of in layers.items() if any(bool(array_module(array).isnan(array).any()) for array in of)]
    if lost:
        raise ValueError(
            f"{who}: weights of {', '.join(lost)} are NaN, or their noise is, and cannot be ordered by size: train "
            "again from weights that are finite, with a lower learning rate"
        )


def goals(weights: Mapping[str, Parameter], sparsity: float, scope: str) -> list[tuple[list[Parameter], int]]:
    """(weights that are ranked together, how many of them to hide); it keeps one.

    "layer": each layer as sparse as the others. "global": one ranking of all. "erk": each layer ranked by itself, at
    the density ``erdos_renyi_kernel`` gives it.
    """
    if scope == "global":
        groups = [([*weights.values()], sparsity)]
    elif scope == "layer":
        groups = [([weight], sparsity) for weight in weights.values()]
    else:
        densities = erdos_renyi_kernel([w.shape for w in weights.values()], 1 - sparsity)
        groups = [([w], 1 - density) for w, density in zip(weights.values(), densities, strict=True)]
    sizes = [sum(weight.size for weight in group) for group, _ in groups]
    # without any weight a layer would cut the network in two
    return [(group, min(round(part * size), size - 1)) for (group, part), size in zip(groups, sizes, strict=True)]


def erdos_renyi_kernel(shapes: Sequence[tuple[int, ...]], density: float) -> list[float]:
    """The part of its weights that each layer keeps: (sum of its sizes) / (product of its sizes), times one number.

    The number is the same for all. Large layers become sparser than small ones. Where that would be more than all
    weights of a layer, all of them stay, and the others make up for it (Evci, Gale, Menick, Castro and Elsen 2020,
    "Rigging the lottery", arXiv:1911.11134).
    """
    sizes = [math.prod(shape) for shape in shapes]
    raw = [sum(shape) / size for shape, size in zip(shapes, sizes, strict=True)]
    full: set[int] = set()
    while True:
        rest = [i for i in range(len(sizes)) if i not in full]
        left = density * sum(sizes) - sum(sizes[i] for i in full)
        scale = left / sum(raw[i] * sizes[i] for i in rest) if rest else 0.0
        over = {i for i in rest if scale * raw[i] > 1}
        if not over:
            return [1.0 if i in full else scale * raw[i] for i in range(len(sizes))]
        full |= over


def mask_smallest(weights: Sequence[Parameter], scores: Sequence[Array], count: int) -> None:
    """Mask exactly ``count`` weights in all, more than are, those of least score: ties are counted, not compared."""
    xp = array_module(weights[0].data)
    left = [xp.ones(w.shape, bool) if w.mask is None else w.mask for w in weights]
    ranked = xp.concatenate([score[there] for score, there in zip(scores, left, strict=True)])
    more = count - (sum(w.size for w in weights) - ranked.size)
    threshold = xp.partition(ranked, more - 1)[more - 1]
    keep = ranked > threshold
    ties = xp.flatnonzero(ranked == threshold)
    keep[ties[more - int((ranked < threshold).sum()) :]] = True
    start = 0
    for weight, there in zip(weights, left, strict=True):
        stop = start + int(there.sum())
        mask = xp.zeros(weight.size, bool)
        mask[xp.flatnonzero(there)[keep[start:stop]]] = True
        weight.mask, start = mask.reshape(weight.shape), stop
