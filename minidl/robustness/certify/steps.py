"""A network as a list of steps, each with four views: its value, boxes, the way back of coefficients, and rounding.

A value is an array (B, ...); a box is two of them, the lower and the upper ends. Coefficients (R, ...) are R linear
combinations of one value's numbers, and going back through a step turns them into combinations of what it was given.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import numpy as np

from ...graph import Node
from ...nn import BatchNorm2d, Conv2d, Linear, MaxPool2d, Module, Normalize
from ...tensor import Tensor, no_grad
from .rounding import allowance, outward

Values = np.ndarray
Box = tuple[Values, Values]
Loss = Any  # an array (B, ...), or 0.0
KNOWN = (Linear, Conv2d, BatchNorm2d, Normalize, MaxPool2d)


class Rules(NamedTuple):
    """What a layer says of itself, each None where it does not; asked before anyone watches its forward.

    ``kind`` is the class of minidl's whose forward it has, which tells more than the layer does.
    """

    spread: Any
    lines: Any
    multiply_adds: Any
    kind: type[Module] | None


def rules_of(layer: Module) -> Rules:
    known = (kind for kind in KNOWN if isinstance(layer, kind) and type(layer).forward is kind.forward)
    kind = None if "forward" in vars(layer) else next(known, None)
    return Rules(layer.says("spread"), layer.says("lines"), layer.says("multiply_adds"), kind)


class Step:
    """What became of some values.

    Attributes
    ----------
    sources : which values it was given, by their places in the list
    name : of the layer, for messages
    constant : what is added, (1, ...), where it is not 0
    thin : whether each of its numbers depends on one number of each source at most
    """

    thin = True
    constant: Values | None = None

    def __init__(self, name: str, sources: tuple[int, ...]) -> None:
        self.name, self.sources = name, sources

    def value(self, *x: Values) -> Values:
        raise NotImplementedError

    def box(self, *boxes: Box) -> Box:
        raise NotImplementedError

    def loss(self, *boxes: Box) -> Loss:
        """(B, ...) or 0: by how much rounding may move each number, where it lies in these boxes."""
        return 0.0

    def back(self, rows: Values) -> list[Values]:
        """For each source the coefficients of its numbers, for those of this value; ``constant`` is left beside."""
        raise NotImplementedError

    def carries(self, losses: list[Loss]) -> Loss:
        """What losses of its sources come to in its own numbers, where it is thin."""
        return losses[0]


class Start(Step):
    """The images."""


class Sum(Step):
    """Two values added, as at the end of a residual block."""

    def value(self, *x: Values) -> Values:
        return x[0] + x[1]

    def box(self, *boxes: Box) -> Box:
        (a, b), (c, d) = boxes
        return outward(a + c, b + d)

    def loss(self, *boxes: Box) -> Values:
        return allowance(0) * sum(np.maximum(abs(low), abs(high)) for low, high in boxes)

    def back(self, rows: Values) -> list[Values]:
        return [rows, rows]

    def carries(self, losses: list[Loss]) -> Loss:
        return losses[0] + losses[1]


class Moved(Step):
    """The same numbers in another order or shape; ``order`` says from which place each comes, both flattened."""

    def __init__(self, name: str, sources: tuple[int, ...], node: Node, shape: tuple[int, ...]) -> None:
        super().__init__(name, sources)
        count = math.prod(shape)
        (gradient,) = node.vjp or ()
        assert gradient is not None
        places = gradient(np.arange(count, dtype=float).reshape(1, *shape))  # for each number where it goes to
        self.given, self.shape = places.shape[1:], shape
        self.order = np.argsort(places, axis=None)
        self.kept = bool((self.order == np.arange(count)).all())

    def value(self, *x: Values) -> Values:
        flat = x[0].reshape(len(x[0]), -1)
        return (flat if self.kept else flat[:, self.order]).reshape(-1, *self.shape)

    def box(self, *boxes: Box) -> Box:
        return self.value(boxes[0][0]), self.value(boxes[0][1])

    def back(self, rows: Values) -> list[Values]:
        flat = rows.reshape(len(rows), -1)
        if not self.kept:
            moved = np.empty_like(flat)
            moved[:, self.order] = flat
            flat = moved
        return [flat.reshape(-1, *self.given)]

    def carries(self, losses: list[Loss]) -> Loss:
        return self.value(losses[0]) if isinstance(losses[0], np.ndarray) else losses[0]


class Affine(Step):
    """A layer A x + b: forward as itself, back as its own gradient by its input, which is A transposed."""

    constant: Values

    def __init__(self, name: str, sources: tuple[int, ...], layer: Any, rules: Rules, x: Tensor, exact: bool) -> None:
        super().__init__(name, sources)
        self.layer, (self.spread, _, weighs, self.kind) = layer, rules
        blank = Tensor(np.zeros((1, *x.shape[1:])), requires_grad=True)
        y = layer(blank)
        self.constant, self.transposed = y.data, _gradient(y, blank, name)  # b (1, ...)
        self.thin = self.kind in (BatchNorm2d, Normalize)
        terms = 1 if self.thin else weighs(blank, y) // y.size if weighs else blank.size
        self.part = allowance(max(blank.size, y.size))  # of a sum there, or back
        if not exact:
            self.part += allowance(terms, "float32")

    def value(self, *x: Values) -> Values:
        with no_grad():
            return self.layer(Tensor(x[0])).data

    def box(self, *boxes: Box) -> Box:
        low, high = boxes[0]
        centre, radius = (low + high) / 2, (high - low) / 2
        with no_grad():
            reach = self.spread(Tensor(radius)).data + self.loss(*boxes)
        middle = self.value(centre)
        return middle - reach, middle + reach

    def loss(self, *boxes: Box) -> Values:
        low, high = boxes[0]
        largest, constant = np.maximum(abs(low), abs(high)), abs(self.constant)
        if self.kind is BatchNorm2d:  # its constant is beta less a mean of what it is given: their sizes
            largest = largest + 2 * abs(self.layer.running_mean)
        with no_grad():
            return self.part * (self.spread(Tensor(largest)).data + constant)

    def back(self, rows: Values) -> list[Values]:
        return [self.transposed(rows)]

    @functools.cached_property
    def matrix(self) -> Values | None:
        """(out, in) of a fully-connected layer, in which those of neurons that are off are left out of products."""
        flat = self.kind is Linear and self.constant.ndim == 2
        return np.ascontiguousarray(self.layer.weight.data.T) if flat else None

    @functools.cached_property
    def matrix32(self) -> Values:
        assert self.matrix is not None
        return self.matrix.astype(np.float32)

    @functools.cached_property
    def sizes(self) -> Values:
        """(out,): the sum of the sizes of the matrix's rows."""
        assert self.matrix is not None
        return np.abs(self.matrix).sum(axis=1)

    def carries(self, losses: list[Loss]) -> Loss:
        with no_grad():
            return self.spread(Tensor(losses[0])).data if isinstance(losses[0], np.ndarray) else losses[0]


