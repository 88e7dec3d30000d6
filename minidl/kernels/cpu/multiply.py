"""Matrix products out of tiles: B packed into panels, A wherever its rows lie.

A panel holds COLUMNS columns of B, one row after the other, so that the tile reads it from front to back. Columns
beyond the last hold anything: the tile does not look at them.
"""

import functools
from collections.abc import Iterable

import numpy as np

from ...backend import Array
from ..cpu_runtime.memory import empty
from ..cpu_runtime.tasks import at, helper, share, stack, task
from ..cpu_runtime.vector import LANES, copy_square, turn_square
from .tile import COLUMNS, ROWS, multiply

Steps = tuple[int, ...]
BLOCK = 8  # tiles of rows that are multiplied with a panel while that is in the cache
PIECE = 1 << 15  # floats of a matrix that a task packs for itself: they stay in its core's second cache
WIDE, NARROW = 256, 128  # columns of these, where it reads the matrix along its rows, and where along its columns


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


def tables(groups: Iterable[tuple[Array, Array, tuple[int, ...]]]) -> tuple[Array, Array, Array]:
    """a_rows, c_rows and blocks of ``gather`` from groups of rows: where they start in A and in C, and their block.

    The last of a group is repeated as often as it takes to fill a tile, and is computed as often.
    """
    a_rows, c_rows, blocks = zip(*groups, strict=True)

    def fill(rows: Iterable[Array]) -> Array:
        return np.concatenate([np.pad(r.ravel(), (0, -r.size % ROWS), mode="edge") for r in rows])

    return fill(a_rows), fill(c_rows), np.repeat(blocks, [-(-rows.size // ROWS) for rows in a_rows], axis=0)


@task
def _gather(start, stop, a, a_rows, a_steps, blocks, b, b_steps, panels, c, c_rows, N, bias):
    for part in range(start, stop):
        first, panel = part // panels * BLOCK, part % panels
        n = panel * COLUMNS
        for tile in range(first, min(first + BLOCK, len(blocks))):
            place, count0, count1, count2 = blocks[tile]
            counts, rows, b_place = (count0, count1, count2), tile * ROWS, place + panel * b_steps[0]
            if a_steps[2] == 1 and b_steps[3] == COLUMNS:  # as always, but for dw: a loop with constants is faster
                multiply(
                    at(a, 0), at(a_rows, rows), (a_steps[0], a_steps[1], 1), at(b, b_place),
                    (b_steps[1], b_steps[2], COLUMNS), counts, at(c, n), at(c_rows, rows), at(bias, n), False, N - n,
                )  # fmt: skip
            else:
                multiply(
                    at(a, 0), at(a_rows, rows), a_steps, at(b, b_place), b_steps[1:], counts, at(c, n),
                    at(c_rows, rows), at(bias, n), False, N - n,
                )  # fmt: skip


def gather(
    a: Array, a_steps: Steps, rows: tuple[Array, Array, Array], b: Array, b_steps: Steps, c: Array, N: int,
    bias: Array | None = None,
) -> None:  # fmt: skip
    """For the rows r of some tables, and n < N, with three indices i below three counts:

    c[c_rows[r] + n] = bias[n] + sum over i of a[a_rows[r] + i . a_steps] * b[place + i . b_steps + n]

    The place and the counts are the block of ROWS rows. The first of b_steps leads from a panel of columns to the next,
    and is followed by the indices' three.
    """
    (a_rows, c_rows, blocks), panels = rows, -(-N // COLUMNS)
    bias = _zeros(N) if bias is None else bias
    parts, (a, b, c) = -(-len(blocks) // BLOCK) * panels, (m.reshape(-1) for m in (a, b, c))  # compiled once for all
    _gather.run(parts, a, a_rows, a_steps, blocks, b, b_steps, panels, c, c_rows, N, bias)


@functools.cache
def _zeros(size: int) -> Array:
    return np.zeros(size, np.float32)


_rows = stack(np.int64, ROWS)


@task(room=PIECE)
def _matmul(start, stop, room, a, a_row, a_k, b, b_k, b_n, rows, depth, columns, blocks, wide, c, zero):
    """A block of rows times ``wide`` columns in each part, a packed piece of b after the other."""
    packed, a_rows, c_rows = at(room, 0), _rows(), _rows()
    for part in range(start, stop):
        (first, last), n0 = share(part % blocks, blocks, -(-rows // ROWS)), part // blocks * wide
        width = min(wide, columns - n0)
        for k in range(0, depth, PIECE // wide):
            deep = min(PIECE // wide, depth - k)
            for n in range(0, width, COLUMNS):
                source = at(b, k * b_k + (n0 + n) * b_n)
                _pack_panel(source, b_k, b_n, deep, min(COLUMNS, width - n), at(packed, n * deep))
            for tile in range(first, last):
                for i in range(ROWS):
                    row = min(tile * ROWS + i, rows - 1)  # rows beyond the last compute the last once more
                    a_rows[i], c_rows[i] = row * a_row, row * columns
                for n in range(0, width, COLUMNS):
                    multiply(
                        at(a, k * a_k), a_rows, (a_k,), at(packed, n * deep), (COLUMNS,), (deep,), at(c, n0 + n),
                        c_rows, at(zero, 0), k > 0, width - n,
                    )  # fmt: skip


def matmul(a: Array, b: Array) -> Array:
    """c = a @ b, for any strides."""
    (rows, depth), columns = a.shape, b.shape[1]
    (a_row, a_k), (b_k, b_n) = (tuple(step // 4 for step in m.strides) for m in (a, b))
    c, wide = empty((rows, columns)), WIDE if b_n == 1 else NARROW
    tiles, groups = -(-rows // ROWS), -(-columns // wide)
    blocks = min(tiles, max(-(-tiles // (2 * BLOCK)), -(-8 // groups)))
    sizes, first = (rows, depth, columns, blocks, wide), (a[0, :1], b[0, :1])  # all that a task needs, of any layout
    _matmul.run(blocks * groups, first[0], a_row, a_k, first[1], b_k, b_n, *sizes, c, _zeros(COLUMNS))
    return c
