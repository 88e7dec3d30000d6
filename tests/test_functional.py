"""What the operations mean: as PyTorch has them, at random shapes; and what they say to shapes that do not fit."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minidl as md
from minidl import Tensor
from minidl import functional as F
from minidl.kernels.shapes import output_size

# As in PyTorch, whose images are (B, C, H, W)

EXACT = {"rtol": 1e-10, "atol": 1e-12}
pairs = st.tuples(st.integers(1, 4), st.integers(1, 4))


def to_torch(x, order=(0, 3, 1, 2)):
    """A float64 torch tensor that wants a gradient; images and kernels get their channels moved."""
    torch = pytest.importorskip("torch")
    x = x.transpose(order) if x.ndim == 4 else x
    return torch.tensor(np.ascontiguousarray(x), requires_grad=True)


def from_torch(x):
    x = x.detach().numpy()
    return x.transpose(0, 2, 3, 1) if x.ndim == 4 else x


def assert_same_as_torch(ours, theirs, *arrays):
    """Values and all gradients of sum(v * f(*arrays)), with random weights v."""
    leaves, torch_leaves = [Tensor(x, requires_grad=True) for x in arrays], [to_torch(x) for x in arrays]
    y, expected = ours(*leaves), theirs(*torch_leaves)
    np.testing.assert_allclose(y.data, from_torch(expected), **EXACT)
    v = np.random.default_rng(1).standard_normal(y.shape)
    y.backward(v)
    expected.backward(to_torch(v))
    for leaf, torch_leaf in zip(leaves, torch_leaves, strict=True):
        np.testing.assert_allclose(leaf.grad, from_torch(torch_leaf.grad), **EXACT)


def images(seed, h, w, c):
    return np.random.default_rng(seed).standard_normal((2, h, w, c))


@given(st.integers(4, 9), st.integers(4, 9), st.integers(1, 4), st.integers(1, 4), pairs, pairs, pairs, st.booleans())
def test_conv2d(h, w, c, n, kernel, stride, padding, with_bias):
    torch = pytest.importorskip("torch")
    x, weight = images(0, h, w, c), np.random.default_rng(1).standard_normal((n, *kernel, c))
    bias = [np.arange(1.0, n + 1)] if with_bias else []
    assert_same_as_torch(
        lambda x, weight, *bias: F.conv2d(x, weight, *bias, stride=stride, padding=padding),
        lambda x, weight, *bias: torch.nn.functional.conv2d(x, weight, *bias, stride=stride, padding=padding),
        *(x, weight, *bias),
    )


@given(st.integers(4, 9), st.integers(4, 9), pairs, st.none() | pairs, st.data())
def test_pooling(h, w, kernel, stride, data):
    torch = pytest.importorskip("torch")
    padding = tuple(data.draw(st.integers(0, k // 2)) for k in kernel)
    settings = kernel, stride, padding
    for ours, theirs in (
        (F.max_pool2d, torch.nn.functional.max_pool2d),
        (F.avg_pool2d, torch.nn.functional.avg_pool2d),
    ):
        assert_same_as_torch(lambda x, f=ours: f(x, *settings), lambda x, f=theirs: f(x, *settings), images(0, h, w, 3))


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 7) | pairs)
def test_adaptive_avg_pool2d(h, w, out):
    torch = pytest.importorskip("torch")
    assert_same_as_torch(
        lambda x: F.adaptive_avg_pool2d(x, out),
        lambda x: torch.nn.functional.adaptive_avg_pool2d(x, out),
        images(0, h, w, 3),
    )


@pytest.mark.parametrize("shape", [(4, 3, 5, 3), (6, 3)])
@pytest.mark.parametrize("training", [True, False])
def test_batch_norm(shape, training, rng):
    torch = pytest.importorskip("torch")
    known = rng.standard_normal(3), rng.uniform(0.5, 2, 3)
    assert_same_as_torch(
        lambda x, gamma, beta: F.batch_norm(x, gamma, beta, *(() if training else known), eps=1e-3),
        lambda x, *gamma_beta: torch.nn.functional.batch_norm(
            x, *(torch.tensor(s) for s in known), *gamma_beta, training=training, eps=1e-3
        ),
        *(2 + 3 * rng.standard_normal(shape), rng.standard_normal(3), rng.standard_normal(3)),
    )


@given(st.integers(1, 7), st.integers(1, 9))
def test_local_response_norm(size, channels):
    torch = pytest.importorskip("torch")
    assert_same_as_torch(
        lambda x: F.local_response_norm(x, size, alpha=0.3, beta=0.6, k=2.0),
        lambda x: torch.nn.functional.local_response_norm(x, size, alpha=0.3, beta=0.6, k=2.0),
        images(0, 2, 3, channels),
    )


@pytest.mark.parametrize("shape", [(4, 3), (2, 3, 3), (3,)])
def test_linear(shape, rng):
    pytest.importorskip("torch")
    arrays = [rng.standard_normal(s) for s in (shape, (3, 5), (5,))]
    assert_same_as_torch(F.linear, lambda x, w, b: x @ w + b, *arrays)


@pytest.mark.parametrize("name", ["relu", "sigmoid", "tanh"])
def test_activations(name, rng):
    torch = pytest.importorskip("torch")
    assert_same_as_torch(getattr(F, name), getattr(torch, name), 5 * rng.standard_normal((3, 4)))


# What researchers bring along: in float64 as above, and in float32 to 1e-5, also of views and of axes of one element


def named(name, *settings):
    """An operation here and in PyTorch, of the same name and settings."""
    torch = pytest.importorskip("torch")
    theirs = getattr(torch.nn.functional, name, None) or getattr(torch, name)
    return lambda *arrays: getattr(F, name)(*arrays, *settings), lambda *arrays: theirs(*arrays, *settings)


def group_norm(groups):
    torch = pytest.importorskip("torch")
    theirs = torch.nn.functional.group_norm
    return lambda x, g, b: F.group_norm(x, g, b, groups), lambda x, g, b: theirs(x, groups, g, b)


def layer_norm():
    """Over PyTorch's channels, which come second there."""
    torch = pytest.importorskip("torch")

    def theirs(x, g, b):
        moved = x.permute(0, 2, 3, 1)
        return torch.nn.functional.layer_norm(moved, g.shape, g, b, 1e-5).permute(0, 3, 1, 2)

    return F.layer_norm, theirs


