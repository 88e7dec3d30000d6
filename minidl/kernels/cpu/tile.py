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

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from .parallel import Floats, Ints, helper, intrinsic
from .vector import LANES, LLVM, emit_load, emit_spread, emit_store

# 32 registers with AVX-512 (and with NEON, whose vectors are the narrowest); 16 before it, where AVX2 has fused
# multiply-adds and SSE needs one register more for the product
ROWS = {16: 12, 8: 6, 4: 4}[LANES]
COLUMNS = 2 * LANES

_WORD = ir.IntType(64)
_Three = types.UniTuple(types.int64, 3)


def _tile(vectors: int, whole: bool) -> Any:
    """``multiply`` for so many vectors of columns, all of which exist (``whole``), or only the first ``columns``."""

    @intrinsic
    def multiply_tile(_, a, a_rows, a_steps, b, b_steps, counts, c, c_rows, start, add, columns):
        arguments = (Floats, Ints, _Three, Floats, _Three, _Three, Floats, Ints, Floats, types.int64, types.int64)
        return types.void(*arguments), generate

    def generate(context, builder, signature, arguments):
        a, a_rows, a_steps, b, b_steps, counts, c, c_rows, start, add, columns = arguments
        a_steps, b_steps, counts = (cgutils.unpack_tuple(builder, t, 3) for t in (a_steps, b_steps, counts))
        a_row = [builder.gep(a, [builder.load(builder.gep(a_rows, [_WORD(r)]))]) for r in range(ROWS)]
        c_row = [builder.gep(c, [builder.load(builder.gep(c_rows, [_WORD(r)]))]) for r in range(ROWS)]
        sums = [[cgutils.alloca_once(builder, LLVM) for _ in range(vectors)] for _ in range(ROWS)]  # LLVM: registers
        lanes = [_WORD(v * LANES) for v in range(vectors)]
        left = [None if whole else builder.sub(columns, lane) for lane in lanes]  # columns that exist, of each vector

        def offset(indices, steps):
            first, *others = (builder.mul(index, step) for index, step in zip(indices, steps, strict=True))
            for other in others:
                first = builder.add(first, other)
            return first

        with builder.if_else(cgutils.is_not_null(builder, add)) as (adding, starting):
            with adding:
                for r in range(ROWS):
                    for v in range(vectors):
                        builder.store(emit_load(builder, c_row[r], lanes[v], left[v]), sums[r][v])
            with starting:
                for v in range(vectors):
                    first = emit_load(builder, start, lanes[v], left[v])
                    for r in range(ROWS):
                        builder.store(first, sums[r][v])
        with cgutils.for_range(builder, counts[0]) as i, cgutils.for_range(builder, counts[1]) as j:  # noqa: SIM117
            with cgutils.for_range(builder, counts[2]) as k:
                indices = (i.index, j.index, k.index)
                b_k, a_k = builder.gep(b, [offset(indices, b_steps)]), offset(indices, a_steps)
                b_vectors = [emit_load(builder, b_k, lanes[v], left[v]) for v in range(vectors)]
                for r in range(ROWS):
                    number = emit_spread(builder, builder.load(builder.gep(a_row[r], [a_k])))
                    for v in range(vectors):
                        product = builder.fmul(number, b_vectors[v], flags=("contract",))
                        total = builder.fadd(product, builder.load(sums[r][v]), flags=("contract",))
                        builder.store(total, sums[r][v])
        for r in range(ROWS):
            for v in range(vectors):
                emit_store(builder, c_row[r], lanes[v], builder.load(sums[r][v]), left[v])
        return context.get_dummy_value()

    return multiply_tile


multiply_whole, _multiply_part, _multiply_half = _tile(2, True), _tile(2, False), _tile(1, False)


@helper
def multiply(a, a_rows, a_steps, b, b_steps, counts, c, c_rows, start, add, columns):
    """For each row r < ROWS and column n < min(columns, COLUMNS), with i, j, l below the three counts:

    c[c_rows[r] + n] = s[n] + sum over i, j, l of a[a_rows[r] + (i, j, l) . a_steps] * b[(i, j, l) . b_steps + n]

    where s is start[n], or what c held before if ``add`` is not 0. Nothing is read or written in other columns.
    """
    if columns >= COLUMNS:
        multiply_whole(a, a_rows, a_steps, b, b_steps, counts, c, c_rows, start, add, columns)
    elif columns > LANES:
        _multiply_part(a, a_rows, a_steps, b, b_steps, counts, c, c_rows, start, add, columns)
    else:
        _multiply_half(a, a_rows, a_steps, b, b_steps, counts, c, c_rows, start, add, columns)
