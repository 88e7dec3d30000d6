"""Every differentiable operation against finite differences and against the loops: one table, any device.

A case is an operation, a function of tensors, and one draw for each of them. The draws state the safe domain: finite
differences need a function that is smooth within a few 1e-5 of the point.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minidl as md
from minidl import functional as F
from minidl import kernels
from minidl.backend import array_module, to_device, to_numpy
from minidl.functional import arithmetic

TOLERANCE = 1e-8


# Safe domains


def anywhere(*shape):
    """The operation is smooth everywhere."""
    return lambda rng: rng.standard_normal(shape)


def off_zero(*shape):
    """At least 0.1 away from a kink, or a pole, at 0."""
    return lambda rng: rng.choice([-1.0, 1.0], shape) * rng.uniform(0.1, 2, shape)


def positive(*shape):
    """Where log and roots are smooth."""
    return lambda rng: rng.uniform(0.5, 2, shape)


def distinct(*shape):
    """No two values closer than 0.1, so that each window's largest stays the largest; most are negative."""
    return lambda rng: 0.1 * rng.permutation(np.prod(shape)).reshape(shape) - 0.08 * np.prod(shape)


def far_apart(*shape):
    """Half the values of each channel near -10 and half near 10: a sign that no step changes."""

    def draw(rng):
        signs = np.repeat([-10.0, 10.0], np.prod(shape[:-1]) // 2)
        columns = [rng.permutation(signs) for _ in range(shape[-1])]
        return np.stack(columns, -1).reshape(shape) + rng.uniform(-1, 1, shape)

    return draw


# The table


@dataclass(frozen=True)
class Case:
    operation: str
    variant: str
    f: Callable
    draws: tuple

    def inputs(self, seed=0):
        rng = np.random.default_rng(seed)
        return [draw(rng) for draw in self.draws]


CASES: list[Case] = []


def case(operation, variant, f, *draws):
    CASES.append(Case(operation, variant, f, draws))


def like(x, values):
    """Constants on the device of x, in its precision."""
    return to_device(np.asarray(values, x.dtype), x.device)


# arithmetic, with broadcasting
case("add", "same shape", lambda x, y: x + y, anywhere(2, 3), anywhere(2, 3))
case("add", "new axes", lambda x, y: x + y, anywhere(4, 2, 3), anywhere(3))
case("add", "stretched on both sides", lambda x, y: x + y, anywhere(2, 1), anywhere(1, 3))
case("add", "a number", lambda x: 2 + x + 1.5, anywhere(3))
case("add", "one number broadcast", lambda x, y: x + y, anywhere(), anywhere(2, 3))
case("subtract", "stretched", lambda x, y: x - y, anywhere(2, 3), anywhere(2, 1))
case("subtract", "from a number", lambda x: 2 - x, anywhere(3))
case("subtract", "from an array", lambda x: like(x, [1, 2, 3]) - x, anywhere(2, 3))
case("multiply", "stretched", lambda x, y: x * y, anywhere(2, 3, 1), anywhere(3, 4))
case("multiply", "by itself", lambda x: x * x, anywhere(3))
case("multiply", "by an array", lambda x: like(x, [[1], [2]]) * x * like(x, [3]), anywhere(2, 3))
case("divide", "stretched", lambda x, y: x / y, anywhere(2, 3), off_zero(3))
case("divide", "of a number", lambda x: 2 / x, off_zero(3))
case("negative", "", lambda x: -x, anywhere(2, 3))
case("power", "cube", lambda x: x**3, anywhere(2, 3))
case("power", "root", lambda x: x**0.5, positive(2, 3))
case("power", "inverse", lambda x: x**-1, off_zero(2, 3))
case("exp", "", lambda x: x.exp(), anywhere(2, 3))
case("log", "", lambda x: x.log(), positive(2, 3))
case("sqrt", "", lambda x: x.sqrt(), positive(2, 3))
case("abs", "", lambda x: abs(x) * x.abs(), off_zero(2, 3))
case("matmul", "matrices", lambda x, y: x @ y, anywhere(2, 3), anywhere(3, 4))
case("matmul", "stacks, broadcast", lambda x, y: x @ y, anywhere(5, 1, 2, 3), anywhere(2, 3, 4))
case("matmul", "array first", lambda y: like(y, np.ones((2, 3))) @ y, anywhere(3, 4))
case("matmul", "two vectors", lambda x, y: x @ y, anywhere(3), anywhere(3))
case("matmul", "vector and stacks", lambda x, y: x @ y, anywhere(3), anywhere(2, 3, 4))
case("matmul", "stacks and vector", lambda x, y: x @ y, anywhere(2, 4, 3), anywhere(3))
case("matmul", "a vector by itself", lambda x: x @ x, anywhere(3))
case("getitem", "number", lambda x: x[1], anywhere(3, 4))
case("getitem", "slices", lambda x: x[..., ::-2, None], anywhere(3, 4))
case("getitem", "repeated rows", lambda x: x[np.array([0, 2, 0])], anywhere(3, 4))
case("getitem", "mask", lambda x: x[np.eye(3, dtype=bool)], anywhere(3, 3))
case("getitem", "one of each row", lambda x: x[np.arange(3), np.array([1, 0, 1])], anywhere(3, 4))
for _name in ("sum", "mean"):
    for _settings in ({}, {"axis": 1}, {"axis": (0, -1)}, {"axis": 0, "keepdims": True}, {"keepdims": True}):
        case(
            _name,
            ", ".join(f"{k} {v}" for k, v in _settings.items()),
            lambda x, n=_name, s=_settings: getattr(x, n)(**s) * getattr(x, n)(**s),
            anywhere(2, 3, 4),
        )
for _settings in ({}, {"axis": 1}, {"axis": (0, -1)}, {"axis": 0, "keepdims": True}):
    case(
        "max",
        ", ".join(f"{k} {v}" for k, v in _settings.items()),
        lambda x, s=_settings: x.max(**s) ** 2,
        distinct(2, 3, 4),
    )
case("reshape", "sizes", lambda x: x.reshape(3, -1) ** 2, anywhere(2, 3, 4))
case("reshape", "tuple", lambda x: x.reshape((4, 6)) ** 2, anywhere(2, 3, 4))
case("transpose", "reversed", lambda x: x.transpose() @ x.reshape(2, 3), anywhere(2, 3))
case("transpose", "T", lambda x: x.T @ x, anywhere(2, 3))
case("transpose", "order", lambda x: x.transpose(2, 0, 1) ** 2, anywhere(2, 3, 4))
case("transpose", "order from the end", lambda x: x.transpose(-1, 0, -2) ** 2, anywhere(2, 3, 4))

case("clip", "", lambda x: x.clip(-0.05, 0.05) ** 2 + x, off_zero(3, 4))

# joining
case("maximum", "stretched", F.maximum, distinct(3, 4), lambda rng: rng.uniform(0.01, 0.09, (4,)))
case("maximum", "a number", lambda x: F.maximum(x, 0) + F.maximum(0.0, x) ** 2, off_zero(3, 4))
case("maximum", "equals", lambda x: F.maximum(x, x) ** 2, anywhere(3, 4))
case("where", "stretched", lambda x, y: F.where(like(x, np.eye(3)) > 0, x, y) ** 2, anywhere(3, 3), anywhere(1, 3))
case("where", "a number", lambda x: F.where(x.data > 0, x, 0.5) ** 2, off_zero(3, 3))
case("pad", "images", lambda x: F.pad(x, ((0, 0), (1, 2), (0, 1), (0, 0)), 0.5) ** 2, anywhere(2, 3, 2, 1))
case("pad", "a vector", lambda x: F.pad(x, [(2, 0)]) ** 2, anywhere(3))
case("concatenate", "", lambda x, y: F.concatenate([x, y]) ** 2, anywhere(2, 3), anywhere(1, 3))
case("concatenate", "last axis", lambda x, y: F.concatenate([x, y, x], -1) ** 2, anywhere(2, 3, 1), anywhere(2, 3, 2))
case("concatenate", "a constant", lambda x: F.concatenate([x, like(x, np.ones((2, 3)))], 0) ** 2, anywhere(2, 3))
case("stack", "", lambda x, y: F.stack([x, y]) ** 2, anywhere(2, 3), anywhere(2, 3))
case("stack", "last axis", lambda x, y: F.stack([x, y, x], axis=-1) ** 2, anywhere(2, 3), anywhere(2, 3))

# activation
case("leaky_relu", "", lambda x: F.leaky_relu(x, 0.2) ** 2, off_zero(3, 4))
case("gelu", "", lambda x: F.gelu(2 * x), anywhere(3, 4))
case("relu", "", lambda x: F.relu(x), off_zero(3, 4))
case("relu", "images", lambda x: F.relu(x), off_zero(2, 3, 2, 4))
case("sigmoid", "", lambda x: F.sigmoid(3 * x), anywhere(3, 4))
case("tanh", "", lambda x: F.tanh(x), anywhere(3, 4))
case("dropout", "training", lambda x: F.dropout(x, 0.3, rng=np.random.default_rng(1)) ** 2, anywhere(4, 5))
case("dropout", "evaluation", lambda x: F.dropout(x, 0.3, training=False) ** 2, anywhere(4, 5))


# noise
def gaussian_of(seed):
    return lambda mean, variance: F.gaussian(mean, variance, np.random.default_rng(seed)) ** 2


def uncut(*shape):
    """Weights for which log alpha is off the ends that cut it."""
    return lambda rng: rng.choice([-1.0, 1.0], shape) * rng.uniform(0.3, 2, shape)


case("gaussian", "", gaussian_of(1), anywhere(4, 5), positive(4, 5))
case("log_alpha", "", lambda w, v: F.log_alpha(w, v) ** 2, uncut(3, 4), anywhere(3, 4))
case("log_alpha", "cut", lambda w, v: F.log_alpha(w, 40 + 0 * v) * F.log_alpha(w, v), uncut(3, 4), anywhere(3, 4))
case("variational_kl", "", lambda x: F.variational_kl(3 * x) ** 2, anywhere(3, 4))

# layers with weights
case("linear", "", F.linear, anywhere(4, 3), anywhere(3, 2), anywhere(2))
case("linear", "no bias", F.linear, anywhere(4, 3), anywhere(3, 2))
case("linear", "one vector", F.linear, anywhere(3), anywhere(3, 2), anywhere(2))
case("linear", "stacked", F.linear, anywhere(2, 4, 3), anywhere(3, 2), anywhere(2))
for _variant, _x, _w, _stride, _padding in (
    ("1 x 1", (2, 3, 4, 3), (2, 1, 1, 3), 1, 0),
    ("1 x 1, stride 2", (2, 5, 4, 3), (2, 1, 1, 3), 2, 0),
    ("3 x 3, padded", (2, 4, 5, 2), (3, 3, 3, 2), 1, 1),
    ("3 x 3, stride 2", (1, 6, 7, 2), (3, 3, 3, 2), 2, 1),
    ("rectangular", (2, 6, 5, 2), (3, 3, 2, 2), (2, 1), (1, 2)),
    ("vertical", (1, 6, 4, 2), (3, 3, 1, 2), 1, (1, 0)),
    ("horizontal", (1, 4, 6, 2), (3, 1, 3, 2), (1, 2), (0, 1)),
    ("as large as the image", (2, 3, 4, 2), (3, 3, 4, 2), 1, 0),
    ("stride beyond the kernel", (1, 8, 7, 1), (2, 2, 1, 1), (3, 4), 0),
    ("padding beyond the kernel", (1, 2, 3, 1), (2, 2, 1, 1), 1, (3, 2)),
    ("windows leave a rest", (1, 8, 6, 1), (2, 3, 3, 1), 3, 1),
    ("one image, one channel", (1, 3, 3, 1), (1, 2, 2, 1), 1, 0),
):
    case(
        "conv2d",
        _variant,
        lambda x, w, b, s=_stride, p=_padding: F.conv2d(x, w, b, s, p),
        anywhere(*_x),
        anywhere(*_w),
        anywhere(_w[0]),
    )
case("conv2d", "no bias", lambda x, w: F.conv2d(x, w, padding=1), anywhere(1, 3, 3, 2), anywhere(2, 3, 3, 2))

# pooling
for _variant, _size, _stride, _padding in (
    ("2", 2, None, 0),
    ("3, stride 2", 3, 2, 0),
    ("3, stride 2, padded", 3, 2, 1),
    ("rectangular", (2, 3), (1, 2), (1, 0)),
    ("stride beyond the kernel", (1, 2), (2, 3), 0),
    ("1", 1, 1, 0),
):
    case(
        "max_pool2d", _variant, lambda x, k=_size, s=_stride, p=_padding: F.max_pool2d(x, k, s, p), distinct(2, 5, 6, 2)
    )
    case(
        "avg_pool2d", _variant, lambda x, k=_size, s=_stride, p=_padding: F.avg_pool2d(x, k, s, p), anywhere(2, 5, 6, 2)
    )
for _out in (1, (2, 3), 4, (7, 8)):  # the last is larger than the image
    case("adaptive_avg_pool2d", f"to {_out}", lambda x, n=_out: F.adaptive_avg_pool2d(x, n), anywhere(2, 5, 6, 2))

# normalisation
IMAGES, CHANNELS = (3, 2, 4, 3), (3,)


def batch_norm(training, relu=False):
    def f(x, gamma, beta, residual=None):
        statistics = () if training else (like(x, [0.5, -0.5, 1]), like(x, [1, 2, 0.5]))
        return F.batch_norm(x, gamma, beta, *statistics, residual=residual, relu=relu)

    return f


for _training in (True, False):
    _mode = "training" if _training else "evaluation"
    _scale, _shift = positive(*CHANNELS), lambda rng: rng.uniform(-0.1, 0.1, CHANNELS)
    case("batch_norm", _mode, batch_norm(_training), anywhere(*IMAGES), anywhere(3), anywhere(3))
    case("batch_norm", f"{_mode}, rows", batch_norm(_training), anywhere(6, 3), anywhere(3), anywhere(3))
    case(
        "batch_norm",
        f"{_mode}, residual",
        batch_norm(_training),
        anywhere(*IMAGES),
        anywhere(3),
        anywhere(3),
        anywhere(*IMAGES),
    )
    case("batch_norm", f"{_mode}, relu", batch_norm(_training, relu=True), far_apart(*IMAGES), _scale, _shift)
    case(
        "batch_norm",
        f"{_mode}, residual, relu",
        batch_norm(_training, relu=True),
        lambda rng: rng.uniform(-1, 1, IMAGES),
        _scale,
        _shift,
        far_apart(*IMAGES),
    )
for _groups in (1, 2, 6):
    case(
        "group_norm",
        f"{_groups} groups",
        lambda x, g, b, n=_groups: F.group_norm(x, g, b, n),
        anywhere(2, 3, 4, 6),
        anywhere(6),
        anywhere(6),
    )
case("group_norm", "rows", lambda x, g, b: F.group_norm(x, g, b, 2, 0.1), anywhere(3, 6), anywhere(6), anywhere(6))
case("layer_norm", "images", F.layer_norm, anywhere(2, 3, 1, 5), anywhere(5), anywhere(5))
case("layer_norm", "rows", lambda x, g, b: F.layer_norm(x, g, b, 0.1), anywhere(3, 6), anywhere(6), anywhere(6))
case("normalize", "channels", lambda x: F.normalize(x, [0.1, 0.2, 0.3], [0.5, 1, 2]), anywhere(2, 2, 2, 3))
case("normalize", "one for all", lambda x: F.normalize(x, 0.5, 0.25), anywhere(2, 2, 2, 3))
for _size in (1, 2, 3, 5, 12):
    case(
        "local_response_norm",
        f"size {_size}",
        lambda x, n=_size: F.local_response_norm(x, n, alpha=0.7, beta=0.6, k=2.0),
        anywhere(1, 2, 2, 6),
    )

# loss
LABELS = np.array([2, 0, 3, 3])
SOFT = [[0, 0.25, 0.75, 0, 0], [1, 0, 0, 0, 0], [0.125, 0.125, 0.25, 0.25, 0.25], [0, 0.5, 0, 0.5, 0]]
for _T in (0.5, 1.0, 20.0):
    case("softmax", f"T = {_T}", lambda g, T=_T: F.softmax(g, T), anywhere(4, 5))
    case("log_softmax", f"T = {_T}", lambda g, T=_T: F.log_softmax(g, T), anywhere(4, 5))
    for _reduction in ("mean", "sum", "none"):
        case(
            "cross_entropy",
            f"T = {_T}, {_reduction}",
            lambda g, T=_T, r=_reduction: F.cross_entropy(g, LABELS, T, r),
            anywhere(4, 5),
        )
        case(
            "cross_entropy",
            f"T = {_T}, {_reduction}, probabilities",
            lambda g, T=_T, r=_reduction: F.cross_entropy(g, like(g, SOFT), T, r),
            anywhere(4, 5),
        )
for _reduction in ("mean", "sum", "none"):
    case("margin_loss", _reduction, lambda g, r=_reduction: F.margin_loss(g, LABELS, r), distinct(4, 5))
case("softmax", "images", F.softmax, anywhere(2, 3, 2, 5))
case("log_softmax", "one vector", F.log_softmax, anywhere(5))

# shaping
case("flatten", "", lambda x: F.flatten(x) ** 2, anywhere(2, 3, 4, 2))
case("flatten", "channels first", lambda x: F.flatten(x, channels_first=True) ** 2, anywhere(2, 3, 4, 2))

each_case = pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c.operation}: {c.variant}".rstrip(": "))


