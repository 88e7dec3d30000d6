"""One table of cases on which all kernel modules agree, and what else is promised of the compiled ones."""

import importlib
import os
import platform
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minidl import kernels
from minidl.backend import is_array, to_device, to_numpy
from minidl.kernels import loops, portable
from minidl.kernels.shapes import output_sizes

pytestmark = pytest.mark.skipif(not find_spec("numba"), reason="Numba is not installed")
cpu = kernels.module("cpu") if find_spec("numba") else portable
gpu = kernels.module("gpu")
on_a_card = pytest.param(gpu, marks=pytest.mark.gpu)

rng = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _same_numbers():
    """For each test, whatever ran before it, and however many examples another version of Hypothesis draws."""
    global rng
    rng = np.random.default_rng(0)


def normal(*shape):
    return rng.standard_normal(shape).astype(np.float32)


def conv(x_shape, kernel, n, stride, padding):
    """The three products of a convolution: (name, arguments)."""
    x, weight, bias = normal(*x_shape), normal(n, *kernel, x_shape[-1]), normal(n)
    dy = normal(x_shape[0], *output_sizes(x_shape, kernel, stride, padding), n)
    return [
        ("conv2d", (x, weight, bias, stride, padding)),
        ("conv2d", (x, weight, None, stride, padding)),
        ("conv2d_grad_input", (dy, weight, x.shape, stride, padding)),
        ("conv2d_grad_weight", (dy, x, weight.shape, stride, padding)),
    ]


def pool(x_shape, kernel, stride, padding):
    x = normal(*x_shape)
    y, where = loops.max_pool2d(x, kernel, stride, padding)
    grad = ("max_pool2d_grad", (normal(*y.shape), where, x_shape, kernel, stride, padding))
    return [("max_pool2d", (x, kernel, stride, padding)), grad]


def mean(x_shape, rows, columns):
    dy = normal(x_shape[0], len(rows), len(columns), x_shape[-1])
    return [("avg_pool2d", (normal(*x_shape), rows, columns)), ("avg_pool2d_grad", (dy, x_shape, rows, columns))]


def norm(shape, residual, relu, training, centre=1.0):
    x, c = normal(*shape) + np.float32(centre), shape[-1]
    mean, var = loops.moments(x) if training else (normal(c), normal(c) ** 2)
    gamma, beta, extra = normal(c), normal(c), normal(*shape) if residual else None
    y = loops.batch_norm(x, mean, var, gamma, beta, 1e-5, extra, relu)
    return [
        ("moments", (x,)),
        ("batch_norm", (x, mean, var, gamma, beta, 1e-5, extra, relu)),
        ("batch_norm_grad", (normal(*shape), x, y, mean, var, gamma, 1e-5, relu, training)),
        ("batch_norm_grad_fixed", (normal(*shape), y, var, gamma, 1e-5, relu, residual)),
    ]


def steps(shape, masked, momentum, nesterov):
    """The optimisers change their arguments: what counts is the arrays afterwards."""
    weight, grad, velocity, mean, square = (normal(*shape) for _ in range(5))
    mask = rng.random(shape) < 0.5 if masked else None
    return [
        ("sgd_step", (weight, grad, velocity if momentum else None, mask, 0.1, momentum, 0.01, nesterov)),
        ("adam_step", (weight, grad, mean, square**2, mask, 0.1, 0.9, 0.99, 1e-3, 0.01, 3)),
    ]


