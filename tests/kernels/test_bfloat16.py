"""Activations in bfloat16 on a card: each kernel beside float64, each operation's types, and a network's."""

import sys

import numpy as np
import pytest

import minidl as md
from minidl import functional as F
from minidl import kernels, nn
from minidl.backend import to_device, to_numpy
from minidl.graph import Node, _arrays_of, _owner, reachable_from
from minidl.kernels import portable, types
from minidl.kernels.gpu import matrix_units
from minidl.kernels.types import bfloat16, is_bfloat16, of_type, widened

pytest.importorskip("ml_dtypes")
pytestmark = pytest.mark.gpu
ROUNDOFF = 2**-8  # half the distance of neighbours, of numbers from 1 to 2
SHAPES = ((3, 5, 4, 8), (2, 3, 7, 5), (1, 1, 2, 1))
rng = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _bfloat16(_exact_on_a_card):
    """For each test, with the same numbers whatever ran before it."""
    global rng
    rng = np.random.default_rng(0)
    with md.settings(precision="bfloat16"):
        yield


def normal(*shape):
    return rng.standard_normal(shape).astype(np.float32)


def rounded(*shape):
    """Random numbers that bfloat16 has."""
    return normal(*shape).astype(bfloat16()).astype(np.float32)


def there(*arrays):
    """Arrays on the card; those of more than one axis, which are images, in bfloat16."""
    on_card = [a if a is None else to_device(a, "gpu") for a in arrays]
    return [a if a is None or a.ndim == 1 or a.dtype != np.float32 else of_type(a, bfloat16()) for a in on_card]


def assert_rounded_once(got, right, slack=1e-5):
    """An array of bfloat16 is as near to float64's as its type allows, but for float32's errors on the way."""
    assert is_bfloat16(got)
    got, right = to_numpy(got).astype(float), np.asarray(right, float)
    error = abs(got - right)
    assert (error <= ROUNDOFF * abs(right) + slack * abs(right).max()).all(), error.max()


def assert_float32(got, right):
    assert got.dtype == np.float32
    np.testing.assert_allclose(to_numpy(got), right, rtol=1e-4, atol=1e-5 * (abs(right).max() + 1))


def wide(*arrays):
    return [a if a is None or a.dtype != np.float32 else a.astype(float) for a in arrays]


# Kernels

gpu = kernels.module("gpu")


def test_numbers_are_rounded_to_the_nearest_and_come_back_as_they_are():
    step = 2.0**-7
    x = np.float32([1, 1 + step / 2, 1 + 3 * step / 2, 1 + 0.51 * step, -3.3, 0, -0.0, 1e38, 3.4e38, np.inf, np.nan])
    y = of_type(to_device(x, "gpu"), bfloat16())
    back = to_numpy(of_type(y, np.dtype(np.float32)))
    np.testing.assert_array_equal(back, x.astype(bfloat16()).astype(np.float32))
    np.testing.assert_array_equal(back[:4], [1, 1, 1 + 2 * step, 1 + step])
    assert of_type(y, y.dtype) is y
    assert of_type(y, np.dtype(np.float64)).dtype == np.float64
    many = normal(1003)  # not a multiple of four
    np.testing.assert_array_equal(to_numpy(of_type(to_device(many, "gpu"), bfloat16())), many.astype(bfloat16()))


@pytest.mark.parametrize("on_units", [True, False], ids=["units", "im2col"])
@pytest.mark.parametrize("n", [12, 7])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [((3, 3), (1, 1), (1, 1)), ((3, 2), (2, 2), (0, 1)), ((1, 1), (1, 1), (0, 0))]
)
@pytest.mark.parametrize("c", [8, 3])
def test_convolutions(on_units, n, kernel, stride, padding, c, monkeypatch):
    monkeypatch.setattr(matrix_units, "ahead", lambda *_: on_units)
    x, w, b = rounded(3, 6, 5, c), rounded(n, *kernel, c), normal(n)
    right = portable.conv2d(*wide(x, w, b), stride, padding)
    dy = rounded(*right.shape)
    x_, dy_ = there(x, dy)
    w_, b_ = to_device(w, "gpu"), to_device(b, "gpu")
    assert_rounded_once(gpu.conv2d(x_, w_, b_, stride, padding), right)
    assert_rounded_once(gpu.conv2d(x_, w_, None, stride, padding), right - b)
    dx = portable.conv2d_grad_input(*wide(dy, w), x.shape, stride, padding)
    assert_rounded_once(gpu.conv2d_grad_input(dy_, w_, x.shape, stride, padding), dx)
    dw = portable.conv2d_grad_weight(*wide(dy, x), w.shape, stride, padding)
    assert_float32(gpu.conv2d_grad_weight(dy_, x_, w.shape, stride, padding), dw)
    for mixed in ((to_device(dy, "gpu"), x_), (dy_, to_device(x, "gpu"))):  # one of them float32
        assert_float32(gpu.conv2d_grad_weight(*mixed, w.shape, stride, padding), dw)


