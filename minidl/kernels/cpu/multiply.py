"""Matrix products out of tiles, and B packed for them into panels.

A panel holds COLUMNS columns of B, one row after the other, so that the tile reads it from front to back. Columns
beyond the last hold anything: the tile does not look at them. Rows of A stay where they are.
"""

import functools

import numpy as np

from ..runtime.memory import empty
from ..runtime.tasks import at, helper, stack, task
from .tile import COLUMNS, ROWS, multiply
from .vector import LANES, turn_square

PIECE = 1 << 15  # floats of B that a task of a matrix product packs at a time
WIDE, NARROW = 256, 128  # of how many columns, where it reads B along its rows, and where along its columns
BLOCK = 16  # tiles of rows in a task


@helper
def pack_panel(b, step_k, step_n, rows, columns, panel):
    """panel[k * COLUMNS + n] = b[k * step_k + n * step_n] for the rows k and so many columns n <= COLUMNS."""
    squares = (rows // LANES * LANES, columns // LANES * LANES) if step_k == 1 else (0, 0)
    for k in range(0, squares[0], LANES):
        for n in range(0, squares[1], LANES):
            turn_square(at(b, k + n * step_n), step_n, at(panel, k * COLUMNS + n), COLUMNS)
    for k in range(rows):
        for n in range(squares[1] if k < squares[0] else 0, columns):
            panel[k * COLUMNS + n] = b[k * step_k + n * step_n]


@task
def _pack(start, stop, b, places, step_k, step_n, K, N, panels):
    for part in range(start, stop):
        place, n = part % len(places), part // len(places) * COLUMNS
        source = at(b, places[place] + n * step_n)
        pack_panel(source, step_k, step_n, K, min(COLUMNS, N - n), at(panels, part * K * COLUMNS))


def pack(b: np.ndarray, places: np.ndarray, step_k: int, step_n: int, K: int, N: int) -> np.ndarray:
    """panels[n // COLUMNS, i, k, n % COLUMNS] = b[places[i] + k step_k + n step_n] for k < K and n < N."""
    panels = empty((-(-N // COLUMNS), len(places), K, COLUMNS))
    _pack.run(panels.shape[0] * len(places), b, places, step_k, step_n, K, N, panels)
    return panels


@functools.cache
def zeros(size: int) -> np.ndarray:
    return np.zeros(size, np.float32)


_packed, _a_rows, _c_rows = stack(np.float32, PIECE), stack(np.int64, ROWS), stack(np.int64, ROWS)


@task
def _matmul(start, stop, blocks, a, a_steps, b, b_steps, depth, wide, c, zero):
    """Of each part one block of rows times ``wide`` columns, packed a piece at a time: still in the cache when used."""
    (rows, columns), packed, a_rows, c_rows = c.shape, _packed(), _a_rows(), _c_rows()
    for part in range(start, stop):
        n0, tile0 = part // blocks * wide, part % blocks * BLOCK
        width = min(wide, columns - n0)
        for k in range(0, depth, PIECE // wide):
            deep = min(PIECE // wide, depth - k)
            for n in range(0, width, COLUMNS):
                source = at(b, k * b_steps[0] + (n0 + n) * b_steps[1])
                pack_panel(source, b_steps[0], b_steps[1], deep, min(COLUMNS, width - n), at(packed, n * deep))
            for row in range(tile0 * ROWS, min(rows, (tile0 + BLOCK) * ROWS), ROWS):
                for i in range(ROWS):
                    a_rows[i] = min(row + i, rows - 1) * a_steps[0]  # beyond the last, the last once more
                    c_rows[i] = min(row + i, rows - 1) * columns
                for n in range(0, width, COLUMNS):
                    multiply(
                        at(a, k * a_steps[1]), a_rows, (a_steps[1],), at(packed, n * deep), (COLUMNS,), (deep,),
                        at(c, n0 + n), c_rows, at(zero, 0), k > 0, width - n,
                    )  # fmt: skip


def matmul(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """c = a @ b, for any strides."""
    (rows, depth), columns = a.shape, b.shape[1]
    a_steps, b_steps = (tuple(step // 4 for step in m.strides) for m in (a, b))
    wide = WIDE if b_steps[1] == 1 else NARROW
    c, blocks = empty((rows, columns)), -(-rows // (ROWS * BLOCK))
    first_a, first_b = a[0, :1], b[0, :1]  # their places alone: compiled once for all layouts
    _matmul.run(
        blocks * -(-columns // wide), blocks, first_a, a_steps, first_b, b_steps, depth, wide, c, zeros(COLUMNS)
    )
    return c
