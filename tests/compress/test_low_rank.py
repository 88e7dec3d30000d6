"""Low rank: a pair of convolutions that is one, the best of its rank; putting pairs into models; what it all costs."""

import copy
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minidl as md
from minidl import functional as F
from minidl import nn, optim
from minidl.compress import LR1, LR2, MagnitudePruner, cost, factorize, largest_ranks, low_rank
from minidl.trace import watching


def kernel_of(v, h):
    """The report's equation (13) as it stands: W_n^c = sum_d V_d^c H_n^d."""
    return np.einsum("dyc,nxd->nyxc", v[:, :, 0], h[:, 0])


def matrix_of(weight):
    """(N, KH, KW, C) as the (C * KH) x (KW * N) matrix, entry by entry."""
    n, kh, kw, c = weight.shape
    matrix = np.empty((c * kh, kw * n))
    for i, y, x, j in np.ndindex(n, kh, kw, c):
        matrix[j * kh + y, x * n + i] = weight[i, y, x, j]
    return matrix


def small_model():
    rng = np.random.default_rng(0)
    return nn.Sequential(
        stem=nn.Conv2d(2, 4, (3, 2), stride=(2, 1), padding=(1, 0), rng=rng),
        act=nn.ReLU(),
        body=nn.Sequential(nn.Conv2d(4, 6, 1, rng=rng), nn.Conv2d(6, 5, 3, padding=1, bias=False, rng=rng)),
        flatten=nn.Flatten(),
        fc=nn.Linear(5 * 4 * 7, 3, rng=rng),
    ).eval()


IMAGES = np.random.default_rng(1).uniform(size=(2, 8, 8, 2)).astype(np.float32)


# The layer


@pytest.mark.parametrize(
    ("kernel", "stride", "padding"),
    [(3, 1, 1), ((3, 5), (2, 1), (0, 2)), ((2, 3), (1, 3), (2, 0)), (1, 1, 0), ((1, 4), 2, 1), ((4, 1), 2, 1)],
)
def test_the_pair_is_one_convolution(rng, kernel, stride, padding):
    layer = nn.LowRankConv2d(3, 5, kernel, 3, stride, padding, norm=False, rng=rng).astype(np.float64)
    x = rng.standard_normal((2, 9, 11, 3))
    whole = kernel_of(layer.vertical.weight.data, layer.horizontal.weight.data)
    expected = F.conv2d(x, whole, layer.horizontal.bias, stride, padding).data
    np.testing.assert_allclose(layer(x).data, expected, rtol=1e-12, atol=1e-12)
    assert abs(expected).max() > 0.1


def test_shapes_names_and_parts():
    layer = nn.LowRankConv2d(3, 5, (4, 2), 6)
    assert layer.vertical.weight.shape == (6, 4, 1, 3)
    assert layer.horizontal.weight.shape == (5, 1, 2, 6)
    assert {name: array.shape for name, array in layer.state_dict().items() if "running" not in name} == {
        "vertical.weight": (6, 3, 4, 1),  # PyTorch's (N, C, KH, KW)
        "norm.weight": (6,),
        "norm.bias": (6,),
        "norm.num_batches_tracked": (),
        "horizontal.weight": (5, 6, 1, 2),
        "horizontal.bias": (5,),
    }
    plain = nn.LowRankConv2d(3, 5, 3, 6, bias=False, norm=False)
    assert [name for name, _ in plain.named_parameters()] == ["vertical.weight", "horizontal.weight"]


def test_normalisation_stands_between_the_two(rng):
    layer = nn.LowRankConv2d(3, 5, 3, 4, rng=rng)
    x = rng.standard_normal((6, 8, 8, 3)).astype(np.float32)
    between = F.conv2d(x, layer.vertical.weight).data
    normal = (between - between.mean((0, 1, 2))) / np.sqrt(between.var((0, 1, 2)) + 1e-5)
    expected = F.conv2d(normal, layer.horizontal.weight, layer.horizontal.bias).data
    np.testing.assert_allclose(layer(x).data, expected, rtol=1e-4, atol=1e-5)
    assert layer.norm.num_batches_tracked == 1


@pytest.mark.parametrize("norm", [False, True])
def test_gradients(rng, norm):
    layer = nn.LowRankConv2d(2, 3, (3, 2), 4, (2, 1), (1, 1), norm=norm, rng=rng).astype(np.float64)
    names, values = zip(*[(name, p.data) for name, p in layer.named_parameters()], strict=True)

    def f(x, *parameters):
        trial = copy.deepcopy(layer)
        for name, parameter in zip(names, parameters, strict=True):
            part, attribute = name.split(".")
            setattr(getattr(trial, part), attribute, parameter)
        return trial(x)

    md.testing.check_gradients(f, rng.standard_normal((3, 6, 5, 2)), *values)


