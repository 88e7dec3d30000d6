"""Matrix products out of tiles: B packed into panels, A wherever its rows lie.

A panel holds COLUMNS columns of B, one row after the other, so that the tile reads it from front to back. Columns
beyond the last hold anything: the tile does not look at them.
"""

import functools
import itertools
from collections.abc import Iterable

import numpy as np

from ...backend import Array
from ..runtime.memory import empty
from ..runtime.tasks import at, task
from .tile import COLUMNS, ROWS, multiply
from .vector import LANES, copy_square, turn_square

Steps = tuple[int, ...]
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
    _pack.run(panels.shape[0] * len(places), b.reshape(-1), places, step_k, step_n, K, N, panels)
    return panels


def tables(groups: Iterable[tuple[Array, Array, tuple[int, ...]]]) -> tuple[Array, Array, Array]:
    """a_rows, c_rows and blocks of ``gather`` from groups of rows: where they start in A and in C, and their block.

    The last of a group is repeated as often as it takes to fill a tile, and is computed as often.
    """
    a_rows, c_rows, blocks = zip(*groups, strict=True)
    fill = lambda rows: np.concatenate([np.pad(r.ravel(), (0, -r.size % ROWS), mode="edge") for r in rows])  # noqa: E731
    return fill(a_rows), fill(c_rows), np.repeat(blocks, [-(-rows.size // ROWS) for rows in a_rows], axis=0)


@task
def _gather(start, stop, a, a_rows, a_steps, blocks, b, b_steps, panels, c, c_rows, N, bias, add):
    for part in range(start, stop):
        first, panel = part // panels * BLOCK, part % panels
        n = panel * COLUMNS
        for tile in range(first, min(first + BLOCK, len(blocks))):
            place, count0, count1, count2 = blocks[tile]
            counts, rows, b_place = (count0, count1, count2), tile * ROWS, place + panel * b_steps[0]
            if a_steps[2] == 1 and b_steps[3] == COLUMNS:  # as always, but for dw: a loop with constants is faster
                multiply(
                    at(a, 0), at(a_rows, rows), (a_steps[0], a_steps[1], 1), at(b, b_place),
                    (b_steps[1], b_steps[2], COLUMNS), counts, at(c, n), at(c_rows, rows), at(bias, n), add, N - n,
                )  # fmt: skip
            else:
                multiply(
                    at(a, 0), at(a_rows, rows), a_steps, at(b, b_place), b_steps[1:], counts, at(c, n),
                    at(c_rows, rows), at(bias, n), add, N - n,
                )  # fmt: skip


def gather(
    a: Array, a_steps: Steps, rows: tuple[Array, Array, Array], b: Array, b_steps: Steps, c: Array, N: int,
    bias: Array | None = None, add: bool = False,
) -> None:  # fmt: skip
    """For the rows r of some tables, and n < N, with three indices i below three counts:

    c[c_rows[r] + n] = bias[n] + sum over i of a[a_rows[r] + i . a_steps] * b[place + i . b_steps + n]

    or, if asked to add, what was there + ... The place and the counts are the block of ROWS rows. The first of b_steps
    leads from a panel of columns to the next, and is followed by the indices' three.
    """
    (a_rows, c_rows, blocks), panels = rows, -(-N // COLUMNS)
    bias = _zeros(N) if bias is None else bias
    parts, (a, b, c) = -(-len(blocks) // BLOCK) * panels, (m.reshape(-1) for m in (a, b, c))  # compiled once for all
    _gather.run(parts, a, a_rows, a_steps, blocks, b, b_steps, panels, c, c_rows, N, bias, add)


@functools.cache
def _zeros(size: int) -> Array:
    return np.zeros(size, np.float32)


def matmul(a: Array, b: Array) -> Array:
    """c = a @ b, for any strides, a piece of b after the other."""
    (rows, depth), columns = a.shape, b.shape[1]
    (a_row, a_k), (b_k, b_n) = (tuple(step // 4 for step in m.strides) for m in (a, b))
    c, row = empty((rows, columns)), np.arange(rows)
    for n, k in itertools.product(range(0, columns, WIDE), range(0, depth, DEEP)):
        wide, deep = min(WIDE, columns - n), min(DEEP, depth - k)
        first_a, first_b = a[0, k : k + 1], b[k, n : n + 1]  # all that a task needs, of any layout
        panels = pack(first_b, np.array([0]), b_k, b_n, deep, wide)
        block = tables([(row * a_row, row * columns, (0, 1, 1, deep))])
        gather(first_a, (0, 0, a_k), block, panels, (deep * COLUMNS, 0, 0, COLUMNS), c[0, n:], wide, add=k > 0)
    return c
