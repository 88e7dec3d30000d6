"""Direct convolution: each product reads the images where they lie, and no column matrix is written.

    y[pixel, n]      = sum over (kh, kw, c)  of  x[pixel's window] * weight[n, kh, kw, c]
    dx[pixel, c]     = sum over (kh, kw, n)  of  dy[the outputs that saw it] * weight[n, kh, kw, c]
    dw[n, kh, kw, c] = sum over (b, oh, ow)  of  dy[b, oh, ow, n] * x[b, the pixel that (kh, kw) sees, c]

The first two are one product, ``_correlate``: pixels of C are rows that gather from images A, the packed weights are B.
Tables, made once for each shape, say where each row starts and how much of the kernel falls within the image, so that
edges, strides and padding need no copy and no code of their own. In the third, both A and B are images.
"""

import functools
import itertools

import numpy as np

from .. import precision
from ..shapes import Pair, output_sizes
from . import winograd
from .memory import empty
from .multiply import pack, zeros
from .parallel import Floats, Ints, at, share, stack, task
from .tile import COLUMNS, LANES, ROWS, multiply

Seen = list[tuple[int, int, int]]  # for each output along an axis: first input, its kernel place, how many of both
TASKS = 32  # enough to keep many cores busy
BLOCK = 8  # tiles of rows that one task multiplies with a panel while that is in the cache
CACHED = 1 << 16  # floats of B that stay in the cache while rows of A pass by
PIXELS = 192  # of images that one step of the weight gradient keeps in the nearest cache
PARTIALS = 1 << 21  # floats in all partial sums of a weight gradient


def _forward(size: int, outputs: int, kernel: int, stride: int, padding: int) -> Seen:
    """Output i sees the inputs i * stride - padding + k, k < kernel, that exist."""
    starts = [i * stride - padding for i in range(outputs)]
    return [(max(s, 0), max(-s, 0), max(0, min(kernel, size - s) - max(-s, 0))) for s in starts]