def test_initial_weights_keep_the_scale(rng):
    layer = nn.LowRankConv2d(64, 256, 3, 64, norm=False, bias=False, rng=rng)
    x = rng.standard_normal((2, 12, 12, 64)).astype(np.float32)
    assert layer.vertical(x).data.var() == pytest.approx(1, rel=0.1)
    assert (F.relu(layer(x)).data ** 2).mean() == pytest.approx(1, rel=0.1)  # as much goes into the next layer


def test_a_generator_draws_the_weights():
    a, b, c = (nn.LowRankConv2d(3, 4, 3, 2, rng=np.random.default_rng(seed)) for seed in (5, 5, 6))
    np.testing.assert_array_equal(a.vertical.weight.data, b.vertical.weight.data)
    np.testing.assert_array_equal(a.horizontal.weight.data, b.horizontal.weight.data)
    assert (a.vertical.weight.data != c.vertical.weight.data).all()


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"rank": 7}, ValueError, r"LowRankConv2d: the rank is 7, and 4 kernels of 3 x 5 over 2 channels allow 1 to"),
        ({"rank": 7}, ValueError, r"min\(C \* KH, N \* KW\) = min\(6, 20\) = 6"),
        ({"rank": 0}, ValueError, "the rank is 0"),
        ({"rank": 2.0}, TypeError, "the rank is 2.0, and must be a whole number"),
        ({"kernel_size": 0}, ValueError, "LowRankConv2d: kernel_size is 0"),
        ({"stride": 0}, ValueError, "LowRankConv2d: stride is 0"),
        ({"padding": -1}, ValueError, "LowRankConv2d: padding is -1"),
    ],
)
def test_bad_layers_say_what_is_wrong(settings, error, message):
    with pytest.raises(error, match=message):
        nn.LowRankConv2d(2, 4, **({"kernel_size": (3, 5), "rank": 1} | settings))


# The closed form


@given(st.integers(1, 5), st.integers(1, 4), st.integers(1, 4), st.integers(1, 5), st.data())
def test_no_kernel_of_its_rank_is_closer(n, kh, kw, c, data):
    weight = np.random.default_rng(data.draw(st.integers(0, 99))).standard_normal((n, kh, kw, c))
    values = np.linalg.svd(matrix_of(weight), compute_uv=False)
    rank = data.draw(st.integers(1, len(values)))
    v, h = factorize(weight, rank)
    assert v.shape == (rank, kh, 1, c)
    assert h.shape == (n, 1, kw, rank)
    error = np.linalg.norm(weight - kernel_of(v, h))
    assert error == pytest.approx(np.sqrt((values[rank:] ** 2).sum()), rel=1e-9, abs=1e-12)  # Eckart and Young


def test_the_singular_values_are_shared_out_evenly(rng):
    weight = rng.standard_normal((6, 3, 2, 4))
    v, h = factorize(weight, 3)
    values = np.linalg.svd(matrix_of(weight), compute_uv=False)[:3]
    np.testing.assert_allclose(np.einsum("ayxc,byxc->ab", v, v), np.diag(values), atol=1e-12)
    np.testing.assert_allclose(np.einsum("nyxa,nyxb->ab", h, h), np.diag(values), atol=1e-12)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-5), (np.float64, 1e-13)])
def test_precision_is_kept_and_the_weight_left_alone(rng, dtype, tolerance):
    weight = nn.Conv2d(4, 6, (3, 5), rng=rng).astype(dtype).weight
    before = weight.data.copy()
    v, h = factorize(weight, 12)
    assert v.dtype == h.dtype == dtype
    assert v.flags.c_contiguous
    assert h.flags.c_contiguous
    np.testing.assert_allclose(kernel_of(v, h), before, atol=tolerance)
    np.testing.assert_array_equal(weight.data, before)


@pytest.mark.parametrize(
    ("weight", "rank", "error", "message"),
    [
        (np.ones((2, 3, 3, 2)), 7, ValueError, r"factorize: the rank is 7.*min\(6, 6\) = 6"),
        (np.ones((2, 3, 3, 2)), "2", TypeError, "factorize: the rank is '2'"),
        (np.ones((3, 3)), 1, TypeError, r"\(N, KH, KW, C\), and is float64 of shape \(3, 3\)"),
        (np.ones((2, 3, 3, 2), int), 1, TypeError, r"float32 or float64 .* and is int64"),
        ([[1.0]], 1, TypeError, "and is a list"),
        (np.full((2, 3, 3, 2), np.nan), 1, ValueError, "factorize: some of the weights are NaN or infinite"),
    ],
)
def test_bad_factorizations_say_what_is_wrong(weight, rank, error, message):
    with pytest.raises(error, match=message):
        factorize(weight, rank)


