"""What is wrong with an operation, or with what it is given: said with its name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .backend import Array, device_of, is_array
from .graph import Vjp


def explained(name: str, arguments: Sequence[Any], error: ValueError) -> ValueError:
    """NumPy's complaint, with the name of the operation and the shapes it was given."""
    shapes = " and ".join(str(a.shape) for a in arguments if hasattr(a, "shape"))
    shapes = f"shapes {shapes}{' do not fit' if 'shape' in str(error) else ''}: " if shapes else ""
    return ValueError(f"{name}: {shapes}{error}")


def value_and_vjp(result: Any, name: str) -> tuple[Array, Vjp]:
    """What an operation returned, when it is what it should be."""
    if not isinstance(result, tuple) or len(result) != 2 or not (callable(result[1]) or isinstance(result[1], tuple)):
        raise TypeError(f"{name}: an operation returns a tuple (value, vjp), vjp a tuple of functions or one function")
    return result


def check_devices(name: str, parameters: Sequence[str], arrays: Sequence[Any]) -> None:
    """Refuse arrays that lie on different devices; which parameters are to be looked at is known by their names."""
    found = {p: device_of(a) for p, a in zip(parameters, arrays, strict=False) if p and is_array(a) and a.ndim}
    if len(set(found.values())) > 1:
        where = " and ".join(f"{p} on the {device}" for p, device in found.items())
        raise ValueError(
            f"{name}: {where}: all must be on one device. Move a model with model.to('gpu'), and images with "
            "minidl.backend.to_device(images, 'gpu')"
        )


def check_mask(mask: Any, shape: tuple[int, ...]) -> None:
    """A mask must be an array of the parameter's shape, of truth values or of 0 and 1."""
    if not is_array(mask):
        raise TypeError(f"mask must be a boolean array of shape {shape}, and is a {type(mask).__name__}")
    if mask.shape != shape:
        raise ValueError(f"mask has shape {mask.shape}, but the parameter has shape {shape}")
    if mask.dtype != bool and not bool(((mask == 0) | (mask == 1)).all()):
        raise TypeError(
            "mask must be True where a weight is kept and False where it is pruned: write mask = scores > 0.5"
        )
