"""The Lipschitz bound: each layer's norm against its explicit matrix, the whole against what networks really do."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minidl as md
from minidl import functional as F
from minidl import nn
from minidl.robustness import lipschitz_bound, spectral_norm


def matrix_of(layer, shape):
    """The explicit matrix of a layer without bias: its results for every image of a single 1."""
    size = math.prod(shape)
    with md.no_grad():
        return layer.eval()(md.Tensor(np.eye(size).reshape(size, *shape))).data.reshape(size, -1)


def in_float64(model):
    for parameter in model.parameters():
        parameter.data = parameter.data.astype(np.float64)
    return model


def top(matrix):
    return np.linalg.svd(matrix, compute_uv=False)[0]


# One layer


@given(
    st.tuples(st.integers(3, 7), st.integers(3, 7), st.integers(1, 3)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.tuples(st.integers(0, 2), st.integers(0, 2)),
)
def test_convolution_has_the_norm_of_its_operator(shape, kernel, stride, padding):
    layer = in_float64(nn.Conv2d(shape[2], 4, kernel, stride, padding, bias=False, rng=np.random.default_rng(0)))
    expected = top(matrix_of(layer, shape))
    layer.bias = md.Parameter(np.ones(4))  # which changes nothing
    found = spectral_norm(layer, md.Tensor(np.zeros((1, *shape))), tolerance=1e-9)
    assert found == pytest.approx(expected, rel=1e-8)


def test_convolution_is_not_its_reshaped_weight():
    layer = nn.Conv2d(1, 1, 3, padding=1, bias=False)
    layer.weight.data[...] = 1  # sums of 3 x 3: the reshaped weight has norm 3, the operator nearly 9
    found = lipschitz_bound(layer, (32, 32, 1)).bound
    assert found == pytest.approx((1 + 2 * math.cos(math.pi / 33)) ** 2, rel=1e-4)  # eigenvalues of a path graph
    assert found > 8.9
    assert lipschitz_bound(layer, (1, 1, 1)).bound == pytest.approx(1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(30, 20), (1, 7), (7, 1), (64, 64)])
def test_linear_layer_has_its_largest_singular_value(shape, dtype):
    layer = nn.Linear(*shape)
    layer.weight.data = layer.weight.data.astype(dtype)
    layer.bias.data = layer.bias.data.astype(dtype) * 100
    found = layer.lipschitz(md.Tensor(np.zeros((1, shape[0]), dtype)))
    assert found == pytest.approx(top(layer.weight.data), rel=1e-4)


def test_equal_singular_values_and_none_at_all():
    layer = nn.Linear(6, 6)
    for matrix, expected in ((3 * np.eye(6), 3), (np.zeros((6, 6)), 0), (np.diag([2.0, 0, 0, 0, 0, 0]), 2)):
        layer.weight.data[...] = matrix
        assert layer.lipschitz(md.Tensor(np.zeros((1, 6), np.float32))) == pytest.approx(expected, rel=1e-5)


POOLS = [
    nn.AvgPool2d(2),
    nn.AvgPool2d(3, 2, 1),
    nn.AvgPool2d((1, 3), 1),
    nn.AdaptiveAvgPool2d(1),
    nn.AdaptiveAvgPool2d((4, 3)),
    nn.AdaptiveAvgPool2d(9),
]


@pytest.mark.parametrize("layer", POOLS)
def test_average_pooling_has_the_norm_of_its_operator(layer):
    shape = (7, 6, 2)
    assert layer.lipschitz(md.Tensor(np.zeros((1, *shape)))) == pytest.approx(top(matrix_of(layer, shape)), rel=1e-6)


@pytest.mark.parametrize(
    ("layer", "size", "windows"),
    [
        (nn.MaxPool2d(2), 6, 1),
        (nn.MaxPool2d(3, 2), 7, 4),
        (nn.MaxPool2d(3, 1), 7, 9),
        (nn.MaxPool2d(3, 2, 1), 6, 4),
        (nn.MaxPool2d((3, 1), (1, 1)), 7, 3),
        (nn.MaxPool2d(3, 2), 3, 1),  # a single window
    ],
)
def test_max_pooling_counts_the_windows_over_a_pixel(layer, size, windows):
    assert layer.lipschitz(md.Tensor(np.zeros((1, size, size, 1)))) == pytest.approx(math.sqrt(windows))
    x = md.Tensor(np.zeros((1, size, size, 1)))
    reached = 0
    for h in range(size):  # one pixel above all others: the change reaches the bound at the worst pixel
        for w in range(size):
            spike = np.zeros(x.shape)
            spike[0, h, w] = 1
            reached = max(reached, np.linalg.norm(layer(md.Tensor(spike)).data - layer(x).data))
    assert reached == pytest.approx(math.sqrt(windows))


@pytest.mark.parametrize(("weight", "bias"), [(1e-12, 0.1), (1.0, 1e6)])
def test_a_large_bias_hides_no_norm(rng, weight, bias):
    """What a layer adds is taken from its results: in float32 nothing was left of weights a millionth of it."""
    layer = nn.Linear(30, 20)
    layer.weight.data[...] = weight * rng.standard_normal((30, 20))
    layer.bias.data[...] = bias * rng.standard_normal(20)
    expected = top(layer.weight.data.astype(np.float64))
    assert spectral_norm(layer, md.Tensor(np.zeros((1, 30), np.float32))) == pytest.approx(expected, rel=1e-4)


def test_normalisations():
    bn = nn.BatchNorm2d(3)
    bn.weight.data[...] = [1, -6, 2]
    bn.running_var[...] = [0.25, 4, 1]
    x = md.Tensor(np.zeros((1, 2, 2, 3), np.float32))
    assert bn.lipschitz(x) == pytest.approx(3, rel=1e-4)  # of 1 / 0.5, 6 / 2 and 2 / 1, less a little for eps
    assert nn.Normalize(0, (0.5, 0.2, 0.3)).lipschitz(x) == pytest.approx(5)


@pytest.mark.parametrize(
    ("layer", "norm"), [(nn.ReLU(), 1), (nn.Tanh(), 1), (nn.Sigmoid(), 0.25), (nn.Dropout(0.9), 1), (nn.Flatten(), 1)]
)
def test_activations(layer, norm):
    assert lipschitz_bound(layer, (2, 2, 1)).bound == norm


# Models


def test_a_chain_is_the_product_of_its_layers():
    bound = lipschitz_bound(md.models.fc5(image_size=4, channels=1), (4, 4, 1))
    assert bound.bound == pytest.approx(math.prod(layer.norm for layer in bound.layers))
    assert [layer.name for layer in bound.layers][:4] == ["normalize", "flatten", "fc1", "relu1"]
    assert "fc5" in str(bound)


class Block(nn.Module):
    """x + f(x), with the sum and the ReLU written as operations."""

    def __init__(self, f):
        self.f = f

    def forward(self, x):
        return F.relu(self.f(x) + x)


def scaled(factor):
    layer = nn.Conv2d(1, 1, 1)
    layer.weight.data[...] = factor
    return layer


def test_branches_add_up():
    model = nn.Sequential(scaled(3), Block(nn.Sequential(scaled(2), nn.ReLU(), scaled(5))), scaled(-0.5))
    assert lipschitz_bound(model, (2, 2, 1)).bound == pytest.approx(3 * (2 * 5 + 1) * 0.5)


def test_residual_blocks_of_resnet_add_up():
    block = md.models.resnet.BasicBlock(2, 4, 2, np.random.default_rng(0))
    found = lipschitz_bound(block, (6, 6, 2))
    rows = {layer.name: layer.norm for layer in found.layers}
    branch = math.prod(rows[name] for name in ("conv1", "bn1", "conv2", "bn2"))
    shortcut = rows["downsample.0"] * rows["downsample.1"]
    assert found.bound == pytest.approx(branch + shortcut)


def test_a_layer_used_twice_counts_twice():
    class Twice(nn.Module):
        def __init__(self):
            self.layer = scaled(3)

        def forward(self, x):
            return self.layer(self.layer(x))

    found = lipschitz_bound(Twice(), (2, 2, 1))
    assert [layer.name for layer in found.layers] == ["layer", "layer"]
    assert found.bound == pytest.approx(9)


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: md.models.fc5(image_size=8, channels=1), (8, 8, 1)),
        (lambda: md.models.resnet18(channels=1), (16, 16, 1)),
        (
            lambda: nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Flatten(), nn.Linear(36, 3)),
            (9, 9, 1),
        ),
    ],
    ids=["FC5", "ResNet18", "small"],
)
def test_no_difference_is_stretched_more(make, shape):
    model = make().eval()
    bound = lipschitz_bound(model, shape).bound
    rng = np.random.default_rng(0)
    x = rng.random((20, *shape))
    delta = rng.standard_normal(x.shape) * 10.0 ** rng.integers(-3, 1, (20, 1, 1, 1))
    with md.no_grad():
        change = model(md.Tensor(x + delta)).data - model(md.Tensor(x)).data
    stretch = np.linalg.norm(change, axis=1) / np.linalg.norm(delta.reshape(20, -1), axis=1)
    assert (stretch <= bound).all()
    assert stretch.max() > 0


def test_alexnet_has_a_row_for_every_layer():
    model = small_alexnet()
    leaves = [name for name, module in model.named_modules() if len(list(module.modules())) == 1]
    assert [layer.name for layer in lipschitz_bound(model, (63, 63, 1)).layers] == leaves


def small_alexnet():
    """AlexNet's structure, with classifier layers that are measured in no time."""
    model = md.models.alexnet(channels=1)
    rng = np.random.default_rng(0)
    for name, (before, after) in {"1": (9216, 16), "4": (16, 16), "6": (16, 10)}.items():
        setattr(model.classifier, name, nn.Linear(before, after, rng=rng))
    return model


