"""Convolutions on a card's matrix units: every index by whole numbers, which neither rounding nor order changes."""

import itertools

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import minidl as md
from minidl import kernels
from minidl.backend import card, to_device, to_numpy
from minidl.backend.recording import Replayed
from minidl.kernels import portable
from minidl.kernels.gpu import convolution, launch, matrix_units
from minidl.kernels.gpu.windows import windows_over
from minidl.kernels.types import bfloat16, of_type

pytestmark = pytest.mark.gpu
PRECISIONS = ("fast", "bfloat16")
rng = np.random.default_rng(0)
PRODUCTS = ("conv2d", "conv2d_grad_input", "conv2d_grad_weight")


@pytest.fixture(autouse=True)
def _precision_stays(_exact_on_a_card):
    before = kernels.precision()
    yield
    md.set_precision(before)


def factors(case, draw):
    """x, weight, bias and dy of (images, kernel, n, stride, padding)."""
    x_shape, kernel, n, stride, padding = case
    windows = windows_over(x_shape, (n, *kernel, x_shape[3]), stride, padding)
    shapes = (x_shape, (n, *kernel, x_shape[3]), (n,), (x_shape[0], *windows.out, n))
    return [draw(shape).astype(np.float32) for shape in shapes]


def whole(shape):
    """Of these all factors, products and sums are whole numbers that a float has, and a bfloat16 the factors."""
    return rng.integers(-4, 5, shape)


def normal(shape):
    return rng.standard_normal(shape)


def on_units(case, arrays, dtype=np.float32):
    """The three products, whatever the rule says of such sizes, for activations of a type."""
    (x_shape, _, _, stride, padding), (x, w, b, dy) = case, [to_device(a, "gpu") for a in arrays]
    x, dy = of_type(x, np.dtype(dtype)), of_type(dy, np.dtype(dtype))
    windows = windows_over(x_shape, w.shape, stride, padding)
    results = (
        matrix_units.conv2d(x, w, b, windows),
        matrix_units.conv2d_grad_input(dy, w, x_shape, windows),
        matrix_units.conv2d_grad_weight(dy, x, w.shape, windows),
    )
    return [to_numpy(r) for r in results]


def expected(case, arrays):
    x_shape, _, _, stride, padding = case
    x, w, b, dy = (a.astype(np.float64) for a in arrays)
    return (
        portable.conv2d(x, w, b, stride, padding),
        portable.conv2d_grad_input(dy, w, x_shape, stride, padding),
        portable.conv2d_grad_weight(dy, x, w.shape, stride, padding),
    )


CASES = [  # images, kernel, n, stride, padding
    ((2, 8, 8, 16), (3, 3), 16, (1, 1), (1, 1)),
    ((1, 32, 8, 64), (3, 3), 64, (1, 1), (1, 1)),  # several tiles down, in several parts
    ((5, 8, 8, 32), (3, 3), 128, (2, 2), (1, 1)),  # tiles of 128 columns, four phases
    ((1, 7, 6, 32), (3, 3), 200, (1, 1), (1, 1)),  # 64 columns each, the last not full
    ((3, 13, 11, 3), (7, 7), 64, (2, 2), (3, 3)),  # single numbers of x, though not of dy
    ((2, 9, 9, 100), (3, 3), 70, (3, 2), (1, 0)),  # channels that are no chunk's multiple, or no four's
    ((4, 5, 5, 64), (1, 1), 128, (2, 2), (0, 0)),  # pixels that no window sees
    ((2, 12, 12, 5), (2, 3), 3, (4, 4), (0, 2)),
    ((1, 1, 1, 1), (1, 1), 1, (1, 1), (0, 0)),
    ((1, 2, 2, 48), (15, 15), 2, (1, 1), (7, 7)),
    ((3, 9, 2, 1), (9, 2), 4, (1, 20), (0, 7)),  # most phases have no tap, and some no pixel
    ((130, 1, 1, 8), (3, 3), 9, (1, 1), (1, 1)),
]


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("case", CASES, ids=map(str, range(len(CASES))))
def test_whole_numbers_are_exact(case, precision):
    md.set_precision(precision)
    arrays = factors(case, whole)
    for name, result, value in zip(PRODUCTS, on_units(case, arrays), expected(case, arrays), strict=True):
        np.testing.assert_array_equal(result, value, err_msg=name)