CASES = [
    *conv((2, 5, 4, 3), (3, 3), 2, (1, 1), (1, 1)),
    *conv((1, 1, 1, 1), (1, 1), 1, (1, 1), (0, 0)),
    *conv((2, 6, 5, 2), (1, 1), 5, (2, 2), (0, 0)),  # pixels that no window sees
    *conv((1, 7, 6, 3), (5, 2), 33, (2, 3), (2, 1)),
    *conv((1, 9, 9, 3), (11, 11), 4, (4, 4), (2, 2)),
    *conv((1, 3, 2, 35), (2, 2), 3, (3, 1), (0, 1)),
    *conv((2, 1, 1, 4), (3, 3), 17, (1, 1), (1, 1)),
    *conv((1, 4, 30, 1), (1, 3), 2, (1, 4), (0, 2)),
    *conv((3, 9, 2, 1), (9, 2), 4, (1, 20), (0, 7)),  # padding wider than what the windows reach
    *conv((1, 6, 5, 32), (3, 3), 32, (1, 1), (1, 1)),
    *conv((1, 8, 7, 32), (3, 3), 64, (1, 1), (1, 1)),  # by Winograd, where panels have 32 columns
    *conv((200, 2, 2, 3), (3, 2), 2, (1, 1), (1, 1)),  # many small images, by the weight place by place
    *pool((2, 5, 6, 3), (3, 3), (2, 2), (1, 1)),
    *pool((1, 4, 7, 17), (2, 3), (3, 1), (0, 1)),
    *pool((2, 1, 1, 1), (1, 1), (1, 1), (0, 0)),
    *pool((1, 17, 17, 1), (17, 17), (1, 1), (0, 0)),  # more places than a byte can number
    *mean((2, 5, 4, 3), ((0, 5),), ((0, 4),)),
    *mean((1, 5, 4, 17), ((-1, 2), (1, 4), (3, 6)), ((0, 2), (0, 3))),
    *norm((2, 3, 2, 3), residual=False, relu=False, training=True),
    *norm((2, 3, 2, 17), residual=True, relu=True, training=True),
    *norm((5, 4), residual=True, relu=True, training=False),
    *norm((3, 1, 1, 1), residual=False, relu=True, training=True),
    *steps((3, 5), masked=False, momentum=0, nesterov=False),
    *steps((3, 1, 2, 5), masked=True, momentum=0.9, nesterov=False),
    *steps((7,), masked=True, momentum=0.9, nesterov=True),
    ("matmul", (normal(3, 5), normal(5, 4))),
    ("matmul", (normal(5, 13).T, normal(40, 5).T)),
    ("matmul", (normal(1, 1), normal(1, 1))),
    ("matmul", (normal(30, 9)[::-2, 1::3], normal(3, 70)[:, ::-2])),
    ("matmul", (normal(2, 1, 4, 5), normal(3, 5, 2))),
    ("matmul", (normal(2, 3, 5), normal(5, 4))),
    ("add_up", (normal(40), rng.integers(7, size=40), 9)),
    ("add_up", (normal(3), np.array([2, 2, 0]), 3)),
    ("channel_sums", (normal(2, 3, 4, 5),)),
    ("channel_sums", (normal(7, 1),)),
    ("channel_sums", (normal(9, 32),)),
    ("cross_entropy", (normal(5, 7), np.array([0, 6, 3, 3, 1]), 1.0)),
    ("cross_entropy", (normal(3, 1), np.array([0, 0, 0]), 2.0)),
    ("cross_entropy", (normal(4, 3) * 50, np.float32([[0, 1, 0], [0.25, 0.5, 0.25], [0.5, 0.5, 0], [0, 0, 1]]), 20.0)),
    ("relu", (normal(3, 4, 5),)),
    ("normal_cdf", (normal(3, 4, 5) * 6,)),
    ("normal_cdf", (np.float32([-0.0, 0, 1e-30, -40, 40]),)),
    ("relu_grad", (normal(3, 5), normal(3, 5))),
]


LARGE = [  # too large for the loops: by Winograd, each of its ways, and in several pieces
    *conv((2, 8, 8, 32), (3, 3), 96, (1, 1), (1, 1)),
    *conv((3, 7, 8, 416), (3, 3), 32, (1, 1), (1, 1)),
    *conv((5, 39, 41, 64), (3, 3), 32, (1, 1), (0, 2)),
    *conv((300, 2, 2, 70), (3, 3), 33, (1, 1), (1, 1)),  # by the weight place by place, and each place in pieces
    *steps((50_000,), masked=True, momentum=0.9, nesterov=True),
    *steps((50_000,), masked=False, momentum=0, nesterov=False),
    ("relu", (normal(50_000),)),
    ("relu_grad", (normal(50_000), normal(50_000))),
    ("matmul", (normal(150, 700), normal(300, 700).T)),
]
each_case = pytest.mark.parametrize(
    ("name", "args"), CASES + LARGE, ids=[f"{i}-{name}" for i, (name, _) in enumerate(CASES + LARGE)]
)