# Models


def test_full_rank_gives_the_dense_model_back():
    for dtype, tolerance in ((np.float32, 1e-5), (np.float64, 1e-12)):
        dense = small_model().astype(dtype)
        model = low_rank(copy.deepcopy(dense), largest_ranks(dense).values(), init="svd")
        assert isinstance(model.stem, nn.LowRankConv2d)
        assert {p.dtype for p in model.parameters()} == {np.dtype(dtype)}
        x = IMAGES.astype(dtype)
        np.testing.assert_allclose(model(x).data, dense(x).data, atol=tolerance)
        np.testing.assert_allclose(model.train()(x).data, dense(x).data, atol=tolerance)  # nothing in between


def test_one_walk_replaces_what_it_should():
    dense = small_model()
    parts = dict(dense.named_modules())
    assert largest_ranks(dense) == {"stem": 6, "body.1": 15}
    model = low_rank(dense, [None, np.int64(2)])
    assert model is dense
    assert model.stem is parts["stem"]
    assert model.body[0] is parts["body.0"]  # 1 x 1
    pair = model.body[1]
    assert pair.vertical.weight.shape == (2, 3, 1, 6)
    assert (pair.vertical.stride, pair.vertical.padding) == ((1, 1), (1, 0))
    assert (pair.horizontal.stride, pair.horizontal.padding) == ((1, 1), (0, 1))
    assert pair.horizontal.bias is None
    assert isinstance(pair.norm, nn.BatchNorm2d)
    assert not any(module.training for module in model.modules())  # as the layer was
    assert list(model.body) == [model.body[0], pair]
    assert model(IMAGES).shape == (2, 3)
    assert largest_ranks(model) == {"stem": 6}  # half a pair is not replaced again


def test_where_normalisation_stands_and_how_to_choose():
    for init, norm, stands in (("scratch", None, True), ("svd", None, False), ("scratch", False, False)):
        assert (low_rank(small_model(), [2, 2], init, norm).stem.norm is not None) == stands
    assert low_rank(small_model(), [2, 2], "svd", norm=True).stem.norm is not None


def test_scratch_is_fresh_and_svd_is_not():
    dense = small_model()
    state = dense.state_dict()
    stem = dense.stem
    svd = low_rank(dense, [2, 2], init="svd").stem
    np.testing.assert_array_equal(svd.horizontal.bias.data, state["stem.bias"])
    assert not np.shares_memory(svd.horizontal.bias.data, stem.bias.data)
    v, h = factorize(stem.weight, 2)
    np.testing.assert_array_equal(svd.vertical.weight.data, v)
    np.testing.assert_array_equal(svd.horizontal.weight.data, h)
    a, b, c = (low_rank(small_model(), [2, 2], rng=np.random.default_rng(seed)).state_dict() for seed in (1, 1, 2))
    for name in ("stem.vertical.weight", "stem.horizontal.weight", "stem.horizontal.bias", "body.1.vertical.weight"):
        np.testing.assert_array_equal(a[name], b[name])
        assert (a[name] != c[name]).all()


def test_precision_stays():
    norm = low_rank(small_model().astype(np.float64), [2, 2]).stem.norm
    assert norm.weight.dtype == norm.running_mean.dtype == np.float64


def test_a_layer_in_two_places_stays_one():
    conv = nn.Conv2d(2, 2, 3, padding=1)
    model = nn.Sequential(conv, nn.ReLU(), nn.Sequential(conv))
    assert largest_ranks(model) == {"0": 6}
    low_rank(model, [3])
    assert isinstance(model[0], nn.LowRankConv2d)
    assert model[2][0] is model[0]


def test_a_convolution_alone():
    conv = nn.Conv2d(2, 4, 3)
    pair = low_rank(conv, [6], init="svd")
    np.testing.assert_allclose(pair(IMAGES).data, conv(IMAGES).data, atol=1e-5)
    with pytest.raises(ValueError, match="Conv2d: 1 to 6"):
        low_rank(conv, [])


