"""Whole products out of tiles: pack B into panels, then run over the rows of C.

A panel holds COLUMNS columns of B, one row after the other, so that the tile reads it from front to back; columns
beyond the last are zero. Rows of A stay where they are. Rows of C are pixels: of images, or, for a plain matrix, of
images of one pixel.
"""

import numpy as np

from .memory import empty
from .parallel import Floats, Ints, at, helper, share, stack, task
from .tile import COLUMNS, ROWS, multiply_tile

Three = tuple[int, int, int]
BLOCK = 8  # tiles of rows that one task multiplies with a panel while that is in the cache
PACKED = 64  # rows of B that one task packs
TASKS = 32  # enough to keep many cores busy
CACHED = 1 << 16  # floats of B that stay in the cache while rows of A pass by


@task
def _pack(part, b: Floats, step_j, step_k, step_l, step_n, count_j, count_k, count_l, columns, panels: Floats):
    """panels[panel, j, k, l, lane] = b[(j, k, l) . steps + n * step_n] for n = panel * COLUMNS + lane, or 0."""
    blocks = -(-count_l // PACKED)
    jk, first = part // blocks, part % blocks * PACKED
    last = min(first + PACKED, count_l)
    source = at(b, jk // count_k * step_j + jk % count_k * step_k)
    for n0 in range(0, columns, COLUMNS):
        out = at(panels, (n0 * count_j * count_k + jk * COLUMNS) * count_l)
        valid = min(COLUMNS, columns - n0)
        if step_n == 1:  # read along n, else along l
            for l in range(first, last):  # noqa: E741
                for lane in range(valid):
                    out[l * COLUMNS + lane] = source[l * step_l + n0 + lane]
        else:
            for lane in range(valid):
                for l in range(first, last):  # noqa: E741
                    out[l * COLUMNS + lane] = source[l * step_l + (n0 + lane) * step_n]
        for lane in range(valid, COLUMNS):
            for l in range(first, last):  # noqa: E741
                out[l * COLUMNS + lane] = 0


def pack(b: np.ndarray, steps: Three, step_n: int, counts: Three, columns: int) -> np.ndarray:
    """The panels of a matrix B whose row (j, k, l) and column n lie at b[(j, k, l) . steps + n * step_n]."""
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
    part, blocks, a: Floats, a_image, a_row, a_column, a_j, a_k, a_l, count_j, count_k, count_l, panels: Floats,
    c: Floats, c_image, c_row, c_column, height, width, pixels, columns, start: Floats, add, groups,
):  # fmt: skip
    """One block of pixels times one group of panels."""
    tiles, last_tile = share(part // groups, blocks, -(-pixels // ROWS))
    first_panel, last_panel = share(part % groups, groups, -(-columns // COLUMNS))
    size = (last_tile - tiles) * ROWS
    a_rows, c_rows = _block_a_rows(), _block_c_rows()
    for r in range(size):
        pixel = min(tiles * ROWS + r, pixels - 1)  # rows beyond the last compute the last once more
        a_rows[r] = place(pixel, height, width, a_image, a_row, a_column)
        c_rows[r] = place(pixel, height, width, c_image, c_row, c_column)
    depth = count_j * count_k * count_l
    b_steps = (count_k * count_l * COLUMNS, count_l * COLUMNS, COLUMNS)
    panels_outside = (last_panel - first_panel) * depth * COLUMNS > CACHED
    inner = size // ROWS if panels_outside else last_panel - first_panel
    for i in range(size // ROWS * (last_panel - first_panel)):
        tile, panel = (i % inner, i // inner) if panels_outside else (i // inner, i % inner)
        n, r = (first_panel + panel) * COLUMNS, tile * ROWS
        multiply_part(
            a, at(a_rows, r), (a_j, a_k, a_l), at(panels, n * depth), b_steps, (count_j, count_k, count_l),
            at(c, n), at(c_rows, r), at(start, n), add, columns - n,
        )  # fmt: skip


def multiply(
    a: np.ndarray, a_walk: Three, a_steps: Three, counts: Three, panels: np.ndarray, c: np.ndarray, c_walk: Three,
    size: Three, columns: int, start: np.ndarray | None = None, add: bool = False,
) -> None:  # fmt: skip
    """C (pixels, columns) = start (columns,) or C, plus A (pixels, depth) times the packed B (depth, columns).

    ``size`` counts the pixels (B, height, width); the ``walk`` of an array has its step from image to image, row to
    row, pixel to pixel. ``a_steps`` leads from a pixel to its ``counts`` numbers. ``add`` keeps what C holds.
    """
    count = -(-columns // COLUMNS)
    filled = np.zeros(count * COLUMNS, np.float32)
    if start is not None:
        filled[:columns] = start
    pixels = size[0] * size[1] * size[2]
    blocks = -(-pixels // (ROWS * BLOCK))
    groups = min(count, -(-TASKS // blocks))
    _multiply.run(
        blocks * groups, blocks, a, *a_walk, *a_steps, *counts, panels, c, *c_walk, *size[1:], pixels, columns, filled,
        add, groups,
    )  # fmt: skip


def matmul(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """c = a @ b, for any strides; B is packed a piece at a time, so that each piece is still in the cache when used."""
    (rows, depth), columns = a.shape, b.shape[1]
    (a_i, a_k), (b_k, b_j) = (tuple(step // 4 for step in m.strides) for m in (a, b))
    c = empty((rows, columns))
    for k in range(0, depth, 2048):
        counts = (1, 1, min(2048, depth - k))
        for j in range(0, columns, 16 * COLUMNS):
            width = min(16 * COLUMNS, columns - j)
            panels = pack(b[k:, j:], (0, 0, b_k), b_j, counts, width)
            multiply(
                a[:, k:], (a_i, 0, 0), (0, 0, a_k), counts, panels, c[:, j:], (columns, 0, 0), (rows, 1, 1), width,
                add=k > 0,
            )  # fmt: skip
    return c
