"""What is asked of a model as a whole: to be in evaluation mode for a while, and whether it is all minidl's."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from .module import Module


@contextlib.contextmanager
def evaluation_mode(model: Module) -> Iterator[None]:
    """Within the block every module is in evaluation mode; after it each is back in its own, whatever happened.

    Parameters
    ----------
    model : Module

    Examples
    --------
    >>> from minidl import nn
    >>> model = nn.Dropout()
    >>> with nn.evaluation_mode(model):
    ...     print(model.training)
    False
    >>> model.training
    True
    """
    if not isinstance(model, Module):
        raise TypeError(f"the model must be a minidl.nn.Module, whose mode can be set, and is a {type(model).__name__}")
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def is_minidls_own(model: Module) -> bool:
    """Whether all of a model's layers compute by a ``forward`` of minidl's: the same each time, whatever happens.

    Parameters
    ----------
    model : Module

    Examples
    --------
    >>> from minidl import nn
    >>> nn.is_minidls_own(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)))
    True
    """
    return all(
        type(module).forward.__module__.startswith("minidl.") and "forward" not in vars(module)
        for module in model.modules()
    )