@pytest.mark.parametrize(
    ("ranks", "settings", "error", "message"),
    [
        ([1], {}, ValueError, "low_rank: ranks has 1 entries, and the model has 2 convolutions larger than 1 x 1"),
        ([1, 2, 3], {}, ValueError, "in this order\n  stem: 1 to 6\n  body.1: 1 to 15$"),
        (3, {}, ValueError, "low_rank: ranks is 3, and the model has 2"),
        ("LR", {}, ValueError, "low_rank: ranks is 'LR', and the model has 2"),
        (
            [6, 16],
            {},
            ValueError,
            "low_rank: body.1: the rank is 16, and 5 kernels of 3 x 3 over 6 channels allow",
        ),
        ([0, 1], {}, ValueError, "low_rank: stem: the rank is 0"),
        ([1, 1.5], {}, TypeError, "low_rank: body.1: the rank is 1.5, and must be a whole number"),
        ([1, 1], {"init": "random"}, ValueError, "unknown init 'random': choose from 'scratch', 'svd'"),
    ],
)
def test_what_does_not_fit_is_said_and_changes_nothing(ranks, settings, error, message):
    model = small_model()
    before = list(model.modules())
    with pytest.raises(error, match=message):
        low_rank(model, ranks, **settings)
    assert list(model.modules()) == before


@pytest.mark.parametrize("init", ["scratch", "svd"])
def test_a_pruned_layer_is_refused(init):
    model = small_model()
    MagnitudePruner(model, 0.5, 0, 1, 1, exclude=["stem", "fc"]).step(1)
    with pytest.raises(ValueError, match=r"low_rank: body\.1 is pruned.*call low_rank first"):
        low_rank(model, [2, 2], init)
    assert isinstance(low_rank(model, [2, None], init).stem, nn.LowRankConv2d)  # the others do not mind
    model.body[1].weight.mask = None
    assert isinstance(low_rank(model, [2], init).body[1], nn.LowRankConv2d)


@pytest.mark.parametrize("init", ["scratch", "svd"])
def test_it_trains_and_can_be_pruned(init, rng):
    model = low_rank(small_model(), [3, 4], init)
    before = {name: p.data.copy() for name, p in model.named_parameters()}
    pruner = MagnitudePruner(model, 0.5, start=0, every=1, count=1, exclude=["fc", "body.0", "stem.vertical"])
    curve = md.fit(
        model,
        [(IMAGES, np.array([0, 1])), (IMAGES[::-1].copy(), np.array([1, 0]))],
        optim.SGD(model.parameters(), lr=0.05),
        epochs=6,
        pruner=pruner,
        progress=False,
    )
    assert curve[-1].loss < curve[0].loss
    for name, p in model.named_parameters():
        assert (p.data != before[name]).any(), name
    assert pruner.layer_sparsity() == {"stem.horizontal": 0.5, "body.1.vertical": 0.5, "body.1.horizontal": 0.5}


def test_the_lipschitz_bound_sees_both_halves():
    bound = md.robustness.lipschitz_bound(low_rank(small_model(), [2, None]), (8, 8, 2))
    assert [layer.name for layer in bound.layers][:4] == ["stem.vertical", "stem.norm", "stem.horizontal", "act"]


# The report's schedules


def called(model, image_shape):
    """The dense layers of low_rank in the order in which a forward pass calls them."""
    order = []

    def watch(name, layer):
        forward = layer.forward
        return (lambda x: order.append(name) or forward(x)) if name in largest_ranks(model) else None

    with md.no_grad(), watching(model, watch):
        model(np.zeros(image_shape, np.float32))
    return order


@pytest.mark.parametrize(("name", "count"), [("alexnet", 5), ("resnet18", 17)])
def test_schedules_fit_their_models_in_forward_order(name, count):
    model = getattr(md.models, name)().eval()
    assert list(largest_ranks(model)) == called(model, (1, 63, 63, 3))
    assert len(LR1[name]) == len(LR2[name]) == len(largest_ranks(model)) == count
    for ranks in (LR1[name], LR2[name]):
        assert all(rank <= largest for rank, largest in zip(ranks, largest_ranks(model).values(), strict=True))
    assert [2 * half for half in LR2[name]] == [rank - rank % 2 for rank in LR1[name]]
    assert min(LR2[name]) >= 1