def joined(name, axis, theirs_axis):
    torch = pytest.importorskip("torch")
    return (
        lambda *arrays: getattr(F, name)(arrays, axis),
        lambda *arrays: getattr(torch, name)(arrays, theirs_axis),
    )


def padded():
    torch = pytest.importorskip("torch")
    return (
        lambda x: F.pad(x, ((0, 0), (1, 2), (0, 1), (0, 0)), 0.5),
        lambda x: torch.nn.functional.pad(x, (0, 1, 1, 2), value=0.5),
    )


BROUGHT = {
    "leaky_relu": (lambda: named("leaky_relu", 0.2), ("images",)),
    "gelu": (lambda: named("gelu"), ("images",)),
    "group_norm 1": (lambda: group_norm(1), ("images", "channels", "channels")),
    "group_norm 2": (lambda: group_norm(2), ("images", "channels", "channels")),
    "layer_norm": (layer_norm, ("images", "channels", "channels")),
    "concatenate": (lambda: joined("concatenate", -1, 1), ("images", "images")),
    "pad": (padded, ("images",)),
    "clip": (lambda: named("clip", -0.5, 0.5), ("images",)),
    "maximum": (lambda: named("maximum"), ("images", "images")),
}
SIZES = [(2, 3, 5, 4), (1, 1, 3, 4), (3, 2, 1, 4), (1, 1, 1, 4)]


