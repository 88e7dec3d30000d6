"""Direct convolution: each product reads the images where they lie, and no column matrix is written.

    y[pixel, n]      = sum over (kh, kw, c)  of  x[pixel's window] * weight[n, kh, kw, c]
    dx[pixel, c]     = sum over (kh, kw, n)  of  dy[the outputs that saw it] * weight[n, kh, kw, c]
    dw[n, kh, kw, c] = sum over (b, oh, ow)  of  dy[b, oh, ow, n] * x[b, the pixel that (kh, kw) sees, c]

The first two are one product: pixels of C are rows that gather from images A, and the packed weights are B. Tables,
made once for each shape, say where each row starts and how much of the kernel falls within the image, so that edges,
strides and padding need no copy and no code of their own. In the third the sum runs over all pixels, and pieces of both
images are packed on the way: a matrix product whose second matrix nobody writes out.
"""

import functools
import itertools

import numpy as np

from ...backend import Array
from .. import made_of, precision
from ..cpu_runtime.memory import empty, zeros
from ..cpu_runtime.tasks import at, task
from ..shapes import Pair, Shape, output_sizes
from . import winograd
from .multiply import matmul_windows, pack
from .tile import COLUMNS, LANES, ROWS, multiply

BLOCK = 8  # tiles of rows that are multiplied with a panel while that is in the cache


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
    """Where rows start in A and in C; of each ROWS of them: their first place in a panel, kernel rows, floats a row.

    Rows are pixels of C; those that see the same places of the kernel follow each other. The last of these is repeated
    as often as it takes to fill a tile, and is computed as often.
    """
    (batch, a_h, a_w, K), (_, c_h, c_w, N) = a_shape, c_shape
    axes = zip((a_h, a_w), (c_h, c_w), kernel, stride, padding, strict=True)
    image, groups = np.arange(batch)[:, None, None], []
    for (place_h, high, h), (place_w, wide, w) in itertools.product(*(_groups(forward, *axis) for axis in axes)):
        a = ((image * a_h + h[:, 1:]) * a_w + w[:, 1]) * K
        c = ((image * c_h + h[:, :1]) * c_w + w[:, 0]) * N
        groups.append((a, c, ((place_h * kernel[1] + place_w) * K * COLUMNS, high, wide * K)))
    a_rows, c_rows, blocks = zip(*groups, strict=True)
    fill = lambda rows: np.concatenate([np.pad(r.ravel(), (0, -r.size % ROWS), mode="edge") for r in rows])  # noqa: E731
    return fill(a_rows), fill(c_rows), np.repeat(blocks, [-(-rows.size // ROWS) for rows in a_rows], axis=0)


@task
def _gather(start, stop, a, a_row, a_rows, blocks, b, b_row, b_panel, panels, c, c_rows, N, bias):
    """A block of tiles of rows in each part, with one panel of columns, which stays in the cache meanwhile."""
    for part in range(start, stop):
        first, panel = part // panels * BLOCK, part % panels
        n = panel * COLUMNS
        for tile in range(first, min(first + BLOCK, len(blocks))):
            (place, high, wide), rows = blocks[tile], tile * ROWS
            multiply(
                at(a, 0), at(a_rows, rows), (a_row, 1), at(b, place + panel * b_panel), (b_row, COLUMNS), (high, wide),
                at(c, n), at(c_rows, rows), at(bias, n), False, N - n,
            )  # fmt: skip


def _packed(weight: Array, forward: bool, stride: Pair) -> Array:
    """The weight's panels, with the places of the kernel in the order of ``_order``."""
    n, kh, kw, c = weight.shape
    orders = [_order(forward, k, s) for k, s in zip((kh, kw), stride, strict=True)]
    places = np.array([(i * kw + j) * c for i, j in itertools.product(*orders)])
    return pack(weight, places, 1, kh * kw * c, c, n) if forward else pack(weight, places, kh * kw * c, 1, n, c)


def _run(
    forward: bool, a: Array, weight: Array, c: Array, stride: Pair, padding: Pair, bias: Array | None = None
) -> Array:
    """C (B, H, W, N) from images A (B, H, W, K) and kernels (N, KH, KW, K), or backward (K, KH, KW, N)."""
    K, N, (_, kh, kw, _) = a.shape[3], c.shape[3], weight.shape
    panels = made_of(weight, _packed, forward, stride)
    a_rows, c_rows, blocks = _pixel_tables(forward, a.shape, c.shape, (kh, kw), stride, padding)
    size = -(-len(blocks) // BLOCK) * len(panels)
    bias = zeros(N) if bias is None else bias
    b_row = kw * K * COLUMNS
    _gather.run(
        size, a.reshape(-1), a.shape[2] * K, a_rows, blocks, panels.reshape(-1), b_row, kh * b_row, len(panels),
        c.reshape(-1), c_rows, N, bias,
    )  # fmt: skip
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
    dx = empty((b, blocks.shape[1], sh, blocks.shape[2], sw, c))
    dx[...] = blocks.reshape(*blocks.shape[:3], sh, sw, c).transpose(0, 1, 3, 2, 4, 5)
    return np.ascontiguousarray(dx.reshape(b, dx.shape[1] * sh, -1, c)[:, :h, :w])


def conv2d_grad_weight(dy: Array, x: Array, w_shape: Shape, stride: Pair, padding: Pair) -> Array:
    """The product of dy's transpose with the windows of x."""
    (n, kh, kw, c), (_, oh, ow, _) = w_shape, dy.shape
    if precision() != "exact" and winograd.pays((kh, kw), stride, (oh, ow), c, n):
        return winograd.grad_weight(dy, x, padding)
    return matmul_windows(dy, x, (kh, kw), stride, padding).reshape(w_shape)
