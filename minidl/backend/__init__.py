"""Which array library holds an array, where it lies, and random streams; and all that minidl knows of a card.

``arrays`` and ``random`` are what everything above uses; all else is about a card.
"""

from .arrays import Array as Array
from .arrays import (
    address_of,
    array_module,
    as_array,
    card,
    check_device,
    device_of,
    gpu_available,
    is_array,
    is_at_hand,
    is_gpu_array,
    to_device,
    to_numpy,
)
from .random import STREAMS, default_rng, manual_seed, streams
from .random import Seed as Seed

__all__ = [
    "STREAMS",
    "address_of",
    "array_module",
    "as_array",
    "card",
    "check_device",
    "default_rng",
    "device_of",
    "gpu_available",
    "is_array",
    "is_at_hand",
    "is_gpu_array",
    "manual_seed",
    "streams",
    "to_device",
    "to_numpy",
]