def views(array):
    """The same numbers: as they are, every second of more, backwards, and with the axes in another order."""
    wide = np.zeros((*array.shape[:-1], 2 * array.shape[-1]), array.dtype)
    wide[..., ::2] = array
    return array, wide[..., ::2], np.flip(np.flip(array).copy()), np.asfortranarray(array)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", BROUGHT)
def test_what_researchers_bring_is_pytorchs(name, size, dtype, rng):
    torch = pytest.importorskip("torch")
    make, kinds = BROUGHT[name]
    ours, theirs = make()
    drawn = [rng.standard_normal(size if kind == "images" else size[-1:]).astype(dtype) for kind in kinds]
    torch_leaves = [to_torch(x) for x in drawn]
    expected = theirs(*torch_leaves)
    v = rng.standard_normal(from_torch(expected).shape).astype(dtype)
    expected.backward(torch.tensor(np.ascontiguousarray(v.transpose(0, 3, 1, 2))))
    # a sum's rounding is measured by what is summed: a gradient of three terms that cancel has no digits of its own
    close = {"rtol": 1e-5, "atol": 1e-5} if dtype == np.float32 else {"rtol": 1e-7, "atol": 1e-12}
    for arrays in zip(*map(views, drawn), strict=True):
        leaves = [Tensor(x, requires_grad=True) for x in arrays]
        y = ours(*leaves)
        assert y.dtype == dtype
        np.testing.assert_allclose(y.data, from_torch(expected), **close)
        y.backward(v)
        for leaf, torch_leaf in zip(leaves, torch_leaves, strict=True):
            assert leaf.grad.dtype == dtype
            np.testing.assert_allclose(leaf.grad, from_torch(torch_leaf.grad), **close)


PRODUCTS = [((3,), (3,)), ((3,), (3, 2)), ((4, 3), (3,)), ((5, 4, 3), (3,)), ((3,), (5, 3, 2))]


@pytest.mark.parametrize(("x", "y"), PRODUCTS)
def test_products_of_vectors(x, y, rng):
    torch = pytest.importorskip("torch")
    arrays = [rng.standard_normal(shape) for shape in (x, y)]
    leaves = [Tensor(array, requires_grad=True) for array in arrays]
    torch_leaves = [torch.tensor(array, requires_grad=True) for array in arrays]
    product, expected = leaves[0] @ leaves[1], torch_leaves[0] @ torch_leaves[1]
    assert product.shape == expected.shape == (arrays[0] @ arrays[1]).shape
    product.backward(np.ones(product.shape))
    expected.backward(torch.ones(expected.shape))
    for leaf, torch_leaf in zip(leaves, torch_leaves, strict=True):
        np.testing.assert_allclose(leaf.grad, torch_leaf.grad.numpy(), rtol=1e-12)


def test_stack_and_where_and_argmax(rng):
    a, b = rng.standard_normal((2, 3)), rng.standard_normal((2, 3))
    for axis in (0, 1, 2, -1, -3):
        np.testing.assert_array_equal(F.stack([a, Tensor(b)], axis).data, np.stack([a, b], axis))
    np.testing.assert_array_equal(F.where(a > 0, a, Tensor(b)).data, np.where(a > 0, a, b))
    assert F.where(a > 0, Tensor(a.astype(np.float32)), 0.5).dtype == np.float32
    np.testing.assert_array_equal(Tensor(a).argmax(axis=1), a.argmax(axis=1))
    assert Tensor(a).argmax() == a.argmax()


def test_group_norm_normalises_far_from_zero(rng):
    """In float32 the mean of numbers near 10,000 is known to 0.001, and what that leaves is taken out again."""
    x = rng.standard_normal((2, 32, 32, 4)).astype(np.float32)
    one, zero = np.ones(4, np.float32), np.zeros(4, np.float32)
    near, far = (F.group_norm(x + np.float32(shift), one, zero, 2).data for shift in (0, 10_000))
    np.testing.assert_allclose(far, near, atol=2e-3)  # the sum x + 10,000 is rounded to 0.001
    assert abs(far.reshape(2, -1, 2, 2).mean(axis=(1, 3))).max() < 1e-6