# What is checked


def test_the_table_has_every_operation():
    recorded = {name for name, f in vars(arithmetic).items() if hasattr(f, "__wrapped__") and not name.startswith("_")}
    assert {c.operation for c in CASES} == set(F.__all__) | recorded


@each_case
def test_gradients_equal_finite_differences(case, device):
    md.testing.check_gradients(case.f, *(to_device(x, device) for x in case.inputs()), tolerance=TOLERANCE)


def value_and_gradients(f, inputs):
    """f's value and the gradients of sum(v * f) with fixed weights v, as NumPy arrays."""
    leaves = [md.Tensor(x, requires_grad=True) for x in inputs]
    y = f(*leaves)
    v = np.random.default_rng(1).uniform(0.5, 1, y.shape)
    y.backward(array_module(y.data).asarray(v, y.dtype))
    return [to_numpy(a) for a in (y.data, *(leaf.grad for leaf in leaves))]


@each_case
def test_precision_is_kept(case, device):
    exact = value_and_gradients(case.f, [to_device(x, device) for x in case.inputs()])
    single = value_and_gradients(case.f, [to_device(x.astype(np.float32), device) for x in case.inputs()])
    for a, b in zip(single, exact, strict=True):
        assert (a.dtype, b.dtype) == (np.float32, np.float64)
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4 * np.abs(b).max())


