"""Winograd's transforms: y = M x M' for a small constant matrix M and a square of vectors x, all in registers.

Each is written out for its matrix, without its zeros; rows that differ only in signs, such as a + b and a - b, share
what they are made of.
"""

from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from .parallel import Floats, Ints, intrinsic
from .vector import LLVM, emit_load, emit_spread, emit_store

Matrix = Sequence[Sequence[float]]
_WORD = ir.IntType(64)


def _product(builder: Any, matrix: Matrix, x: list[Any]) -> list[Any]:
    """The matrix times a column of vectors."""

    def total(row: Sequence[float]) -> Any:
        result = None
        for factor, vector in sorted(zip(row, x, strict=True), key=lambda term: abs(term[0]) == 1):
            if abs(factor) not in (0, 1):
                vector = builder.fmul(emit_spread(builder, ir.FloatType()(factor)), vector, flags=("contract",))
            if factor != 0:
                add = builder.fsub if factor == -1 else builder.fadd
                result = vector if result is None and factor != -1 else add(result or zero, vector, flags=("contract",))
        return result

    zero = ir.Constant(LLVM, None)
    results: list[Any] = []
    for i, row in enumerate(matrix):
        before = matrix[i - 1]
        if i > 0 and row != before and [abs(a) for a in row] == [abs(a) for a in before] and len(results) == i:
            same = [a if a == b else 0.0 for a, b in zip(before, row, strict=True)]
            rest = [a - b for a, b in zip(before, same, strict=True)]
            even, odd = total(same), total(rest)
            results[i - 1] = builder.fadd(even, odd, flags=("contract",))
            results.append(builder.fsub(even, odd, flags=("contract",)))
        else:
            results.append(total(row))
    return results


def two_sided(matrix: Matrix, shifted: bool = False) -> Any:
    """A function for tasks: transform(x, x_places, y, y_places, shift) for LANES channels.

    x_places and y_places tell where the vectors lie, row by row; where one is negative, a vector of x is zero, and one
    of y is not stored. If ``shifted``, the vector at ``shift`` is added to each of y.
    """
    size, out = len(matrix[0]), len(matrix)

    def generate(context, builder, signature, arguments):
        x, x_places, y, y_places, shift = arguments
        nowhere = cgutils.alloca_once(builder, LLVM)
        place = builder.bitcast(nowhere, x.type)

        def vector(base, places, k):
            offset = builder.load(builder.gep(places, [_WORD(k)]))
            return builder.select(builder.icmp_signed("<", offset, _WORD(0)), place, builder.gep(base, [offset]))

        builder.store(ir.Constant(LLVM, None), nowhere)
        half = [
            _product(
                builder, matrix, [emit_load(builder, vector(x, x_places, i * size + j), _WORD(0)) for i in range(size)]
            )
            for j in range(size)
        ]
        added = emit_load(builder, shift, _WORD(0)) if shifted else None
        for i in range(out):
            for j, result in enumerate(_product(builder, matrix, [column[i] for column in half])):
                result = builder.fadd(result, added) if shifted else result
                emit_store(builder, vector(y, y_places, i * out + j), _WORD(0), result)
        return context.get_dummy_value()

    @intrinsic
    def transform(_, x, x_places, y, y_places, shift):
        return types.void(Floats, Ints, Floats, Ints, Floats), generate

    return transform