def test_flatten_channels_first(rng):
    x = rng.standard_normal((2, 3, 4, 5))
    np.testing.assert_array_equal(F.flatten(x).data, x.reshape(2, -1))
    np.testing.assert_array_equal(F.flatten(x, channels_first=True).data, x.transpose(0, 3, 1, 2).reshape(2, -1))


# What is particular


@pytest.mark.parametrize(("x", "y"), [(1e30, 1e25), (1e-25, 1e-30)])
def test_the_gradient_of_a_quotient_does_not_overflow(x, y):
    x, y = (Tensor(np.float32([a]), requires_grad=True) for a in (x, y))
    (x / y).backward()
    np.testing.assert_allclose(x.grad, 1 / np.float64(y.data), rtol=1e-6)
    np.testing.assert_allclose(y.grad, -np.float64(x.data) / np.float64(y.data) ** 2, rtol=1e-6)


@pytest.mark.parametrize("zero", [0, 0.0])
def test_the_power_0_is_flat_at_0_too(zero):
    x = Tensor([0.0, -2.0, 3.0], requires_grad=True)
    y = x**zero
    y.sum().backward()
    np.testing.assert_array_equal(y.data, 1)
    np.testing.assert_array_equal(x.grad, 0)


def test_relu_has_slope_0_at_0():
    x = Tensor([-1.0, -0.0, 0.0, 1.0], requires_grad=True)
    F.relu(x).sum().backward()
    np.testing.assert_array_equal(x.grad, [0, 0, 0, 1])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sigmoid_and_tanh_do_not_overflow(dtype):
    x = Tensor(np.array([-1e4, -100, 0, 100, 1e4], dtype), requires_grad=True)
    for f, expected in ((F.sigmoid, [0, np.exp(-100), 0.5, 1, 1]), (F.tanh, [-1, -1, 0, 1, 1])):
        y = f(x)
        y.sum().backward()
        np.testing.assert_allclose(y.data, expected, rtol=1e-5, atol=1e-44 if f is F.sigmoid else 0)
        assert np.isfinite(x.grad).all()
        x.grad = None


def test_max_pooling_ignores_the_padding():
    x = -np.ones((1, 2, 2, 1))
    assert (F.max_pool2d(x, 3, 1, 1).data == -1).all()
    np.testing.assert_allclose(F.avg_pool2d(x, 3, 1, 1).data, -4 / 9)


def test_max_pooling_gives_the_gradient_to_the_first_of_equals():
    x = Tensor(np.zeros((1, 2, 2, 1)), requires_grad=True)
    F.max_pool2d(x, 2).backward()
    np.testing.assert_array_equal(x.grad.ravel(), [1, 0, 0, 0])


def test_overlapping_windows_share_a_largest_value():
    x = Tensor(np.array([0.0, 5, 0, 0]).reshape(1, 1, 4, 1), requires_grad=True)
    F.max_pool2d(x, (1, 3), (1, 1)).sum().backward()
    np.testing.assert_array_equal(x.grad.ravel(), [0, 2, 0, 0])


def test_batch_norm_normalises_far_from_zero(rng):
    """The variance is not taken as E[x^2] - E[x]^2, which would lose it in float32."""
    x = (1e4 + rng.standard_normal((64, 4, 4, 2))).astype(np.float32)
    ones, zeros = np.ones(2, np.float32), np.zeros(2, np.float32)
    y = F.batch_norm(x, ones, zeros).data
    np.testing.assert_allclose(y.mean(axis=(0, 1, 2)), 0, atol=1e-2)
    np.testing.assert_allclose(y.std(axis=(0, 1, 2)), 1, rtol=1e-2)


