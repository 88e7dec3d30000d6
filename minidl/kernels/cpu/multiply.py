"""Matrix products out of packed pieces, which each task copies for itself and uses while its cache holds them.

A panel holds COLUMNS columns of B, one row after the other, and a tile ROWS rows of A, one column after the other, so
that both are read from front to back. Columns beyond the last hold anything: nobody looks at them.
"""

import math

import numpy as np

from ...backend import Array
from ..cpu_runtime.memory import empty, zeros
from ..cpu_runtime.tasks import at, helper, share, stack, task
from ..cpu_runtime.vector import LANES, copy_between, copy_row, copy_square, turn_square
from ..shapes import Pair
from .tile import COLUMNS, ROWS, multiply

PARTS = 16  # into which a product is cut, where it can be
# What a task of ``matmul`` packs for itself stays in its core's second cache: so much of A, and of B
MOST, WIDE, DEEP = 24, 512, 192  # tiles of rows, columns, and how many of the numbers that are summed
SMALL, FEWEST = 16, 32  # pixels of a result at most, and images at least, whose edges are worth an order of their own
ROOM = MOST * (DEEP * ROWS + LANES) + WIDE * DEEP


@helper
def _pack_panel(b, step_k, step_n, K, columns, panel):
    """panel[k * COLUMNS + n] = b[k step_k + n step_n] for k < K and n < columns, a square at a time where that goes."""
    squares = (K // LANES * LANES, columns // LANES * LANES) if step_k == 1 or step_n == 1 else (0, 0)
    for k in range(0, squares[0], LANES):
        for n in range(0, squares[1], LANES):
            if step_n == 1:
                copy_square(at(b, k * step_k + n), step_k, at(panel, k * COLUMNS + n), COLUMNS)
            else:
                turn_square(at(b, k + n * step_n), step_n, at(panel, k * COLUMNS + n), COLUMNS)
    for k in range(K):
        for n in range(squares[1] if k < squares[0] else 0, columns):
            panel[k * COLUMNS + n] = b[k * step_k + n * step_n]


@task
def _pack(start, stop, b, places, step_k, step_n, K, N, panels):
    for part in range(start, stop):
        n = part // len(places) * COLUMNS
        source = at(b, places[part % len(places)] + n * step_n)
        _pack_panel(source, step_k, step_n, K, min(COLUMNS, N - n), at(panels, part * K * COLUMNS))


def pack(b: Array, places: Array, step_k: int, step_n: int, K: int, N: int) -> Array:
    """panels[n // COLUMNS, i, k, n % COLUMNS] = b[places[i] + k step_k + n step_n] for k < K and n < N."""
    panels = empty((-(-N // COLUMNS), len(places), K, COLUMNS))
    _pack.run(panels.shape[0] * len(places), b.reshape(-1), places, step_k, step_n, K, N, panels)
    return panels


_rows = stack(np.int64, LANES)


@helper
def _pack_rows(a, step, step_k, first, last, rows, K, packed, plane):
    """packed[tile * plane + k * ROWS + r] = a[row r of a tile, k] for the tiles from the first on, and k < K.

    A square at a time where that goes: what is beyond ROWS of it, the next one overwrites. Rows beyond the last are the
    last once more.
    """
    places = _rows()
    for tile in range(first, last):
        out = at(packed, (tile - first) * plane)
        for i in range(LANES):
            places[i] = min(tile * ROWS + i, rows - 1) * step
        along_k, along_rows = step_k == 1, step == 1 and tile * ROWS + LANES <= rows
        whole = K // LANES * LANES if along_k or along_rows else 0
        for k in range(0, whole, LANES):
            if along_k:
                turn_square(at(a, k), places, at(out, k * ROWS), ROWS)
            else:
                copy_square(at(a, k * step_k + places[0]), step_k, at(out, k * ROWS), ROWS)
        for k in range(whole, K):
            for r in range(ROWS):
                out[k * ROWS + r] = a[places[r] + k * step_k]


@helper
def _before(distance, step, count):
    """How many of ``count`` numbers 0, step, 2 step, ... lie before a distance."""
    if distance <= 0:
        return 0
    return min(count, -(-distance // step)) if step > 0 else count


@helper
def _copy_rows(x, step, first, last, count, panel):
    """panel[k * COLUMNS + n] = x[k * step + n] for first <= n < last and k < count."""
    if first == 0 and last == COLUMNS:  # as nearly always, with many channels
        for k in range(count):
            copy_row(at(x, k * step), at(panel, k * COLUMNS))
    else:
        for k in range(count):
            copy_between(at(x, k * step), first, last, at(panel, k * COLUMNS), first, last)


@helper
def _pack_windows(x, windows, k0, K, n0, columns, panel):
    """panel[k * COLUMNS + n] = number n0 + n of window k0 + k of x, for k < K and n < columns; 0 in the padding.

    Whether any of them lies within the images.
    """
    B, H, W, C, OH, OW, _, KW, SH, SW, PH, PW, by_place = windows
    k, wide, seen = 0, KW * C, False
    while k < K:
        if by_place:  # all images at a place
            place, b = divmod(k0 + k, B)
            oh, ow, count, across, step = place // OW, place % OW, min(B - b, K - k), 0, H * W * C
        else:  # a row of pixels of an image
            row, ow = divmod(k0 + k, OW)
            b, oh, count, across, step = row // OH, row % OH, min(OW - ow, K - k), SW, SW * C
        for i in range(n0 // wide, (n0 + columns - 1) // wide + 1):
            h, w, begin = oh * SH - PH + i, ow * SW - PW, i * wide - n0
            first, last = max(0, begin), min(columns, begin + wide)
            source, to = at(x, ((b * H + h) * W + w) * C - begin), at(panel, k * COLUMNS)
            # each window lies ``across`` pixels from the last; the panel's part of it begins left of the image before
            # number ``start``, and ends right of it from ``stop`` on: those between lie whole within the image
            start = _before(-w - (first - begin) // C, across, count)
            stop = _before(W - w - (last - 1 - begin) // C, across, count) if 0 <= h < H else 0
            _copy_rows(at(source, start * step), step, first, last, stop - start, at(to, start * COLUMNS))
            seen = seen or start < stop
            for o in range(count):
                if start <= o < stop:
                    continue
                left = max(first, begin + max(0, -w - o * across) * C)
                end = min(last, begin + min(KW, W - w - o * across) * C) if 0 <= h < H else 0
                copy_between(at(source, o * step), left, end, at(to, o * COLUMNS), first, last)
                seen = seen or left < end
        k += count
    return seen


_depths = stack(np.int64, WIDE // COLUMNS)


@helper
def _pack_columns(b, b_k, b_n, windows, k0, deep, n0, width, of_b, depths):
    """All panels of a piece of B, and how deep each is: not at all where it is padding alone.

    Of a matrix that lies row by row, LANES rows at a time are packed from end to end: memory likes long runs.
    """
    for n in range(0, width, COLUMNS):
        depths[n // COLUMNS] = deep
        if windows is not None:
            seen = _pack_windows(at(b, 0), windows, k0, deep, n0 + n, min(COLUMNS, width - n), at(of_b, n * deep))
            depths[n // COLUMNS] = deep if seen else 0
    some = LANES if b_n == 1 else deep
    for k in range(0, deep if windows is None else 0, some):
        for n in range(0, width, COLUMNS):
            source, to = at(b, (k0 + k) * b_k + (n0 + n) * b_n), at(of_b, n * deep + k * COLUMNS)
            _pack_panel(source, b_k, b_n, min(some, deep - k), min(COLUMNS, width - n), to)


@task(room=ROOM)
def _product(start, stop, room, a, a_row, a_k, b, b_k, b_n, windows, rows, depth, columns, shares, wide, c, zero):
    """A block of rows times ``wide`` columns in each part, over a share of the depth: a packed piece after the other.

    With a_k = (run, most, far, near), number k of the sum lies k // run times far and k % run times near from the
    first; a piece has ``most`` of them, and none of two runs.
    """
    of_b, of_a, c_rows, depths = at(room, 0), at(room, WIDE * DEEP), _rows(), _depths()
    (blocks, groups, partials), (run, most, far, near) = shares, a_k
    for part in range(start, stop):
        (first, last), n0 = share(part % blocks, blocks, -(-rows // ROWS)), part // blocks % groups * wide
        (begin, end), width = share(part // (blocks * groups), partials, depth), min(wide, columns - n0)
        sums, k0 = at(c, part // (blocks * groups) * rows * columns + n0), begin
        while k0 < end:
            deep = min(most, end - k0, run - k0 % run)
            plane, some = deep * ROWS + LANES, LANES if a_row == 1 else deep
            for k in range(0, deep, some):
                source, to = at(a, k0 // run * far + (k0 % run + k) * near), at(of_a, k * ROWS)
                _pack_rows(source, a_row, near, first, last, rows, min(some, deep - k), to, plane)
            _pack_columns(b, b_k, b_n, windows, k0, deep, n0, width, of_b, depths)
            for n in range(0, width, COLUMNS):
                if depths[n // COLUMNS] == 0 and k0 > begin:  # the first piece sets the sums to zero
                    continue
                for tile in range(first, last):
                    for i in range(ROWS):  # rows beyond the last compute the last once more
                        c_rows[i] = min(tile * ROWS + i, rows - 1) * columns
                    multiply(
                        at(of_a, (tile - first) * plane), 1, (ROWS,), at(of_b, n * deep), (COLUMNS,),
                        (depths[n // COLUMNS],), at(sums, n), c_rows, at(zero, 0), k0 > begin, width - n,
                    )  # fmt: skip
            k0 += deep


def _multiplied(
    a: Array, a_row: int, a_k: tuple[int, int, int], shape: tuple[int, int, int], b: Array, b_steps: Pair,
    windows: tuple[int, ...] | None,
) -> Array:  # fmt: skip
    """C of a shape (rows, depth that is summed over, columns); a_k: run, far and near, as ``_product`` has them."""
    (rows, depth, columns), (run, far, near) = shape, a_k
    blocks, groups = -(-rows // (MOST * ROWS)), -(-columns // WIDE)
    partials = min(-(-PARTS // (blocks * groups)), max(1, depth // (4 * DEEP)))
    groups = max(groups, min(-(-PARTS // (blocks * partials)), columns // (2 * COLUMNS)))
    wide = -(-columns // (groups * COLUMNS)) * COLUMNS
    c, shares = empty((partials, rows, columns)), (blocks, -(-columns // wide), partials)
    most = -(-run // max(1, -(-run // DEEP)))  # pieces of a run are as good as equal
    _product.run(
        math.prod(shares), a, a_row, (run, most, far, near), b, *b_steps, windows, rows, depth, columns, shares, wide,
        c, zeros(COLUMNS),
    )  # fmt: skip
    return c.sum(axis=0) if partials > 1 else c[0]


def matmul(a: Array, b: Array) -> Array:
    """c = a @ b, for any strides."""
    (a_row, a_k), b_steps = ((matrix.strides[0] // 4, matrix.strides[1] // 4) for matrix in (a, b))
    shape, firsts = (*a.shape, b.shape[1]), (a[0, :1], b[0, :1])  # all that a task needs, of any layout
    return _multiplied(firsts[0], a_row, (a.shape[1], 0, a_k), shape, firsts[1], b_steps, None)


def matmul_windows(dy: Array, x: Array, kernel: Pair, stride: Pair, padding: Pair) -> Array:
    """The product of dy's transpose, (N, B * OH * OW), with the windows of x, (B * OH * OW, KH * KW * C).

    Nobody writes the windows out. They come image by image; but where results are few pixels of many images, and there
    is padding, place by place, that of all images: what a panel sees from there is then padding alone, or none of it.
    """
    (batch, oh, ow, n), places = dy.shape, dy.shape[1] * dy.shape[2]
    by_place = places <= SMALL and max(padding) > 0 and batch >= FEWEST
    a_k = (batch, n, places * n) if by_place else (batch * places, 0, n)
    windows = (*x.shape, oh, ow, *kernel, *stride, *padding, by_place)
    shape = (n, batch * places, math.prod(kernel) * x.shape[3])
    return _multiplied(dy.reshape(-1), 1, a_k, shape, x.reshape(-1), (0, 0), windows)
