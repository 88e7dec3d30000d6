"""Places for the vertices of an acyclic graph: in layers, few lines crossing, each near what it is joined to.

The steps are those of Sugiyama, Tagawa and Toda, "Methods for visual understanding of hierarchical system structures",
1981: layers by longest path, an invisible vertex wherever a line passes a layer, orders by barycentre, then places.
"""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Mapping, Sequence

ORDERS, PLACES = 12, 60  # sweeps over all layers
HEAVY = 1000.0  # how much more the wish of an inner vertex weighs than that of a leaf
Edge = tuple[Hashable, Hashable]


def layered(sources: Mapping[Hashable, Sequence[Hashable]]) -> tuple[dict, dict[Edge, list[tuple[float, float]]]]:
    """(layer, place across) of each vertex, and the points that the line of each edge goes through.

    Parameters
    ----------
    sources : for each vertex, those it comes from; every vertex is a key, after its own sources

    Returns
    -------
    places : dict from vertices to (layer, place), layers counted from 0; two vertices of a layer are 1 apart or more
    lines : dict from edges (source, vertex) to lists of (layer, place), both ends included

    Examples
    --------
    >>> from minidl.plot.layout import layered
    >>> places, lines = layered({"x": [], "w": [], "x w": ["x", "w"]})
    >>> places
    {'x': (0, 0.0), 'w': (0, 1.0), 'x w': (1, 0.5)}
    """
    ranks = _ranks(sources)
    layers: list[list[Hashable]] = [[] for _ in range(1 + max(ranks.values()))]
    for vertex, rank in ranks.items():
        layers[rank].append(vertex)
    chains: dict[Edge, list[Hashable]] = {}
    before: dict[Hashable, list[Hashable]] = {vertex: [] for vertex in sources}
    after: dict[Hashable, list[Hashable]] = {vertex: [] for vertex in sources}
    for vertex, theirs in sources.items():
        for source in dict.fromkeys(theirs):
            passing = [(source, vertex, rank) for rank in range(ranks[source] + 1, ranks[vertex])]
            for middle in passing:
                layers[middle[2]].append(middle)
                before[middle], after[middle] = [], []
            chains[source, vertex] = chain = [source, *passing, vertex]
            for a, b in itertools.pairwise(chain):
                after[a].append(b)
                before[b].append(a)
    _order(layers, before, after)
    place = _places(layers, before, after)
    rank_of = {vertex: i for i, layer in enumerate(layers) for vertex in layer}
    lines = {edge: [(float(rank_of[v]), place[v]) for v in chain] for edge, chain in chains.items()}
    return {vertex: (ranks[vertex], place[vertex]) for vertex in sources}, lines


def _ranks(sources: Mapping[Hashable, Sequence[Hashable]]) -> dict[Hashable, int]:
    """The longest way from a leaf; a leaf itself stands just before the first vertex that needs it."""
    ranks: dict[Hashable, int] = {}
    for vertex, theirs in sources.items():
        ranks[vertex] = 1 + max((ranks[s] for s in theirs), default=-1)
    for leaf in [v for v, theirs in sources.items() if not theirs]:
        users = [ranks[v] for v, theirs in sources.items() if leaf in theirs]
        ranks[leaf] = min(users, default=1) - 1
    return ranks


def _order(layers: list[list[Hashable]], before: Mapping, after: Mapping) -> None:
    """Sort each layer by the mean position of its neighbours, forward and backward, until little crosses."""
    for sweep in range(ORDERS):
        forward = sweep % 2 == 0
        for layer in layers if forward else reversed(layers):
            neighbours = before if forward else after
            index = {v: i for other in layers for i, v in enumerate(other)}
            own = {v: i for i, v in enumerate(layer)}
            layer.sort(key=lambda v: _mean([index[n] for n in neighbours[v]], own[v]))


def _places(layers: list[list[Hashable]], before: Mapping, after: Mapping) -> dict[Hashable, float]:
    """Places that keep each layer's order and a distance of 1, as near as may be to the mean of the neighbours."""
    place = {v: float(i) for layer in layers for i, v in enumerate(layer)}
    near = {v: [*before[v], *after[v]] for v in place}  # leaves go where they are wanted, and bend no other line
    near = {v: [n for n in others if before[n]] or others for v, others in near.items()}
    for sweep in range(PLACES):
        for layer in layers if sweep % 2 == 0 else reversed(layers):
            wishes = [_mean([place[n] for n in near[v]], place[v]) for v in layer]
            place.update(zip(layer, _apart(wishes, [HEAVY if before[v] else 1.0 for v in layer]), strict=True))
    least = min(place.values())
    return {v: x - least for v, x in place.items()}


def _apart(wishes: Sequence[float], weights: Sequence[float]) -> list[float]:
    """The places in order and 1 apart that are nearest to the wishes, in weighted squares: merge what collides."""
    blocks: list[tuple[float, float, int]] = []  # (mean of wish - index, its weight, how many)
    for i, (wish, weight) in enumerate(zip(wishes, weights, strict=True)):
        mean, total, size = wish - i, weight, 1
        while blocks and blocks[-1][0] > mean:
            other, heavy, count = blocks.pop()
            mean = (mean * total + other * heavy) / (total + heavy)
            total, size = total + heavy, size + count
        blocks.append((mean, total, size))
    means = [mean for mean, _, size in blocks for _ in range(size)]
    return [mean + i for i, mean in enumerate(means)]


def _mean(numbers: Sequence[float], otherwise: float) -> float:
    return sum(numbers) / len(numbers) if numbers else otherwise