def test_batch_norm_in_evaluation_remembers_the_statistics_it_used(rng):
    x, mean, var = Tensor(rng.standard_normal((4, 3)), requires_grad=True), np.zeros(3), np.ones(3)
    y = F.batch_norm(x, np.ones(3), np.zeros(3), mean, var, eps=0.0)
    mean += 5
    var *= 100  # as another batch in training mode would, before this one's backward
    y.sum().backward()
    np.testing.assert_array_equal(x.grad, 1)


def test_dropout_statistics():
    x = Tensor(np.ones(100_000, np.float32), requires_grad=True)
    y = F.dropout(x, 0.3, rng=np.random.default_rng(0))
    assert (y.data == 0).mean() == pytest.approx(0.3, abs=0.01)
    np.testing.assert_allclose(y.data[y.data != 0], 1 / 0.7, rtol=1e-6)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad, y.data)  # the same values were dropped


def test_dropout_of_everything():
    x = Tensor(np.ones((2, 3), np.float32), requires_grad=True)
    y = F.dropout(x, p=1.0)
    y.sum().backward()
    for array in (y.data, x.grad):
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, 0)


def test_dropout_is_seeded():
    x = np.ones(50, np.float32)
    md.manual_seed(3)
    first, second = F.dropout(x).data, F.dropout(x).data
    md.manual_seed(3)
    np.testing.assert_array_equal(F.dropout(x).data, first)
    assert (first != second).any()


def test_arguments_are_left_as_they_are(rng):
    """Operations and their gradients may not write to what they were given."""
    arrays = [rng.standard_normal(s).astype(np.float32) for s in ((2, 6, 6, 3), (4, 3, 3, 3), (4,), (4,), (2, 6, 6, 4))]
    for array in arrays:
        array.setflags(write=False)
    x, w, gamma, beta, residual = (Tensor(a, requires_grad=True) for a in arrays)
    for statistics in ((), (np.zeros(4, np.float32), np.ones(4, np.float32))):
        y = F.conv2d(F.normalize(x, 0.5, 0.25), w, beta, padding=1)
        y = F.batch_norm(y, gamma, beta, *statistics, residual=residual, relu=True)
        y = F.max_pool2d(F.relu(F.local_response_norm(y)), 2) + F.avg_pool2d(y, 2)
        y = F.linear(F.dropout(F.sigmoid(F.tanh(y)), rng=np.random.default_rng(0)), w[:, 0, 0])
        y = F.flatten(F.adaptive_avg_pool2d(y, 2), channels_first=True)
        F.cross_entropy(y, np.array([0, 1])).backward()


# Shapes that do not fit


def refuses(f, *parts, error=ValueError):
    """f raises an error whose message has all the parts."""
    with pytest.raises(error) as caught:
        f()
    for part in parts:
        assert part in str(caught.value)


X = np.zeros((2, 5, 6, 3))


@pytest.mark.parametrize(
    ("f", "name"),
    [
        (lambda x, **s: F.conv2d(x, np.zeros((4, 7, 2, 3)), **s), "conv2d"),
        (lambda x, **s: F.max_pool2d(x, (7, 2), **{"stride": 1, **s}), "max_pool2d"),
        (lambda x, **s: F.avg_pool2d(x, (7, 2), **{"stride": 1, **s}), "avg_pool2d"),
    ],
    ids=["conv2d", "max_pool2d", "avg_pool2d"],
)
def test_a_window_larger_than_the_image(f, name):
    numbers = (f"{name}: ", "7 x 2", "(2, 5, 6, 3)", *(["weight of shape (4, 7, 2, 3)"] if name == "conv2d" else []))
    refuses(lambda: f(X), *numbers, "output height would be floor((5 + 2*0 - 7)/1) + 1 = -1")
    refuses(lambda: f(X[:, :1], stride=(2, 1), padding=(2, 0)), "floor((1 + 2*2 - 7)/2) + 1 = 0")
    refuses(lambda: f(np.zeros((2, 9, 1, 3))), "output width would be floor((1 + 2*0 - 2)/1) + 1 = 0")


