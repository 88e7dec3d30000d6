"""``cupy.linalg``: all but norms and products wait for the card."""

import numpy as _np

from .cuda import stream as _streams
from .functions import function as _function
from .names import LINALG as _LINALG


def __getattr__(name):
    if name not in _LINALG:
        raise AttributeError(f"module 'cupy.linalg' has no attribute {name!r}")
    call = _function(name, getattr(_np.linalg, name))

    def waiting(*args, **kwargs):
        _streams.host_waits()
        return call(*args, **kwargs)

    return call if name in ("norm", "matmul", "cross", "matrix_transpose") else waiting
