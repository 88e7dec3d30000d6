"""Winograd's transforms: y = M x M' for a small constant matrix M and a square of vectors x, all in registers."""

import functools
import operator
from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba.core import cgutils

from ..cpu_runtime.vector import LLVM, Vector, load, place, store, word, writes

Matrix = Sequence[Sequence[float]]


def _sum(factors: Sequence[float], x: Sequence[Vector]) -> Vector:
    """Of the terms that are not zero; with a factor of 1 first, as all others are multiply-adds."""
    terms = sorted(((f, v) for f, v in zip(factors, x, strict=True) if f), key=lambda term: abs(term[0]) != 1)
    if terms[0][0] < 0:  # a - b is written as -(b - a), which LLVM knows from another row
        return -_sum([-f for f in factors], x)
    return functools.reduce(operator.add, [vector.times(float(factor)) for factor, vector in terms])


def _product(matrix: Matrix, x: Sequence[Vector]) -> list[Vector]:
    """The matrix times a column of vectors.

    The even and the odd places are summed apart: the rows of two points p and -p differ in the sign of one of these.
    """
    halves = [[_sum(row[k::2], x[k::2]) for k in (0, 1) if any(row[k::2])] for row in matrix]
    return [functools.reduce(operator.add, sums) for sums in halves]


def two_sided(matrix: Matrix) -> Any:
    """A function for tasks: transform(x, x_places, y, y_places) for LANES channels.

    x_places and y_places tell where the vectors lie, row by row: a table, or how far each lies from the one before it.
    Where a place in a table is negative, a vector of x is zero, and one of y is not stored.
    """

    @writes
    def transform(builder, x, x_places, y, y_places):
        nowhere = cgutils.alloca_once_value(builder, ir.Constant(LLVM, None))

        def pointer(base, places, k):
            offset, zero = place(builder, places, k), builder.bitcast(nowhere, base.type)
            there = builder.gep(base, [offset])
            if isinstance(places.type, ir.IntType):
                return there
            return builder.select(builder.icmp_signed("<", offset, word(0)), zero, there)

        size = len(matrix[0])
        rows = [[load(builder, pointer(x, x_places, i * size + j), word(0)) for j in range(size)] for i in range(size)]
        columns = [_product(matrix, column) for column in zip(*rows, strict=True)]
        results = [_product(matrix, row) for row in zip(*columns, strict=True)]
        for k, result in enumerate(result for row in results for result in row):
            store(builder, result, pointer(y, y_places, k), word(0))

    return transform