@given(*(st.integers(1, n) for n in (9, 9, 4, 3)))
def test_the_formula_counts_the_windows(size, kernel, stride, padding):
    count = len(range(-padding, size + padding - kernel + 1, stride))
    assert max(0, output_size(size, kernel, stride, padding)) == count


@pytest.mark.parametrize(
    ("f", "parts"),
    [
        (lambda: F.conv2d(X, np.zeros((4, 3, 3, 2))), ("conv2d", "(2, 5, 6, 3)", "(4, 3, 3, 2)", "(N, KH, KW, C)")),
        (lambda: F.conv2d(X, np.zeros((3, 3, 3))), ("conv2d", "(2, 5, 6, 3)", "(3, 3, 3)")),
        (lambda: F.conv2d(X[0], np.zeros((4, 3, 3, 3))), ("conv2d", "(5, 6, 3)", "(B, H, W, C)", "image[None]")),
        (
            lambda: F.conv2d(X, np.zeros((4, 3, 3, 3)), np.zeros(3)),
            ("conv2d: bias has shape (3,), weight (4, 3, 3, 3) asks for (4,)",),
        ),
        (lambda: F.linear(np.zeros((2, 3)), np.zeros((4, 5))), ("linear", "(2, 3)", "(4, 5)")),
        (
            lambda: F.linear(np.zeros((2, 4)), np.zeros((4, 5)), np.zeros(4)),
            ("linear: bias has shape (4,), weight (4, 5) asks for (5,)",),
        ),
        (lambda: F.linear(X, np.zeros((90, 5))), ("linear", "(2, 5, 6, 3)", "(90, 5)", "Flatten")),
        (lambda: Tensor(np.zeros((2, 3))) @ np.zeros((2, 3)), ("matmul: shapes (2, 3) and (2, 3) do not fit",)),
        (lambda: Tensor(np.zeros(2)) @ np.zeros((3, 3)), ("matmul: shapes (2,) and (3, 3) do not fit", "vector")),
        (lambda: Tensor(2.0) @ np.zeros(3), ("matmul: shapes () and (3,)", "a number")),
        (lambda: F.concatenate([]), ("concatenate: need at least one array",)),
        (lambda: F.concatenate([X, X[..., :2]], 1), ("concatenate: shapes (2, 5, 6, 3) and (2, 5, 6, 2)", "match")),
        (lambda: F.concatenate([X, X], 4), ("concatenate", "axis 4 is out of bounds")),
        (lambda: F.stack([X, X[0]]), ("stack: shapes (2, 5, 6, 3) and (5, 6, 3)", "same shape")),
        (lambda: F.pad(X, 1), ("pad: widths are 1: give a (before, after) pair for each axis of shape (2, 5, 6, 3)",)),
        (lambda: F.pad(X[0, 0, 0], ((1, -1),)), ("pad: each of the widths is (1, -1)", "at least 0")),
        (lambda: F.clip(X, 1, 0), ("clip: low is 1, above high, which is 0",)),
        (lambda: F.group_norm(X, np.ones(3), np.ones(3), 2), ("group_norm: groups is 2", "the 3 channels")),
        (lambda: F.group_norm(X[:, 0, 0], np.ones(3), np.ones(3), 3), ("group_norm", "(2, 3)", "single value")),
        (lambda: F.layer_norm(X, np.ones(5), np.ones(3)), ("layer_norm: gamma has shape (5,)", "asks for (3,)")),
        (lambda: F.max_pool2d(X[0], 2), ("max_pool2d", "(5, 6, 3)", "(B, H, W, C)")),
        (lambda: F.avg_pool2d(X[0], 2), ("avg_pool2d", "(5, 6, 3)")),
        (lambda: F.adaptive_avg_pool2d(X[0], 2), ("adaptive_avg_pool2d", "(5, 6, 3)")),
        (lambda: F.local_response_norm(X[0]), ("local_response_norm", "(5, 6, 3)")),
        (lambda: F.max_pool2d(X, 3, padding=2), ("max_pool2d: padding (2, 2) is more than half the kernel (3, 3)",)),
        (lambda: F.avg_pool2d(X, 3, padding=(0, 2)), ("avg_pool2d: padding (0, 2)", "(3, 3)")),
        (
            lambda: F.normalize(X[..., :1], [0, 0, 0], [1, 1, 1]),
            ("normalize: mean has shape (3,)", "made for 3 channels, and the images have 1", "(2, 5, 6, 1)"),
        ),
        (lambda: F.normalize(X, 0, [1, 1]), ("normalize: std has shape (2,)", "(2, 5, 6, 3)", "2 channels", "have 3")),
        (lambda: F.local_response_norm(X, 0), ("local_response_norm: size is 0",)),
        (lambda: F.local_response_norm(X, k=0.0), ("local_response_norm: k is 0.0", "must be above 0")),
        (lambda: F.local_response_norm(X, alpha=-1.0), ("local_response_norm: ", "alpha is -1.0")),
        (lambda: F.local_response_norm(X, beta=float("nan")), ("local_response_norm: ", "beta is nan")),
        (lambda: F.dropout(X, 1.5), ("dropout: p is 1.5", "[0, 1]")),
        (lambda: F.dropout(X, -0.1), ("dropout: p is -0.1",)),
        (lambda: Tensor(np.zeros((2, 3))) + np.zeros((2, 4)), ("add: shapes (2, 3) and (2, 4) do not fit: ",)),
        (lambda: np.zeros((2, 3)) * Tensor(np.zeros(2)), ("multiply: shapes (2,) and (2, 3) do not fit: ",)),
        (lambda: Tensor(np.zeros((2, 3))).reshape(4), ("reshape: shapes (2, 3) do not fit: ", "into shape (4,)")),
        (lambda: Tensor(X).sum(axis=4), ("sum: shapes (2, 5, 6, 3): axis 4 is out of bounds",)),
        (lambda: Tensor(np.arange(3)) ** -1, ("power: shapes (3,): Integers to negative",)),
        (lambda: F.relu([[1.0], [2.0, 3.0]]), ("relu: an array, a number, or nested lists", "inhomogeneous")),
        (lambda: Tensor(X).transpose(1, 2), ("transpose: (1, 2) is not an order of the 4 axes", "(2, 5, 6, 3)", "all")),
        (lambda: Tensor(X).transpose(0, 1, 2, 4), ("transpose: shapes (2, 5, 6, 3): axis 4 is out of bounds",)),
        (lambda: Tensor(X).transpose(0, 1, 2, 2), ("transpose: shapes (2, 5, 6, 3): repeated axis",)),
    ],
)
def test_shapes_that_do_not_fit(f, parts):
    refuses(f, *parts)


