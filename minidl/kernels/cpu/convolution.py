"""Direct convolution: each product reads the images where they lie, and no column matrix is written.

    y[pixel, n]      = sum over (kh, kw, c)  of  x[pixel's window] * weight[n, kh, kw, c]
    dx[pixel, c]     = sum over (kh, kw, n)  of dy[pixel's window] * weight[n, kh, kw, c]
    dw[n, kh, kw, c] = sum over (b, oh, ow)  of dy[b, oh, ow, n] * x[b, the pixel that (kh, kw) sees, c]

The first two are ``multiply`` with the images as A and the packed weights as B; in the third both are images.
"""

from typing import NamedTuple

import numpy as np

from .. import precision
from ..shapes import Pair, output_sizes
from . import winograd
from .memory import empty
from .multiply import TASKS, Three, matmul, multiply, multiply_part, pack
from .parallel import Floats, Ints, at, share, stack, task
from .tile import COLUMNS, LANES, ROWS

CHUNK = 1 << 20  # bytes of images that one step of the weight gradient keeps in the cache
PARTIALS = 1 << 21  # floats in all partial sums of a weight gradient
CLIP = 0.8  # part of the work, from which on zeros around the images are dearer than to treat their edges apart


class Axis(NamedTuple):
    """Along one axis of the images, output i sums over ``places`` inputs, from start + i * step on."""

    outputs: int
    start: int
    step: int
    places: int

    def groups(self, size: int) -> list["Group"]:
        """The outputs in groups that see the same places of an image of that size."""
        seen: dict[tuple[int, int], list[int]] = {}
        for i in range(self.outputs):
            first = self.start + i * self.step
            low, high = max(0, -first), min(self.places, size - first)
            seen.setdefault((low, max(low, high)), []).append(i)
        return [Group(i[0], len(i), low, high - low) for (low, high), i in seen.items()]


class Group(NamedTuple):
    """So many outputs from ``first`` on see so many places from ``place`` on."""

    first: int
    outputs: int
    place: int
    places: int


def _work(groups: list[Group]) -> int:
    return sum(group.outputs * group.places for group in groups)


