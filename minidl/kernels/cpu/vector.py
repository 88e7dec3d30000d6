"""A vector of floats as wide as a register, for tasks: ``a + 2 * b`` on vectors, ``load``, ``store``, ``zero``."""

import operator

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.registry import cpu_target
from numba.core.typing.templates import ConcreteTemplate, infer_global, signature
from numba.extending import lower_builtin, models, register_model

from .parallel import Floats, intrinsic


def _lanes() -> int:
    """Floats in a register of the instruction set that Numba compiles for (NUMBA_CPU_NAME and ..._FEATURES choose)."""
    features = cpu_target.target_context.codegen().magic_tuple()[2].split(",")
    return 16 if "+avx512f" in features else 8 if "+avx2" in features else 4


LANES = _lanes()
LLVM = ir.VectorType(ir.FloatType(), LANES)


class _Vector(types.Type):
    def __init__(self) -> None:
        super().__init__(name=f"f32x{LANES}")


Vector = _Vector()


@register_model(_Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, LLVM)


def _masked(builder, pointer, index, count):
    """(pointer to a vector there, mask of its first ``count`` lanes)."""
    place = builder.bitcast(builder.gep(pointer, [index]), LLVM.as_pointer())
    lanes = ir.Constant(ir.VectorType(ir.IntType(64), LANES), list(range(LANES)))
    spread = builder.insert_element(ir.Constant(lanes.type, ir.Undefined), count, ir.IntType(32)(0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return place, builder.icmp_signed("<", lanes, builder.shuffle_vector(spread, spread, zeros))


def emit_load(builder, pointer, index, count=None):
    """The vector pointer[index : index + LANES], wherever it lies; with a count, 0 in all lanes but the first."""
    if count is None:
        return builder.load(builder.bitcast(builder.gep(pointer, [index]), LLVM.as_pointer()), align=4)
    place, mask = _masked(builder, pointer, index, count)
    kind = ir.FunctionType(LLVM, [place.type, ir.IntType(32), mask.type, LLVM])
    function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.masked.load.v{LANES}f32.p0")
    return builder.call(function, [place, ir.IntType(32)(4), mask, ir.Constant(LLVM, None)])


def emit_store(builder, pointer, index, vector, count=None):
    if count is None:
        builder.store(vector, builder.bitcast(builder.gep(pointer, [index]), LLVM.as_pointer()), align=4)
        return
    place, mask = _masked(builder, pointer, index, count)
    kind = ir.FunctionType(ir.VoidType(), [LLVM, place.type, ir.IntType(32), mask.type])
    function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.masked.store.v{LANES}f32.p0")
    builder.call(function, [vector, place, ir.IntType(32)(4), mask])


def emit_spread(builder, number):
    """A vector with that number in each lane."""
    anything, first = ir.Constant(LLVM, ir.Undefined), ir.IntType(32)(0)
    lanes = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(builder.insert_element(anything, number, first), anything, lanes)


@intrinsic
def load(_, pointer, index):
    return Vector(Floats, types.int64), lambda context, builder, _, args: emit_load(builder, *args)


@intrinsic
def store(_, pointer, index, vector):
    def generate(context, builder, signature, args):
        emit_store(builder, *args)
        return context.get_dummy_value()

    return types.void(Floats, types.int64, Vector), generate


@intrinsic
def zero(_):
    return Vector(), lambda context, builder, signature, args: ir.Constant(LLVM, None)


def _define(operation, instruction):
    def vectors(context, builder, signature, args):
        return getattr(builder, instruction)(*args, flags=("contract",))

    def number_and_vector(context, builder, signature, args):
        return getattr(builder, instruction)(emit_spread(builder, args[0]), args[1], flags=("contract",))

    infer_global(operation)(
        type("Typing", (ConcreteTemplate,), {"cases": [signature(Vector, k, Vector) for k in (Vector, types.float32)]})
    )
    lower_builtin(operation, Vector, Vector)(vectors)
    lower_builtin(operation, types.float32, Vector)(number_and_vector)


for _operation, _instruction in ((operator.add, "fadd"), (operator.sub, "fsub"), (operator.mul, "fmul")):
    _define(_operation, _instruction)


@intrinsic
def transpose(_, x, row, y, y_row):
    """y[j * y_row + i] = x[i * row + j] for i, j < LANES, in registers.

    Pairs of rows 1, 2, 4, ... apart exchange the numbers that are on the wrong side of the diagonal.
    """

    def generate(context, builder, signature, args):
        x, row, y, y_row = args
        rows = [emit_load(builder, x, builder.mul(row, row.type(i))) for i in range(LANES)]
        for step in (1 << k for k in range(LANES.bit_length() - 1)):
            low = [lane if not lane & step else LANES + lane - step for lane in range(LANES)]
            high = [lane + step if not lane & step else LANES + lane for lane in range(LANES)]
            for i in range(LANES):
                if not i & step:
                    pair = rows[i], rows[i + step]
                    for k, lanes in ((i, low), (i + step, high)):
                        mask = ir.Constant(ir.VectorType(ir.IntType(32), LANES), lanes)
                        rows[k] = builder.shuffle_vector(*pair, mask)
        for i in range(LANES):
            emit_store(builder, y, builder.mul(y_row, y_row.type(i)), rows[i])
        return context.get_dummy_value()

    return types.void(Floats, types.int64, Floats, types.int64), generate
