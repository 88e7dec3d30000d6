"""Any acyclic graph gets places in layers, none on another, and its lines end where they should."""

import itertools
from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from minidl.plot.layout import layered


@st.composite
def graphs(draw):
    """Vertices 0 to n - 1, each with some of those before it as its sources."""
    n = draw(st.integers(1, 12))
    return {v: draw(st.lists(st.integers(0, v - 1), max_size=3)) if v else [] for v in range(n)}


@given(graphs())
def test_places(sources):
    places, lines = layered(sources)
    assert list(places) == list(sources)
    for vertex, theirs in sources.items():
        assert all(places[source][0] < places[vertex][0] for source in theirs)
    assert set(lines) == {(source, vertex) for vertex, theirs in sources.items() for source in theirs}
    in_layer = defaultdict(list)
    for layer, place in places.values():
        in_layer[layer].append(place)
    for (source, vertex), points in lines.items():
        assert (points[0], points[-1]) == (places[source], places[vertex])
        assert [layer for layer, _ in points] == list(range(places[source][0], places[vertex][0] + 1))
        for layer, place in points[1:-1]:  # a line that passes a layer has a place of its own there
            in_layer[layer].append(place)
    for found in in_layer.values():
        found.sort()
        assert all(b - a >= 1 - 1e-9 for a, b in itertools.pairwise(found))


def test_two_chains_do_not_cross():
    sources = {"a": [], "b": [], "b1": ["b"], "a1": ["a"], "a2": ["a1"], "b2": ["b1"], "end": ["a2", "b2"]}
    places, _ = layered(sources)
    side = [places[f"a{i}"][1] < places[f"b{i}"][1] for i in ("", 1, 2)]
    assert len(set(side)) == 1


def test_a_chain_is_a_straight_line():
    places, _ = layered({0: [], "w": [], 1: [0, "w"], 2: [1], 3: [2]})
    assert len({places[v][1] for v in (1, 2, 3)}) == 1
