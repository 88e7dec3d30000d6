"""Vectors of floats as wide as a register, for those who write LLVM code: loads, stores, and a square turned round."""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.registry import cpu_target

from .parallel import Floats, intrinsic


def _lanes() -> int:
    """Floats in a register of the instruction set that Numba compiles for (NUMBA_CPU_NAME and ..._FEATURES choose)."""
    features = cpu_target.target_context.codegen().magic_tuple()[2].split(",")
    return 16 if "+avx512f" in features else 8 if "+avx2" in features else 4


LANES = _lanes()
LLVM = ir.VectorType(ir.FloatType(), LANES)


def emit_spread(builder, number):
    """A vector with that number in each lane."""
    anything, first = ir.Constant(ir.VectorType(number.type, LANES), ir.Undefined), ir.IntType(32)(0)
    lanes = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(builder.insert_element(anything, number, first), anything, lanes)


def _masked(builder, name, result, count, *arguments):
    """Call LLVM's masked load or store, which touches the first ``count`` lanes only; an argument None is the mask."""
    lanes = ir.Constant(ir.VectorType(count.type, LANES), list(range(LANES)))
    mask = builder.icmp_signed("<", lanes, emit_spread(builder, count))
    values = [a or mask for a in arguments]
    kind = ir.FunctionType(result, [a.type for a in values])
    function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.masked.{name}.v{LANES}f32.p0")
    return builder.call(function, values)


def emit_load(builder, pointer, index, count=None):
    """The vector pointer[index : index + LANES], wherever it lies; with a count, 0 in all lanes but the first."""
    place = builder.bitcast(builder.gep(pointer, [index]), LLVM.as_pointer())
    if count is None:
        return builder.load(place, align=4)
    return _masked(builder, "load", LLVM, count, place, ir.IntType(32)(4), None, ir.Constant(LLVM, None))


def emit_store(builder, pointer, index, vector, count=None):
    place = builder.bitcast(builder.gep(pointer, [index]), LLVM.as_pointer())
    if count is None:
        builder.store(vector, place, align=4)
    else:
        _masked(builder, "store", ir.VoidType(), count, vector, place, ir.IntType(32)(4), None)


@intrinsic
def copy_square(_, x, row, y, y_row, turned):
    """y[i * y_row + j] = x[i * row + j] for i, j < LANES, or where ``turned`` x[j * row + i], in registers.

    To turn, pairs of rows 1, 2, 4, ... apart exchange the numbers that are on the wrong side of the diagonal.
    """

    def turn(builder, rows):
        rows = list(rows)
        for step in (1 << k for k in range(LANES.bit_length() - 1)):
            low = [lane if not lane & step else LANES + lane - step for lane in range(LANES)]
            high = [lane + step if not lane & step else LANES + lane for lane in range(LANES)]
            for i in (i for i in range(LANES) if not i & step):
                pair = rows[i], rows[i + step]
                for k, lanes in ((i, low), (i + step, high)):
                    rows[k] = builder.shuffle_vector(*pair, ir.Constant(ir.VectorType(ir.IntType(32), LANES), lanes))
        return rows

    def generate(context, builder, signature, args):
        x, row, y, y_row, turned = args
        rows = [emit_load(builder, x, builder.mul(row, row.type(i))) for i in range(LANES)]
        with builder.if_else(cgutils.is_not_null(builder, turned)) as (turning, copying):
            for branch, results in ((turning, lambda: turn(builder, rows)), (copying, lambda: rows)):
                with branch:
                    for i, vector in enumerate(results()):
                        emit_store(builder, y, builder.mul(y_row, y_row.type(i)), vector)
        return context.get_dummy_value()

    return types.void(Floats, types.int64, Floats, types.int64, types.int64), generate