def test_a_bias_is_added_before_the_rounding(monkeypatch):
    """256 + 1 + 1 is 258, which bfloat16 has; 257, which it has not, would round to 256, and that + 1 too."""
    x, w = np.ones((1, 1, 1, 257), np.float32), np.ones((1, 1, 1, 257), np.float32)
    x_, b_ = there(x)[0], to_device(np.float32([1]), "gpu")
    for on_units in (True, False):
        monkeypatch.setattr(matrix_units, "ahead", lambda *_, on_units=on_units: on_units)
        assert float(to_numpy(gpu.conv2d(x_, to_device(w, "gpu"), b_, (1, 1), (0, 0))).item()) == 258


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize("relu", [True, False])
def test_batch_normalisation(shape, residual, relu):
    x, rest, dy, c = rounded(*shape) + 1, rounded(*shape) if residual else None, rounded(*shape), shape[-1]
    x = x.astype(bfloat16()).astype(np.float32)
    gamma, beta = normal(c), normal(c)
    x_, rest_, dy_ = there(x, rest, dy)
    gamma_, beta_ = to_device(gamma, "gpu"), to_device(beta, "gpu")
    mean_, var_ = gpu.moments(x_)
    mean, var = portable.moments(x.astype(float))
    assert_float32(mean_, mean)
    assert_float32(var_, var)
    mean, var = to_numpy(mean_).astype(float), to_numpy(var_).astype(float)
    y = portable.batch_norm(x.astype(float), mean, var, *wide(gamma, beta), 1e-2, *wide(rest), relu)
    y_ = gpu.batch_norm(x_, mean_, var_, gamma_, beta_, 1e-2, rest_, relu)
    assert_rounded_once(y_, y)
    y = to_numpy(y_).astype(float)
    for training in (True, False):
        right = portable.batch_norm_grad(*wide(dy, x), y, mean, var, gamma.astype(float), 1e-2, relu, training)
        got = gpu.batch_norm_grad(dy_, x_, y_, mean_, var_, gamma_, 1e-2, relu, training)
        assert_rounded_once(got[0], right[0], 1e-4)
        assert_float32(got[1], right[1])
        assert_float32(got[2], right[2])
        np.testing.assert_array_equal(to_numpy(got[3]).astype(float), right[3])
    dx, dz = portable.batch_norm_grad_fixed(dy.astype(float), y, var, gamma.astype(float), 1e-2, relu, residual)
    got = gpu.batch_norm_grad_fixed(dy_, y_, var_, gamma_, 1e-2, relu, residual)
    assert_rounded_once(got[0], dx)
    if residual:
        np.testing.assert_array_equal(to_numpy(got[1]).astype(float), dz)
        as_float = gpu.batch_norm(x_, mean_, var_, gamma_, beta_, 1e-2, to_device(rest, "gpu"), relu)
        np.testing.assert_array_equal(to_numpy(as_float), to_numpy(y_))
    mixed, alike = (
        gpu.batch_norm_grad(d, x_, y_, mean_, var_, gamma_, 1e-2, relu, True)[0] for d in (widened(dy_), dy_)
    )
    np.testing.assert_array_equal(to_numpy(mixed), to_numpy(alike))


