"""A convolution over images whose opposite borders are joined: a matrix for each frequency, and back."""

from __future__ import annotations

import math

from .backend import Array, array_module
from .kernels.shapes import Pair, Shape


def periodic_size(images: Shape, kernel: Shape, stride: Pair) -> Pair:
    """The size (H, W) of images that stand for some (B, H, W, C) in ``periodic_blocks``, which asks for multiples."""
    h, w = (-(-max(i, k) // s) * s for i, k, s in zip(images[1:3], kernel[1:3], stride, strict=True))
    return h, w


def periodic_blocks(weight: Array, size: Pair, stride: Pair = (1, 1)) -> Array:
    """A convolution over images whose opposite borders are joined, as a matrix for each frequency of its output.

    Their singular values together are those of the whole operator, and exactly so: with joined borders a convolution
    multiplies each frequency by a matrix of the kernel's Fourier transform, and a stride folds frequencies together.

    Parameters
    ----------
    weight : array (N, KH, KW, C)
    size : (H, W)
        Of the images, at least as large as the kernel, and multiples of the stride.
    stride : (vertical, horizontal) pair

    Returns
    -------
    complex array (H / s, W / s, N, s s C)

    References
    ----------
    Sedghi, Gupta and Long, "The singular values of convolutional layers", ICLR 2019, arXiv:1805.10408.
    """
    (n, _, _, c), (h, w), (sh, sw) = weight.shape, size, stride
    symbols = array_module(weight).fft.fft2(weight, s=size, axes=(1, 2))  # (N, H, W, C)
    folded = symbols.reshape(n, sh, h // sh, sw, w // sw, c).transpose(2, 4, 0, 1, 3, 5)  # frequencies h / s apart
    return folded.reshape(h // sh, w // sw, n, sh * sw * c) / math.sqrt(sh * sw)


def from_periodic_blocks(blocks: Array, kernel: Pair, size: Pair, stride: Pair = (1, 1)) -> Array:
    """The kernel (N, KH, KW, C) nearest to what the blocks are: the transform back, cut to the kernel's places."""
    (_, _, n, columns), (h, w), (sh, sw) = blocks.shape, size, stride
    c = columns // (sh * sw)
    folded = (blocks * math.sqrt(sh * sw)).reshape(h // sh, w // sw, n, sh, sw, c).transpose(2, 3, 0, 4, 1, 5)
    whole = array_module(blocks).fft.ifft2(folded.reshape(n, h, w, c), axes=(1, 2)).real
    return whole[:, : kernel[0], : kernel[1]]