def test_batch_axis_is_welcome_and_modes_come_back():
    model = nn.Sequential(md.models.resnet.BasicBlock(1, 4, 2, np.random.default_rng(0)), nn.Dropout())
    model[0].bn1.eval()
    modes = [m.training for m in model.modules()]
    state = model.state_dict()
    assert lipschitz_bound(model, (5, 16, 16, 1)) == lipschitz_bound(model, (16, 16, 1))
    assert [m.training for m in model.modules()] == modes
    assert not any("forward" in vars(m) for m in model.modules())
    assert all(p.grad is None for p in model.parameters())
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, state[name])


# What is not known


def test_unknown_layers_and_operations_are_named():
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.Sequential(nn.ReLU(), nn.LocalResponseNorm()))
    with pytest.raises(NotImplementedError, match=r"'1\.1' \(LocalResponseNorm\).*local_response_norm"):
        lipschitz_bound(model, (5, 5, 1))
    assert not any("forward" in vars(m) for m in model.modules())

    class Square(nn.Module):
        def forward(self, x):
            return x * x

    with pytest.raises(NotImplementedError, match=r"Square.*'multiply'"):
        lipschitz_bound(nn.Sequential(Square(), nn.Flatten()), (5, 5, 1))
    with pytest.raises(NotImplementedError, match=r"output.*'multiply'"):
        lipschitz_bound(Square(), (5, 5, 1))


