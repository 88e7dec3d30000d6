"""An emulated card: CuPy's interface on NumPy and g++, for tests on machines without a GPU. See ../README.md.

Where CuPy is strict, this is, and where a card would silently do something undefined, this does something visible.
"""

from __future__ import annotations

import numpy as _np

from . import cuda, functions, lib, linalg, names, operators
from .arrays import ndarray
from .compiler import RawModule
from .functions import *  # noqa: F403
from .functions import ufunc

__version__ = "14.2.0"
__all__ = ["RawModule", "cuda", "lib", "linalg", "ndarray", "operators", "ufunc"]


def __getattr__(name):
    if name in names.UFUNCS:
        value = ufunc(name)
    elif name in names.FUNCTIONS:
        value = functions.function(name, getattr(_np, name))
    elif name in names.NUMPYS_OWN:
        value = getattr(_np, name)
    else:
        raise AttributeError(f"module 'cupy' has no attribute {name!r}, or the emulated card does not know it")
    globals()[name] = value
    return value
