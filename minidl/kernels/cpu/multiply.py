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
def _pack_windows(x, windows, k0, K, n0, columns, panel):
    """panel[k * COLUMNS + n] = number n0 + n of window k0 + k of x, for k < K and n < columns; 0 in the padding."""
    H, W, C, OH, OW, _, KW, SH, SW, PH, PW = windows
    k, wide = 0, KW * C
    while k < K:
        pixel_row, ow = divmod(k0 + k, OW)
        b, oh = divmod(pixel_row, OH)
        count = min(OW - ow, K - k)  # windows of one row of pixels
        for i in range(n0 // wide, (n0 + columns - 1) // wide + 1):
            h, begin = oh * SH - PH + i, i * wide - n0
            first, last = max(0, begin), min(columns, begin + wide)
            for o in range(count):
                w = (ow + o) * SW - PW
                source, to = at(x, ((b * H + h) * W + w) * C - begin), at(panel, (k + o) * COLUMNS)
                left, right = begin + max(0, -w) * C, begin + min(KW, W - w) * C if 0 <= h < H else 0
                if first == 0 and left <= 0 and right >= COLUMNS == last:  # as nearly always, with many channels
                    copy_row(source, to)
                else:
                    copy_between(source, max(left, first), min(right, last), to, first, last)
        k += count


@task(room=ROOM)
def _product(start, stop, room, a, a_row, a_k, b, b_k, b_n, windows, rows, depth, columns, shares, wide, c, zero):
    """A block of rows times ``wide`` columns in each part, over a share of the depth: a packed piece after the other.

    Of a matrix that lies row by row, LANES rows at a time are packed from end to end: memory likes long runs.
    """
    of_b, of_a, c_rows = at(room, 0), at(room, WIDE * DEEP), _rows()
    blocks, groups, partials = shares
    for part in range(start, stop):
        (first, last), n0 = share(part % blocks, blocks, -(-rows // ROWS)), part // blocks % groups * wide
        (begin, end), width = share(part // (blocks * groups), partials, depth), min(wide, columns - n0)
        sums = at(c, part // (blocks * groups) * rows * columns + n0)
        for k0 in range(begin, end, DEEP):
            deep = min(DEEP, end - k0)
            plane, some = deep * ROWS + LANES, LANES if a_row == 1 else deep
            for k in range(0, deep, some):
                source, to = at(a, (k0 + k) * a_k), at(of_a, k * ROWS)
                _pack_rows(source, a_row, a_k, first, last, rows, min(some, deep - k), to, plane)
            some = LANES if b_n == 1 else deep
            for k in range(0, deep, some):
                for n in range(0, width, COLUMNS):
                    to, exist = at(of_b, n * deep + k * COLUMNS), min(COLUMNS, width - n)
                    if windows is None:
                        source = at(b, (k0 + k) * b_k + (n0 + n) * b_n)
                        _pack_panel(source, b_k, b_n, min(some, deep - k), exist, to)
                    else:
                        _pack_windows(at(b, 0), windows, k0 + k, min(some, deep - k), n0 + n, exist, to)
            for n in range(0, width, COLUMNS):
                for tile in range(first, last):
                    for i in range(ROWS):  # rows beyond the last compute the last once more
                        c_rows[i] = min(tile * ROWS + i, rows - 1) * columns
                    multiply(
                        at(of_a, (tile - first) * plane), 1, (ROWS,), at(of_b, n * deep), (COLUMNS,), (deep,),
                        at(sums, n), c_rows, at(zero, 0), k0 > begin, width - n,
                    )  # fmt: skip


def _multiplied(a: Array, b: Array, columns: int, windows: tuple[int, ...] | None) -> Array:
    (rows, depth), (a_row, a_k) = a.shape, (step // 4 for step in a.strides)
    b_k, b_n = (0, 0) if windows else (step // 4 for step in b.strides)
    blocks, groups = -(-rows // (MOST * ROWS)), -(-columns // WIDE)
    partials = min(-(-PARTS // (blocks * groups)), max(1, depth // (4 * DEEP)))
    groups = max(groups, min(-(-PARTS // (blocks * partials)), columns // (2 * COLUMNS)))
    wide = -(-columns // (groups * COLUMNS)) * COLUMNS
    c, shares = empty((partials, rows, columns)), (blocks, -(-columns // wide), partials)
    first = a[0, :1], b.reshape(-1)[:1] if windows else b[0, :1]  # all that a task needs, of any layout
    _product.run(
        math.prod(shares), first[0], a_row, a_k, first[1], b_k, b_n, windows, rows, depth, columns, shares, wide, c,
        zeros(COLUMNS),
    )  # fmt: skip
    return c.sum(axis=0) if partials > 1 else c[0]


def matmul(a: Array, b: Array) -> Array:
    """c = a @ b, for any strides."""
    return _multiplied(a, b, b.shape[1], None)


def matmul_windows(a: Array, x: Array, kernel: Pair, stride: Pair, padding: Pair, out: Pair) -> Array:
    """c = a @ B, where row k of B is window k of images x, KH * KW * C numbers: nobody writes B out."""
    windows = (*x.shape[1:], *out, *kernel, *stride, *padding)
    return _multiplied(a, x, math.prod(kernel) * x.shape[3], windows)