@pytest.mark.parametrize("shape", SHAPES)
def test_what_goes_number_by_number_and_sums(shape):
    x, dy = rounded(*shape), rounded(*shape)
    x_, dy_ = there(x, dy)
    y_ = gpu.relu(x_)
    assert is_bfloat16(y_)
    np.testing.assert_array_equal(to_numpy(y_).astype(np.float32), np.maximum(x, 0))
    for slope in (dy_, to_device(dy, "gpu")):
        dx = gpu.relu_grad(slope, y_)
        assert is_bfloat16(dx)
        np.testing.assert_array_equal(to_numpy(dx).astype(np.float32), np.where(x > 0, dy, 0))
    assert_rounded_once(types.add(x_, dy_), x.astype(float) + dy, 1e-7)
    assert_float32(gpu.channel_sums(x_), x.astype(float).sum(axis=(0, 1, 2)))


def test_what_is_drawn_for_images_is_as_for_float32():
    x = rounded(3, 5, 4, 8)
    for draw in (gpu.uniform, lambda like, rng: gpu.dropout_scale(like, 0.5, rng)):
        of_both = [draw(like, np.random.default_rng(1)) for like in (there(x)[0], to_device(x, "gpu"))]
        assert_float32(of_both[0], to_numpy(of_both[1]))


@pytest.mark.parametrize("c", [8, 3])
def test_pooling(c):
    x = rounded(2, 7, 6, c)
    (x_,) = there(x)
    how = ((3, 3), (2, 2), (1, 1))
    y, where = portable.max_pool2d(x.astype(float), *how)
    y_, where_ = gpu.max_pool2d(x_, *how)
    np.testing.assert_array_equal(to_numpy(y_).astype(float), y)  # nothing is rounded
    np.testing.assert_array_equal(to_numpy(where_), where)
    dy = rounded(*y.shape)
    right = portable.max_pool2d_grad(dy.astype(float), where, x.shape, *how)
    assert_rounded_once(gpu.max_pool2d_grad(there(dy)[0], where_, x.shape, *how), right)
    windows = ((0, 3), (2, 7)), ((-1, 2), (1, 6), (4, 8))
    right = portable.avg_pool2d(x.astype(float), *windows)
    assert_rounded_once(gpu.avg_pool2d(x_, *windows), right)
    dy = rounded(*right.shape)
    right = portable.avg_pool2d_grad(dy.astype(float), x.shape, *windows)
    assert_rounded_once(gpu.avg_pool2d_grad(there(dy)[0], x.shape, *windows), right)
    y_, where_ = gpu.max_pool2d(of_type(to_device(rounded(1, 20, 20, 2), "gpu"), bfloat16()), (17, 17), (1, 1), (0, 0))
    assert y_.dtype == np.float32  # more places than a byte has: portable


def test_arrays_without_numbers_become_float32():
    (x,) = there(np.zeros((0, 4, 4, 8), np.float32))
    assert gpu.relu(x).dtype == np.float32
    assert gpu.relu(x).shape == (0, 4, 4, 8)


# Operations and networks


def tensor(*shape, grad=True):
    return md.Tensor(to_device(rounded(*shape), "gpu"), requires_grad=grad)


def activation_of(x):
    """A tensor of bfloat16 with x for its gradient: what a convolution with the identity gives."""
    eye = np.eye(x.shape[-1], dtype=np.float32)[:, None, None]
    return F.conv2d(x, to_device(eye, "gpu"))


def weights(*shape):
    """Of this shape always the same."""
    return to_device(np.random.default_rng(2).standard_normal(shape).astype(np.float32), "gpu")


KEPT = [
    lambda x: F.relu(x),
    lambda x: x + x,
    lambda x: F.max_pool2d(x, 2),
    lambda x: F.avg_pool2d(x, 2),
    lambda x: F.adaptive_avg_pool2d(x, 1),
    lambda x: F.dropout(x, 0.5, training=False),
]
WIDENED = [
    lambda x: F.flatten(x),
    lambda x: x.reshape(2, -1),
    lambda x: x.transpose(0, 3, 1, 2),
    lambda x: x * 2.0,
    lambda x: x * x,
    lambda x: 1 + x,
    lambda x: x + md.Tensor(weights(2, 4, 4, 8)),
    lambda x: (x + x) @ weights(8, 3),
    lambda x: F.linear(x, weights(8, 3)),
    lambda x: F.gelu(x),
    lambda x: F.sigmoid(x),
    lambda x: F.dropout(x, 0.5),
    lambda x: F.layer_norm(x, weights(8), weights(8)),
    lambda x: F.local_response_norm(x),
    lambda x: F.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))),
    lambda x: F.concatenate([x, x], axis=-1),
    lambda x: x[:, 1:3],
    lambda x: x.mean(axis=(1, 2)),
    lambda x: x.max(axis=-1),
    lambda x: F.log_softmax(x.reshape(2, -1)),
]


