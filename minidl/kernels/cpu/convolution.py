"""Direct convolution: each product reads the images where they lie, and no column matrix is ever written.

    y[pixel, n]     = sum over (kh, kw, c)   of  x[pixel's window] * weight[n, kh, kw, c]
    dx[pixel, c]    = sum over (kh, kw, n)   of dy[pixel's window] * weight[n, kh, kw, c]
    dw[n, kh, kw, c] = sum over (b, oh, ow)  of dy[b, oh, ow, n] * x[b, oh, ow shifted by kh, kw, c]

The first two are ``multiply`` with the images as A; in the third dy is A, transposed, and x is B, unpacked.
"""

import numpy as np

from ..shapes import Pair, output_sizes
from .memory import empty
from .multiply import TASKS, multiply, multiply_part, pack
from .parallel import Floats, Ints, at, share, stack, task
from .tile import COLUMNS, ROWS

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


def conv2d_grad_input(
    dy: np.ndarray, weight: np.ndarray, x_shape: tuple[int, ...], stride: Pair, padding: Pair
) -> np.ndarray:
    """With stride s, each of the s x s classes of pixels is a convolution of dy with its own part of the kernel."""
    (b, h, w, c), (n, kh, kw, _), (sh, sw), (_, oh, ow, _) = x_shape, weight.shape, stride, dy.shape
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


_dy_rows, _dw_rows = stack(Ints, ROWS), stack(Ints, ROWS)


@task
def _grad_weight(
    part, dy: Floats, images, oh, ow, n, x: Floats, x_image, x_row, x_column, step_kh, kh, row, dw: Floats,
    partials, groups, chunk_images, chunk_rows, start: Floats,
):  # fmt: skip
    """Sum over one of the partials' share of the pixels, for one group of dw's columns (kh, panel of kw * c)."""
    panels = -(-row // COLUMNS)
    first_unit, last_unit = share(part % groups, groups, kh * panels)
    per_image = -(-oh // chunk_rows)
    first, last = share(part // groups, partials, -(-images // chunk_images) * per_image)
    out = at(dw, part // groups * n * kh * row)
    dy_rows, dw_rows = _dy_rows(), _dw_rows()
    for chunk in range(first, last):
        b, r = chunk // per_image * chunk_images, chunk % per_image * chunk_rows
        counts = (min(chunk_images, images - b), min(chunk_rows, oh - r), ow)
        for unit in range(first_unit, last_unit):
            column = unit % panels * COLUMNS
            x_start = at(x, b * x_image + r * x_row + unit // panels * step_kh + column)
            for m in range(0, n, ROWS):
                for i in range(ROWS):
                    dy_rows[i] = min(m + i, n - 1)  # rows beyond the last compute the last once more
                    dw_rows[i] = dy_rows[i] * kh * row
                multiply_part(
                    at(dy, (b * oh + r) * ow * n), dy_rows, (oh * ow * n, ow * n, n),
                    x_start, (x_image, x_row, x_column), counts,
                    at(out, unit // panels * row + column), dw_rows, start, np.int64(chunk > first),
                    row - column,
                )  # fmt: skip


@task
def _sum_partials(part, partials: Floats, count, size, out: Floats):
    first, last = share(part, TASKS, size)
    for i in range(first, last):
        out[i] = partials[i]
    for k in range(1, count):
        for i in range(first, last):
            out[i] += partials[k * size + i]


def conv2d_grad_weight(
    dy: np.ndarray, x: np.ndarray, w_shape: tuple[int, ...], stride: Pair, padding: Pair
) -> np.ndarray:
    """Small weights are summed in several parts of the pixels at once, large ones a few columns at a time."""
    (b, h, w, c), (n, kh, kw, _), (sh, sw), (_, oh, ow, _) = x.shape, w_shape, stride, dy.shape
    row = kw * c
    height, width = h + 2 * padding[0], w + 2 * padding[1]
    x = _padded(x, *padding, height, width, slack=row % COLUMNS > 0)
    chunk_pixels = max(1, CHUNK // (4 * (sh * sw * c + n)))
    chunk_images, chunk_rows = max(1, chunk_pixels // (oh * ow)), min(oh, max(1, chunk_pixels // ow))
    dw = empty(w_shape)
    chunks = -(-b // chunk_images) * -(-oh // chunk_rows)
    count = min(chunks, 16, max(1, PARTIALS // dw.size))
    partials = empty((count, dw.size)) if count > 1 else dw
    groups = min(kh * -(-row // COLUMNS), -(-TASKS // count))
    _grad_weight.run(
        count * groups, dy, b, oh, ow, n, x, height * width * c, sh * width * c, sw * c, width * c, kh, row, partials,
        count, groups, chunk_images, chunk_rows, np.zeros(COLUMNS, np.float32),
    )  # fmt: skip
    if count > 1:
        _sum_partials.run(TASKS, partials, count, dw.size, dw)
    return dw