def test_a_layer_of_your_own_can_have_a_rule():
    class Half(nn.Module):
        def forward(self, x):
            return x * 0.5

        def lipschitz(self, x):
            return 0.5

    assert lipschitz_bound(nn.Sequential(Half(), scaled(3)), (2, 2, 1)).bound == pytest.approx(1.5)


class _Doubled(nn.Linear):
    def forward(self, x):
        return super().forward(x) * 2


class _DoubledAndSaid(_Doubled):
    def lipschitz(self, x):
        return super().lipschitz(x)  # measured on the layer as it is


class _Active(nn.Module):
    def forward(self, x):
        return F.dropout(x, 0.5)  # training=True, whatever the mode


class _Detached(nn.Module):
    def forward(self, x):
        return md.Tensor(x.data * 2)


class _NewLeaf(nn.Module):
    def forward(self, x):
        return md.Tensor(x.data * 2, requires_grad=True)


class _DetachedInside(nn.Module):
    def __init__(self):
        self.inner = scaled(3)

    def forward(self, x):
        return self.inner(md.Tensor(x.data * 2)) + self.inner(x)


def _patched():
    layer = scaled(3)
    layer.forward = lambda x: nn.Linear.forward(layer, x) * 2 if x.ndim == 2 else nn.Conv2d.forward(layer, x) * 2
    return layer


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda: nn.Sequential(nn.Flatten(), _Doubled(4, 4)), "_Doubled.*'multiply'"),
        (lambda: nn.Sequential(_Active()), "_Active.*'dropout'.*in evaluation too"),
        (lambda: nn.Sequential(_Detached(), nn.Flatten(), nn.Linear(4, 2)), "x.data"),
        (lambda: nn.Sequential(_NewLeaf(), nn.ReLU()), "_NewLeaf.*new tensor"),
        (_DetachedInside, "inner.*x.data"),
        (lambda: nn.Sequential(_patched()), "Conv2d.*'multiply'"),
    ],
)
def test_a_bound_that_would_be_too_small_is_refused(model, message):
    with pytest.raises(NotImplementedError, match=message):
        lipschitz_bound(model(), (2, 2, 1))


