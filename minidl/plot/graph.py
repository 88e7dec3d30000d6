"""The computation that led to a tensor, as a picture: what the chain rule goes through, backward."""

from __future__ import annotations

import itertools
from collections.abc import Hashable

from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch, PathPatch, Polygon
from matplotlib.path import Path

from ..graph import Node
from ..nn import Module
from ..report.style import STYLES, ink
from ..tensor import Parameter, Tensor
from .labels import folded, inches, plainly
from .layout import layered
from .picture import Picture

LONGEST = 3.0  # inches of a name
LETTERS = 8  # points
DEEPEST = 7  # layers that fit beside each other; a longer computation runs downwards
FILL = {"operation": "#DCEBF7", "parameter": "#FBE3C8", "leaf": "#D9F0E3", "constant": "#EEEEEE"}
MEANING = {
    "operation": "operation, and the shape of its value",
    "parameter": "parameter",
    "leaf": "input that wants a gradient",
    "constant": "constant",
}
LETTER, HEIGHT, GAP, BETWEEN, MARGIN = 0.068, 0.40, 0.36, 0.16, 0.15  # inches
Point = tuple[float, float]


def graph(result: Tensor, model: Module | None = None, **names: Tensor) -> Picture:
    """The operations that computed a tensor, from its leaves to itself, with the shape of every value.

    Parameters
    ----------
    result : Tensor
        Such as the loss; also after ``backward``.
    model : Module, optional
        Its parameters are called by their dotted names.
    **names : Tensor
        How other tensors are called, leaves or values on the way: ``graph(loss, x=x, W=W)``.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    TypeError
        When the result, or what has a name, is no Tensor, or the model no Module.
    ValueError
        When nothing was recorded: no input wants a gradient, or this was computed within ``no_grad``.

    Notes
    -----
    A tensor that wants no gradient leaves its shape, and no name: it is drawn as a constant. Arrays and numbers leave
    nothing behind.

    Examples
    --------
    >>> import minidl as md
    >>> x = md.Tensor([[1.0, 2.0]], requires_grad=True)
    >>> W = md.Parameter(x.data.T)
    >>> picture = md.plot.graph((x @ W).sum(), x=x, W=W)
    >>> [text.get_text() for text in picture.axes[0].texts]
    ['x\\n(1, 2)', 'W\\n(2, 1)', 'matmul\\n(1, 1)', 'sum\\n()']
    """
    vertices = _vertices(result)
    called = _called(model, names)
    boxes = {vertex: _box(vertex, shape, called.get(vertex)) for vertex, (_, shape) in vertices.items()}
    places, lines = layered({vertex: sources for vertex, (sources, _) in vertices.items()})
    width = max(map(_width, (text for text, _ in boxes.values()))) + BETWEEN
    sheet = _Sheet(places, width)
    for (source, vertex), points in lines.items():
        sheet.line(points, vertices[vertex][0].count(source))
    for vertex, (text, kind) in boxes.items():
        sheet.box(places[vertex], text, kind)
    sheet.legend(list(dict.fromkeys(kind for _, kind in boxes.values())))
    return sheet.picture


def _width(text: str) -> float:
    """Of a box: room for most letters, and for these."""
    return max(LETTER * max(map(len, text.split("\n"))), inches(text, LETTERS))


def _vertices(result: Tensor) -> dict[Hashable, tuple[list[Hashable], tuple[int, ...]]]:
    """(sources, shape of the value) of each leaf, constant and operation; each comes after its sources."""
    if not isinstance(result, Tensor):
        raise TypeError(f"graph: draws the computation of a Tensor, and got a {type(result).__name__}")
    root = result._node
    if root is None:
        raise ValueError(
            "graph: nothing was recorded: this tensor was not computed from one with requires_grad=True, or within "
            "no_grad()"
        )
    shapes: dict[Hashable, tuple[int, ...]] = {root: result.shape}
    sources: dict[Node, list[Hashable]] = {}
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if node in sources:
            continue
        sources[node] = []
        for i, (source, shape) in enumerate(zip(node.sources, node.shapes, strict=True)):
            if shape is None:  # a number, an array or a setting
                continue
            vertex = ("constant", node, i) if source is None else source
            shapes[vertex] = shape
            sources[node].append(vertex)
            if isinstance(source, Node):
                waiting.append(source)
    vertices: dict[Hashable, tuple[list[Hashable], tuple[int, ...]]] = {}
    for node in sorted(sources, key=lambda node: node.order):
        for source in sources[node]:
            vertices.setdefault(source, ([], shapes[source]))  # an operation is there already
        vertices[node] = (sources[node], shapes[node])
    return vertices


def _called(model: Module | None, names: dict[str, Tensor]) -> dict[Hashable, str]:
    if model is not None and not isinstance(model, Module):
        raise TypeError(f"graph: the model is a {type(model).__name__}, and must be a Module; name tensors: x=x")
    wrong = [name for name, tensor in names.items() if not isinstance(tensor, Tensor)]
    if wrong:
        raise TypeError(f"graph: {wrong[0]} is a {type(names[wrong[0]]).__name__}, and must be a Tensor")
    everything: dict[str, Tensor] = {**(dict(model.named_parameters()) if model else {}), **names}
    return {tensor._node or tensor: name for name, tensor in everything.items()}