def _backward(size: int, outputs: int, kernel: int, stride: int, padding: int) -> Seen:
    """Pixel i was seen by output o through the kernel's place i + padding - o * stride, where that exists."""
    seen = []
    for place in range(padding, size + padding):
        first, last = max(0, -((kernel - 1 - place) // stride)), min(outputs - 1, place // stride)
        seen.append((first, place - first * stride, max(0, last - first + 1)))
    return seen


def _groups(seen: Seen, step: int) -> list[tuple[int, int, np.ndarray]]:
    """(kernel place, how many, [(output * step, first input), ...]) for the outputs that see the same of the kernel."""
    groups: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for i, (first, place, count) in enumerate(seen):
        groups.setdefault((place, count) if count else (0, 0), []).append((i * step, first))
    return [(*key, np.array(pixels)) for key, pixels in groups.items()]


@functools.lru_cache(maxsize=64)
def _tables(
    forward: bool, batch: int, a_size: Pair, outputs: Pair, kernel: Pair, stride: Pair, padding: Pair, K: int,
    c_size: Pair, c_step: Pair, N: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """Where each row starts in A and in C, and for each ROWS rows their place in a panel and three counts.

    Rows that see the same places of the kernel follow each other, the last repeated up to a multiple of ROWS.
    """
    axes = zip(a_size, outputs, kernel, stride, padding, c_step, strict=True)
    seen = [_groups(_forward(a, o, *rest) if forward else _backward(o, a, *rest), step) for a, o, *rest, step in axes]
    image = np.arange(batch)[:, None, None]
    a_rows: list[np.ndarray] = []
    c_rows: list[np.ndarray] = []
    blocks = []
    for (place_h, high, pixels_h), (place_w, wide, pixels_w) in itertools.product(*seen):
        a = ((image * a_size[0] + pixels_h[:, 1:]) * a_size[1] + pixels_w[:, 1]) * K
        c = ((image * c_size[0] + pixels_h[:, :1]) * c_size[1] + pixels_w[:, 0]) * N
        for table, rows in ((a_rows, a), (c_rows, c)):
            table.append(np.pad(rows.ravel(), (0, -rows.size % ROWS), mode="edge"))
        counts = (high, 1, wide * K) if forward else (high, wide, K)  # forward, a window's row lies side by side
        block = ((place_h * kernel[1] + place_w) * K * COLUMNS, *counts)
        blocks.append(np.tile(block, (-(-a.size // ROWS), 1)))
    return np.concatenate(a_rows), np.concatenate(c_rows), np.concatenate(blocks)


_spare, _spare_rows = stack(Floats, ROWS * COLUMNS), stack(Ints, ROWS)


@task
def _correlate(
    part, row_parts, panel_parts, a: Floats, a_rows: Ints, a_i, a_j, blocks: Ints, count, panels: Floats, panel_size,
    b_i, b_j, c: Floats, c_rows: Ints, columns, run, step, start: Floats,
):  # fmt: skip
    """Some rows of C times some panels. C's columns lie in runs that are ``step`` apart."""
    first, last = share(part % row_parts, row_parts, count)
    first_panel, last_panel = share(part // row_parts, panel_parts, -(-columns // COLUMNS))
    spare, spare_rows, tiles, width = _spare(), _spare_rows(), last - first, last_panel - first_panel
    for r in range(ROWS):
        spare_rows[r] = r * COLUMNS
    for i in range(tiles * width):
        tile, panel = (i % tiles, i // tiles) if width * panel_size > CACHED else (i // width, i % width)
        n, block, rows = (first_panel + panel) * COLUMNS, at(blocks, (first + tile) * 4), (first + tile) * ROWS
        out, out_rows = (at(c, n), at(c_rows, rows)) if run >= columns else (spare, spare_rows)
        multiply(
            a, at(a_rows, rows), (a_i, a_j, 1), at(panels, (first_panel + panel) * panel_size + block[0]),
            (b_i, b_j, COLUMNS), (block[1], block[2], block[3]), out, out_rows, at(start, n), 0, columns - n,
        )  # fmt: skip
        stop = min(n + COLUMNS, columns)
        for piece in range(n // run, -(-stop // run) if run < columns else 0):
            for r in range(ROWS):
                target = c_rows[rows + r] + piece * (step - run)
                for k in range(max(n, piece * run), min(stop, (piece + 1) * run)):
                    c[target + k] = spare[r * COLUMNS + k - n]


def _run(
    forward: bool, a: np.ndarray, outputs: Pair, panels: np.ndarray, kernel: Pair, stride: Pair, padding: Pair,
    c: np.ndarray, columns: int, bias: np.ndarray | None = None, c_step: Pair = (1, 1),
) -> np.ndarray:  # fmt: skip
    """C (B, H, W, N) from images A (B, H, W, K); with a c_step, an output's columns are a block of so many pixels."""
    (b, h, w, k), (_, c_h, c_w, n), (kh, kw) = a.shape, c.shape, kernel
    a_rows, c_rows, blocks = _tables(forward, b, (h, w), outputs, kernel, stride, padding, k, (c_h, c_w), c_step, n)
    step_h, step_w = (1, 1) if forward else (-stride[0], -stride[1])
    count, wide = len(blocks), -(-columns // COLUMNS)
    row_parts = -(-count // BLOCK)
    panel_parts = min(wide, -(-TASKS // row_parts))
    _correlate.run(
        row_parts * panel_parts, row_parts, panel_parts, a, a_rows, w * k, k, blocks, count, panels,
        kh * kw * k * COLUMNS, step_h * kw * k * COLUMNS, step_w * k * COLUMNS, c, c_rows, columns, c_step[1] * n,
        c_w * n, zeros(columns) if bias is None else bias,
    )  # fmt: skip
    return c


def conv2d(x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None, stride: Pair, padding: Pair) -> np.ndarray:
    (n, kh, kw, c), out = weight.shape, output_sizes(x.shape, weight.shape[1:3], stride, padding)
    if precision() == "fast" and winograd.pays((kh, kw), stride, out, c, n):
        return winograd.convolve(x, weight, False, bias, padding)
    panels = pack(weight, (0, 1, kh * kw * c), (1, kh * kw * c, n))
    return _run(True, x, out, panels, (kh, kw), stride, padding, empty((len(x), *out, n)), n, bias)


def conv2d_grad_input(
    dy: np.ndarray, weight: np.ndarray, x_shape: tuple[int, ...], stride: Pair, padding: Pair
) -> np.ndarray:
    (_, h, w, c), (n, kh, kw, _) = x_shape, weight.shape
    if precision() == "fast" and winograd.pays((kh, kw), stride, (h, w), c, n) and max(padding) <= 2:
        return winograd.convolve(dy, weight, True, None, (2 - padding[0], 2 - padding[1]))
    if 2 * c <= LANES and stride != (1, 1):
        return _grad_input_of_few_channels(dy, weight, x_shape, stride, padding)
    panels = pack(weight, (c, kh * kw * c, 1), (kh * kw, n, c))
    return _run(False, dy, (h, w), panels, (kh, kw), stride, padding, empty(x_shape), c)


def _grad_input_of_few_channels(
    dy: np.ndarray, weight: np.ndarray, x_shape: tuple[int, ...], stride: Pair, padding: Pair
) -> np.ndarray:
    """A block of pixels as large as the stride gets its sums from one window of dy: C alone would fill no vector."""
    (b, h, w, c), (n, kh, kw, _), (sh, sw) = x_shape, weight.shape, stride
    blocks = -(-h // sh), -(-w // sw)
    first = [-((k - 1 - p) // s) for k, s, p in zip((kh, kw), stride, padding, strict=True)]
    places = [(s - 1 + p) // s - f + 1 for s, p, f in zip(stride, padding, first, strict=True)]
    kernels = np.zeros((sh, sw, c, *places, n), np.float32)
    for i, j, p, q in itertools.product(range(sh), range(sw), *map(range, places)):
        k, m = i + padding[0] - (first[0] + p) * sh, j + padding[1] - (first[1] + q) * sw
        if 0 <= k < kh and 0 <= m < kw:
            kernels[i, j, :, p, q] = weight[:, k, m].T
    depth = places[0] * places[1] * n
    panels = pack(kernels, (0, 1, depth), (1, depth, sh * sw * c))
    dx = empty((b, blocks[0] * sh, blocks[1] * sw, c))
    window = (places[0], places[1]), (1, 1), (-first[0], -first[1])
    _run(True, dy, blocks, panels, *window, dx, sh * sw * c, c_step=stride)
    return dx if dx.shape == x_shape else np.ascontiguousarray(dx[:, :h, :w])


@task
def _grad_weight(
    part, groups, partials, a: Floats, a_i, a_j, a_k, a_rows: Ints, c_rows: Ints, tiles, b: Floats, b_i, b_j, b_k,
    panels: Ints, count, images, height, chunk_images, chunk_rows, out: Floats, size, start: Floats,
):  # fmt: skip
    """out[partial, r, n] = sum over its share of the pixels of a[pixel, r] b[pixel, n], for one group of panels.

    A panel is (its place in B, in C, its columns, first and last row, first and last column of pixels).
    """
    first_panel, last_panel = share(part % groups, groups, count)
    per_image = -(-height // chunk_rows)
    first, last = share(part // groups, partials, -(-images // chunk_images) * per_image)
    for chunk in range(first, last):
        i, chunk_row = chunk // per_image * chunk_images, chunk % per_image * chunk_rows
        for index in range(first_panel, last_panel):
            panel = at(panels, index * 7)
            h, w = max(chunk_row, panel[3]), panel[5]
            counts = (min(chunk_images, images - i), min(chunk_row + chunk_rows, panel[4]) - h, panel[6] - w)
            for tile in range(tiles):
                multiply(
                    at(a, i * a_i + h * a_j + w * a_k), at(a_rows, tile * ROWS), (a_i, a_j, a_k),
                    at(b, i * b_i + h * b_j + w * b_k + panel[0]), (b_i, b_j, b_k), counts,
                    at(out, part // groups * size + panel[1]), at(c_rows, tile * ROWS), start,
                    np.int64(chunk > first), panel[2],
                )  # fmt: skip


@functools.lru_cache(maxsize=64)
def _weight_tables(
    x_shape: tuple[int, ...], w_shape: tuple[int, ...], out: Pair, stride: Pair, padding: Pair, turned: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where rows start in A and in C, and the panels of columns; see ``_grad_weight``."""
    (_, h, w, c), (n, kh, kw, _) = x_shape, w_shape
    rows, row, columns = np.arange(kh * kw * c if turned else n), w * c, n if turned else kw * c
    a_rows = rows // (kw * c) * row + rows % (kw * c) if turned else rows
    places: list[tuple[int, ...]] = []  # place in B, in C, first and last row and column of pixels
    if turned:
        places = [(0, 0, 0, out[0], 0, out[1])]
    elif padding == (0, 0):
        places = [(k * row, k * kw * c, 0, out[0], 0, out[1]) for k in range(kh)]
    else:  # only the pixels that a kernel place sees
        columns = c
        for i, j in itertools.product(range(kh), range(kw)):
            seen: list[int] = []
            for k, size, outputs, s, p in zip((i, j), (h, w), out, stride, padding, strict=True):
                seen += [max(0, -((k - p) // s)), max(0, min(outputs, (size - 1 - k + p) // s + 1))]
            places.append((((i - padding[0]) * w + j - padding[1]) * c, (i * kw + j) * c, *seen))
    panels = [(b + m, place + m, columns - m, *seen) for b, place, *seen in places for m in range(0, columns, COLUMNS)]
    tables = (a_rows, rows * (n if turned else kh * kw * c))
    a_rows, c_rows = (np.pad(table, (0, -len(rows) % ROWS), mode="edge") for table in tables)
    return a_rows, c_rows, np.array(panels)


def _filled(rows: int, width: int) -> float:
    """The part of the tiles' work that counts, for so many rows, and columns in runs of ``width``."""
    return rows / (-(-rows // ROWS) * ROWS) * width / (-(-width // COLUMNS) * COLUMNS)


def conv2d_grad_weight(
    dy: np.ndarray, x: np.ndarray, w_shape: tuple[int, ...], stride: Pair, padding: Pair
) -> np.ndarray:
    """Small weights are summed in several parts of the pixels at once, large ones a few columns at a time."""
    (n, kh, kw, c), (sh, sw), (b, oh, ow, _) = w_shape, stride, dy.shape
    if precision() == "fast" and winograd.pays((kh, kw), stride, (oh, ow), c, n):
        return winograd.grad_weight(dy, x, padding)
    turned = _filled(kh * kw * c, n) > _filled(n, kw * c) * 1.2  # few channels: better to have N as columns
    if padding != (0, 0) and (turned or c % LANES):
        x, padding = np.pad(x, ((0, 0), *((p, p) for p in padding), (0, 0))), (0, 0)
    _, h, w, _ = x.shape
    a_rows, c_rows, panels = _weight_tables(x.shape, w_shape, (oh, ow), stride, padding, turned)
    of_x, of_dy = (x, h * w * c, sh * w * c, sw * c), (dy, oh * ow * n, ow * n, n)
    a, of_b = (of_x, of_dy) if turned else (of_dy, of_x)
    chunk_images, chunk_rows = max(1, PIXELS // (oh * ow)), min(oh, max(1, PIXELS // ow))
    chunks = -(-b // chunk_images) * -(-oh // chunk_rows)
    size = kh * kw * c * n
    count = min(chunks, 16, max(1, PARTIALS // size))
    groups = min(len(panels), -(-TASKS // count))
    partials = empty((count, size))
    _grad_weight.run(
        count * groups, groups, count, *a, a_rows, c_rows, len(a_rows) // ROWS, *of_b, panels, len(panels), b, oh,
        chunk_images, chunk_rows, partials, size, zeros(COLUMNS),
    )  # fmt: skip
    dw = partials.sum(axis=0) if count > 1 else partials
    return np.ascontiguousarray(dw.reshape(-1, n).T).reshape(w_shape) if turned else dw.reshape(w_shape)
