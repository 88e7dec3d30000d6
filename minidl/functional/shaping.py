"""From an image to a vector."""

from __future__ import annotations

import math

from ..backend import Array
from ..tensor import op
from .arithmetic import Result


@op
def flatten(x: Array, channels_first: bool = False) -> Result:
    """An image as one vector of H W C numbers, as a perceptron wants it (report, section 2.2).

    Parameters
    ----------
    x : Tensor (B, ...)
    channels_first : bool
        Order the numbers of images (B, H, W, C) as C, H, W: as in PyTorch, whose weights then fit.

    Returns
    -------
    Tensor (B, product of the other sizes)

    Examples
    --------
    >>> import numpy as np
    >>> from minidl import functional as F
    >>> F.flatten(np.zeros((2, 8, 8, 3))).shape
    (2, 192)
    """
    if not channels_first:
        return x.reshape(len(x), math.prod(x.shape[1:])), (lambda dy: dy.reshape(x.shape),)
    moved = x.transpose(0, 3, 1, 2)  # (B, C, H, W)
    return moved.reshape(len(x), math.prod(x.shape[1:])), (lambda dy: dy.reshape(moved.shape).transpose(0, 2, 3, 1),)
