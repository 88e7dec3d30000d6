"""Matrix products out of tiles, and B packed for them into panels.

A panel holds COLUMNS columns of B, one row after the other, so that the tile reads it from front to back. Columns
beyond the last hold anything: the tile does not look at them. Rows of A stay where they are.
"""

import functools

import numpy as np

from .memory import empty
from .parallel import Floats, Ints, at, helper, share, stack, task
from .tile import COLUMNS, ROWS, multiply
from .vector import LANES, copy_square

PACKED = 64  # rows of a panel that one task packs
PIECE = 1 << 15  # floats of B that a task of a matrix product packs at a time
WIDE, NARROW = 256, 128  # of how many columns, where it reads B along its rows, and where along its columns
BLOCKS = 16  # tiles of rows in a task


@helper
def pack_panel(source, step_k, step_n, rows, columns, panel):
    """panel[k * COLUMNS + n] = source[k * step_k + n * step_n] for the rows k and so many columns n <= COLUMNS."""
    squares = (rows // LANES * LANES, columns // LANES * LANES) if step_n == 1 or step_k == 1 else (0, 0)
    row = step_k if step_n == 1 else step_n
    for k in range(0, squares[0], LANES):
        for n in range(0, squares[1], LANES):
            target = at(panel, k * COLUMNS + n)
            copy_square(at(source, k * step_k + n * step_n), row, target, COLUMNS, np.int64(step_n != 1))
    for k in range(rows):
        for n in range(squares[1] if k < squares[0] else 0, columns):
            panel[k * COLUMNS + n] = source[k * step_k + n * step_n]


@task
def _pack(part, b: Floats, step_i, step_k, step_n, count_i, count_k, columns, panels: Floats):
    pieces = -(-count_k // PACKED)
    first, i, panel = part % pieces * PACKED, part // pieces % count_i, part // pieces // count_i
    out = at(panels, ((panel * count_i + i) * count_k + first) * COLUMNS)
    source, n = at(b, i * step_i + first * step_k), panel * COLUMNS
    pack_panel(at(source, n * step_n), step_k, step_n, min(PACKED, count_k - first), min(COLUMNS, columns - n), out)


def pack(b: np.ndarray, steps: tuple[int, int, int], counts: tuple[int, int, int]) -> np.ndarray:
    """panels[panel, i, k, lane] = b[(i, k, n) . steps], where n = panel * COLUMNS + lane, for i, k, n below counts."""
    count = -(-counts[2] // COLUMNS)
    panels = empty(count * counts[0] * counts[1] * COLUMNS)
    _pack.run(count * counts[0] * -(-counts[1] // PACKED), b, *steps, *counts, panels)
    return panels


@functools.cache
def zeros(size: int) -> np.ndarray:
    return np.zeros(size, np.float32)


_packed, _a_rows, _c_rows = stack(Floats, PIECE), stack(Ints, ROWS), stack(Ints, ROWS)


@task
def _matmul(
    part, blocks, a: Floats, a_i, a_k, b: Floats, b_k, b_j, rows, depth, columns, wide, c: Floats, start: Floats
):  # fmt: skip
    """One block of rows times ``wide`` columns, which are packed a piece at a time: still in the cache when used."""
    first_tile, last_tile = share(part % blocks, blocks, -(-rows // ROWS))
    n0, packed, a_rows, c_rows = part // blocks * wide, _packed(), _a_rows(), _c_rows()
    width = min(wide, columns - n0)
    for k in range(0, depth, PIECE // wide):
        deep = min(PIECE // wide, depth - k)
        for n in range(0, width, COLUMNS):
            pack_panel(at(b, k * b_k + (n0 + n) * b_j), b_k, b_j, deep, min(COLUMNS, width - n), at(packed, n * deep))
        for tile in range(first_tile, last_tile):
            for i in range(ROWS):
                row = min(tile * ROWS + i, rows - 1)  # rows beyond the last compute the last once more
                a_rows[i], c_rows[i] = row * a_i, row * columns
            for n in range(0, width, COLUMNS):
                multiply(
                    at(a, k * a_k), a_rows, (0, 0, a_k), at(packed, n * deep), (0, 0, COLUMNS), (1, 1, deep),
                    at(c, n0 + n), c_rows, start, np.int64(k > 0), width - n,
                )  # fmt: skip


def matmul(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """c = a @ b, for any strides."""
    (rows, depth), columns = a.shape, b.shape[1]
    steps = [step // 4 for m in (a, b) for step in m.strides]
    wide = WIDE if steps[3] == 1 else NARROW
    c, tiles, groups = empty((rows, columns)), -(-rows // ROWS), -(-columns // wide)
    blocks = min(tiles, max(-(-tiles // BLOCKS), -(-8 // groups)))
    _matmul.run(blocks * groups, blocks, a, *steps[:2], b, *steps[2:], rows, depth, columns, wide, c, zeros(COLUMNS))
    return c
