"""A model as two NumPy functions, so that any library of attacks can reach it."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np

from .. import functional as F
from ..backend import to_device, to_numpy
from ..images import check_unit_range, real_pixels
from ..nn import Module, evaluation_mode
from ..tensor import Tensor, no_grad
from .attacks.victim import device_for

BEYOND = 0.05  # the range of pixels, where a difference quotient may look


class Logits(Protocol):
    def __call__(self, images: Any) -> np.ndarray: ...


class Gradient(Protocol):
    def __call__(self, images: Any, of: Any) -> np.ndarray: ...


class Callables(NamedTuple):
    """A model as NumPy functions, in evaluation mode.

    Attributes
    ----------
    logits : function of images
        The logits (B, classes).
    gradient : function of images and ``of``
        By the images, of their shape. ``of`` is either integer labels (B,): of each image's cross-entropy; or real
        numbers (B, classes): of the logits' sum with these weights, a vector-Jacobian product.
    """

    logits: Logits
    gradient: Gradient


def as_callable(model: Module, channels: str = "last") -> Callables:
    """The logits and the gradient by the images as functions of NumPy arrays, for foolbox, ART or a paper's script.

    Both take images in [0, 1], or uint8 from 0 to 255, which are divided: gradients are by pixels in [0, 1]. Others
    they refuse with a TypeError or ValueError that says what was given, but for 0.05 beyond the range, where a
    difference quotient may look.

    Parameters
    ----------
    model : Module
        Attacked where it lies, in evaluation mode; each module returns to its own after every call.
    channels : {"last", "first"}
        Whether images are given, and gradients returned, as (B, H, W, C) or as (B, C, H, W).

    Returns
    -------
    Callables
        A named tuple ``logits, gradient``.

    Raises
    ------
    TypeError, ValueError
        When the model is no Module, or channels is neither "last" nor "first".

    Examples
    --------
    >>> import numpy as np, minidl as md
    >>> logits, gradient = md.robustness.as_callable(md.models.fc5(image_size=8, channels=1), channels="first")
    >>> images = np.full((2, 1, 8, 8), 0.5, np.float32)
    >>> logits(images).shape, gradient(images, np.array([3, 7])).shape
    ((2, 10), (2, 1, 8, 8))
    >>> gradient(images, np.eye(10)[[3, 7]]).shape  # of logit 3 and of logit 7
    (2, 1, 8, 8)
    """
    if not isinstance(model, Module):
        raise TypeError(f"as_callable: the model must be a minidl.nn.Module, and is a {type(model).__name__}")
    if channels not in ("last", "first"):
        raise ValueError(f"as_callable: unknown channels {channels!r}: choose 'last' or 'first'")
    to_ours, to_theirs = ((0, 2, 3, 1), (0, 3, 1, 2)) if channels == "first" else ((0, 1, 2, 3),) * 2

    def tensor(images: Any) -> Tensor:
        array = real_pixels(np.asarray(images), "as_callable")
        if array.size and not (array.min() >= -BEYOND and array.max() <= 1 + BEYOND):
            check_unit_range(array, "as_callable")
        array = np.ascontiguousarray(array.transpose(to_ours))
        return Tensor(to_device(array, device_for(model, array)), requires_grad=True)

    def logits(images: Any) -> np.ndarray:
        with evaluation_mode(model), no_grad():
            return to_numpy(model(tensor(images)).data)

    def gradient(images: Any, of: Any) -> np.ndarray:
        x, of = tensor(images), np.asarray(of)
        with evaluation_mode(model):
            z = model(x)
            if of.dtype.kind in "iu":
                F.cross_entropy(z, of, reduction="sum").backward(inputs=[x])
            else:
                z.backward(to_device(of.astype(z.dtype), z.device), inputs=[x])
        return np.ascontiguousarray(to_numpy(x.grad).transpose(to_theirs))

    return Callables(logits, gradient)
