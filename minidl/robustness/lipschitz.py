"""The Lipschitz bound: ||f(x + delta) - f(x)|| <= ||delta|| prod_i L_psi_i ||W_i|| (report, eq. (9)), layer by layer.

One forward pass shows which layer feeds which. Each value carries how much it can change for a unit change of the
image: a layer multiplies that by its own constant, and where two branches are added, as in a residual block, so are
their bounds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..graph import Node
from ..nn import BatchNorm2d, Module, evaluation_mode
from ..tensor import Parameter, Tensor
from ..trace import grey_image, watching

# What a model may do between its layers, and what it does to a difference: nothing grows, and sums add up.
_PASSES_ON = ("relu", "leaky_relu", "tanh", "flatten", "reshape", "transpose", "negative", "clip", "pad")
_ADDS = ("add", "subtract")
_JOINS = ("concatenate", "stack", "maximum")  # their squares add up: each number comes from one of the sources
_WHY = {"dropout": ": it drops in evaluation too: give F.dropout its training=self.training, or use nn.Dropout"}


class LayerBound(NamedTuple):
    """One call of a layer, in the order of the forward pass.

    Attributes
    ----------
    name : str
        The layer's dotted name.
    kind : str
        Its type.
    norm : float
        Its own Lipschitz constant, L_psi or ||W||, in the Euclidean norm.
    bound : float
        That of everything from the image to this layer's output.
    """

    name: str
    kind: str
    norm: float
    bound: float


@dataclass(frozen=True)
class LipschitzBound:
    """What ``lipschitz_bound`` found; ``print`` shows it as a table.

    Attributes
    ----------
    layers : tuple of LayerBound
    bound : float
        ||f(x + delta) - f(x)|| <= bound ||delta||, for the logits f and Euclidean norms. In a plain chain of layers
        the product of their norms.
    """

    layers: tuple[LayerBound, ...]
    bound: float

    def __str__(self) -> str:
        width = max([len(layer.name) for layer in self.layers] + [5])
        rows = [f"{'layer':<{width}}  {'type':<17}  {'norm':>10}  {'bound':>10}"]
        rows += [
            f"{name:<{width}}  {kind:<17}  {norm:>10.4g}  {bound:>10.4g}" for name, kind, norm, bound in self.layers
        ]
        return "\n".join([*rows, f"{'logits':<{width}}  {'':<17}  {'':>10}  {self.bound:>10.4g}"])


def lipschitz_bound(model: Module, input_shape: Sequence[int]) -> LipschitzBound:
    """How much the logits can change at most, for a change of the image by one in the Euclidean norm (report, eq. (9)).

    Parameters
    ----------
    model : Module
        Measured in evaluation mode; every module is left in the mode it was in.
    input_shape : (H, W, C) or (B, H, W, C)
        Of the images, in pixels: the norm of a convolution depends on the size of what it slides over.

    Returns
    -------
    LipschitzBound
        A row for each layer, and the bound of all of them.

    Raises
    ------
    ValueError
        When the shape is none of images, or does not fit the model.
    NotImplementedError
        When the constant of a layer, or of an operation between layers, is unknown: it is named.

    Notes
    -----
    Norms of linear layers are those of the operator at its input's size, approached from below to about four digits,
    so that the bound may be too small by as little. It is far from tight: real networks stretch differences much less.

    Examples
    --------
    >>> import numpy as np
    >>> from minidl import nn, robustness
    >>> model = nn.Sequential(nn.Normalize(0.5, 0.25), nn.Flatten(), nn.Linear(4, 2))
    >>> model[2].weight.data[...] = [[3, 0], [0, 2], [0, 0], [0, 0]]
    >>> print(robustness.lipschitz_bound(model, (2, 2, 1)))
    layer  type                     norm       bound
    0      Normalize                   4           4
    1      Flatten                     1           4
    2      Linear                      3          12
    logits                                        12
    """
    image = grey_image(model, input_shape, "lipschitz_bound")
    trace = _Trace(image)
    with evaluation_mode(model), watching(model, trace.watch):
        logits = model(image)
    if not logits.requires_grad:
        raise ValueError("lipschitz_bound: the logits do not depend on the image. Call it outside no_grad()")
    return LipschitzBound(tuple(trace.layers), trace.bound_of(logits, "the model's output"))


class _Trace:
    """The bound of every value that a forward pass has made so far."""

    def __init__(self, image: Tensor) -> None:
        self.bounds: dict[Any, float] = {image: 1.0}  # by graph node, or by tensor for the image itself
        self.layers: list[LayerBound] = []
        self.measuring = False  # measuring a layer's norm calls it too, and that is no part of the forward pass

    def watch(self, name: str, layer: Module) -> Any:
        """The layer's forward, which leaves a row and the bound of its result here."""
        lipschitz, forward = layer.says("lipschitz"), layer.forward
        if not name and lipschitz is None:  # the model as a whole: its output is looked at when all is done
            return None
        where = f"layer {name!r} ({type(layer).__name__})"

        def watched(x: Tensor, *others: Any, **settings: Any) -> Any:
            y = forward(x, *others, **settings)
            if self.measuring:
                return y
            norm = None if lipschitz is None else self._measure(lipschitz, x, where)
            if norm is None:
                self.bound_of(y, where)  # an error unless it is made of layers and operations that have a constant
                return y
            residuals = [value for value in (*others, *settings.values()) if isinstance(value, Tensor)]
            if residuals and not isinstance(layer, BatchNorm2d):
                raise NotImplementedError(f"lipschitz_bound: {where} has several inputs, and its rule is for one")
            bound = norm * self.bound_of(x, where) + sum(self.bound_of(residual, where) for residual in residuals)
            self.layers.append(LayerBound(name, type(layer).__name__, norm, bound))
            self.bounds[_vertex(y)] = bound
            return y

        return watched

    def _measure(self, lipschitz: Callable[[Tensor], float | None], x: Tensor, where: str) -> float | None:
        self.measuring = True
        try:
            norm = lipschitz(x)
        finally:
            self.measuring = False
        if norm is not None and not math.isfinite(norm):
            raise ValueError(f"lipschitz_bound: the norm of {where} is {norm}: look at its weights for NaN or infinity")
        return norm

    def bound_of(self, value: Tensor, where: str) -> float:
        """The bound of a value; through the operations between it and the layers before, where there are any."""
        if not isinstance(value, Tensor) or not value.requires_grad:
            raise NotImplementedError(
                f"lipschitz_bound: {where} is given, or gives, a value that no operation made of the image: "
                "constant, or computed with arrays (x.data), where nobody can follow. Use operations on tensors"
            )
        return self._bound(_vertex(value), where)

    def _bound(self, vertex: Any, where: str) -> float:
        if vertex not in self.bounds:
            if isinstance(vertex, Node):
                self.bounds[vertex] = self._through(vertex, where)
            elif isinstance(vertex, Parameter):
                return 0.0
            else:
                raise NotImplementedError(f"lipschitz_bound: {where} makes a new tensor, which nobody can follow")
        return self.bounds[vertex]

    def _through(self, node: Node, where: str) -> float:
        sources = [source for source in node.sources if source is not None]
        if node.name in _PASSES_ON and len(sources) == 1:
            return self._bound(sources[0], where)
        if node.name in _ADDS and len(sources) == 2 and node.shapes[0] == node.shapes[1]:
            return sum(self._bound(source, where) for source in sources)
        alike = len(sources) == 2 and node.shapes[0] == node.shapes[1]
        if node.name in _JOINS and (alike or node.name != "maximum"):
            return math.hypot(*(self._bound(source, where) for source in sources))
        raise NotImplementedError(
            f"lipschitz_bound: {where} uses the operation {node.name!r}, whose Lipschitz constant is unknown"
            f"{_WHY.get(node.name, '')}. A layer of your own says it in a method lipschitz(x) beside its forward"
        )


def _vertex(value: Tensor) -> Any:
    """What the graph knows a value by: the node that made it, or itself."""
    return value._node or value
