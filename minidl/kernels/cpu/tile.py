"""The one multiplication that everything else is made of: a tile of C += A B that fits into the registers.

A processor core multiplies and adds far faster than it can load. So keep ROWS x COLUMNS sums in vector registers, and
for each step k of the sum load COLUMNS numbers of B (as vectors) and ROWS numbers of A (each spread over a vector):
ROWS + COLUMNS loads feed ROWS * COLUMNS multiply-adds. The tile is as large as the registers allow; with AVX-512 (32
registers of 16 floats) 12 rows x 2 vectors are 24 sums, and leave room for two vectors of B and some of A::

                     B[k]  | 16 | 16 |          for each k:
    A[row 0, k] ---------> | += | += |            b0, b1 = the two vectors of B[k]
    A[row 1, k] ---------> | += | += |            for each row: a = A[row, k], spread over a vector
        ...                   ...                     sum[row, 0] += a * b0
    A[row 11, k] --------> | += | += |                sum[row, 1] += a * b1

A convolution is the same product with other addresses: the rows of A are windows of an image and k runs over a window's
rows, columns and channels. So each row has its own place, and k is three indices (i, j, l) with a step each.
"""

import contextlib
import functools
from typing import Any

from numba.core import cgutils

from ..cpu_runtime.tasks import helper
from ..cpu_runtime.vector import LANES, LLVM, Vector, load, place, store, word, writes

# 32 registers with AVX-512 (and with NEON, whose vectors are the narrowest); 16 before it, where AVX2 has fused
# multiply-adds and SSE needs one register more for the product
ROWS = {16: 12, 8: 6, 4: 4}[LANES]
COLUMNS = 2 * LANES


def _dot(builder: Any, indices: list[Any], steps: list[Any]) -> Any:
    return functools.reduce(builder.add, map(builder.mul, indices, steps))


def _tile(vectors: int, whole: bool) -> Any:
    """``multiply`` for so many vectors of columns, all of which exist (``whole``), or only the first ``columns``."""

    @writes
    def multiply_tile(builder, a, a_rows, a_steps, b, b_steps, counts, c, c_rows, start, add, columns):
        a_row = [builder.gep(a, [place(builder, a_rows, r)]) for r in range(ROWS)]
        c_row = [builder.gep(c, [place(builder, c_rows, r)]) for r in range(ROWS)]
        lanes = [word(v * LANES) for v in range(vectors)]
        left = [None if whole else builder.sub(columns, lane) for lane in lanes]  # columns that exist, of each vector
        sums = {(r, v): cgutils.alloca_once(builder, LLVM) for r in range(ROWS) for v in range(vectors)}  # registers
        with builder.if_else(cgutils.is_not_null(builder, add)) as branches:
            for branch, rows in zip(branches, (c_row, [start] * ROWS), strict=True):
                with branch:
                    for (r, v), register in sums.items():
                        builder.store(load(builder, rows[r], lanes[v], left[v]).value, register)
        with contextlib.ExitStack() as loops:
            indices = [loops.enter_context(cgutils.for_range(builder, count)).index for count in counts]
            a_k, b_k = _dot(builder, indices, a_steps), builder.gep(b, [_dot(builder, indices, b_steps)])
            b_vectors = [load(builder, b_k, lanes[v], left[v]) for v in range(vectors)]
            for r in range(ROWS):
                number = Vector(builder, builder.load(builder.gep(a_row[r], [a_k])))
                for v in range(vectors):
                    total = number * b_vectors[v] + Vector(builder, builder.load(sums[r, v]))
                    builder.store(total.value, sums[r, v])
        for (r, v), register in sums.items():
            store(builder, Vector(builder, builder.load(register)), c_row[r], lanes[v], left[v])

    return multiply_tile


multiply_whole, _multiply_part, _multiply_half = _tile(2, True), _tile(2, False), _tile(1, False)


@helper
def multiply(a, a_rows, a_steps, b, b_steps, counts, c, c_rows, start, add, columns):
    """For each row r < ROWS and column n < min(columns, COLUMNS), with indices i below all of the counts:

    c[c_rows[r] + n] = s[n] + sum over i of a[a_rows[r] + i . a_steps] * b[i . b_steps + n]

    where s is start[n], or what c held before if ``add`` is not 0. Nothing is read or written in other columns. Instead
    of a table of rows there may be the step from one to the next.
    """
    if columns >= COLUMNS:
        multiply_whole(a, a_rows, a_steps, b, b_steps, counts, c, c_rows, start, add, columns)
    elif columns > LANES:
        _multiply_part(a, a_rows, a_steps, b, b_steps, counts, c, c_rows, start, add, columns)
    else:
        _multiply_half(a, a_rows, a_steps, b, b_steps, counts, c, c_rows, start, add, columns)