@pytest.mark.parametrize("argument", ["gamma", "beta", "mean", "var"])
def test_batch_norm_needs_one_number_a_channel(argument):
    arrays = dict.fromkeys(("gamma", "beta", "mean", "var"), np.ones(3)) | {argument: np.ones(5)}
    refuses(lambda: F.batch_norm(X, **arrays), f"batch_norm: {argument} has shape (5,)", "(2, 5, 6, 3)")


def test_batch_norm_other_shapes():
    three, seen = np.ones(3), []
    refuses(lambda: F.batch_norm(three, three, three), "batch_norm: x has shape (3,)")
    refuses(
        lambda: F.batch_norm(X, three, three, residual=X[:1]),
        "batch_norm: residual has shape (1, 5, 6, 3), x has (2, 5, 6, 3)",
    )
    refuses(lambda: F.batch_norm(X, three, three, three), "batch_norm: one of mean and var is missing")
    one = X[:1, :1, :1]
    refuses(lambda: F.batch_norm(one, three, three, observe=seen.append), "batch_norm: training on 1 value")
    assert not seen  # a refused batch leaves no trace


@pytest.mark.parametrize("value", [0, -1, 1.5, (1, 0), (1, 2, 3), "2", None, [1, 1.5]], ids=repr)
def test_settings_are_whole_and_positive(value):
    weight = np.zeros((4, 2, 2, 3))
    for f, name in (
        (lambda: F.conv2d(X, weight, stride=value), "conv2d: stride"),
        (lambda: F.max_pool2d(X, value), "max_pool2d: kernel_size"),
        (lambda: F.adaptive_avg_pool2d(X, value), "adaptive_avg_pool2d: output_size"),
    ):
        refuses(f, f"{name} is {value!r}, and must be an int or a pair of ints, at least 1")
    if value not in (0, (1, 0)):
        refuses(lambda: F.conv2d(X, weight, padding=value), f"conv2d: padding is {value!r}", "at least 0")


