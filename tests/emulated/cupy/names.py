"""What CuPy 14.2 has of NumPy's names, and what it does not take or must wait for."""

UFUNCS = frozenset(
    """abs absolute acos acosh add arccos arccosh arcsin arcsinh arctan arctan2 arctanh asin asinh atan atan2
    atanh bitwise_and bitwise_count bitwise_invert bitwise_left_shift bitwise_not bitwise_or bitwise_right_shift
    bitwise_xor cbrt ceil conj conjugate copysign cos cosh deg2rad degrees divide divmod equal exp exp2 expm1
    fabs fix float_power floor floor_divide fmax fmin fmod frexp gcd greater greater_equal heaviside hypot i0
    invert isfinite isinf isnan lcm ldexp left_shift less less_equal log log10 log1p log2 logaddexp logaddexp2
    logical_and logical_not logical_or logical_xor maximum minimum mod modf multiply negative nextafter
    not_equal positive pow power rad2deg radians reciprocal remainder right_shift rint sign signbit sin sinc
    sinh sqrt square subtract tan tanh true_divide trunc""".split()
)
NUMPYS_OWN = frozenset(  # the very same objects
    """bool bool_ broadcast_shapes byte cdouble complex128 complex64 complexfloating csingle double dtype e
    euler_gamma finfo float16 float32 float64 floating generic get_printoptions half iinfo index_exp inexact inf
    int16 int32 int64 int8 int_ intc integer intp isdtype issubdtype iterable long longlong mintypecode nan
    ndindex newaxis number pi printoptions promote_types s_ set_printoptions short signedinteger single typename
    ubyte uint uint16 uint32 uint64 uint8 uintc uintp ulong ulonglong unsignedinteger ushort""".split()
)
FUNCTIONS = frozenset(
    """all allclose amax amin angle any append apply_along_axis arange argmax argmin argpartition argsort
    argwhere around array2string array_equal array_equiv array_repr array_split array_str astype atleast_1d
    atleast_2d atleast_3d average bartlett base_repr binary_repr bincount blackman broadcast_arrays broadcast_to
    can_cast choose clip column_stack common_type compress concat concatenate convolve copy copyto corrcoef
    correlate count_nonzero cov cross cumprod cumsum cumulative_prod cumulative_sum delete diag diag_indices
    diag_indices_from diagflat diagonal diff digitize dot dsplit dstack ediff1d einsum expand_dims extract eye
    fill_diagonal flatnonzero flip fliplr flipud full full_like gradient hamming hanning histogram histogram2d
    histogramdd hsplit hstack identity imag indices inner interp intersect1d isclose iscomplex iscomplexobj
    isfortran isin isneginf isposinf isreal isrealobj isscalar ix_ kaiser kron lexsort linspace logspace
    mask_indices matmul matrix_transpose max may_share_memory mean median meshgrid min min_scalar_type moveaxis
    nan_to_num nanargmax nanargmin nancumprod nancumsum nanmax nanmean nanmedian nanmin nanprod nanstd nansum
    nanvar ndim nonzero ones ones_like outer packbits pad partition percentile permute_dims piecewise place
    polyfit polyval prod ptp put put_along_axis putmask quantile ravel ravel_multi_index real real_if_close
    repeat require reshape resize result_type roll rollaxis roots rot90 round searchsorted select setdiff1d
    setxor1d shape shares_memory size sort sort_complex split squeeze stack std sum swapaxes take
    take_along_axis tensordot tile trace transpose trapezoid tri tril tril_indices tril_indices_from trim_zeros
    triu triu_indices triu_indices_from union1d unique unique_all unique_counts unique_inverse unique_values
    unpackbits unravel_index unwrap vander var vdot vsplit vstack where zeros zeros_like""".split()
)
LINALG = frozenset(
    """cholesky cond cross det eig eigh eigvals eigvalsh inv lstsq matmul matrix_power matrix_rank
    matrix_transpose norm pinv qr slogdet solve svd tensorinv tensorsolve""".split()
)
METHODS = frozenset(
    """all any argmax argmin byteswap choose clip compress conj conjugate cumprod cumsum diagonal dot flatten
    max mean min nonzero prod put ravel repeat reshape round searchsorted squeeze std sum swapaxes trace
    transpose var""".split()
)
VIEWS = frozenset(["imag", "mT", "real"])
REFUSED = frozenset(["correction", "device", "initial", "like", "stable", "where"])  # keywords of NumPy's
SYNCHRONISING = frozenset(  # they fetch a number before they can go on
    """argwhere bincount compress delete extract flatnonzero histogram histogram2d histogramdd intersect1d
    nonzero place setdiff1d setxor1d trim_zeros union1d unique unique_all unique_counts unique_inverse
    unique_values array_repr array_str array2string interp isin median nanmedian percentile quantile
    piecewise""".split()
)
ATOMIC_ADD = frozenset(["float16", "float32", "float64", "int32", "uint32", "uint64", "complex64", "complex128"])
COUNTING = frozenset(["allclose", "array_equal", "array_equiv", "count_nonzero"])  # arrays here, numbers in NumPy
KEEP_ORDER = frozenset(["copy", "zeros_like", "ones_like", "full_like"])
