"""Direct convolution: each product reads the images where they lie, and no column matrix is written.

    y[pixel, n]      = sum over (kh, kw, c)  of  x[pixel's window] * weight[n, kh, kw, c]
    dx[pixel, c]     = sum over (kh, kw, n)  of  dy[the outputs that saw it] * weight[n, kh, kw, c]
    dw[n, kh, kw, c] = sum over (b, oh, ow)  of  dy[b, oh, ow, n] * x[b, the pixel that (kh, kw) sees, c]

All three are one product, ``gather``. In the first two, pixels of C are rows that gather from images A, and the packed
weights are B; in the third, both A and B are images. Tables, made once for each shape, say where each row starts and
how much of the kernel falls within the image, so that edges, strides and padding need no copy and no code of their own.
"""

import functools
import itertools

import numpy as np

from ...backend import Array
from .. import precision
from ..cpu_runtime.memory import empty
from ..shapes import Pair, Shape, output_sizes
from . import winograd
from .multiply import gather, pack, tables
from .tile import COLUMNS, LANES

PARTIALS = 1 << 21  # floats in all partial sums of a weight gradient


def _order(forward: bool, kernel: int, stride: int) -> list[int]:
    """The kernel's places along an axis, so that those follow each other which see neighbours in A.

    Output o sees inputs o * stride - padding + k. Backward, input i is seen by the outputs (i + padding - k) / stride
    that are whole numbers: every stride-th k, and from the last to the first.
    """
    return list(range(kernel)) if forward else sorted(range(kernel), key=lambda k: (k % stride, -k))


def _groups(
    forward: bool, a_size: int, c_size: int, kernel: int, stride: int, padding: int
) -> list[tuple[int, int, Array]]:
    """(first place in the order, how many, [(pixel of C, first pixel of A), ...]) of those that see the same places."""
    groups: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for i in range(c_size):
        seen = []
        for place, k in enumerate(_order(forward, kernel, stride)):
            pixel, rest = (i * stride - padding + k, 0) if forward else divmod(i + padding - k, stride)
            if rest == 0 and 0 <= pixel < a_size:
                seen.append((place, pixel))
        first, pixel = seen[0] if seen else (0, 0)
        groups.setdefault((first, len(seen)), []).append((i, pixel))
    return [(*key, np.array(pixels)) for key, pixels in groups.items()]


@functools.lru_cache(maxsize=64)
def _pixel_tables(
    forward: bool, a_shape: Shape, c_shape: Shape, kernel: Pair, stride: Pair, padding: Pair
) -> tuple[Array, Array, Array]:
    """Rows are pixels of C; those that see the same places of the kernel follow each other."""
    (batch, a_h, a_w, K), (_, c_h, c_w, N) = a_shape, c_shape
    axes = zip((a_h, a_w), (c_h, c_w), kernel, stride, padding, strict=True)
    image, groups = np.arange(batch)[:, None, None], []
    for (place_h, high, h), (place_w, wide, w) in itertools.product(*(_groups(forward, *axis) for axis in axes)):
        a = ((image * a_h + h[:, 1:]) * a_w + w[:, 1]) * K
        c = ((image * c_h + h[:, :1]) * c_w + w[:, 0]) * N
        groups.append((a, c, ((place_h * kernel[1] + place_w) * K * COLUMNS, 1, high, wide * K)))
    return tables(groups)


def _run(
    forward: bool, a: Array, weight: Array, c: Array, stride: Pair, padding: Pair, bias: Array | None = None
) -> Array:
    """C (B, H, W, N) from images A (B, H, W, K) and kernels (N, KH, KW, K), or backward (K, KH, KW, N)."""
    K, N, (_, kh, kw, inner) = a.shape[3], c.shape[3], weight.shape
    orders = [_order(forward, k, s) for k, s in zip((kh, kw), stride, strict=True)]
    places = np.array([(i * kw + j) * inner for i, j in itertools.product(*orders)])
    step_k, step_n = (1, kh * kw * inner) if forward else (kh * kw * inner, 1)
    panels = pack(weight, places, step_k, step_n, K, N)
    rows = _pixel_tables(forward, a.shape, c.shape, (kh, kw), stride, padding)
    b_steps = kh * kw * K * COLUMNS, 0, kw * K * COLUMNS, COLUMNS
    gather(a, (0, a.shape[2] * K, 1), rows, panels, b_steps, c, N, bias)
    return c


def conv2d(x: Array, weight: Array, bias: Array | None, stride: Pair, padding: Pair) -> Array:
    (n, kh, kw, c), out = weight.shape, output_sizes(x.shape, weight.shape[1:3], stride, padding)
    if precision() != "exact" and winograd.pays((kh, kw), stride, out, c, n):
        return winograd.convolve(x, weight, False, bias, padding)
    return _run(True, x, weight, empty((len(x), *out, n)), stride, padding, bias)


def conv2d_grad_input(dy: Array, weight: Array, x_shape: Shape, stride: Pair, padding: Pair) -> Array:
    (_, h, w, c), (n, kh, kw, _) = x_shape, weight.shape
    if precision() != "exact" and winograd.pays((kh, kw), stride, (h, w), c, n) and max(padding) <= 2:
        return winograd.convolve(dy, weight, True, None, (2 - padding[0], 2 - padding[1]))
    if 2 * c <= LANES and stride != (1, 1):
        return _grad_input_of_few_channels(dy, weight, x_shape, stride, padding)
    return _run(False, dy, weight, empty(x_shape), stride, padding)


