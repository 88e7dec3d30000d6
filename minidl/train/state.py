"""A training between two steps."""

from __future__ import annotations

from ..backend import Array
from ..nn import Module


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
