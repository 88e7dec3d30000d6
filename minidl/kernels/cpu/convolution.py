"""Direct convolution: each product reads the images where they lie, and no column matrix is ever written.

    y[pixel, n]     = sum over (kh, kw, c)   of  x[pixel's window] * weight[n, kh, kw, c]
    dx[pixel, c]    = sum over (kh, kw, n)   of dy[pixel's window] * weight[n, kh, kw, c]
    dw[n, kh, kw, c] = sum over (b, oh, ow)  of dy[b, oh, ow, n] * x[b, oh, ow shifted by kh, kw, c]

The first two are ``multiply`` with the images as A; in the third dy is A, transposed, and x is B, unpacked.
"""

import numpy as np

from .. import precision
from ..shapes import Pair, output_sizes
from . import winograd
from .memory import empty
from .multiply import TASKS, matmul, multiply, multiply_part, pack
from .parallel import Floats, Ints, at, share, stack, task
from .tile import COLUMNS, LANES, ROWS

CHUNK = 1 << 18  # bytes of images that one step of the weight gradient keeps in the cache
PARTIALS = 1 << 20  # floats in all partial sums of a weight gradient


@task
def _pad_row(part, x: Floats, height, row, top, left, padded_height, padded_row, out: Floats):
    """One row of the padded images; ``row``, ``left`` and ``padded_row`` count floats."""
    b, h = part // padded_height, part % padded_height - top
    target = at(out, part * padded_row)
    inside = 0 <= h < height
    for i in range(left if inside else padded_row):
        target[i] = np.float32(0)
    if inside:
        source = at(x, (b * height + h) * row)
        for i in range(row):
            target[left + i] = source[i]
        for i in range(left + row, padded_row):
            target[i] = np.float32(0)


def _padded(x: np.ndarray, top: int, left: int, height: int, width: int, slack: bool = False) -> np.ndarray:
    """x (B, H, W, C) within zeros -> (B, height, width, C); with slack, a tile may read beyond the end."""
    b, h, w, c = x.shape
    if (height, width) == (h, w) and not slack:
        return x
    size = b * height * width * c
    out = empty(size + COLUMNS)
    out[size:] = 0
    _pad_row.run(b * height, x, h, w * c, top, left * c, height, width * c, out)
    return out[:size].reshape(b, height, width, c)


def conv2d(x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None, stride: Pair, padding: Pair) -> np.ndarray:
    (b, h, w, c), (n, kh, kw, _), (sh, sw), (ph, pw) = x.shape, weight.shape, stride, padding
    oh, ow = output_sizes(x.shape, (kh, kw), stride, padding)
    if precision() == "fast" and winograd.pays((kh, kw), stride, (oh, ow), c, n):
        return winograd.convolve(x, weight, False, bias, padding)
    height, width = h + 2 * ph, w + 2 * pw
    counts = (1, kh, kw * c)  # a window's row is contiguous: kw and c are one index
    panels = pack(weight, (0, kw * c, 1), kh * kw * c, counts, n)
    y = empty((b, oh, ow, n))
    x_walk = (height * width * c, sh * width * c, sw * c)
    y_walk = (oh * ow * n, ow * n, n)
    multiply(
        _padded(x, ph, pw, height, width), x_walk, (0, width * c, 1), counts, panels, y, y_walk, (b, oh, ow), n, bias
    )
    return y


