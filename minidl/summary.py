"""A model as a table: each layer with its formula and numbers, what it gives, and what it costs."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .compress import cost, sparsity
from .nn import Module, evaluation_mode
from .tensor import Parameter, no_grad
from .trace import grey_input, watching

HEADER = ("layer", "type", "formula", "output", "parameters", "multiply-adds", "sparsity")
NUMBERS = 4  # the column from which on there are numbers, set to the right


@dataclass(frozen=True)
class LayerSummary:
    """One layer.

    Attributes
    ----------
    name, kind : str
        Its dotted name and its type.
    formula : str
        What it computes, with its numbers; empty for a type of the user's own.
    output : tuple of int
        The shape of what it gives for one input, without the batch.
    parameters : int
        Of the layer itself.
    multiply_adds : int or None
        For one input; None for layers that ``compress.cost`` does not count.
    sparsity : float or None
        The part of the kernels that are zero; None without kernels.
    """

    name: str
    kind: str
    formula: str
    output: tuple[int, ...]
    parameters: int
    multiply_adds: int | None
    sparsity: float | None

    def cells(self) -> tuple[str, ...]:
        """As text, in the order of the table's columns."""
        work = "" if self.multiply_adds is None else f"{self.multiply_adds:,}"
        zeros = "" if self.sparsity is None else f"{self.sparsity:.1%}"
        output = " x ".join(map(str, self.output))
        size = f"{self.parameters:,}" if self.parameters else ""
        return self.name, self.kind, self.formula, output, size, work, zeros


@dataclass(frozen=True)
class Summary:
    """What ``summary`` found; ``print`` shows it as a table, and so does a notebook.

    Attributes
    ----------
    layers : tuple of LayerSummary, in the order in which they are called
    total : LayerSummary
        Of the whole model; its output is the model's.
    """

    layers: tuple[LayerSummary, ...]
    total: LayerSummary

    def __str__(self) -> str:
        rows = [HEADER, *(layer.cells() for layer in self.layers), self.total.cells()]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(map(_aligned, row, widths, range(len(row)))).rstrip() for row in rows]
        rule = "-" * max(map(len, lines))
        return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = [_html_row(layer.cells(), "td") for layer in self.layers]
        return "\n".join(
            [
                "<table>",
                f"<thead>{_html_row(HEADER, 'th')}</thead>",
                "<tbody>",
                *rows,
                "</tbody>",
                f"<tfoot>{_html_row(self.total.cells(), 'th')}</tfoot>",
                "</table>",
            ]
        )


def summary(model: Module, input_shape: int | Sequence[int]) -> Summary:
    """Each layer of a model: its formula with its numbers, the shape it gives, what it costs and how sparse it is.

    Parameters
    ----------
    model : Module
        Left as it is; one forward pass shows which layers are called, and with what.
    input_shape : (H, W, C), in pixels, or (features,)
        Of one input, without the batch; that of a batch of images, (B, H, W, C), will do.

    Returns
    -------
    Summary
        A row for each layer in the order in which the model calls them, and the totals. A layer that is called more
        than once has one row, at its first call.

    Raises
    ------
    TypeError, ValueError
        When the model is no Module; when the shape is none of these, or does not fit the model.

    Notes
    -----
    Multiply-adds are those of ``compress.cost``, and sparsity is that of ``compress.sparsity``. What a model's own
    ``forward`` does between its layers, such as a sum of two of them, has no row.

    Examples
    --------
    >>> import minidl as md
    >>> from minidl import nn
    >>> model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 4 * 4, 2))
    >>> print(md.summary(model, (6, 6, 3)))
    layer  type     formula                         output     parameters  multiply-adds  sparsity
    ----------------------------------------------------------------------------------------------
    0      Conv2d   floor((6 + 2*0 - 3)/1) + 1 = 4  4 x 4 x 8         224          3,456      0.0%
    1      ReLU     max(x, 0)                       4 x 4 x 8
    2      Flatten  4 * 4 * 8 = 128                 128
    3      Linear   x W + b, W 128 x 2              2                 258            256      0.0%
    ----------------------------------------------------------------------------------------------
    total                                           2                 482          3,712      0.0%
    """
    with evaluation_mode(model):
        x = grey_input(model, input_shape, "summary")
    costs = cost(model, input_shape)
    work = {layer.name: layer.multiply_adds for layer in costs.layers}
    rows: dict[Module, LayerSummary] = {}
    calls: Counter[Module] = Counter()

    def watch(name: str, layer: Module) -> Callable[..., Any] | None:
        own = [value for value in vars(layer).values() if isinstance(value, Parameter)]
        if not own and any(True for _ in layer.children()):
            return None  # its parts have the rows
        forward, formula = layer.forward, layer.says("formula")

        def noted(*inputs: Any, **named: Any) -> Any:
            y = forward(*inputs, **named)
            calls[layer] += 1
            if layer not in rows:
                text = formula(*inputs, **named) if formula else ""
                size, zeros = sum(p.size for p in own), sparsity(layer) if any(p.ndim >= 2 for p in own) else None
                shape = getattr(y, "shape", ())[1:]  # a layer of the user's own may give something else than a tensor
                rows[layer] = LayerSummary(name, type(layer).__name__, text, shape, size, work.get(name), zeros)
            return y

        return noted

    with evaluation_mode(model), no_grad(), watching(model, watch):
        output = getattr(model(x), "shape", ())[1:]
    layers = (row if calls[layer] == 1 else _often(row, calls[layer]) for layer, row in rows.items())
    size = sum(p.size for p in model.parameters())
    return Summary(tuple(layers), LayerSummary("total", "", "", output, size, costs.multiply_adds, sparsity(model)))


def _often(row: LayerSummary, times: int) -> LayerSummary:
    return replace(row, formula=f"{row.formula}; called {times} times".removeprefix("; "))


def _aligned(text: str, width: int, column: int) -> str:
    return text.rjust(width) if column >= NUMBERS else text.ljust(width)


def _html_row(cells: Sequence[str], tag: str) -> str:
    """Names to the left and numbers to the right; no cell is broken."""
    sides = ["right" if i >= NUMBERS else "left" for i in range(len(cells))]
    row = (
        f'<{tag} style="text-align: {side}; white-space: nowrap">{html.escape(text)}</{tag}>'
        for side, text in zip(sides, cells, strict=True)
    )
    return f"<tr>{''.join(row)}</tr>"
