"""What minidl calls of CuPy's names, and what CuPy 14.2 does not take or must wait for."""

UFUNCS = frozenset(
    """abs absolute add cos divide equal exp exp2 floor_divide greater greater_equal isfinite isinf isnan less
    less_equal log log1p logaddexp logical_and logical_not logical_or maximum minimum multiply negative not_equal power
    sign sqrt square subtract tanh""".split()
)
NUMPYS_OWN = frozenset(  # the very same objects
    """bool bool_ dtype e finfo float16 float32 float64 iinfo inf int16 int32 int64 int8 intp nan newaxis pi result_type
    uint16 uint32 uint64 uint8""".split()
)
FUNCTIONS = frozenset(
    """all allclose any arange argsort array_equal broadcast_to concatenate copyto count_nonzero cumsum expand_dims
    flatnonzero full full_like may_share_memory mean moveaxis nonzero ones ones_like pad partition searchsorted split
    stack sum take_along_axis where zeros zeros_like""".split()
)
LINALG = frozenset(["eigh", "norm", "svd"])
METHODS = frozenset(
    """all any argmax argmin clip cumsum diagonal flatten max mean min nonzero prod ravel repeat reshape round squeeze
    std sum swapaxes trace transpose var view""".split()
)
REFUSED = frozenset(["correction", "device", "initial", "like", "stable", "where"])  # keywords of NumPy's
SYNCHRONISING = frozenset(["flatnonzero", "nonzero"])  # they fetch a number before they can go on
ATOMIC_ADD = frozenset(["float16", "float32", "float64", "int32", "uint32", "uint64", "complex64", "complex128"])
COUNTING = frozenset(["allclose", "array_equal", "count_nonzero"])  # arrays here, numbers in NumPy
KEEP_ORDER = frozenset(["zeros_like", "ones_like", "full_like"])