@pytest.mark.parametrize("case", CASES, ids=map(str, range(len(CASES))))
def test_of_bfloat16_each_sum_is_rounded_once(case):
    """With its bias, and be it a sum of parts; a gradient by weights is never rounded."""
    arrays, half = factors(case, whole), bfloat16()
    y, dx, dw = on_units(case, arrays, half)
    wanted = expected(case, arrays)
    assert (y.dtype, dx.dtype, dw.dtype) == (half, half, np.float32)
    for name, result, value in zip(PRODUCTS, (y, dx, dw), wanted, strict=True):
        np.testing.assert_array_equal(result.astype(float), value.astype(result.dtype).astype(float), err_msg=name)


sizes = st.integers(1, 9)


@st.composite
def convolutions(draw):
    kernel, stride = draw(st.tuples(sizes, sizes)), draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    padding = draw(st.tuples(st.integers(0, 4), st.integers(0, 4)))
    least = (max(1, k - 2 * p) for k, p in zip(kernel, padding, strict=True))
    height, width = (draw(st.integers(low, low + 9)) for low in least)
    c, n = (draw(st.one_of(sizes, st.sampled_from([16, 32, 48, 64, 12, 20, 100]), st.integers(10, 140))) for _ in "cn")
    return (draw(st.integers(1, 4)), height, width, c), kernel, n, stride, padding


@settings(max_examples=30)
@given(convolutions(), st.sampled_from(PRECISIONS))
def test_whole_numbers_are_exact_in_any_shape(case, precision):
    assume(np.prod(case[0]) * np.prod(case[1]) * case[2] < 2e7)
    md.set_precision(precision)
    arrays = factors(case, whole)
    for name, result, value in zip(PRODUCTS, on_units(case, arrays), expected(case, arrays), strict=True):
        np.testing.assert_array_equal(result, value, err_msg=name)


@pytest.mark.parametrize(("precision", "bound"), [("fast", 1e-3), ("bfloat16", 8e-3)])
def test_factors_are_rounded_to_the_nearest_and_bits_are_the_same_again(precision, bound):
    md.set_precision(precision)
    for case in CASES[1:3]:
        arrays = factors(case, normal)
        first, second = on_units(case, arrays), on_units(case, arrays)
        for result, again, value in zip(first, second, expected(case, arrays), strict=True):
            assert result.tobytes() == again.tobytes()
            assert 0 < abs(result - value).max() / abs(value).max() < bound
    x = np.float32([1 + 2**-11, 1 + 2**-11 - 2**-23, -1 - 3 * 2**-11, np.inf, np.nan, -np.inf, 0, 3e38])
    x = np.concatenate([x, np.uint32([0x7FFFFFFF]).view(np.float32)])  # the NaN that a card makes itself
    one, case = np.ones((1, 1, 1, 1), np.float32), ((9, 1, 1, 1), (1, 1), 1, (1, 1), (0, 0))
    y = on_units(case, [x.reshape(9, 1, 1, 1), one, one.ravel() * 0, x.reshape(9, 1, 1, 1)])[0].ravel()
    rounded = [1 + 2**-10, 1, -1 - 2**-9] if precision == "fast" else [1, 1, -1]
    np.testing.assert_array_equal(y[:7], np.float32([*rounded, np.inf, np.nan, -np.inf, 0]))
    assert y[7] == pytest.approx(3e38, rel=2**-8)
    assert np.isnan(y[8])


def test_arrays_that_begin_anywhere():
    md.set_precision("fast")
    case = CASES[2]
    arrays = factors(case, whole)

    def moved(a):
        memory = card().empty(a.size + 1, np.float32)
        memory[1:] = to_device(a, "gpu").ravel()
        return memory[1:].reshape(a.shape)

    (x_shape, _, _, stride, padding), there = case, [moved(a) for a in arrays]
    windows = windows_over(x_shape, there[1].shape, stride, padding)
    y, dx, dw = expected(case, arrays)
    np.testing.assert_array_equal(to_numpy(matrix_units.conv2d(*there[:3], windows)), y)
    np.testing.assert_array_equal(to_numpy(matrix_units.conv2d_grad_input(there[3], there[1], x_shape, windows)), dx)
    np.testing.assert_array_equal(to_numpy(matrix_units.conv2d_grad_weight(there[3], there[0], dw.shape, windows)), dw)


# Who computes