def _box(vertex: Hashable, shape: tuple[int, ...], name: str | None) -> tuple[str, str]:
    """(text, kind)."""
    if isinstance(vertex, Node):
        kind, title = "operation", vertex.name if name is None else f"{name} = {vertex.name}"
    elif isinstance(vertex, Tensor):
        kind = "parameter" if isinstance(vertex, Parameter) else "leaf"
        title = name or kind
    else:
        kind = title = "constant"
    return f"{folded(title, LONGEST, LETTERS, 1)}\n{shape}", kind


class _Sheet:
    """Boxes and lines at (layer, place), on paper in inches: to the right, or downwards when there are many layers."""

    def __init__(self, places: dict[Hashable, tuple[int, float]], width: float) -> None:
        layers, across = (1 + max(numbers) for numbers in zip(*places.values(), strict=True))
        self.down = layers > DEEPEST
        self.size = (width, HEIGHT)
        self.deep = HEIGHT if self.down else width  # of a box, the way the computation goes
        self.step = (HEIGHT if self.down else width) + GAP
        self.side = (width if self.down else HEIGHT) + BETWEEN
        along, wide = layers * self.step - GAP, across * self.side - BETWEEN
        self.paper = [2 * MARGIN + side for side in ((wide, along) if self.down else (along, wide))]
        self.paper[0] = max(self.paper[0], 4.2)
        self.picture = Picture(self.paper[0], self.paper[1] + 0.35)
        self.picture.set_layout_engine("none")  # the sheet is laid out here
        self.axes: Axes = self.picture.add_axes((0, 0, 1, 1))
        self.axes.set(xlim=(0, self.paper[0]), ylim=(self.paper[1], -0.35))
        self.axes.set_axis_off()
        self.axes.set_facecolor(self.picture.get_facecolor())  # which is what is seen without an axis
        self.grey = "0.35" if ink(self.axes) == STYLES[0]["color"] else "0.75"
        self.shift = (self.paper[0] - 2 * MARGIN - (wide if self.down else along)) / 2  # in the middle of the paper

    def at(self, layer: float, place: float, along: float = 0) -> Point:
        """The middle of a box, or a point ``along`` from it."""
        a, b = (layer * self.step + self.deep / 2 + along), place * self.side
        x, y = (b + self.size[0] / 2, a) if self.down else (a, b + HEIGHT / 2)
        return MARGIN + self.shift + x, MARGIN + y

    def box(self, place: Point, text: str, kind: str) -> None:
        x, y = self.at(*place)
        width, height = self.size
        corner = (x - width / 2, y - height / 2)
        style = "round,pad=0,rounding_size=0.12" if kind == "operation" else "square,pad=0"
        self.axes.add_patch(FancyBboxPatch(corner, width, height, style, fc=FILL[kind], ec="0.35", lw=0.7))
        plainly(self.axes.text(x, y, text, ha="center", va="center", fontsize=LETTERS, linespacing=1.25, color="black"))

    def line(self, points: list[Point], times: int) -> None:
        """From the end of the first box to the start of the last, straight through the layers that it passes."""
        (first, *_), half = points, self.deep / 2
        path, codes = [self.at(*first, half)], [Path.MOVETO]
        for (a, p), (b, q) in itertools.pairwise(points):
            bend = GAP / 2
            path += [self.at(a, p, half + bend), self.at(b, q, -half - bend), self.at(b, q, -half)]
            codes += [Path.CURVE4] * 3
            if (b, q) != points[-1]:
                path.append(self.at(b, q, half))
                codes.append(Path.LINETO)
        self.axes.add_patch(PathPatch(Path(path, codes), fc="none", ec=self.grey, lw=0.9))
        x, y = path[-1]
        back, wide = 0.09, 0.035
        wings = (
            [(x - wide, y - back), (x + wide, y - back)] if self.down else [(x - back, y - wide), (x - back, y + wide)]
        )
        self.axes.add_patch(Polygon([(x, y), *wings], fc=self.grey, ec="none"))
        if times > 1:
            (x0, y0), (x1, y1) = path[-4], path[-1]
            middle, paper = (
                ((x0 + x1) / 2, (y0 + y1) / 2),
                {"fc": self.picture.get_facecolor(), "ec": "none", "pad": 0.5},
            )
            self.axes.text(*middle, f"x{times}", fontsize=7, ha="center", va="center", bbox=paper)

    def legend(self, kinds: list[str]) -> None:
        patches = [FancyBboxPatch((0, 0), 1, 1, fc=FILL[kind], ec="0.35", lw=0.7) for kind in kinds]
        self.axes.legend(
            patches,
            [MEANING[kind] for kind in kinds],
            loc="upper center",
            ncols=len(kinds),
            fontsize=7,
            frameon=False,
            borderaxespad=0.3,
            handlelength=1.2,
            columnspacing=1.2,
        )
