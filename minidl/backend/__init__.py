"""Which array library holds an array, where it lies, and random streams; and all that minidl knows of a card.

``arrays`` is what everything above uses; ``cuda``, ``recording`` and ``capacity`` are about a card alone.
"""

from .arrays import (
    STREAMS,
    array_module,
    as_array,
    card,
    check_device,
    default_rng,
    device_of,
    gpu_available,
    is_array,
    is_gpu_array,
    manual_seed,
    streams,
    to_device,
    to_numpy,
)
from .arrays import Array as Array

__all__ = [
    "STREAMS",
    "array_module",
    "as_array",
    "card",
    "check_device",
    "default_rng",
    "device_of",
    "gpu_available",
    "is_array",
    "is_gpu_array",
    "manual_seed",
    "streams",
    "to_device",
    "to_numpy",
]