def test_numpy_integers_are_integers():
    two = np.int64(2)
    assert F.conv2d(X, np.zeros((4, 3, 3, 3)), stride=two, padding=(two, np.int8(1))).shape == (2, 4, 3, 4)


def test_integer_images_are_refused():
    """As integers the mean would be rounded to 0, and nobody would notice."""
    refuses(
        lambda: F.normalize(X.astype(np.uint8), 0.5, 0.25),
        "normalize: images must be real numbers, and got uint8",
        error=TypeError,
    )


def test_every_operation_is_documented():
    for name in F.__all__:
        text = getattr(F, name).__doc__
        assert text, name
        assert re.search(r"Parameters\n.*Examples\n", text, re.DOTALL), name


def test_a_number_keeps_its_shape():
    for operation in (F.relu, F.sigmoid, F.tanh, F.leaky_relu, F.gelu, lambda x: F.clip(x, 0, 3)):
        assert operation(md.Tensor(2.0)).shape == ()


AFFINE = {
    "linear": lambda x: F.linear(x.reshape(len(x), 72), RNG_OF_ROWS.standard_normal((72, 5))),
    "conv2d": lambda x: F.conv2d(x, RNG_OF_ROWS.standard_normal((3, 3, 2, 2)), stride=2, padding=(1, 0)),
    "batch_norm": lambda x: F.batch_norm(x, *np.ones((2, 2)), *np.ones((2, 2))),
    "normalize": lambda x: F.normalize(x, 0.5, 0.25),
    "matmul": lambda x: x @ RNG_OF_ROWS.standard_normal((2, 3)),
    "a vector": lambda x: x @ RNG_OF_ROWS.standard_normal(2),
    "pad": lambda x: F.pad(x, ((0, 0), (1, 0), (0, 2), (0, 0))),
    "avg_pool2d": lambda x: F.avg_pool2d(x, 2),
    "adaptive_avg_pool2d": lambda x: F.adaptive_avg_pool2d(x, 4),
}
RNG_OF_ROWS = np.random.default_rng(7)


@pytest.mark.parametrize("name", AFFINE)
def test_the_gradient_of_an_affine_operation_takes_any_number_of_rows(name, rng):
    """It does not depend on the images: what one image recorded carries many rows back, each by itself, and again."""
    image = Tensor(rng.random((1, 6, 6, 2)), requires_grad=True)
    y = AFFINE[name](image)
    gradient = y._node.vjp[0]
    rows = rng.standard_normal((5, *y.shape[1:]))
    together = gradient(rows)
    for row, dx in zip(rows, together, strict=True):
        assert gradient(row[None])[0] == pytest.approx(dx, abs=1e-12)