class Curved(Step):
    """Any other layer of one value, none of whose numbers falls where one of its source's rises."""

    def __init__(
        self, name: str, sources: tuple[int, ...], layer: Module, rules: Rules, count: int, exact: bool
    ) -> None:
        super().__init__(name, sources)
        self.layer, self.lines = layer, rules.lines
        self.thin = rules.kind is not MaxPool2d
        self.part = allowance(count) + (0 if exact else allowance(0, "float32"))  # its lines' heights are summed up

    def value(self, *x: Values) -> Values:
        with no_grad():
            return self.layer(Tensor(x[0])).data

    def box(self, *boxes: Box) -> Box:
        low, high = self.value(boxes[0][0]), self.value(boxes[0][1])
        return low - self.part * abs(low), high + self.part * abs(high)

    def loss(self, *boxes: Box) -> Values:
        low, high = boxes[0]
        about = abs(self.value(low)) + abs(self.value(high))
        return self.part * (about + abs(low) + abs(high) if self.thin else about)

    def doubtful(self, box: Box) -> np.ndarray:
        """(B, ...) of its source: where a closer box would bring the two lines closer."""
        if not self.thin:
            return box[0] < box[1]
        lines = self.lines(*box)
        return (lines.below != lines.above) | (lines.at_below != lines.at_above)

    def to_source(self, rows: Values, low: Values) -> Values:
        """Coefficients of the numbers that the lines are of: max pooling's are those that win at the lower ends."""
        if self.thin:
            return rows
        ends = Tensor(np.broadcast_to(low, (len(rows), *low.shape)), requires_grad=True)
        self.layer(ends).backward(rows, inputs=[ends])
        assert ends.grad is not None
        return ends.grad

    def at_source(self, x: Values, low: Values) -> Values:
        """(R, ...): the numbers of x (R, ...) that the lines are of."""
        if self.thin:
            return x
        order = np.argsort(low, axis=None)
        ranks = np.empty(low.size)
        ranks[order] = np.arange(low.size)
        winners = self.value(ranks.reshape(1, *low.shape))[0].astype(int)  # the ranks of those that win
        return x.reshape(len(x), -1)[:, order[winners]]


def _gradient(y: Tensor, x: Tensor, name: str) -> Any:
    """The gradient of a layer by its input, for any number of rows: its operations' own, from the last to the first."""
    chain, at = [], y._node
    while at is not None and at is not x:
        if not isinstance(at, Node) or at.vjp is None or at.vjp[0] is None:
            raise NotImplementedError(
                f"bounds: {name} is no chain of operations on its input, and nobody can follow it"
            )
        chain.append(at.vjp[0])
        at = at.sources[0]

    def transposed(rows: Values) -> Values:
        for part in chain:
            rows = part(rows)
        return rows

    return transposed