@pytest.mark.parametrize("number", range(len(KEPT) + len(WIDENED)))
def test_an_operation_keeps_bfloat16_or_gets_float32(number):
    """Value and gradient are those of float32, to bfloat16's roundings: of the value, of slopes on their way."""
    operation = [*KEPT, *WIDENED][number]
    x = tensor(2, 4, 4, 8)
    alike = md.Tensor(x.data, requires_grad=True)
    md.manual_seed(0)
    y = operation(activation_of(x))
    md.manual_seed(0)
    with md.settings(precision="exact"):
        right = operation(alike)
    assert is_bfloat16(y.data) == (number < len(KEPT))
    assert right.dtype == np.float32
    close = {"rtol": 2 * ROUNDOFF, "atol": 2 * ROUNDOFF * float(abs(to_numpy(right.data)).max())}
    np.testing.assert_allclose(to_numpy(y.data).astype(np.float32), to_numpy(right.data), **close)
    dy = normal(*y.shape).astype(bfloat16()).astype(np.float32)
    y.backward(to_device(dy, "gpu"))
    with md.settings(precision="exact"):
        right.backward(to_device(dy, "gpu"))
    assert x.grad.dtype == np.float32
    close["atol"] = 4 * ROUNDOFF * float(abs(to_numpy(alike.grad)).max())
    np.testing.assert_allclose(to_numpy(x.grad), to_numpy(alike.grad), rtol=4 * ROUNDOFF, atol=close["atol"])


def test_an_operation_of_ones_own_never_sees_bfloat16():
    seen = []

    @md.op
    def cube(x):
        seen.append(x.dtype)
        return x**3, (lambda dy: seen.append(dy.dtype) or dy * 3 * x**2,)

    x = tensor(2, 4, 4, 8)
    y = F.relu(activation_of(x))
    cube(y).sum().backward()
    assert seen == [np.float32, np.float32]
    kept = np.maximum(to_numpy(x.data), 0)
    np.testing.assert_allclose(to_numpy(x.grad), 3 * kept**2, rtol=4 * ROUNDOFF)


def test_a_broadcast_sum_of_bfloat16_is_float32():
    x = tensor(2, 4, 4, 8)
    y = activation_of(x)
    z = y + F.adaptive_avg_pool2d(y, 1)
    assert z.dtype == np.float32
    z.sum().backward()
    np.testing.assert_allclose(to_numpy(x.grad), 2, rtol=4 * ROUNDOFF)


def test_known_statistics_stay_float32():
    """Of 1000.4 a bfloat16 would make 1000: nothing but x, and y, is rounded."""
    mean, var = np.float32([1000.4] * 8), np.float32([1.003] * 8)
    x = tensor(2, 4, 4, 8)
    x.data *= 100
    y = activation_of(x)
    statistics = [to_device(a, "gpu") for a in (mean, var)]
    z = F.batch_norm(y, weights(8), weights(8), *statistics)
    right = to_numpy(widened(y.data)).astype(float), mean.astype(float), var.astype(float)
    gamma = to_numpy(weights(8)).astype(float)
    assert_rounded_once(z.data, portable.batch_norm(*right, gamma, gamma, 1e-5, None, False))


def nodes_of(tensor):
    return sorted((v for v in reachable_from(tensor._node) if isinstance(v, Node)), key=lambda node: node.order)


def step_of_resnet(size=32):
    """The images, the model, and the loss of ResNet18 for two of them."""
    model = md.models.resnet18(seed=0).to("gpu")
    images = md.Tensor(to_device(np.random.default_rng(1).random((2, size, size, 3), np.float32), "gpu"), True)
    return images, model, F.cross_entropy(model(images), np.array([3, 7]))