@task
def _pad_row(part, x: Floats, height, row, top, left, padded_height, padded_row, out: Floats):
    """One row of the padded images; ``row``, ``left`` and ``padded_row`` count floats."""
    h = part % padded_height - top
    source, target = at(x, (part // padded_height * height + h) * row), at(out, part * padded_row)
    inside = 0 <= h < height
    for i in range(padded_row):
        if i < left or i >= left + row or not inside:
            target[i] = np.float32(0)
    for i in range(row if inside else 0):
        target[left + i] = source[i]


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


def _correlate(
    a: np.ndarray, rows: Axis, columns: Axis, panels: np.ndarray, c: np.ndarray, c_walk: Three, N: int,
    bias: np.ndarray | None = None,
) -> None:  # fmt: skip
    """Write sums over windows of the images a (B, H, W, K), times packed weights (places, places, K, N), to c."""
    b, h, w, k = a.shape
    row_groups, column_groups = rows.groups(h), columns.groups(w)
    all_work = rows.outputs * rows.places * columns.outputs * columns.places
    if _work(row_groups) * _work(column_groups) > CLIP * all_work:
        top, left = max(0, -rows.start), max(0, -columns.start)
        rows, columns = rows._replace(start=rows.start + top), columns._replace(start=columns.start + left)
        h, w = (
            max(n, a.start + (a.outputs - 1) * a.step + a.places) for n, a in ((h + top, rows), (w + left, columns))
        )
        a = _padded(a, top, left, h, w)
        row_groups, column_groups = ([Group(0, axis.outputs, 0, axis.places)] for axis in (rows, columns))
    run = columns.places * k  # a window's row: its places and channels lie side by side
    for i, high, place_h, places_h in row_groups:
        for j, wide, place_w, places_w in column_groups:
            first_h, first_w = rows.start + i * rows.step + place_h, columns.start + j * columns.step + place_w
            multiply(
                a.reshape(-1)[(first_h * w + first_w) * k if places_h * places_w else 0 :],
                (h * w * k, rows.step * w * k, columns.step * k), (w * k, 1), (places_h, places_w * k),
                panels[(place_h * run + place_w * k) * COLUMNS :], (rows.places * run, run),
                c[i * c_walk[1] + j * c_walk[2] :], c_walk, (b, high, wide), N, bias,
            )  # fmt: skip


def conv2d(x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None, stride: Pair, padding: Pair) -> np.ndarray:
    (n, kh, kw, c), (oh, ow) = weight.shape, output_sizes(x.shape, weight.shape[1:3], stride, padding)
    if precision() == "fast" and winograd.pays((kh, kw), stride, (oh, ow), c, n):
        return winograd.convolve(x, weight, False, bias, padding)
    rows, columns = Axis(oh, -padding[0], stride[0], kh), Axis(ow, -padding[1], stride[1], kw)
    y, panels = empty((len(x), oh, ow, n)), pack(weight, (0, kw * c, 1), kh * kw * c, (1, kh, kw * c), n)
    _correlate(x, rows, columns, panels, y.reshape(-1), (oh * ow * n, ow * n, n), n, bias)
    return y


def _classes(size: int, kernel: int, stride: int, padding: int) -> list[tuple[int, int, Axis]]:
    """Along one axis: the pixels first, first + stride, ... of dx get their sums through the same kernel places.

    For each such class (first pixel, last place, how they sum over dy); the places are last, last - stride, ...
    """
    found = []
    for first in range(min(stride, size)):
        places = range((first + padding) % stride, kernel, stride)
        if places:
            start = (first + padding - places[-1]) // stride
            found.append((first, places[-1], Axis(-(-(size - first) // stride), start, 1, len(places))))
    return found


def conv2d_grad_input(
    dy: np.ndarray, weight: np.ndarray, x_shape: tuple[int, ...], stride: Pair, padding: Pair
) -> np.ndarray:
    """With stride s, each of the s x s classes of pixels is a convolution of dy with its own part of the kernel."""
    (_, h, w, c), (n, kh, kw, _), (sh, sw) = x_shape, weight.shape, stride
    if precision() == "fast" and winograd.pays((kh, kw), stride, (h, w), c, n) and max(padding) <= 2:
        return winograd.convolve(dy, weight, True, None, (2 - padding[0], 2 - padding[1]))
    if 2 * c <= LANES < kh * kw * c:
        return _grad_input_of_few_channels(dy, weight, x_shape, stride, padding)
    rows, columns = _classes(h, kh, sh, padding[0]), _classes(w, kw, sw, padding[1])
    dx = empty(x_shape)
    if len(rows) < min(sh, h) or len(columns) < min(sw, w):
        dx[:] = 0  # some pixels are under no kernel place
    for first_h, last_h, axis_h in rows:
        for first_w, last_w, axis_w in columns:
            counts, part = (axis_h.places, axis_w.places, n), weight.reshape(-1)[(last_h * kw + last_w) * c :]
            panels = pack(part, (-sh * kw * c, -sw * c, kh * kw * c), 1, counts, c)
            out = dx.reshape(-1)[(first_h * w + first_w) * c :]
            _correlate(dy, axis_h, axis_w, panels, out, (h * w * c, sh * w * c, sw * c), c)
    return dx


@task
def _gather(part, columns: Floats, H, run, KH, OH, OW, SH, PH, step, left, padded: Floats, row, dx: Floats):
    """One row of dx from the rows of columns (B, OH, OW, KH, run) that touch it; ``padded`` has room for each row."""
    b, h = part // H, part % H
    length = max((OW - 1) * step + run, left) + row
    line = at(padded, part * length)
    for i in range(length):
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
    length = max((ow - 1) * stride[1] + kw, padding[1]) * c + w * c
    weight, room = weight.reshape(n, -1), empty(some * h * length)
    for i in range(0, b, some):
        columns = matmul(dy[i : i + some].reshape(-1, n), weight)
        _gather.run(
            len(dy[i : i + some]) * h, columns, h, kw * c, kh, oh, ow, stride[0], padding[0], stride[1] * c,
            padding[1] * c, room, w * c, dx[i:],
        )  # fmt: skip
    return dx


_a_rows, _c_rows = stack(Ints, ROWS), stack(Ints, ROWS)


@task
def _grad_weight(
    part, a: Floats, a_image, a_row, a_column, a_step, a_width, rows, b: Floats, b_image, b_row, b_column, b_width,
    runs: Ints, columns, images, height, chunk_images, chunk_rows, out: Floats, partials, groups, start: Floats,
):  # fmt: skip
    """out[partial, r, n] = sum over its share of the pixels of a[pixel, r] b[pixel, n], for one group of columns.

    The columns come in ``runs`` of b_width numbers of b, each with its (place, first and last row, first and last
    column of pixels); the rows of A in runs of a_width that are a_step apart.
    """
    panels = -(-b_width // COLUMNS)
    first_unit, last_unit = share(part % groups, groups, columns // b_width * panels)
    per_image = -(-height // chunk_rows)
    first, last = share(part // groups, partials, -(-images // chunk_images) * per_image)
    c = at(out, part // groups * rows * columns)
    a_rows, c_rows = _a_rows(), _c_rows()
    for chunk in range(first, last):
        i, chunk_row = chunk // per_image * chunk_images, chunk % per_image * chunk_rows
        for unit in range(first_unit, last_unit):
            run, n = at(runs, unit // panels * 5), unit % panels * COLUMNS
            h, w = max(chunk_row, run[1]), run[3]
            counts = (min(chunk_images, images - i), min(chunk_row + chunk_rows, run[2]) - h, run[4] - w)
            a_start = at(a, i * a_image + h * a_row + w * a_column)
            b_start = at(b, i * b_image + h * b_row + w * b_column + run[0] + n)
            for r in range(0, rows, ROWS):
                for k in range(ROWS):
                    row = min(r + k, rows - 1)  # rows beyond the last compute the last once more
                    a_rows[k] = row // a_width * a_step + row % a_width
                    c_rows[k] = row * columns
                multiply_part(
                    a_start, a_rows, (a_image, a_row, a_column), b_start, (b_image, b_row, b_column), counts,
                    at(c, unit // panels * b_width + n), c_rows, start, np.int64(chunk > first), b_width - n,
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


def _seen(axis: Axis, size: int) -> list[tuple[int, int]]:
    """For each kernel place the outputs (first, last + 1) that see a pixel there, in an image of that size."""
    return [
        (
            max(0, -((axis.start + k) // axis.step)),
            max(0, min(axis.outputs, (size - 1 - axis.start - k) // axis.step + 1)),
        )
        for k in range(axis.places)
    ]


def conv2d_grad_weight(
    dy: np.ndarray, x: np.ndarray, w_shape: tuple[int, ...], stride: Pair, padding: Pair
) -> np.ndarray:
    """Small weights are summed in several parts of the pixels at once, large ones a few columns at a time."""
    (b, h, w, c), (n, kh, kw, _), (sh, sw), (_, oh, ow, _) = x.shape, w_shape, stride, dy.shape
    if precision() == "fast" and winograd.pays((kh, kw), stride, (oh, ow), c, n):
        return winograd.grad_weight(dy, x, padding)
    rows, columns = _seen(Axis(oh, -padding[0], sh, kh), h), _seen(Axis(ow, -padding[1], sw, kw), w)
    work = sum(i[1] - i[0] for i in rows) * sum(j[1] - j[0] for j in columns)
    if c % COLUMNS == 0 and work < CLIP * kh * kw * oh * ow:
        turned, width, top, left = False, c, *padding
        runs = [(((i - top) * w + j - left) * c, *rows[i], *columns[j]) for i in range(kh) for j in range(kw)]
    else:
        width = kw * c
        turned = _filled(kh * width, n) > _filled(n, width) * 1.2  # few channels: better to have N as columns
        slack = (n if turned else width) % COLUMNS > 0
        h, w = h + 2 * padding[0], w + 2 * padding[1]
        x = _padded(x, *padding, h, w, slack=slack and not turned)
        dy = _padded(dy, 0, 0, oh, ow, slack=slack and turned)
        runs = [(i * w * c, 0, oh, 0, ow) for i in range(1 if turned else kh)]
    of_x, of_dy = (x, h * w * c, sh * w * c, sw * c), (dy, oh * ow * n, ow * n, n)
    a_and_b = (*of_x, w * c, width, kh * width, *of_dy, n) if turned else (*of_dy, 0, n, n, *of_x, width)
    chunk_pixels = max(1, CHUNK // (4 * (sh * sw * c + n)))
    chunk_images, chunk_rows = max(1, chunk_pixels // (oh * ow)), min(oh, max(1, chunk_pixels // ow))
    chunks = -(-b // chunk_images) * -(-oh // chunk_rows)
    dw = empty(w_shape)
    size = n if turned else dw.size // n
    count = min(chunks, 16, max(1, PARTIALS // dw.size))
    groups = min(len(runs) * -(-a_and_b[-1] // COLUMNS), -(-TASKS // count))
    partials = empty((count, dw.size)) if count > 1 or turned else dw
    _grad_weight.run(
        count * groups, *a_and_b, np.array(runs), size, b, oh, chunk_images, chunk_rows, partials, count, groups,
        np.zeros(COLUMNS, np.float32),
    )  # fmt: skip
    if partials is not dw:
        _sum_partials.run(TASKS, partials, count, dw.size // size, size, turned, dw)
    return dw