def chosen(monkeypatch, case, dtype=np.float32):
    """The kernels that the three products launch."""
    names, real = [], launch.launch

    def noted(file, name, *args, **kwargs):
        names.append(name)
        return real(file, name, *args, **kwargs)

    for module in (convolution, matrix_units):
        monkeypatch.setattr(module, "launch", noted)
    x, w, b, dy = (to_device(a.astype(dtype), "gpu") for a in factors(case, whole))
    gpu = kernels.module("gpu")
    all_names = []
    for product in (
        lambda: gpu.conv2d(x, w, b, *case[3:]),
        lambda: gpu.conv2d_grad_input(dy, w, x.shape, *case[3:]),
        lambda: gpu.conv2d_grad_weight(dy, x, w.shape, *case[3:]),
    ):
        names.clear()
        product()
        all_names.append(list(names))
    return all_names


MANY = ((16, 16, 16, 16), (3, 3), 32, (1, 1), (1, 1))  # enough pixels for tiles that are full


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_convolution_is_one_launch_and_split_sums_are_two(monkeypatch, precision):
    md.set_precision(precision)
    forward, by_input, by_weight = chosen(monkeypatch, MANY)
    assert (forward, by_input) == (["conv_forward"], ["conv_by_input"])
    assert by_weight == ["conv_by_weight", "add_parts"]


def test_float64_exact_products_wide_kernels_and_old_cards_keep_their_columns(monkeypatch):
    im2col = [["im2col", "add_parts"], ["col2im"], ["im2col"]]
    assert chosen(monkeypatch, MANY) == im2col  # exact, as all tests are
    md.set_precision("fast")
    assert chosen(monkeypatch, MANY, np.float64) == im2col
    assert chosen(monkeypatch, ((9, 20, 20, 16), (16, 1), 32, (1, 1), (0, 0))) == im2col
    monkeypatch.setattr(matrix_units, "OLDEST", 1000)
    assert chosen(monkeypatch, MANY) == im2col


def test_the_rule_is_ahead_where_a_prototype_was():
    """ResNet18's layers at 128 pixels, batch 128: (H = W, C, N, kernel, stride, padding), as an H100 measured them."""

    def rule(size, c, n, kernel, stride, padding):
        windows = windows_over((128, size, size, c), (n, kernel, kernel, c), (stride, stride), (padding, padding))
        of = (matrix_units.forward_products, matrix_units.input_products, matrix_units.weight_products)
        return [matrix_units.ahead(windows, 128, n, products(windows, 128, n)) for products in of]

    assert rule(128, 3, 64, 7, 2, 3) == [True, False, True]  # dx has three channels, and a tile 64 columns
    for layer in ((32, 64, 64, 3, 1, 1), (32, 64, 128, 3, 2, 1), (16, 128, 128, 3, 1, 1), (8, 256, 256, 3, 1, 1)):
        assert rule(*layer) == [True] * 3
    for layer in ((8, 256, 512, 3, 2, 1), (4, 512, 512, 3, 1, 1), (56, 64, 64, 1, 1, 0)):
        assert rule(*layer) == [False] * 3


def test_it_can_be_recorded():
    md.set_precision("fast")
    x, w, b, dy = (to_device(a, "gpu") for a in factors(MANY, normal))
    gpu = kernels.module("gpu")

    def step(x):
        return [
            gpu.conv2d(x, w, b, *MANY[3:]),
            gpu.conv2d_grad_input(dy, w, x.shape, *MANY[3:]),
            gpu.conv2d_grad_weight(dy, x, w.shape, *MANY[3:]),
        ]

    replayed, at_once = Replayed(step), [to_numpy(a) for a in step(x)]
    for _ in range(4):
        for result, value in zip(replayed(x), at_once, strict=True):
            np.testing.assert_array_equal(to_numpy(result), value)


def test_no_register_is_spilled_and_two_warps_fit_each_quarter_of_a_multiprocessor():
    nvrtc = pytest.importorskip("cupy.nvrtc", reason="the emulated card has NVIDIA's compiler, CuPy hides it")
    if not nvrtc.available():
        pytest.skip("needs nvidia-cuda-nvrtc")
    choices = (("float", "float"), ("bfloat16", "float"), ("bfloat16", "bfloat16"))  # factors, activations
    for file, (factor, activation), columns in itertools.product(
        ("conv_windows.cu", "conv_weight.cu"), choices, (64, 128)
    ):
        kernels_of_file = nvrtc.resources(*launch.program(file, "float", 4, factor, columns, activation), "sm_90")
        assert len(kernels_of_file) == (2 if file == "conv_windows.cu" else 1)
        for name, registers, shared, spilled in kernels_of_file:
            blocks = matrix_units.RESIDENT // columns
            assert spilled == 0, name
            assert registers * matrix_units.RESIDENT <= 65536, name
            assert blocks * shared <= 164 * 1024, name  # what an A100 has