def kept_bytes(loss, model):
    """Of all arrays that the graph holds for backward, but for parameters and buffers."""
    known = {_owner(p.data) for p in model.parameters()}
    arrays = (array for node in nodes_of(loss) for _, array in _arrays_of(node.vjp))
    held = {_owner(array): array.nbytes for array in arrays if _owner(array) not in known}
    return sum(held.values())


def test_between_the_first_convolution_and_the_head_all_is_bfloat16(monkeypatch):
    images, model, loss = step_of_resnet()
    nodes = nodes_of(loss)
    names = [node.name for node in nodes]
    first, head = names.index("conv2d"), names.index("flatten")
    assert names[:first] == ["normalize"]
    assert names[head:] == ["flatten", "linear", "cross_entropy"]
    assert {node.dtype.name for node in nodes[first:head]} == {"bfloat16"}
    assert {node.dtype.name for node in nodes[:first] + nodes[head:]} == {"float32"}
    slopes, pull_back = [], Node.pull_back

    def noted(node, dy, wanted):
        for source, dx in pull_back(node, dy, wanted):
            if isinstance(source, Node) and source.dtype.name == "bfloat16" and node.dtype.name == "bfloat16":
                slopes.append(dx.dtype.name)
            yield source, dx

    monkeypatch.setattr(Node, "pull_back", noted)
    loss.backward()
    assert len(slopes) > 40
    assert {*slopes} == {"bfloat16"}
    assert images.grad.dtype == np.float32
    assert {p.grad.dtype.name for p in model.parameters()} == {"float32"}
    assert {v.dtype.name for v in model.state_dict().values()} == {"float32", "int64"}


def test_what_is_kept_for_backward_is_half():
    half = kept_bytes(*step_of_resnet()[:0:-1])
    with md.settings(precision="fast"):
        whole = kept_bytes(*step_of_resnet()[:0:-1])
    assert 0.48 < half / whole < 0.53  # the places of max pooling are bytes either way


def test_arrays_that_changed_before_backward_are_noticed():
    with md.settings(debug=True):
        x = tensor(2, 4, 4, 8)
        y = activation_of(x)
        z = F.relu(y).sum()
        z.backward()
        z = F.relu(activation_of(x)).sum()
        node = next(node for node in nodes_of(z) if node.name == "relu")
        ((_, kept),) = _arrays_of(node.vjp)
        kept.view(np.uint16).fill(0)
        with pytest.raises(RuntimeError, match="'relu' keeps y, .* changed in place"):
            z.backward()


def small_network(dropout=0.0):
    md.manual_seed(0)
    layers = [nn.Conv2d(1, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2)]
    layers += [nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Dropout(dropout), nn.Linear(256, 10)]
    return nn.Sequential(nn.Normalize(0.3, 0.4), *layers).to("gpu")


def digits(part, count):
    split = md.data.digits(part)
    return split.images[:count], split.labels[:count]


def trained(precision):
    with md.settings(precision=precision):
        model, (images, labels) = small_network(), digits("train", 640)
        loader = md.data.Loader(to_device(images, "gpu"), labels, batch_size=64, seed=0)
        md.fit(model, loader, md.optim.SGD(model.parameters(), lr=0.05, momentum=0.9), epochs=3, progress=False)
        return model, md.evaluate(model, md.data.Loader(*digits("val", 200), batch_size=100)).accuracy


@pytest.mark.filterwarnings("error::RuntimeWarning")  # a step that could not be recorded
def test_a_training_on_the_digits_is_as_good_as_float32s():
    (half, accuracy), (_, other) = trained("bfloat16"), trained("exact")
    assert other > 0.8
    assert abs(accuracy - other) <= 0.05  # ten of 200 images
    again, _ = trained("bfloat16")
    for name, value in half.state_dict().items():
        np.testing.assert_array_equal(again.state_dict()[name], value, err_msg=name)
    images, labels = digits("val", 64)
    curve = md.robustness.accuracy_curve(half, images, labels, [0, 4 / 255, 64 / 255])
    found = md.robustness.pgd(half, images, labels, [64 / 255], steps=3)
    assert curve.accuracy[0] > 0.8
    assert curve.accuracy[0] > curve.accuracy[-1]
    assert 0.5 > 1 - found.success.mean() < curve.accuracy[0]
    assert found.adversarial.dtype == np.float32