def run(module, name, args, dtype=None):
    """All arrays that a kernel returns or changes, for copies of its arguments."""
    args = [a.astype(dtype or a.dtype) if isinstance(a, np.ndarray) and a.dtype == np.float32 else a for a in args]
    if module is gpu:
        args = [to_device(a.copy(), "gpu") if isinstance(a, np.ndarray) else a for a in args]
    results = getattr(module, name)(*args)
    if results is None:
        return [to_numpy(a) for a in args if is_array(a)]
    return [to_numpy(r) for r in (results if isinstance(results, tuple) else [results]) if r is not None]


def agree(results, expected, tolerance):
    assert len(results) == len(expected)
    for result, value in zip(results, expected, strict=True):
        assert result.shape == value.shape
        assert np.abs(result.astype(np.float64) - value).max() <= tolerance * max(1, np.abs(value).max())


@pytest.mark.parametrize(("name", "args"), CASES, ids=[f"{i}-{name}" for i, (name, _) in enumerate(CASES)])
@pytest.mark.parametrize("module", [portable, cpu, on_a_card], ids=["portable", "cpu", "gpu"])
def test_agrees_with_the_loops(module, name, args):
    for dtype, tolerance in ((np.float64, 1e-12), (np.float32, 1e-5)):
        results = run(module, name, args, dtype)
        assert all(r.dtype == dtype for r in results if r.dtype.kind == "f")  # an operation keeps its input's precision
        agree(results, run(loops, name, args, np.float64), tolerance)


@pytest.mark.parametrize(("name", "args"), LARGE, ids=[f"{i}-{name}" for i, (name, _) in enumerate(LARGE)])
def test_agrees_with_portable(name, args):
    agree(run(cpu, name, args), run(portable, name, args, np.float64), 3e-5)


def test_these_cases_are_by_winograd():
    from minidl.kernels.cpu import winograd

    for name, args in LARGE[:12]:
        shape, weight = (args[0].shape, args[1].shape) if name == "conv2d" else ((), ())
        if shape:
            out = output_sizes(shape, weight[1:3], (1, 1), args[4])
            assert winograd.pays((3, 3), (1, 1), out, shape[3], weight[0])


sizes = st.integers(1, 9)


@st.composite
def convolutions(draw):
    kernel, stride = (draw(st.tuples(sizes, sizes)) for _ in range(2))
    padding = draw(st.tuples(st.integers(0, 4), st.integers(0, 4)))
    least = (max(1, k - 2 * p) for k, p in zip(kernel, padding, strict=True))
    height, width = (draw(st.integers(low, low + 20)) for low in least)
    c, n = (draw(st.one_of(sizes, st.integers(10, 100))) for _ in range(2))
    return (draw(sizes), height, width, c), kernel, n, stride, padding


@st.composite
def convolutions_by_winograd(draw):
    """3 x 3 at stride 1, with channels that fill panels, and results of all sizes."""
    c, n = (draw(st.sampled_from([32, 64, 96, 416])) for _ in range(2))
    height, width = (draw(st.integers(3, 20)) for _ in range(2))
    padding = draw(st.tuples(st.integers(0, 3), st.integers(0, 3)))
    return (draw(st.integers(1, 5)), height, width, c), (3, 3), n, (1, 1), padding


@st.composite
def convolutions_of_many_small_images(draw):
    """Most of whose gradients by the weight are taken place by place."""
    kernel, stride = (draw(st.tuples(st.integers(1, 5), st.integers(1, 5))) for _ in range(2))
    padding = draw(st.tuples(st.integers(0, 4), st.integers(1, 4)))
    height, width = (max(k - 2 * p, draw(st.integers(1, 6))) for k, p in zip(kernel, padding, strict=True))
    c, n = (draw(st.integers(1, 70)) for _ in range(2))
    return (draw(st.integers(30, 250)), height, width, c), kernel, n, stride, padding


@settings(max_examples=500)
@given(st.one_of(convolutions(), convolutions(), convolutions_of_many_small_images(), convolutions_by_winograd()))
def test_convolutions_of_odd_shapes(case):
    tolerance = 5e-5 if case[1] == (3, 3) else 2e-5  # which may be by Winograd
    for name, args in conv(*case):
        agree(run(cpu, name, args), run(portable, name, args, np.float64), tolerance)


ROWS = [(1, 5), (3000, 1), (70, 3), (2500, 4), (900, 28), (517, 64), (130, 100), (80, 260), (33, 512), (4100, 96)]