@pytest.mark.parametrize("name", ["portable", "cpu"])
@each_case
def test_kernels_agree_with_the_loops(case, name):
    if name == "cpu":
        pytest.importorskip("numba")
    with kernels.using("loops"):
        slow = value_and_gradients(case.f, case.inputs())
    with kernels.using(name):
        fast = value_and_gradients(case.f, case.inputs())
    for a, b in zip(fast, slow, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


# Any shape, stride and padding

sizes, kernel_sizes = st.tuples(st.integers(1, 7), st.integers(1, 7)), st.tuples(st.integers(1, 4), st.integers(1, 4))
strides, paddings = st.tuples(st.integers(1, 4), st.integers(1, 4)), st.tuples(st.integers(0, 3), st.integers(0, 3))


def fits(size, kernel, padding):
    return all(n + 2 * p >= k for n, k, p in zip(size, kernel, padding, strict=True))


@st.composite
def convolutions(draw):
    size, kernel, padding = draw(st.tuples(sizes, kernel_sizes, paddings).filter(lambda t: fits(*t)))
    b, c, n = draw(st.integers(1, 3)), draw(st.integers(1, 4)), draw(st.integers(1, 4))
    return (b, *size, c), (n, *kernel, c), draw(strides), padding


@given(convolutions())
def test_any_convolution(device, drawn):
    x_shape, w_shape, stride, padding = drawn
    rng = np.random.default_rng(0)
    inputs = [to_device(rng.standard_normal(s), device) for s in (x_shape, w_shape, w_shape[:1])]
    md.testing.check_gradients(lambda x, w, b: F.conv2d(x, w, b, stride, padding), *inputs, tolerance=TOLERANCE)


@st.composite
def poolings(draw):
    borders = paddings.filter(lambda p: max(p) < 3)
    size, kernel, padding = draw(
        st.tuples(sizes, kernel_sizes, borders).filter(
            lambda t: fits(*t) and all(2 * p <= k for k, p in zip(t[1], t[2], strict=True))
        )
    )
    return (draw(st.integers(1, 3)), *size, draw(st.integers(1, 4))), kernel, draw(strides), padding


@given(poolings())
def test_any_pooling(device, drawn):
    shape, kernel, stride, padding = drawn
    x = to_device(distinct(*shape)(np.random.default_rng(0)), device)
    for pool in (F.max_pool2d, F.avg_pool2d):
        md.testing.check_gradients(lambda x, f=pool: f(x, kernel, stride, padding), x, tolerance=TOLERANCE)


@given(sizes, sizes)
def test_any_adaptive_pooling(device, size, out):
    x = to_device(np.random.default_rng(0).standard_normal((2, *size, 3)), device)
    md.testing.check_gradients(lambda x: F.adaptive_avg_pool2d(x, out), x, tolerance=TOLERANCE)