# Where arrays of this type meet what does not know them


def between(shape=(2, 6, 6, 4), **settings):
    """What a convolution gives, and the same in float32."""
    y = F.conv2d(md.Tensor(to_device(normal(*shape), "gpu"), **settings), to_device(normal(8, 3, 3, 4), "gpu"))
    assert is_bfloat16(y.data)
    return y, to_numpy(widened(y.data))


def test_kernels_may_come_from_another_convolution():
    """A correlation of two images: the weight is float32, however it was made."""
    y, (z, _) = between(requires_grad=True)[0], between((3, 6, 6, 4))
    weight = F.max_pool2d(z, 2)  # (3, 2, 2, 8), which is bfloat16
    assert is_bfloat16(weight.data)
    found = F.conv2d(y, weight)
    exact = F.conv2d(md.Tensor(to_numpy(widened(y.data))), to_numpy(widened(weight.data))).data
    assert_rounded_once(found.data, exact, slack=1e-2)


def test_numbers_without_axes_stand_beside_them():
    y, right = between()
    for product in (y * np.asarray(2.0), np.asarray(2.0) * y, y * np.float64(2)):
        assert_float32(product.data, 2 * right)


def test_who_leaves_the_card_or_begins_anew_is_float32():
    y, right = between(requires_grad=True)
    for array in (y.numpy(), y.to("cpu").data, to_numpy(md.Tensor(y.data, requires_grad=True).data)):
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, right)
    assert "bfloat16" in repr(y)


def test_the_largest_is_found():
    y, right = between()
    np.testing.assert_array_equal(to_numpy(y.argmax(axis=-1)), right.argmax(axis=-1))


def test_leaves_that_share_a_gradient_keep_their_own():
    y = between()[0]
    ones, leaves = to_device(np.ones(8, np.float32), "gpu"), [to_device(normal(*y.shape), "gpu") for _ in range(2)]
    leaves = [md.Tensor(leaf, requires_grad=True) for leaf in leaves]
    total = F.batch_norm(y, ones, ones, residual=leaves[0]) + F.batch_norm(y, ones, ones, residual=leaves[1])
    total.sum().backward()
    for leaf in leaves:
        assert_float32(leaf.grad, np.ones(leaf.shape))


def test_kernels_that_do_not_know_the_type_get_float32():
    y, right = between()
    with md.settings(kernels="portable"):
        assert_float32(F.relu(y).data, right.clip(0))
        assert_float32((y + y).data, 2 * right)


def test_a_spectral_norm_is_not_of_rounded_products():
    layer = nn.Conv2d(4, 8, 3).to("gpu")
    found = md.robustness.spectral_norm(layer, md.Tensor(to_device(np.zeros((1, 6, 6, 4), np.float32), "gpu")))
    with md.settings(precision="exact"):
        x = md.Tensor(to_device(np.zeros((1, 6, 6, 4), np.float32), "gpu"))
        assert found == md.robustness.spectral_norm(layer, x)


def test_what_is_missing_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    bfloat16.cache_clear()
    try:
        with pytest.raises(RuntimeError, match="pip install ml_dtypes"):
            F.conv2d(to_device(normal(1, 3, 3, 1), "gpu"), to_device(normal(1, 3, 3, 1), "gpu"))
    finally:
        bfloat16.cache_clear()


def test_other_precisions_and_kernels_keep_float32():
    x, w = tensor(2, 4, 4, 8), to_device(normal(3, 3, 3, 8), "gpu")
    for precision in ("exact", "fast"):
        with md.settings(precision=precision):
            assert F.conv2d(x, w).dtype == np.float32
    with md.settings(kernels="portable"):
        assert F.conv2d(x, w).dtype == np.float32
    y = F.conv2d(md.Tensor(x.data.astype(np.float64)), w.astype(np.float64))
    assert y.dtype == np.float64
    assert F.conv2d(md.Tensor(to_numpy(x.data)), to_numpy(w)).dtype == np.float32
