"""Watching a forward pass: only the model itself knows which layer is called with what."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

import numpy as np

from . import nn
from .backend import Array
from .checks import check_images, whole_number
from .graph import Node
from .nn import Module, evaluation_mode
from .tensor import Tensor, no_grad

Forward = Callable[..., Any]


@contextlib.contextmanager
def watching(model: Module, watch: Callable[[str, Module], Forward | None]) -> Iterator[None]:
    """Within the block each module's forward is what ``watch(name, module)`` returns; None leaves it as it is.

    What ``watch`` returns usually calls the forward that the module has when it is asked, and takes notes.

    Examples
    --------
    >>> import numpy as np
    >>> from minidl import nn
    >>> from minidl.trace import watching
    >>> def shapes(name, layer, forward):
    ...     return lambda x: print(name, x.shape) or forward(x)
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(12, 5))
    >>> with watching(model, lambda name, layer: shapes(name, layer, layer.forward) if name else None):
    ...     y = model(np.zeros((1, 2, 2, 3), np.float32))
    0 (1, 2, 2, 3)
    1 (1, 12)
    """
    watched: list[tuple[Module, Any]] = []
    seen = set()
    try:
        for name, module in model.named_modules():
            if id(module) in seen:  # a layer that is used in two places is watched once
                continue
            seen.add(id(module))
            forward = watch(name, module)
            if forward is not None:
                watched.append((module, vars(module).get("forward")))
                module.forward = forward  # type: ignore[method-assign]
        yield
    finally:
        for module, own in watched:  # a forward of the module's own, rather than its class's, comes back
            if own is None:
                del module.forward
            else:
                module.forward = own  # type: ignore[method-assign]


@dataclass(eq=False)
class Seen:
    """What ``watch`` saw of a layer.

    Attributes
    ----------
    value : array, what the layer gave when it was last called; None before that
    gradient : array of the same shape, that of what ``backward`` was called on by it; None before that
    """

    value: Any = None
    gradient: Array | None = None

    def note(self, y: Any) -> None:
        """Keep a result, and have the graph leave the gradient by it here."""
        self.value, self.gradient = getattr(y, "data", y), None
        node = getattr(y, "_node", None)
        if isinstance(node, Node) and node.vjp is not None:
            node.vjp = tuple(part and self._noting(part, node) for part in node.vjp)
            self.node = node  # of the last call: an earlier one's gradient is not kept

    def _noting(self, part: Callable[[Array], Array], node: Node) -> Callable[[Array], Array]:
        def noting(dy: Array) -> Array:
            if node is self.node:
                self.gradient = dy.copy()  # an optimiser may change its own in place
            return part(dy)

        return noting


@contextlib.contextmanager
def watch(model: Module, *names: str) -> Iterator[dict[str, Seen]]:
    """See what layers give, and the gradients by it, in the passes within the block.

    Parameters
    ----------
    model : Module
    *names : str
        Dotted names of layers as ``named_modules`` has them, or patterns: "layer2.*" is all within layer2. Every
        layer by default.

    Yields
    ------
    dict from a layer's name to what was seen of it
        ``seen["layer2.0"].value`` is an array, and after ``backward`` so is ``seen["layer2.0"].gradient``, of the same
        shape: both of the last call. The value is the layer's own array, the gradient a copy; the dictionary stays
        when the block ends.

    Raises
    ------
    ValueError
        When no layer has such a name: which there are.

    Examples
    --------
    >>> import numpy as np, minidl as md
    >>> from minidl import nn
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    >>> x, labels = np.zeros((5, 2, 2, 1), np.float32), np.zeros(5, int)
    >>> with nn.watch(model, "1", "2") as seen:
    ...     md.functional.cross_entropy(model(x), labels).backward()
    >>> seen["1"].value.shape, seen["2"].gradient.shape
    ((5, 3), (5, 3))
    """
    layers = {name: layer for name, layer in model.named_modules() if name}
    for pattern in names:
        if not any(fnmatchcase(name, pattern) for name in layers):
            raise ValueError(f"watch: no layer is called {pattern!r}: the names are {', '.join(layers)}")
    chosen = [name for name in layers if not names or any(fnmatchcase(name, pattern) for pattern in names)]
    by_layer: dict[Module, Seen] = {}  # one that has two names is seen once, under both
    seen = {name: by_layer.setdefault(layers[name], Seen()) for name in chosen}

    def noted(layer: Module, forward: Forward) -> Forward:
        def noting(*inputs: Any, **settings: Any) -> Any:
            y = forward(*inputs, **settings)
            by_layer[layer].note(y)
            return y

        return noting

    with watching(model, lambda _, layer: noted(layer, layer.forward) if layer in by_layer else None):
        yield seen


nn.watch = watch  # a public name of nn, whose own files lie below this one and cannot import it


class Call(NamedTuple):
    """A layer's name, the layer, what it was called with and what it gave."""

    name: str
    layer: Any  # a Module, of the kinds that were chosen
    x: Any
    y: Any


def calls(model: Module, input_shape: int | Sequence[int], who: str, chosen: Callable[[Module], bool]) -> list[Call]:
    """Each call of the chosen layers in an evaluation of ``grey_input``, in the order in which they end."""
    found: list[Call] = []

    def watch(name: str, layer: Module) -> Forward | None:
        forward = layer.forward

        def noted(x: Any, *others: Any, **named: Any) -> Any:
            y = forward(x, *others, **named)
            found.append(Call(name, layer, x, y))
            return y

        return noted if chosen(layer) else None

    with evaluation_mode(model), no_grad(), watching(model, watch):
        model(grey_input(model, input_shape, who))
    return found


def grey_image(model: Module, input_shape: Sequence[int], name: str) -> Tensor:
    """An image to try a model with: (1, H, W, C) of 0.5 in the model's precision, on its device, wanting a gradient.

    ``input_shape`` is (H, W, C), or that of a batch; ``name`` is who asks, for the error when it is neither.
    """
    sizes = _sizes(input_shape, name)
    image = _grey(model, (1, *sizes) if len(sizes) == 3 else (1, *sizes[1:]))
    check_images(image.data, name)
    return image


def grey_input(model: Module, input_shape: int | Sequence[int], name: str) -> Tensor:
    """As ``grey_image``, and for a perceptron (1, features) where ``input_shape`` is (features,)."""
    sizes = _sizes(input_shape, name)
    if len(sizes) not in (1, 3, 4):
        hint = f", such as {(*sizes, 3)} for colour images and {(*sizes, 1)} for grey ones" if len(sizes) == 2 else ""
        raise ValueError(
            f"{name}: input_shape is {input_shape!r}, and must be (H, W, C) for images{hint}; or (features,)"
        )
    return _grey(model, (1, *sizes)) if len(sizes) == 1 else grey_image(model, sizes, name)


def _sizes(input_shape: Any, name: str) -> tuple[int, ...]:
    sizes = input_shape if np.ndim(input_shape) else [input_shape]
    return tuple(whole_number(size, f"input_shape[{i}]", 1, name) for i, size in enumerate(sizes))


def _grey(model: Module, shape: tuple[int, ...]) -> Tensor:
    dtype, device = next(((p.dtype, p.device) for p in model.parameters()), (np.dtype(np.float32), "cpu"))
    return Tensor(np.full(shape, 0.5, dtype), requires_grad=True).to(device)
