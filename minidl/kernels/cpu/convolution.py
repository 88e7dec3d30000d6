"""Direct convolution: each product reads the images where they lie, and no column matrix is written.

    y[pixel, n]      = sum over (kh, kw, c)  of  x[pixel's window] * weight[n, kh, kw, c]
    dx[pixel, c]     = sum over (kh, kw, n)  of  dy[the outputs that saw it] * weight[n, kh, kw, c]
    dw[n, kh, kw, c] = sum over (b, oh, ow)  of  dy[b, oh, ow, n] * x[b, the pixel that (kh, kw) sees, c]

The first two are one product, ``gather``: pixels of C are rows that gather from images A, the packed weights are B.
Tables, made once for each shape, say where each row starts and how much of the kernel falls within the image, so that
edges, strides and padding need no copy and no code of their own. In the third, both A and B are images.
"""

import functools
import itertools

import numpy as np

from ...backend import Array
from .. import precision
from ..runtime.memory import empty
from ..runtime.tasks import at, share, task
from ..shapes import Pair, Shape, output_sizes
from . import winograd
from .multiply import BLOCK, gather, pack, whole_tiles, zeros
from .tile import COLUMNS, LANES, ROWS, multiply

PIXELS = 192  # of images that one step of the weight gradient keeps in the nearest cache
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
def _tables(
    forward: bool, a_shape: Shape, c_shape: Shape, kernel: Pair, stride: Pair, padding: Pair
) -> tuple[Array, Array, Array]:
    """Where each row starts in A and in C, and for each ROWS rows their place in a panel and two counts.

    Rows that see the same places of the kernel follow each other, the last repeated up to a multiple of ROWS.
    """
    (batch, a_h, a_w, K), (_, c_h, c_w, N) = a_shape, c_shape
    axes = zip((a_h, a_w), (c_h, c_w), kernel, stride, padding, strict=True)
    image = np.arange(batch)[:, None, None]
    a_rows, c_rows, blocks = [], [], []
    for (place_h, high, h), (place_w, wide, w) in itertools.product(*(_groups(forward, *axis) for axis in axes)):
        a = ((image * a_h + h[:, 1:]) * a_w + w[:, 1]) * K
        c = ((image * c_h + h[:, :1]) * c_w + w[:, 0]) * N
        a_rows.append(whole_tiles(a))
        c_rows.append(whole_tiles(c))
        blocks.append(np.tile(((place_h * kernel[1] + place_w) * K, high, wide * K), (len(a_rows[-1]) // ROWS, 1)))
    return np.concatenate(a_rows), np.concatenate(c_rows), np.concatenate(blocks)


def _run(
    forward: bool, a: Array, weight: Array, c: Array, stride: Pair, padding: Pair, bias: Array | None = None
) -> Array:
    """C (B, H, W, N) from images A (B, H, W, K) and kernels (N, KH, KW, K), or backward (K, KH, KW, N)."""
    K, N, (_, kh, kw, inner) = a.shape[3], c.shape[3], weight.shape
    orders = [_order(forward, k, s) for k, s in zip((kh, kw), stride, strict=True)]
    places = np.array([(i * kw + j) * inner for i, j in itertools.product(*orders)])
    step_k, step_n = (1, kh * kw * inner) if forward else (kh * kw * inner, 1)
    panels = pack(weight, places, step_k, step_n, K, N)
    a_rows, c_rows, blocks = _tables(forward, a.shape, c.shape, (kh, kw), stride, padding)
    gather.run(
        -(-len(blocks) // BLOCK) * len(panels), a, a_rows, (a.shape[2] * K, 1), blocks, panels, kw * K, c, c_rows, N,
        zeros(N) if bias is None else bias, False,
    )  # fmt: skip
    return c


def conv2d(x: Array, weight: Array, bias: Array | None, stride: Pair, padding: Pair) -> Array:
    (n, kh, kw, c), out = weight.shape, output_sizes(x.shape, weight.shape[1:3], stride, padding)
    if precision() == "fast" and winograd.pays((kh, kw), stride, out, c, n):
        return winograd.convolve(x, weight, False, bias, padding)
    return _run(True, x, weight, empty((len(x), *out, n)), stride, padding, bias)


def conv2d_grad_input(dy: Array, weight: Array, x_shape: Shape, stride: Pair, padding: Pair) -> Array:
    (_, h, w, c), (n, kh, kw, _) = x_shape, weight.shape
    if precision() == "fast" and winograd.pays((kh, kw), stride, (h, w), c, n) and max(padding) <= 2:
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


@task
def _grad_weight(start, stop, a, a_steps, a_rows, c_rows, b, b_steps, panels, chunks, sizes, out, zero):
    """out[partial, r, n] = sum over its share of the pixels of a[pixel, r] b[pixel, n], for one panel in each part.

    A panel is (its place in B, in C, its columns, first and last row, first and last column of pixels).
    """
    images, height, chunk_images, chunk_rows = sizes
    partials, per_image = len(out), -(-height // chunk_rows)
    for part in range(start, stop):
        b_place, c_place, columns, top, bottom, left, right = panels[part % len(panels)]
        partial = part // len(panels)
        first, last = share(partial, partials, chunks)
        for chunk in range(first, last):
            i, row = chunk // per_image * chunk_images, chunk % per_image * chunk_rows
            h = max(row, top)
            counts = (min(chunk_images, images - i), min(row + chunk_rows, bottom) - h, right - left)
            a_place = i * a_steps[0] + h * a_steps[1] + left * a_steps[2]
            b_chunk = i * b_steps[0] + h * b_steps[1] + left * b_steps[2] + b_place
            for tile in range(0, len(a_rows), ROWS):
                multiply(
                    at(a, a_place), at(a_rows, tile), a_steps, at(b, b_chunk), b_steps, counts,
                    at(out[partial], c_place), at(c_rows, tile), at(zero, 0), chunk > first, columns,
                )  # fmt: skip


@functools.lru_cache(maxsize=64)
def _weight_tables(
    x_shape: Shape, w_shape: Shape, out: Pair, stride: Pair, padding: Pair, turned: bool
) -> tuple[Array, Array, Array]:
    """Where rows start in A and in C, and the panels of columns; see ``_grad_weight``."""
    (_, h, w, c), (n, kh, kw, _) = x_shape, w_shape
    panels: list[tuple[int, ...]] = []
    if turned:  # rows are a window's numbers, columns n
        rows = np.arange(kh * kw * c)
        a_rows, c_rows = rows // (kw * c) * w * c + rows % (kw * c), rows * n
        panels += [(m, m, n - m, 0, out[0], 0, out[1]) for m in range(0, n, COLUMNS)]
    else:  # rows are n, columns c: for each place of the kernel, of the pixels that it sees
        a_rows, c_rows = np.arange(n), np.arange(n) * kh * kw * c
        for i, j in itertools.product(range(kh), range(kw)):
            seen: list[int] = []
            for k, size, outputs, s, p in zip((i, j), (h, w), out, stride, padding, strict=True):
                seen += [max(0, -((k - p) // s)), max(0, min(outputs, (size - 1 - k + p) // s + 1))]
            place = ((i - padding[0]) * w + j - padding[1]) * c
            panels += [(place + m, (i * kw + j) * c + m, c - m, *seen) for m in range(0, c, COLUMNS)]
    return whole_tiles(a_rows), whole_tiles(c_rows), np.array(panels)


def conv2d_grad_weight(dy: Array, x: Array, w_shape: Shape, stride: Pair, padding: Pair) -> Array:
    """Summed in several parts of the pixels, each with a dw of its own."""
    (n, kh, kw, c), (sh, sw), (b, oh, ow, _) = w_shape, stride, dy.shape
    if precision() == "fast" and winograd.pays((kh, kw), stride, (oh, ow), c, n):
        return winograd.grad_weight(dy, x, padding)
    turned = 2 * c <= LANES
    if turned and padding != (0, 0):
        x = np.pad(x, ((0, 0), *((p, p) for p in padding), (0, 0)))
    _, h, w, _ = x.shape
    a_rows, c_rows, panels = _weight_tables(x.shape, w_shape, (oh, ow), stride, padding, turned)
    of_x, of_dy = (x, (h * w * c, sh * w * c, sw * c)), (dy, (oh * ow * n, ow * n, n))
    (a, a_steps), (of_b, b_steps) = (of_x, of_dy) if turned else (of_dy, of_x)
    sizes = b, oh, max(1, PIXELS // (oh * ow)), min(oh, max(1, PIXELS // ow))  # the last two of a chunk of pixels
    chunks = -(-b // sizes[2]) * -(-oh // sizes[3])
    partials = empty((min(chunks, 16, max(1, PARTIALS // (kh * kw * c * n))), kh * kw * c * n))
    _grad_weight.run(
        len(partials) * len(panels), a, a_steps, a_rows, c_rows, of_b, b_steps, panels, chunks, sizes, partials,
        zeros(COLUMNS),
    )  # fmt: skip
    dw = partials.sum(axis=0) if len(partials) > 1 else partials
    return np.ascontiguousarray(dw.reshape(-1, n).T).reshape(w_shape) if turned else dw.reshape(w_shape)
