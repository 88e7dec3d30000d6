"""Winograd's transforms: y = M x M' for a small constant matrix M and a square of vectors x, all in registers."""

import functools
import operator
from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from ..runtime.tasks import intrinsic
from .vector import LLVM, Vector, load, store, word

Matrix = Sequence[Sequence[float]]


def _sum(factors: Sequence[float], x: Sequence[Vector]) -> Vector:
    """Of the terms that are not zero; with a factor of 1 first, as all others are multiply-adds."""
    terms = sorted(((f, v) for f, v in zip(factors, x, strict=True) if f), key=lambda term: abs(term[0]) != 1)
    if terms[0][0] < 0:  # a - b is written as -(b - a), which LLVM knows from another row
        return -_sum([-f for f in factors], x)
    return functools.reduce(operator.add, [vector.times(factor) for factor, vector in terms])


def _product(matrix: Matrix, x: Sequence[Vector]) -> list[Vector]:
    """The matrix times a column of vectors.

    The even and the odd places are summed apart: the rows of two points p and -p differ in the sign of one of these.
    """
    halves = [[_sum(row[k::2], x[k::2]) for k in (0, 1) if any(row[k::2])] for row in matrix]
    return [functools.reduce(operator.add, sums) for sums in halves]


def two_sided(matrix: Matrix) -> Any:
    """A function for tasks: transform(x, x_places, y, y_places) for LANES channels.

    x_places and y_places tell where the vectors lie, row by row; where one is negative, a vector of x is zero, and one
    of y is not stored.
    """

    def generate(context, builder, signature, arguments):
        x, x_places, y, y_places = arguments
        nowhere = cgutils.alloca_once(builder, LLVM)
        builder.store(ir.Constant(LLVM, None), nowhere)

        def vector(base, places, k):
            place, zero = builder.load(builder.gep(places, [word(k)])), builder.bitcast(nowhere, base.type)
            return builder.select(builder.icmp_signed("<", place, word(0)), zero, builder.gep(base, [place]))

        size = len(matrix[0])
        rows = [[load(builder, vector(x, x_places, i * size + j), word(0)) for j in range(size)] for i in range(size)]
        columns = [_product(matrix, column) for column in zip(*rows, strict=True)]
        results = [_product(matrix, row) for row in zip(*columns, strict=True)]
        for k, result in enumerate(result for row in results for result in row):
            store(builder, result, vector(y, y_places, k), word(0))
        return context.get_dummy_value()

    @intrinsic
    def transform(_, x, x_places, y, y_places):
        return types.void(x, x_places, y, y_places), generate

    return transform
