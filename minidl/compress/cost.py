"""What a model costs: the parameters and the multiply-adds of its convolutions and fully-connected layers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ..nn import Module
from ..nn.noisy import Noisy
from ..tensor import Parameter
from ..trace import calls


class LayerCost(NamedTuple):
    """One convolution or fully-connected layer.

    Attributes
    ----------
    name : str
        The layer's dotted name.
    kind : str
        Its type.
    parameters : int
        Weights and biases, pruned ones too; no noise; those of an earlier layer are counted there.
    multiply_adds : int
        Products of a weight and a value, each with its addition, for one image.
    """

    name: str
    kind: str
    parameters: int
    multiply_adds: int


@dataclass(frozen=True)
class Cost:
    """What ``cost`` found; ``print`` shows it as a table.

    Attributes
    ----------
    layers : tuple of LayerCost
    """

    layers: tuple[LayerCost, ...]

    @property
    def parameters(self) -> int:
        """Of all these layers."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def multiply_adds(self) -> int:
        """Of all these layers, for one image."""
        return sum(layer.multiply_adds for layer in self.layers)

    def __str__(self) -> str:
        rows = [*self.layers, LayerCost("total", "", self.parameters, self.multiply_adds)]
        width = max([len(row.name) for row in rows] + [5])
        lines = [f"{'layer':<{width}}  {'type':<6}  {'parameters':>12}  {'multiply-adds':>16}"]
        lines += [f"{name:<{width}}  {kind:<6}  {size:>12,}  {work:>16,}" for name, kind, size, work in rows]
        return "\n".join(lines)


def cost(model: Module, input_shape: int | Sequence[int]) -> Cost:
    """The parameters and multiply-adds of each convolution and fully-connected layer, for one image.

    Parameters
    ----------
    model : Module
        Left as it is; one forward pass shows how large each layer's input is.
    input_shape : (H, W, C) or (B, H, W, C), in pixels; or (features,)
        Of the images, or of a perceptron's input.

    Returns
    -------
    Cost
        A row for each layer in ``named_modules``' order, and the totals.

    Raises
    ------
    TypeError, ValueError
        When the model is no Module; when the shape is none of these, or does not fit the model.

    Notes
    -----
    Every place of a kernel counts all of its weights, those that meet padding and those that are pruned too: they take
    their time here. Batch normalisation is left out: after training it can be folded into the convolution before it.

    Examples
    --------
    >>> import minidl as md
    >>> from minidl import nn
    >>> model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 4 * 4, 2))
    >>> print(md.compress.cost(model, (6, 6, 3)))
    layer  type      parameters     multiply-adds
    0      Conv2d           224             3,456
    3      Linear           258               256
    total                   482             3,712
    """
    work: Counter[Module] = Counter()
    for _, layer, x, y in calls(model, input_shape, "cost", _has_a_cost):
        work[layer] += layer.multiply_adds(x, y)
    names: dict[Module, str] = {}
    for name, layer in model.named_modules():
        if _has_a_cost(layer):
            names.setdefault(layer, name)  # one that stands in two places, once
    rows, counted = [], set[Parameter]()
    for layer, name in names.items():  # a kernel that two layers share is the first one's
        noise = {layer.noise} if isinstance(layer, Noisy) else set[Parameter]()
        own = {*layer.parameters()} - counted - noise
        rows.append(LayerCost(name, type(layer).__name__, sum(p.size for p in own), work[layer]))
        counted.update(own)
    return Cost(tuple(rows))


def _has_a_cost(layer: Module) -> bool:
    # not layer.says(...): weights that a subclass uses in its own way cost what they cost
    return getattr(layer, "multiply_adds", None) is not None