def test_resnet18_keeps_its_shortcuts_and_its_names():
    model = low_rank(md.models.resnet18(), LR1["resnet18"])
    shortcuts = [module for name, module in model.named_modules() if name.endswith("downsample.0")]
    assert [type(module) for module in shortcuts] == [nn.Conv2d] * 3
    ranks = [m.vertical.weight.shape[0] for m in model.modules() if isinstance(m, nn.LowRankConv2d)]
    assert tuple(ranks) == LR1["resnet18"]
    assert model.eval()(np.zeros((1, 32, 32, 3), np.float32)).shape == (1, 10)
    twin = low_rank(md.models.resnet18(seed=1), LR1["resnet18"])
    twin.load_state_dict(model.state_dict())
    np.testing.assert_array_equal(twin.layer4[1].conv2.vertical.weight.data, model.layer4[1].conv2.vertical.weight.data)


# What it costs


def test_costs_are_the_formulas():
    d, c, n, k, size = 3, 6, 8, 5, 10
    dense = nn.Sequential(nn.Conv2d(c, n, d, padding=1, bias=False))
    (row,) = cost(dense, (size, size, c)).layers
    assert row == ("0", "Conv2d", d * d * c * n, size * size * d * d * c * n)
    pair = cost(low_rank(dense, [k]), (size, size, c))
    assert [layer.name for layer in pair.layers] == ["0.vertical", "0.horizontal"]
    assert pair.parameters == d * k * (c + n)
    assert pair.multiply_adds == size * size * d * k * (c + n)


def test_costs_follow_strides_and_count_biases():
    model = small_model()
    rows = {layer.name: (layer.parameters, layer.multiply_adds) for layer in cost(model, (8, 8, 2)).layers}
    assert rows == {  # the stem makes (4, 7) of (8, 8)
        "stem": (4 * 6 * 2 + 4, 4 * 7 * 4 * 6 * 2),
        "body.0": (4 * 6 + 6, 4 * 7 * 4 * 6),
        "body.1": (9 * 6 * 5, 4 * 7 * 9 * 6 * 5),
        "fc": (140 * 3 + 3, 140 * 3),
    }
    total = cost(model, (5, 8, 8, 2))  # a batch: still for one image
    assert total.parameters == sum(p.size for p in model.parameters()) == sum(p for p, _ in rows.values())
    assert total.multiply_adds == sum(m for _, m in rows.values())
    pair = low_rank(model, [3, None]).train().stem
    rows = {layer.name: layer.multiply_adds for layer in cost(model, (8, 8, 2)).layers}
    assert (rows["stem.vertical"], rows["stem.horizontal"]) == (4 * 8 * 3 * 3 * 2, 4 * 7 * 4 * 2 * 3)
    assert pair.norm.num_batches_tracked == 0  # looking leaves no mark


def test_a_layer_that_works_twice_is_stored_once():
    conv = nn.Conv2d(2, 2, 3, padding=1)
    (row,) = cost(nn.Sequential(conv, nn.Sequential(conv)), (4, 4, 2)).layers
    assert row == ("0", "Conv2d", 38, 2 * 16 * 36)


def test_resnet18_shrinks_as_it_should():
    def weights(model):
        """Of the stem and the sixteen 3 x 3 convolutions, in millions."""
        rows = cost(model, (32, 32, 3)).layers
        return round(sum(row.parameters for row in rows if not re.search("downsample|fc", row.name)) / 1e6, 2)

    model = md.models.resnet18()
    assert weights(model) == 10.99
    assert weights(low_rank(model, LR1["resnet18"])) == 3.54


def test_cost_is_a_table_and_says_what_does_not_fit():
    lines = str(cost(small_model(), (8, 8, 2))).splitlines()
    assert lines[0].split() == ["layer", "type", "parameters", "multiply-adds"]
    assert lines[-1].split() == ["total", f"{sum(p.size for p in small_model().parameters()):,}", "9,996"]
    with pytest.raises(ValueError, match=r"cost: input_shape is \(8, 8\)"):
        cost(small_model(), (8, 8))
    with pytest.raises(ValueError, match="conv2d"):
        cost(small_model(), (8, 8, 3))
    with pytest.raises(TypeError, match=r"minidl\.nn\.Module.*function"):
        cost(md.models.resnet18, (8, 8, 3))


def test_costs_of_layers_with_a_forward_of_their_own_and_named_arguments():
    """Within another watch, and called with its input by name, a layer counts all the same."""

    class Named(nn.Module):
        def __init__(self):
            self.layer = nn.Linear(3, 2)

        def forward(self, x):
            return self.layer(x=nn.Flatten()(x))

    model = Named()
    own = model.layer.forward
    model.layer.forward = lambda x: own(x)
    kept = model.layer.forward
    assert md.compress.cost(model, (1, 1, 3)).multiply_adds == 6
    assert model.layer.forward is kept