def test_a_bound_is_that_of_the_forward_it_stands_beside():
    """A subclass that computes something else says so; one that does not inherits what was said."""

    class Named(nn.Linear):
        pass

    for kind, times in ((Named, 1), (_DoubledAndSaid, 2)):
        layer = kind(4, 4)
        layer.weight.data[...] = np.diag([3, 1, 1, 1])
        bound = lipschitz_bound(nn.Sequential(nn.Flatten(), layer), (2, 2, 1)).bound
        assert bound == pytest.approx(3 * times, rel=1e-4)
    assert nn.Linear(2, 2).says("lipschitz")
    assert _Doubled(2, 2).says("lipschitz") is None
    assert nn.Module().says("lipschitz") is None


def test_dropout_in_evaluation_passes_everything_on():
    class Careful(nn.Module):
        def forward(self, x):
            return F.dropout(x, 0.5, self.training)

    assert lipschitz_bound(nn.Sequential(Careful(), nn.Dropout(), scaled(3)), (2, 2, 1)).bound == pytest.approx(3)


def test_weights_that_are_not_finite_are_refused():
    layer = nn.BatchNorm2d(1)
    layer.weight.data[...] = np.nan
    with pytest.raises(ValueError, match=r"layer '0' \(BatchNorm2d\) is nan"):
        lipschitz_bound(nn.Sequential(layer), (2, 2, 1))


def test_sums_that_broadcast_are_refused():
    class Spread(nn.Module):
        def forward(self, x):
            return x + x.sum(axis=1, keepdims=True)

    with pytest.raises(NotImplementedError, match="'add'"):
        lipschitz_bound(Spread(), (3, 3, 1))


def test_bad_shapes_and_no_grad():
    with pytest.raises(ValueError, match=r"shape \(1, 8\)"):
        lipschitz_bound(nn.ReLU(), (8, 8))
    with pytest.raises(ValueError, match="conv2d"):
        lipschitz_bound(nn.Conv2d(3, 4, 3), (8, 8, 1))
    with md.no_grad(), pytest.raises(ValueError, match=r"no_grad\(\)"):
        lipschitz_bound(nn.ReLU(), (8, 8, 1))