def _grad_input_of_few_channels(dy: Array, weight: Array, x_shape: Shape, stride: Pair, padding: Pair) -> Array:
    """A block of pixels as large as the stride gets its sums from one window of dy: C alone would fill no vector.

    Pixel o * stride - padding + k lies in block o - before + (k + front) // stride, for front = -padding % stride.
    """
    (b, h, w, c), (n, kh, kw, _), (sh, sw) = x_shape, weight.shape, stride
    front = [-p % s for p, s in zip(padding, stride, strict=True)]
    high, wide = (-(-(k + f) // s) for k, f, s in zip((kh, kw), front, stride, strict=True))
    ends = high * sh - kh - front[0], wide * sw - kw - front[1]
    kernels = np.pad(weight, ((0, 0), (front[0], ends[0]), (front[1], ends[1]), (0, 0)))
    kernels = kernels.reshape(n, high, sh, wide, sw, c)[:, ::-1, :, ::-1]
    kernels = np.ascontiguousarray(kernels.transpose(2, 4, 5, 1, 3, 0)).reshape(sh * sw * c, high, wide, n)
    before = [(p + f) // s for p, f, s in zip(padding, front, stride, strict=True)]
    blocks = empty((b, -(-h // sh), -(-w // sw), sh * sw * c))
    _run(True, dy, kernels, blocks, (1, 1), (high - 1 - before[0], wide - 1 - before[1]))
    pixels = blocks.reshape(*blocks.shape[:3], sh, sw, c).transpose(0, 1, 3, 2, 4, 5)  # (B, H / SH, SH, W / SW, SW, C)
    return np.ascontiguousarray(pixels.reshape(b, blocks.shape[1] * sh, -1, c)[:, :h, :w])


def _seen(place: int, size: int, outputs: int, stride: int, padding: int) -> tuple[int, int]:
    """The first output along an axis that sees a pixel through that place of the kernel, and how many do."""
    first = max(0, -((place - padding) // stride))
    return first, max(0, min(outputs, (size - 1 - place + padding) // stride + 1) - first)


@functools.lru_cache(maxsize=64)
def _weight_tables(
    few: bool, partials: int, x_shape: Shape, w_shape: Shape, out: Pair, stride: Pair, padding: Pair
) -> tuple[Array, Array, Array]:
    """Rows are n, and columns c, for each place of the kernel; with few c, rows are the places and c, columns n."""
    (b, h, w, c), (n, kh, kw, _), (oh, ow), groups = x_shape, w_shape, out, []
    for partial in range(partials):
        first, last = partial * b // partials, (partial + 1) * b // partials
        to = partial * n * kh * kw * c
        if few:
            rows = np.arange(kh * kw * c)
            windows = first * h * w * c + rows // (kw * c) * w * c + rows % (kw * c)
            groups.append((windows, to + rows * n, (first * oh * ow * n, last - first, oh, ow)))
            continue
        for i, j in itertools.product(range(kh), range(kw)):
            top, high = _seen(i, h, oh, stride[0], padding[0])
            left, wide = _seen(j, w, ow, stride[1], padding[1])
            pixel = (first * h + top * stride[0] + i - padding[0]) * w + left * stride[1] + j - padding[1]
            rows = (first * oh + top) * ow * n + left * n + np.arange(n)
            groups.append((rows, to + (np.arange(n) * kh * kw + i * kw + j) * c, (pixel * c, last - first, high, wide)))
    return tables(groups)


def conv2d_grad_weight(dy: Array, x: Array, w_shape: Shape, stride: Pair, padding: Pair) -> Array:
    """Summed in several parts of the images, each with a dw of its own."""
    (n, kh, kw, c), (sh, sw), (b, oh, ow, _) = w_shape, stride, dy.shape
    if precision() != "exact" and winograd.pays((kh, kw), stride, (oh, ow), c, n):
        return winograd.grad_weight(dy, x, padding)
    few = 2 * c <= LANES  # which then are no columns
    if few and padding != (0, 0):
        x, padding = np.pad(x, ((0, 0), *((p, p) for p in padding), (0, 0))), (0, 0)
    _, h, w, _ = x.shape
    dw = empty((min(b, 16, max(1, PARTIALS // (kh * kw * c * n))), kh * kw * c * n))
    rows = _weight_tables(few, len(dw), x.shape, w_shape, (oh, ow), stride, padding)
    of_x, of_dy = (h * w * c, sh * w * c, sw * c), (oh * ow * n, ow * n, n)
    if few:
        gather(x, of_x, rows, dy, (COLUMNS, *of_dy), dw, n)
        return np.ascontiguousarray(dw.sum(axis=0).reshape(-1, n).T).reshape(w_shape)
    gather(dy, of_dy, rows, x, (COLUMNS, *of_x), dw, c)
    return (dw.sum(axis=0) if len(dw) > 1 else dw).reshape(w_shape)
