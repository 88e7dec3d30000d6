"""Vectors of floats as wide as a register, for functions that write LLVM code: + and * write the instructions."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.registry import cpu_target

from .tasks import intrinsic


def _lanes() -> int:
    """Floats in a register of the instruction set that Numba compiles for (NUMBA_CPU_NAME and ..._FEATURES choose)."""
    features = cpu_target.target_context.codegen().magic_tuple()[2].split(",")
    return 16 if "+avx512f" in features else 8 if "+avx2" in features else 4


LANES = _lanes()
LLVM = ir.VectorType(ir.FloatType(), LANES)


def writes(write: Callable[..., None]) -> Any:
    """A function for tasks from one that writes what it does: write(builder, *values).

    Pointers come as they are, all numbers as int64, and tuples as lists of these.
    """

    def function(_, *kinds):
        def generate(context, builder, signature, values):
            tuples = [isinstance(kind, types.UniTuple) for kind in signature.args]
            write(builder, *[cgutils.unpack_tuple(builder, v) if t else v for v, t in zip(values, tuples, strict=True)])
            return context.get_dummy_value()

        return types.void(*[types.int64 if isinstance(k, types.Number | types.Boolean) else k for k in kinds]), generate

    function.__signature__ = inspect.signature(write)  # type: ignore[attr-defined]
    return intrinsic(function)


def word(number: int) -> Any:
    return ir.Constant(ir.IntType(64), number)


def place(builder: Any, places: Any, k: int) -> Any:
    """Number k of a table of places, or, for a number, of places that are so far apart."""
    if isinstance(places.type, ir.IntType):
        return builder.mul(places, word(k))
    return builder.load(builder.gep(places, [word(k)]))


def _lane_numbers(numbers: Sequence[int], bits: int = 32) -> Any:
    return ir.Constant(ir.VectorType(ir.IntType(bits), LANES), list(numbers))


def _spread(builder: Any, number: Any) -> Any:
    """A vector with that number in each lane."""
    anything = ir.Constant(ir.VectorType(number.type, LANES), ir.Undefined)
    first = builder.insert_element(anything, number, word(0))
    return builder.shuffle_vector(first, anything, _lane_numbers([0] * LANES))


class Vector:
    """A vector of a function that is being written: a * b + c writes a multiply-add and is its result."""

    def __init__(self, builder: Any, value: Any) -> None:
        self.builder, self.value = builder, value if isinstance(value.type, ir.VectorType) else _spread(builder, value)

    def __add__(self, other: Vector) -> Vector:
        return Vector(self.builder, self.builder.fadd(self.value, other.value, flags=("contract",)))

    def __neg__(self) -> Vector:
        return Vector(self.builder, self.builder.fneg(self.value))

    def __mul__(self, other: Vector) -> Vector:
        return Vector(self.builder, self.builder.fmul(self.value, other.value, flags=("contract",)))

    def times(self, factor: float) -> Vector:
        return self if factor == 1 else self * Vector(self.builder, ir.Constant(ir.FloatType(), factor))

    def riffle(self, other: Vector, half: int) -> Vector:
        """The lanes of one half of both vectors in turn: a0 b0 a1 b1 ..."""
        lanes = [lane // 2 + half * LANES // 2 + lane % 2 * LANES for lane in range(LANES)]
        return Vector(self.builder, self.builder.shuffle_vector(self.value, other.value, _lane_numbers(lanes)))


def _masked(builder: Any, name: str, result: Any, *arguments: Any) -> Any:
    """Call LLVM's load or store of some lanes only."""
    kind = ir.FunctionType(result, [a.type for a in arguments])
    function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.masked.{name}.v{LANES}f32.p0")
    return builder.call(function, arguments)


def _some(builder: Any, count: Any, start: Any) -> Any:
    """The mask of the lanes below ``count``, and from ``start`` on where there is one."""
    below = builder.icmp_signed("<", _lane_numbers(range(LANES), 64), _spread(builder, count))
    if start is None:
        return below
    return builder.and_(below, builder.icmp_signed(">=", _lane_numbers(range(LANES), 64), _spread(builder, start)))


ALIGNMENT = ir.Constant(ir.IntType(32), 4)  # bytes: floats may lie anywhere


def load(builder: Any, pointer: Any, index: Any, count: Any = None, start: Any = None) -> Vector:
    """The vector pointer[index : index + LANES], wherever it lies; with a count, 0 in all lanes but those below it.

    With a start, 0 in those below that too.
    """
    there = builder.bitcast(builder.gep(pointer, [index]), LLVM.as_pointer())
    if count is None:
        return Vector(builder, builder.load(there, align=4))
    zero = ir.Constant(LLVM, None)
    return Vector(builder, _masked(builder, "load", LLVM, there, ALIGNMENT, _some(builder, count, start), zero))


def store(builder: Any, vector: Vector, pointer: Any, index: Any, count: Any = None, start: Any = None) -> None:
    there = builder.bitcast(builder.gep(pointer, [index]), LLVM.as_pointer())
    if count is None:
        builder.store(vector.value, there, align=4)
    else:
        _masked(builder, "store", ir.VoidType(), vector.value, there, ALIGNMENT, _some(builder, count, start))


AHEAD = 4 * LANES  # numbers: rows that are turned lie apart, and the processor foresees none of so many


def _ask_for(builder: Any, pointer: Any, index: Any) -> None:
    """Have what lies there brought into the second cache, wherever that is: no load, so that it may lie anywhere."""
    numbers = [ir.Constant(ir.IntType(32), number) for number in (0, 2, 1)]  # to read, near, as data
    arguments = [builder.gep(pointer, [index]), *numbers]
    kind = ir.FunctionType(ir.VoidType(), [a.type for a in arguments])
    builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0"), arguments)


def _square(turned: bool) -> Any:
    """A function for tasks: y[i * y_row + j] = x[i * row + j] for i, j < LANES, or x[j * row + i], in registers.

    To turn, as with cards: cut the rows in the middle and riffle both halves, number by number; after log2(LANES) times
    the rows are the columns.
    """

    @writes
    def square(builder, x, row, y, y_row):
        places = [place(builder, row, i) for i in range(LANES)]
        for index in places if turned else ():
            _ask_for(builder, x, builder.add(index, word(AHEAD)))
        rows = [load(builder, x, index) for index in places]
        for _ in range(LANES.bit_length() - 1 if turned else 0):
            pairs = zip(rows[: LANES // 2], rows[LANES // 2 :], strict=True)
            rows = [a.riffle(b, half) for a, b in pairs for half in (0, 1)]
        for i, vector in enumerate(rows):
            store(builder, vector, y, place(builder, y_row, i))

    return square


copy_square, turn_square = _square(False), _square(True)


@writes
def copy_row(builder, x, y):
    """y[i] = x[i] for i below 2 * LANES."""
    for lane in (0, LANES):
        store(builder, load(builder, x, word(lane)), y, word(lane))


@writes
def copy_between(builder, x, start, stop, y, first, last):
    """y[i] = x[i] where start <= i < stop, and 0 elsewhere, for first <= i < last, and i below 2 * LANES."""
    for lane in (0, LANES):
        x_start, x_stop, y_start, y_stop = (builder.sub(number, word(lane)) for number in (start, stop, first, last))
        store(builder, load(builder, x, word(lane), x_stop, x_start), y, word(lane), y_stop, y_start)
