"""A training between two steps."""

from __future__ import annotations

from ..backend import Array, is_array
from ..nn import Module
from ..optim import Optimizer


def masks_of(model: Module) -> list[Array | None]:
    """Copies of the parameters' masks: the masks themselves change in place.

    Parameters
    ----------
    model : Module

    Examples
    --------
    >>> import minidl as md
    >>> from minidl.train.state import masks_of
    >>> masks_of(md.nn.Linear(3, 2))
    [None, None]
    """
    return [None if parameter.mask is None else parameter.mask.copy() for parameter in model.parameters()]


def arrays_of(model: Module, optimizer: Optimizer) -> dict[str, Array]:
    """What a step of a training changes in place, by name: weights, running statistics, what the optimiser remembers.

    Parameters
    ----------
    model : Module
    optimizer : optim.Optimizer

    Examples
    --------
    >>> import minidl as md
    >>> from minidl.train.state import arrays_of
    >>> layer = md.nn.Linear(3, 2)
    >>> list(arrays_of(layer, md.optim.SGD(layer.parameters(), lr=0.1)))
    ['weight', 'bias']
    """
    arrays = {name: parameter.data for name, parameter in model.named_parameters()}
    for name, module in model.named_modules():
        arrays |= {f"{name}.{buffer}".lstrip("."): getattr(module, buffer) for buffer in module.buffers}
    others = set(optimizer.parameters).difference(model.parameters())
    for i, (parameter, state) in enumerate(zip(optimizer.parameters, optimizer.state, strict=True)):
        if parameter in others:
            arrays[f"parameter {i} of the optimiser"] = parameter.data
        arrays |= {f"the optimiser's array {j} for parameter {i}": a for j, a in enumerate(state) if is_array(a)}
    return arrays
