"""Whole products out of tiles: pack B into panels, then run over the rows of C.

A panel holds COLUMNS columns of B, one row after the other, so that the tile reads it from front to back; columns
beyond the last are zero. Rows of A stay where they are. Rows of C are pixels: of images, or, for a plain matrix, of
images of one pixel.
"""

import numpy as np

from ..shapes import Pair
from .memory import empty
from .parallel import Floats, Ints, at, helper, share, stack, task
from .tile import COLUMNS, ROWS, multiply_tile

Three = tuple[int, int, int]
BLOCK = 8  # tiles of rows that one task multiplies with a panel while that is in the cache
PACKED = 64  # rows of B that one task packs
PIECE = 1 << 15  # floats of B that one task of a matrix product packs at a time
WIDE, NARROW = 256, 128  # of how many columns, where it reads B along its rows, and where along its columns
TASKS = 32  # enough to keep many cores busy
CACHED = 1 << 16  # floats of B that stay in the cache while rows of A pass by


@helper
def _pack_rows(source, step_k, step_n, first, last, columns, out, panel):
    """out[n0 / COLUMNS * panel + k * COLUMNS + lane] = source[k * step_k + (n0 + lane) * step_n]; 0 beyond columns."""
    whole = columns // COLUMNS * COLUMNS if step_n == 1 else 0  # read along n as far as panels are full, then along k
    for k in range(first, last):
        for n0 in range(0, whole, COLUMNS):
            for lane in range(COLUMNS):
                out[n0 // COLUMNS * panel + k * COLUMNS + lane] = source[k * step_k + n0 + lane]
    for n0 in range(whole, columns, COLUMNS):
        target, valid = at(out, n0 // COLUMNS * panel), min(COLUMNS, columns - n0)
        for lane in range(valid):
            for k in range(first, last):
                target[k * COLUMNS + lane] = source[k * step_k + (n0 + lane) * step_n]
        for lane in range(valid, COLUMNS):
            for k in range(first, last):
                target[k * COLUMNS + lane] = 0


@task
def _pack(part, b: Floats, step_i, step_j, step_k, step_n, count_i, count_j, count_k, columns, panels: Floats):
    """panels[panel, i, j, k, lane] = b[(i, j, k) . steps + n * step_n] for n = panel * COLUMNS + lane, or 0."""
    blocks = -(-count_k // PACKED)
    ij, first = part // blocks, part % blocks * PACKED
    source, out = at(b, ij // count_j * step_i + ij % count_j * step_j), at(panels, ij * count_k * COLUMNS)
    panel = count_i * count_j * count_k * COLUMNS
    _pack_rows(source, step_k, step_n, first, min(first + PACKED, count_k), columns, out, panel)


def pack(b: np.ndarray, steps: Three, step_n: int, counts: Three, columns: int) -> np.ndarray:
    """The panels of a matrix B whose row (i, j, k) and column n lie at b[(i, j, k) . steps + n * step_n]."""
    depth = counts[0] * counts[1] * counts[2]
    panels = empty(-(-columns // COLUMNS) * depth * COLUMNS)
    parts = counts[0] * counts[1] * -(-counts[2] // PACKED)
    _pack.run(parts, b, *steps, step_n, *counts, columns, panels)
    return panels


@helper
def place(pixel, height, width, image, row, column):
    """Where a pixel lies, counted through images of height x width pixels, given the step of each of the three."""
    within = pixel % (height * width)
    return pixel // (height * width) * image + within // width * row + within % width * column


_spare_tile, _spare_rows = stack(Floats, ROWS * COLUMNS), stack(Ints, ROWS)


@helper
def multiply_part(a, a_rows, a_steps, b, b_steps, counts, c, c_rows, start, add, columns):
    """multiply_tile where only the first ``columns`` columns may be written: by way of a spare tile if need be."""
    whole = columns >= COLUMNS
    spare, spare_rows = _spare_tile(), _spare_rows()
    for r in range(ROWS if not whole else 0):
        spare_rows[r] = r * COLUMNS
        for n in range(columns if add else 0):
            spare[r * COLUMNS + n] = c[c_rows[r] + n]
    out, out_rows = (c, c_rows) if whole else (spare, spare_rows)
    multiply_tile(a, a_rows, a_steps, b, b_steps, counts, out, out_rows, start, add)
    if not whole:
        for r in range(ROWS):
            for n in range(columns):
                c[c_rows[r] + n] = spare[r * COLUMNS + n]


_block_a_rows, _block_c_rows = stack(Ints, BLOCK * ROWS), stack(Ints, BLOCK * ROWS)


@task
def _multiply(
    part, blocks, a: Floats, a_image, a_row, a_column, a_j, a_k, count_j, count_k, panels: Floats, b_panel, b_j,
    c: Floats, c_image, c_row, c_column, height, width, pixels, columns, start: Floats, groups,
):  # fmt: skip
    """One block of pixels times one group of panels."""
    first_tile, last_tile = share(part // groups, blocks, -(-pixels // ROWS))
    first_panel, last_panel = share(part % groups, groups, -(-columns // COLUMNS))
    size = (last_tile - first_tile) * ROWS
    a_rows, c_rows = _block_a_rows(), _block_c_rows()
    for r in range(size):
        pixel = min(first_tile * ROWS + r, pixels - 1)  # rows beyond the last compute the last once more
        a_rows[r] = place(pixel, height, width, a_image, a_row, a_column)
        c_rows[r] = place(pixel, height, width, c_image, c_row, c_column)
    panels_outside = (last_panel - first_panel) * count_j * count_k * COLUMNS > CACHED
    inner = size // ROWS if panels_outside else last_panel - first_panel
    for i in range(size // ROWS * (last_panel - first_panel)):
        tile, panel = (i % inner, i // inner) if panels_outside else (i // inner, i % inner)
        n, r = (first_panel + panel) * COLUMNS, tile * ROWS
        multiply_part(
            a, at(a_rows, r), (0, a_j, a_k), at(panels, n * b_panel), (0, b_j * COLUMNS, COLUMNS),
            (1, count_j, count_k), at(c, n), at(c_rows, r), at(start, n), 0, columns - n,
        )  # fmt: skip


def multiply(
    a: np.ndarray, a_walk: Three, a_steps: Pair, counts: Pair, panels: np.ndarray, b_steps: Pair, c: np.ndarray,
    c_walk: Three, size: Three, columns: int, start: np.ndarray | None = None,
) -> None:  # fmt: skip
    """C (pixels, columns) = start (columns,), or 0, plus A (pixels, depth) times the packed B (depth, columns).

    ``size`` counts the pixels (B, height, width); the ``walk`` of an array has its step from image to image, row to
    row, pixel to pixel. The depth is two indices: ``a_steps`` and ``counts`` are theirs in A, and ``b_steps`` counts
    the rows of B from panel to panel and from one first index to the next.
    """
    count = -(-columns // COLUMNS)
    filled = np.zeros(count * COLUMNS, np.float32)
    if start is not None:
        filled[:columns] = start
    pixels = size[0] * size[1] * size[2]
    blocks = -(-pixels // (ROWS * BLOCK))
    groups = min(count, -(-TASKS // blocks))
    _multiply.run(
        blocks * groups, blocks, a, *a_walk, *a_steps, *counts, panels, *b_steps, c, *c_walk, *size[1:], pixels,
        columns, filled, groups,
    )  # fmt: skip


_packed = stack(Floats, PIECE)


@task
def _matmul(
    part, blocks, a: Floats, a_i, a_k, b: Floats, b_k, b_j, rows, depth, columns, wide, c: Floats, start: Floats
):  # fmt: skip
    """One block of rows times ``wide`` columns, which are packed a piece at a time: still in the cache when used."""
    first_tile, last_tile = share(part % blocks, blocks, -(-rows // ROWS))
    n0, packed = part // blocks * wide, _packed()
    width = min(wide, columns - n0)
    a_rows, c_rows = _block_a_rows(), _block_c_rows()
    for k in range(0, depth, PIECE // wide):
        deep = min(PIECE // wide, depth - k)
        _pack_rows(at(b, k * b_k + n0 * b_j), b_k, b_j, 0, deep, width, packed, deep * COLUMNS)
        for tile in range(first_tile, last_tile):
            for i in range(ROWS):
                row = min(tile * ROWS + i, rows - 1)  # rows beyond the last compute the last once more
                a_rows[i], c_rows[i] = row * a_i, row * columns
            for n in range(0, width, COLUMNS):
                multiply_part(
                    at(a, k * a_k), a_rows, (0, 0, a_k), at(packed, n * deep), (0, 0, COLUMNS), (1, 1, deep),
                    at(c, n0 + n), c_rows, start, np.int64(k > 0), width - n,
                )  # fmt: skip


def matmul(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """c = a @ b, for any strides."""
    (rows, depth), columns = a.shape, b.shape[1]
    (a_i, a_k), (b_k, b_j) = (tuple(step // 4 for step in m.strides) for m in (a, b))
    wide = WIDE if b_j == 1 else NARROW
    c, tiles, groups = empty((rows, columns)), -(-rows // ROWS), -(-columns // wide)
    blocks = min(tiles, max(-(-tiles // (2 * BLOCK)), -(-8 // groups)))
    _matmul.run(
        blocks * groups, blocks, a, a_i, a_k, b, b_k, b_j, rows, depth, columns, wide, c,
        np.zeros(COLUMNS, np.float32),
    )  # fmt: skip
    return c