def _classes(size: int, kernel: int, stride: int, padding: int) -> list[tuple[int, int, int, int, int]]:
    """Along one axis: the pixels h = first, first + stride, ... of x are reached through the same kernel places.

    For each such class (first, pixels, last place, places, dy's index at the first pixel and last place); the places
    are last, last - stride, ... and dy's index grows by one from each to the next, and from pixel to pixel.
    """
    found = []
    for first in range(min(stride, size)):
        places = range((first + padding) % stride, kernel, stride)
        if places:
            pixels = -(-(size - first) // stride)
            found.append((first, pixels, places[-1], len(places), (first + padding - places[-1]) // stride))
    return found


def _reach(classes: list[tuple[int, int, int, int, int]], size: int) -> tuple[int, int]:
    """How many zeros dy needs in front of one axis of that size, and its size with those in front and behind."""
    before = max([0, *(-start for *_, start in classes)])
    return before, before + max([size, *(start + pixels + places - 1 for _, pixels, _, places, start in classes)])


@task
def _gather(part, columns: Floats, H, run, KH, OH, OW, SH, PH, step, left, padded: Floats, row, dx: Floats):
    """One row of dx from the rows of columns (B, OH, OW, KH, run) that touch it; ``padded`` has room for each row."""
    b, h = part // H, part % H
    line = at(padded, part * ((OW - 1) * step + run + row))
    for i in range((OW - 1) * step + run + row):
        line[i] = 0
    for oh in range(max(0, (h + PH - KH + SH) // SH), min(OH, (h + PH) // SH + 1)):
        for ow in range(OW):
            source = at(columns, (((b * OH + oh) * OW + ow) * KH + h + PH - oh * SH) * run)
            for i in range(run):
                line[ow * step + i] += source[i]
    for i in range(row):
        dx[part * row + i] = line[left + i]


def _grad_input_of_few_channels(
    dy: np.ndarray, weight: np.ndarray, x_shape: tuple[int, ...], stride: Pair, padding: Pair
) -> np.ndarray:
    """dx where C would fill little of a tile's columns: what each output gives to its window, then their sums."""
    (b, h, w, c), (n, kh, kw, _), (_, oh, ow, _) = x_shape, weight.shape, dy.shape
    dx, some = empty(x_shape), max(1, (1 << 20) // (oh * ow * kh * kw * c))
    weight, room = weight.reshape(n, -1), empty(some * h * ((ow - 1) * stride[1] * c + kw * c + w * c))
    for i in range(0, b, some):
        columns = matmul(dy[i : i + some].reshape(-1, n), weight)
        _gather.run(
            len(dy[i : i + some]) * h, columns, h, kw * c, kh, oh, ow, stride[0], padding[0], stride[1] * c,
            padding[1] * c, room, w * c, dx[i:],
        )  # fmt: skip
    return dx


def conv2d_grad_input(
    dy: np.ndarray, weight: np.ndarray, x_shape: tuple[int, ...], stride: Pair, padding: Pair
) -> np.ndarray:
    """With stride s, each of the s x s classes of pixels is a convolution of dy with its own part of the kernel."""
    (b, h, w, c), (n, kh, kw, _), (sh, sw), (_, oh, ow, _) = x_shape, weight.shape, stride, dy.shape
    if precision() == "fast" and winograd.pays((kh, kw), stride, (h, w), c, n) and max(padding) <= 2:
        return winograd.convolve(dy, weight, True, None, (2 - padding[0], 2 - padding[1]))
    if 2 * c <= LANES < kh * kw * c:
        return _grad_input_of_few_channels(dy, weight, x_shape, stride, padding)
    rows, columns = _classes(h, kh, sh, padding[0]), _classes(w, kw, sw, padding[1])
    dx = empty(x_shape)
    if len(rows) < min(sh, h) or len(columns) < min(sw, w):
        dx[:] = 0  # some pixels are under no kernel place
    (top, height), (left, width) = _reach(rows, oh), _reach(columns, ow)
    dy = _padded(dy, top, left, height, width).reshape(-1)
    dx_walk, dy_walk = (h * w * c, sh * w * c, sw * c), (height * width * n, width * n, n)
    for first_h, pixels_h, last_h, places_h, start_h in rows:
        for first_w, pixels_w, last_w, places_w, start_w in columns:
            counts = (places_h, places_w, n)
            part = weight.reshape(-1)[(last_h * kw + last_w) * c :]
            panels = pack(part, (-sh * kw * c, -sw * c, kh * kw * c), 1, counts, c)
            multiply(
                dy[((start_h + top) * width + start_w + left) * n :], dy_walk, (width * n, n, 1), counts, panels,
                dx.reshape(-1)[(first_h * w + first_w) * c :], dx_walk, (b, pixels_h, pixels_w), c,
            )  # fmt: skip
    return dx


_a_rows, _c_rows = stack(Ints, ROWS), stack(Ints, ROWS)


@task
def _grad_weight(
    part, a: Floats, a_image, a_row, a_column, a_step, a_width, rows, b: Floats, b_image, b_row, b_column, b_step,
    b_width, columns, images, height, width, chunk_images, chunk_rows, out: Floats, partials, groups, start: Floats,
):  # fmt: skip
    """out[partial, r, n] = sum over its share of the pixels of a[pixel, r] b[pixel, n], for one group of columns.

    A pixel's numbers come in runs of ``width`` that are ``step`` apart: for x, one run for each row of the kernel.
    """
    panels = -(-b_width // COLUMNS)
    first_unit, last_unit = share(part % groups, groups, columns // b_width * panels)
    per_image = -(-height // chunk_rows)
    first, last = share(part // groups, partials, -(-images // chunk_images) * per_image)
    c = at(out, part // groups * rows * columns)
    a_rows, c_rows = _a_rows(), _c_rows()
    for chunk in range(first, last):
        i, h = chunk // per_image * chunk_images, chunk % per_image * chunk_rows
        counts = (min(chunk_images, images - i), min(chunk_rows, height - h), width)
        for unit in range(first_unit, last_unit):
            run, n = unit // panels, unit % panels * COLUMNS
            b_start = at(b, i * b_image + h * b_row + run * b_step + n)
            for r in range(0, rows, ROWS):
                for k in range(ROWS):
                    row = min(r + k, rows - 1)  # rows beyond the last compute the last once more
                    a_rows[k] = row // a_width * a_step + row % a_width
                    c_rows[k] = row * columns
                multiply_part(
                    at(a, i * a_image + h * a_row), a_rows, (a_image, a_row, a_column), b_start,
                    (b_image, b_row, b_column), counts, at(c, run * b_width + n), c_rows, start,
                    np.int64(chunk > first), b_width - n,
                )  # fmt: skip


@task
def _sum_partials(part, partials: Floats, count, rows, columns, turned, out: Floats):
    """out = the sum of the partials (count, rows, columns), or its transpose."""
    first, last = share(part, TASKS, rows)
    for row in range(first, last):
        for k in range(count):
            source = at(partials, (k * rows + row) * columns)
            for n in range(columns):
                i = n * rows + row if turned else row * columns + n
                out[i] = source[n] + (out[i] if k > 0 else np.float32(0))


def _filled(rows: int, width: int) -> float:
    """The part of the tiles' work that counts, for so many rows, and columns in runs of ``width``."""
    return rows / (-(-rows // ROWS) * ROWS) * width / (-(-width // COLUMNS) * COLUMNS)


def conv2d_grad_weight(
    dy: np.ndarray, x: np.ndarray, w_shape: tuple[int, ...], stride: Pair, padding: Pair
) -> np.ndarray:
    """Small weights are summed in several parts of the pixels at once, large ones a few columns at a time."""
    (b, h, w, c), (n, kh, kw, _), (sh, sw), (_, oh, ow, _) = x.shape, w_shape, stride, dy.shape
    if precision() == "fast" and winograd.pays((kh, kw), stride, (oh, ow), c, n):
        return winograd.grad_weight(dy, x, padding)
    run = kw * c
    turned = _filled(kh * run, n) > _filled(n, run) * 1.2  # few channels: better to have N as columns
    height, width = h + 2 * padding[0], w + 2 * padding[1]
    x = _padded(x, *padding, height, width, slack=run % COLUMNS > 0 and not turned)
    if turned and n % COLUMNS:
        dy = _padded(dy, 0, 0, oh, ow, slack=True)
    of_x = (x, height * width * c, sh * width * c, sw * c, width * c, run, kh * run)
    of_dy = (dy, oh * ow * n, ow * n, n, 0, n, n)
    chunk_pixels = max(1, CHUNK // (4 * (sh * sw * c + n)))
    chunk_images, chunk_rows = max(1, chunk_pixels // (oh * ow)), min(oh, max(1, chunk_pixels // ow))
    dw = empty(w_shape)
    chunks = -(-b // chunk_images) * -(-oh // chunk_rows)
    count = min(chunks, 16, max(1, PARTIALS // dw.size))
    partials = empty((count, dw.size)) if count > 1 or turned else dw
    units = -(-n // COLUMNS) if turned else kh * -(-run // COLUMNS)
    groups = min(units, -(-TASKS // count))
    _grad_weight.run(
        count * groups, *(of_x if turned else of_dy), *(of_dy if turned else of_x), b, oh, ow, chunk_images, chunk_rows,
        partials, count, groups, np.zeros(COLUMNS, np.float32),
    )  # fmt: skip
    if partials is not dw:
        rows = kh * run if turned else n
        _sum_partials.run(TASKS, partials, count, rows, dw.size // rows, turned, dw)
    return dw
