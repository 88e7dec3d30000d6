"""Matrix products out of tiles: B packed into panels, A wherever its rows lie.

A panel holds COLUMNS columns of B, one row after the other, so that the tile reads it from front to back. Columns
beyond the last hold anything: the tile does not look at them.
"""

import functools
import itertools

import numpy as np

from ...backend import Array
from ..runtime.memory import empty
from ..runtime.tasks import at, task
from .tile import COLUMNS, ROWS, multiply
from .vector import LANES, copy_square, turn_square

BLOCK = 8  # tiles of rows that are multiplied with a panel while that is in the cache
DEEP, WIDE = 1 << 10, 1 << 10  # rows and columns of a matrix that are packed at a time, and then still in some cache


@task
def _pack(start, stop, b, places, step_k, step_n, K, N, panels):
    for part in range(start, stop):
        panel, n0 = at(panels, part * K * COLUMNS), part // len(places) * COLUMNS
        source, columns = at(b, places[part % len(places)] + n0 * step_n), min(COLUMNS, N - n0)
        squares = (K // LANES * LANES, columns // LANES * LANES) if step_k == 1 or step_n == 1 else (0, 0)
        for k in range(0, squares[0], LANES):
            for n in range(0, squares[1], LANES):
                if step_n == 1:
                    copy_square(at(source, k * step_k + n), step_k, at(panel, k * COLUMNS + n), COLUMNS)
                else:
                    turn_square(at(source, k + n * step_n), step_n, at(panel, k * COLUMNS + n), COLUMNS)
        for k in range(K):
            for n in range(squares[1] if k < squares[0] else 0, columns):
                panel[k * COLUMNS + n] = source[k * step_k + n * step_n]


def pack(b: Array, places: Array, step_k: int, step_n: int, K: int, N: int) -> Array:
    """panels[n // COLUMNS, i, k, n % COLUMNS] = b[places[i] + k step_k + n step_n] for k < K and n < N."""
    panels = empty((-(-N // COLUMNS), len(places), K, COLUMNS))
    _pack.run(panels.shape[0] * len(places), b, places, step_k, step_n, K, N, panels)
    return panels


def whole_tiles(rows: Array) -> Array:
    """The last row as often as it takes to fill a tile: it is computed again."""
    return np.pad(rows.ravel(), (0, -rows.size % ROWS), mode="edge")


@functools.cache
def zeros(size: int) -> Array:
    return np.zeros(size, np.float32)


@task
def gather(start, stop, a, a_rows, a_steps, blocks, panels, b_step, c, c_rows, N, bias, add):
    """Of each part a block of rows times a panel.

    c[c_rows[r] + n] = bias[n] + sum over i < high, k < deep of a[a_rows[r] + (i, k) . a_steps] * B[i * b_step + k, n]

    where B starts at a row of the panel, which ``blocks`` gives, with high and deep, for the ROWS rows of each tile.
    """
    count, size = len(panels), panels.shape[1] * panels.shape[2]
    for part in range(start, stop):
        first, panel = part // count * BLOCK, part % count
        n = panel * COLUMNS
        for tile in range(first, min(first + BLOCK, len(blocks))):
            row, high, deep = blocks[tile]
            b = at(panels, (panel * size + row) * COLUMNS)
            multiply(
                at(a, 0), at(a_rows, tile * ROWS), a_steps, b, (b_step * COLUMNS, COLUMNS), (high, deep),
                at(c, n), at(c_rows, tile * ROWS), at(bias, n), add, N - n,
            )  # fmt: skip


def matmul(a: Array, b: Array) -> Array:
    """c = a @ b, for any strides, a piece of b after the other."""
    (rows, depth), columns = a.shape, b.shape[1]
    (a_row, a_k), (b_k, b_n) = (tuple(step // 4 for step in m.strides) for m in (a, b))
    c, (a_rows, c_rows) = empty((rows, columns)), (whole_tiles(np.arange(rows) * step) for step in (a_row, columns))
    for n, k in itertools.product(range(0, columns, WIDE), range(0, depth, DEEP)):
        wide, deep = min(WIDE, columns - n), min(DEEP, depth - k)
        panels = pack(
            b[k, n : n + 1], np.array([0]), b_k, b_n, deep, wide
        )  # given the first number, of whatever layout
        blocks = np.full((len(a_rows) // ROWS, 3), (0, 1, deep))
        gather.run(
            -(-len(blocks) // BLOCK) * len(panels), a[0, k : k + 1], a_rows, (0, a_k), blocks, panels, 0, c[0, n:],
            c_rows, wide, zeros(wide), k > 0,
        )  # fmt: skip
    return c