@pytest.mark.gpu
@pytest.mark.parametrize("shape", ROWS)
def test_sums_over_rows_on_a_card(shape):
    """In groups of lanes that divide the channels or do not, and rows that end within what is loaded at once."""
    for name, args in [("channel_sums", (normal(*shape),)), *norm(shape, True, True, training=shape[0] > 1)]:
        for dtype, tolerance in ((np.float64, 1e-11), (np.float32, 2e-5)):
            agree(run(gpu, name, args, dtype), run(portable, name, args, np.float64), tolerance * shape[0] ** 0.5)


@st.composite
def poolings(draw):
    kernel, stride = (draw(st.tuples(st.integers(1, 5), st.integers(1, 5))) for _ in range(2))
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    height, width = (draw(st.integers(k, k + 12)) for k in kernel)
    return (draw(st.integers(1, 3)), height, width, draw(st.sampled_from([1, 3, 4, 8, 20]))), kernel, stride, padding


@pytest.mark.gpu
@given(poolings())
def test_poolings_of_odd_shapes_on_a_card(case):
    shape, kernel, stride, padding = case
    x = np.round(normal(*shape))  # many equals
    x[tuple(rng.integers(0, shape))] = np.nan
    args = (x, kernel, stride, padding)
    for ours, theirs in zip(run(gpu, "max_pool2d", args), run(portable, "max_pool2d", args), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    y, where = portable.max_pool2d(*args)
    args = (normal(*y.shape), where, shape, kernel, stride, padding)
    agree(run(gpu, "max_pool2d_grad", args), run(portable, "max_pool2d_grad", args, np.float64), 1e-5)


@pytest.mark.parametrize("module", [portable, cpu, on_a_card], ids=["portable", "cpu", "gpu"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_running_statistics_move_as_the_loops_say(module, dtype):
    for channels in (1, 5, 300):
        before = [normal(channels).astype(dtype) for _ in range(4)]
        args = before[0], before[1] ** 2, np.array(3), before[2], before[3] ** 2, 0.1, 24
        ours, theirs = ([a.copy() if isinstance(a, np.ndarray) else a for a in args] for _ in range(2))
        agree(run(module, "track", ours), run(loops, "track", theirs), 1e-6)


@pytest.mark.gpu
@given(convolutions())
def test_convolutions_of_odd_shapes_on_a_card(case):
    for name, args in conv(*case):
        agree(run(gpu, name, args), run(portable, name, args, np.float64), 2e-5)


@pytest.mark.gpu
@pytest.mark.parametrize(("name", "args"), CASES, ids=[f"{i}-{name}" for i, (name, _) in enumerate(CASES)])
def test_a_card_gives_the_same_bits_again(name, args):
    for a, b in zip(run(gpu, name, args), run(gpu, name, args), strict=True):
        assert a.tobytes() == b.tobytes()


def guarded(shape, dtype=np.float32, width=256):
    """An uninitialised array between two rows of NaN, and those rows."""
    count = int(np.prod(shape)) * np.dtype(dtype).itemsize // 4 + 1
    memory = np.full(count + 2 * width, np.nan, np.float32)
    inside = memory[width : width + count].view(np.uint8)[: int(np.prod(shape)) * np.dtype(dtype).itemsize]
    return inside.view(dtype).reshape(shape), (memory[:width], memory[width + count :])


@each_case
def test_neither_reads_nor_writes_beyond_its_arrays(monkeypatch, name, args):
    """All arrays, scratch included, lie between NaNs: none may be overwritten, none may leak into a result."""
    fences = []

    def fenced(shape, dtype=np.float32):
        array, guards = guarded(shape, dtype)
        fences.extend(guards)
        return array

    def copy(a):
        array = fenced(a.shape, a.dtype)
        array[...] = a
        return array

    for part in ("convolution", "elementwise", "multiply", "normalization", "pooling", "winograd"):
        monkeypatch.setattr(importlib.import_module(f"{cpu.__name__}.{part}"), "empty", fenced)
    results = run(cpu, name, [copy(a) if isinstance(a, np.ndarray) and a.dtype == np.float32 else a for a in args])
    assert all(np.isfinite(r).all() for r in results)
    assert all(np.isnan(fence).all() for fence in fences)


@each_case
def test_same_bits_with_any_number_of_threads(name, args):
    before, results = kernels.num_threads(), []
    try:
        for threads in (1, 2, 3, 7, 1):
            kernels.set_num_threads(threads)
            results.append(run(cpu, name, args))
    finally:
        kernels.set_num_threads(before)
    for arrays in zip(*results, strict=True):
        assert len({array.tobytes() for array in arrays}) == 1


def test_same_bits_for_a_real_layer():
    before = kernels.num_threads()
    for name, args in conv((8, 16, 16, 64), (3, 3), 128, (1, 1), (1, 1)):
        kernels.set_num_threads(3)
        many = run(cpu, name, args)
        kernels.set_num_threads(1)
        one = run(cpu, name, args)
        kernels.set_num_threads(before)
        assert many[0].tobytes() == one[0].tobytes()


@pytest.mark.parametrize(("mode", "tolerance"), [("exact", 2e-6), ("fast", 3e-5)])
def test_precisions(mode, tolerance):
    before = kernels.precision()
    kernels.set_precision(mode)
    try:
        for name, args in conv((2, 8, 8, 128), (3, 3), 64, (1, 1), (1, 1)):
            exact = run(portable, name, args, np.float64)
            agree(run(cpu, name, args), exact, tolerance)
    finally:
        kernels.set_precision(before)


@pytest.mark.parametrize("settings", [{}, {"MANY": 24}, {"NEAR": 0, "SLAB": 1 << 15, "MANY": 24}])
@pytest.mark.parametrize("channels", [64, 416])
def test_winograd_in_every_order(monkeypatch, settings, channels):
    """Few tiles or many, images or (of many channels) kernels transformed by each task, one slab or several."""
    winograd = importlib.import_module(f"{cpu.__name__}.winograd")
    for name, value in settings.items():
        monkeypatch.setattr(winograd, name, value)
    for name, args in conv((5, 13, 15, channels), (3, 3), 96, (1, 1), (1, 1)):
        agree(run(cpu, name, args), run(portable, name, args, np.float64), 3e-5)


def test_unknown_precision():
    with pytest.raises(ValueError, match="choose from exact, fast"):
        kernels.set_precision("half")


def test_not_a_number_comes_out():
    x = normal(2, 4, 4, 20)
    x[0, 1, 1, 3] = np.nan
    one, zero = np.ones(20, np.float32), np.zeros(20, np.float32)
    y, _ = cpu.max_pool2d(x, (2, 2), (2, 2), (0, 0))
    assert np.isnan(y).sum() == 1
    assert np.isnan(cpu.relu(x)).sum() == 1
    assert np.isnan(cpu.batch_norm(x, zero, one, one, zero, 1e-5, None, True)).sum() == 1
    assert np.isnan(cpu.moments(x)[0]).sum() == 1
    assert np.isnan(cpu.conv2d(x, normal(3, 3, 3, 20), None, (1, 1), (1, 1))).any()
    assert np.isnan(cpu.matmul(x.reshape(32, 20), normal(20, 3))).any()
    assert np.isinf(cpu.relu(np.full(3, np.inf, np.float32))).all()


def test_moments_of_a_channel_far_from_zero():
    x = normal(64, 8, 8, 2) * np.float32([1e-3, 0]) + np.float32([100, 1e6])
    mean, var = cpu.moments(x)
    exact = x.astype(np.float64).var(axis=(0, 1, 2))
    assert abs(var[0] / exact[0] - 1) < 1e-6
    assert var[1] == 0
    assert np.allclose(mean, [100, 1e6], rtol=1e-6)


def test_arrays_of_any_layout_are_read():
    x, weight = normal(2, 6, 6, 5), normal(4, 3, 3, 5)
    frozen = x.copy()
    frozen.flags.writeable = False
    expected = cpu.conv2d(x, weight, None, (1, 1), (1, 1))
    assert (cpu.conv2d(frozen, weight, None, (1, 1), (1, 1)) == expected).all()
    assert (cpu.conv2d(np.asfortranarray(x), weight, None, (1, 1), (1, 1)) == expected).all()
    flipped = cpu.conv2d(x[:, ::-1], weight[:, ::-1], None, (1, 1), (1, 1))
    assert np.allclose(flipped[:, ::-1], expected, atol=1e-5)


def test_a_task_that_fails_fails_everywhere_and_costs_no_thread():
    """Whichever thread meets the error, run raises it, and the threads go on."""
    from minidl.kernels.cpu_runtime import tasks

    def broken(start, stop):  # stands for a compiled task
        raise ArithmeticError(f"piece {start}")

    before = kernels.num_threads()
    try:
        kernels.set_num_threads(3)
        cpu.relu(normal(1 << 18))  # the threads are there
        task = tasks.Task.__new__(tasks.Task)
        task.compiled = broken
        for _ in range(5):
            with pytest.raises(ArithmeticError, match="piece"):
                task.run(100)
        assert len(tasks._threads) >= 2
        assert all(thread.is_alive() for thread in tasks._threads)
        np.testing.assert_array_equal(cpu.relu(np.array([-1, 2], np.float32)), [0, 2])
    finally:
        kernels.set_num_threads(before)


def test_what_is_no_array_of_native_float32_goes_to_portable():
    x, w = normal(2, 6, 6, 32), normal(32, 3, 3, 32)
    settings = (None, (1, 1), (1, 1))
    for odd in (x.astype(">f4"), x.astype(np.float16), (x * 8).astype(np.uint8), x > 0):
        expected = portable.conv2d(odd.astype(np.float64), w.astype(np.float64), *settings)
        assert abs(cpu.conv2d(odd, w, *settings) - expected).max() < 1e-2 * abs(expected).max()
    np.testing.assert_array_equal(cpu.relu(x.astype(">f4")), np.maximum(x, 0))
    np.testing.assert_array_equal(cpu.relu_grad(np.ones((1, 32), np.float32), x[0, 0]), x[0, 0] > 0)
    memory = np.zeros(24, np.float32)
    with pytest.raises(ValueError, match="broadcast"):
        cpu.sgd_step(normal(20), normal(20), memory[:1].reshape(()), None, 0.1, 0.9, 0.0, False)
    assert not memory.any()
    weight = np.zeros(3, np.float32)
    cpu.sgd_step(weight, np.array(1, np.float32), None, None, 0.5, 0.0, 0.0, False)
    np.testing.assert_array_equal(weight, [-0.5] * 3)


def test_second_thread():
    """Only one thread should call kernels, but two must not bring the process down."""
    from concurrent.futures import ThreadPoolExecutor

    a, b = normal(200, 300), normal(300, 100)
    with ThreadPoolExecutor(4) as pool:
        products = list(pool.map(lambda _: cpu.matmul(a, b), range(20)))
    assert all((p == products[0]).all() for p in products)


SCRIPT = """
import numpy as np
from numba.core import event
compiled = []
class Listener(event.Listener):
    on_start = lambda self, e: compiled.append(e.data["dispatcher"].py_func.__name__)
    on_end = lambda self, e: None
event.register("numba:compile", Listener())
from minidl.kernels import cpu, portable
from minidl.kernels.cpu import tile
rng = np.random.default_rng(0)
x, w, dy = (rng.standard_normal(s).astype(np.float32) for s in ((2, 9, 8, 21), (37, 3, 3, 21), (2, 5, 4, 37)))
for name, args in (("conv2d", (x, w, None, (2, 2), (1, 1))), ("conv2d_grad_weight", (dy, x, w.shape, (2, 2), (1, 1))),
                   ("conv2d_grad_input", (dy, w, x.shape, (2, 2), (1, 1)))):
    exact = getattr(portable, name)(*[a.astype(float) if isinstance(a, np.ndarray) else a for a in args])
    assert np.abs(getattr(cpu, name)(*args) - exact).max() < 1e-4, name
print(tile.ROWS, tile.COLUMNS // tile.LANES, tile.LANES, *compiled)
"""


def in_new_process(folder, **environment):
    command = [sys.executable, "-c", SCRIPT]
    environment = os.environ | {"NUMBA_CACHE_DIR": str(folder)} | environment
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True, encoding="utf-8")


def test_a_second_process_compiles_nothing(tmp_path):
    first, second = in_new_process(tmp_path), in_new_process(tmp_path)
    assert first.stdout.split()[:3] == second.stdout.split()[:3]
    assert {"_pack", "_gather", "_add", "_watch"} <= set(first.stdout.split()[3:])
    assert second.stdout.split()[3:] == []
    assert first.stderr.count("minidl compiles its kernels") == 1  # no terminal: it is said once
    assert second.stderr == ""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="these are x86's instruction sets")
@pytest.mark.parametrize(
    ("name", "features", "tile"),
    [("haswell", "+avx2,+fma", "6 2 8"), ("x86-64", "+sse2", "4 2 4")],
)
def test_other_instruction_sets(tmp_path, name, features, tile):
    found = in_new_process(tmp_path, NUMBA_CPU_NAME=name, NUMBA_CPU_FEATURES=features)
    assert found.stdout.split()[:3] == tile.split()


@pytest.mark.parametrize("module", [loops, portable, cpu, on_a_card], ids=["loops", "portable", "cpu", "gpu"])
def test_the_first_nan_of_a_window_wins(module):
    x = np.array([1, np.nan, 3, np.nan], np.float32).reshape(1, 1, 4, 1)
    y, where = run(module, "max_pool2d", (x, (1, 4), (1, 1), (0, 0)))
    assert np.isnan(y).all()
    assert where.ravel().tolist() == [1]


@pytest.mark.parametrize("module", [loops, portable, cpu, on_a_card], ids=["loops", "portable", "cpu", "gpu"])
def test_a_pruned_weight_is_zero_whatever_its_gradient(module):
    grad, mask = np.array([1, np.inf, np.nan], np.float32), np.array([True, False, True])
    weight, _, velocity, _ = run(module, "sgd_step", (normal(3), grad, normal(3), mask, 0.1, 0.9, 0.0, False))
    assert weight[1] == velocity[1] == 0
    assert np.isnan(weight[2])


def test_a_step_leaves_alone_what_it_may_not_touch():
    """Arrays of unequal shapes, and memory that is read-only, are for portable to broadcast or to refuse."""
    weight = np.frombuffer(np.ones(4, np.float32).tobytes(), np.float32)
    with pytest.raises(ValueError, match="read-only"):
        cpu.sgd_step(weight, normal(4), None, None, 0.1, 0.0, 0.0, False)
    assert weight.tolist() == [1, 1, 1, 1]
    guarded = np.zeros(16, np.float32)
    with pytest.raises(ValueError, match="broadcast"):
        cpu.sgd_step(normal(16), normal(16), guarded[:4], None, 0.1, 0.9, 0.0, False)
    assert not guarded[4:].any()
    weight = np.ones(4, np.float32)
    cpu.sgd_step(weight, np.ones(1, np.float32), None, None, 0.5, 0.0, 0.0, False)
    assert weight.tolist() == [0.5] * 4
    with pytest.raises(ValueError, match="matmul"):
        cpu.matmul(normal(2, 5), normal(3, 4))


def test_adam_with_a_beta_that_is_one_in_float32():
    results = []
    for dtype in (np.float32, np.float64):
        weight, mean, square = np.ones(3, dtype), np.zeros(3, dtype), np.zeros(3, dtype)
        cpu.adam_step(weight, np.full(3, 0.5, dtype), mean, square, None, 1e-3, 0.9, 1 - 1e-8, 1e-8, 0.0, 1)
        results.append(weight)
    np.testing.assert_allclose(results[0], results[1], rtol=1e-6)


@pytest.mark.parametrize("name", ["conv2d", "conv2d_grad_input"])
@pytest.mark.parametrize(("channels", "stride"), [(32, 1), (20, 2)])  # by Winograd, and directly
def test_what_is_made_of_fixed_weights_is_made_once(name, channels, stride):
    size, weight = -(-8 // stride), normal(channels, 3, 3, channels)
    x, dy, how = normal(1, 8, 8, channels), normal(1, size, size, channels), ((stride, stride), (1, 1))
    cpu = kernels.module("cpu")

    def conv2d(kernel):
        return cpu.conv2d(x, kernel, None, *how)

    def conv2d_grad_input(kernel):
        return cpu.conv2d_grad_input(dy, kernel, x.shape, *how)

    run, beside = (conv2d, conv2d_grad_input) if name == "conv2d" else (conv2d_grad_input, conv2d)
    before, other = run(weight), run(-weight)
    with kernels.fixed([weight]):
        beside(weight)  # what it makes is another thing
        assert np.array_equal(run(weight), before)
        weight *= -1  # which nobody may do; what was made of it is still there
        assert np.array_equal(run(weight), before)
        assert np.array_equal(run(weight.copy()), other)
    assert np.array_equal(run(weight), other)
