"""Watching a forward pass: only the model itself knows which layer is called with what."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from .checks import check_images, whole_number
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
