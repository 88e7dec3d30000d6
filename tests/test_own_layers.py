"""What researchers bring along: layers beyond the report's, within everything that asks a model what it is."""

import numpy as np
import pytest

import minidl as md
from minidl import Tensor, compress, nn, robustness
from minidl import functional as F


class Block(nn.Module):
    """A residual block with GroupNorm, its layers in a list."""

    def __init__(self, channels=4):
        self.layers = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))
        self.norms = nn.ModuleList(nn.GroupNorm(2, channels) for _ in range(2))
        self.act, self.skip = nn.LeakyReLU(0.1), nn.Identity()

    def forward(self, x):
        y = x
        for layer, norm in zip(self.layers, self.norms, strict=True):
            y = self.act(norm(layer(y)))
        return y + self.skip(x)


def network(block=None):
    md.manual_seed(1)
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LayerNorm(4), nn.Linear(4, 3))
    return nn.Sequential(nn.Normalize(0.5, 0.25), nn.Conv2d(3, 4, 3, padding=1), nn.GELU(), block or Block(), head)


# A list of layers


def test_a_list_takes_layers_alone():
    """A function would be no layer, and the next one would take its place."""
    layers = nn.ModuleList([nn.Linear(2, 2)])
    with pytest.raises(TypeError, match=r"layer 1 is a function, and must be a Module"):
        layers.append(F.relu)


def test_a_list_of_layers():
    layers = nn.ModuleList([nn.Linear(2, 2), nn.ReLU()]).append(nn.Linear(2, 1))
    assert [name for name, _ in layers.named_parameters()] == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert [type(layer) for layer in layers] == [nn.Linear, nn.ReLU, nn.Linear]
    assert len(layers) == 3
    assert layers[-1] is layers[2]
    assert layers[:2](np.ones((1, 2), np.float32)).shape == (1, 2)
    with pytest.raises(TypeError, match=r"only its model knows what its layers do: for layer in self.layers"):
        layers(np.ones((1, 2), np.float32))
    with pytest.raises(TypeError, match=r"use nn.Sequential or nn.ModuleList"):
        nn.Sequential().parts = [nn.ReLU()]


def test_a_list_of_layers_fits_pytorchs():
    torch = pytest.importorskip("torch")
    theirs = torch.nn.ModuleList([torch.nn.Linear(2, 3), torch.nn.GroupNorm(2, 4), torch.nn.LayerNorm(5)])
    ours = nn.ModuleList([nn.Linear(2, 3), nn.GroupNorm(2, 4), nn.LayerNorm(5)])
    ours.load_state_dict({name: value.numpy() for name, value in theirs.state_dict().items()})
    np.testing.assert_array_equal(ours[0].weight.data, theirs[0].weight.detach().numpy().T)


# What asks a model


def test_summary_and_cost():
    text = str(md.summary(network(), (8, 8, 3)))
    for part in ("x Phi(x)", "max(x, 0.1 x)", "over 2 channels", "over 4 channels", "Identity", "LayerNorm"):
        assert part in text
    names = [layer.name for layer in compress.cost(network(), (8, 8, 3)).layers]
    assert names == ["1", "3.layers.0", "3.layers.1", "4.3"]


def stretch(layer, x, rng, steps=50):
    """How much a layer stretches small differences of inputs near x at most, of those that were tried."""
    most = 0.0
    for _ in range(steps):
        small = 1e-4 * rng.standard_normal(x.shape)
        pair = 1e-4 * np.where(np.arange(x.shape[-1]) < 2, rng.choice([-1.0, 1.0], x.shape), 0)
        for step in (small, pair):
            most = max(most, float(np.linalg.norm(layer(x + step).data - layer(x).data) / np.linalg.norm(step)))
    return most


@pytest.mark.parametrize(
    ("layer", "near"),
    [
        (nn.LeakyReLU(0.1), 0.9),
        (nn.GELU(), 0.9),
        (nn.Softmax(0.5), 0.9),
        (nn.Identity(), 0.99),
        (nn.GroupNorm(2, 4, eps=0.1), 0.5),
        (nn.LayerNorm(4, eps=0.1), 0.5),
    ],
    ids=lambda value: type(value).__name__,
)
def test_nothing_stretches_more_than_it_says(layer, near, rng):
    layer.astype(np.float64)
    said = layer.lipschitz(Tensor(np.zeros((1, 2, 2, 4))))
    steepest = [scale * rng.standard_normal((1, 2, 2, 4)) for scale in (0, 0.1, 1, 3)]
    steepest += [
        np.full((1, 2, 2, 4), np.sqrt(2)),
        np.tile([0.0, 0.0, -50.0, -50.0], (1, 2, 2, 1)),
    ]  # GELU's, softmax's
    assert near * said <= max(stretch(layer, x, rng) for x in steepest) <= said * (1 + 1e-6)


def test_a_lipschitz_bound_of_all_of_it(rng):
    model = network().eval()
    bound = robustness.lipschitz_bound(model, (8, 8, 3)).bound
    x = rng.random((1, 8, 8, 3))
    assert np.isfinite(bound)
    assert stretch(model.astype(np.float64), x, rng) <= bound


@pytest.mark.parametrize(
    ("own", "bound"),
    [
        (lambda x: F.concatenate([x, -x], -1), np.sqrt(2)),
        (lambda x: F.concatenate([x, np.ones((1, 4, 4, 2), np.float32)], -1), 1),
        (lambda x: F.stack([x, -x, x]), np.sqrt(3)),
        (lambda x: F.maximum(x, -x), np.sqrt(2)),
        (lambda x: F.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))), 1),
        (lambda x: x.clip(0.25, 0.75), 1),
        (lambda x: F.leaky_relu(x, 0.5), 1),
    ],
)
def test_operations_between_layers(own, bound):
    class Model(nn.Module):
        def forward(self, x):
            return own(x)

    assert robustness.lipschitz_bound(Model(), (4, 4, 1)).bound == pytest.approx(bound)


@pytest.mark.parametrize(
    ("own", "name"),
    [
        (lambda x: F.where(x.data > 0, x, 0.0), "where"),
        (lambda x: F.gelu(x), "gelu"),
        (lambda x: x.reshape(4, 4) @ x.reshape(4, 4), "matmul"),
    ],
)
def test_what_has_no_bound_is_refused_by_name(own, name):
    class Model(nn.Module):
        def forward(self, x):
            return own(x)

    with pytest.raises(NotImplementedError, match=f"uses the operation '{name}'"):
        robustness.lipschitz_bound(Model(), (4, 4, 1))


def test_certificates_of_leaky_relu_hold(rng):
    """Bounds by lines enclose the margins of images that were drawn within epsilon, and are close to them."""
    layers = nn.Flatten(), nn.Linear(12, 8), nn.LeakyReLU(0.2), nn.Identity(), nn.Linear(8, 3)
    model, image = nn.Sequential(*layers).eval(), rng.random((1, 2, 2, 3)).astype(np.float32)
    for bounds in (robustness.linear_bounds, robustness.interval_bounds):
        found = bounds(model, image, 0.1, labels=np.array([0]))
        drawn = np.clip(image + rng.uniform(-0.1, 0.1, (500, 2, 2, 3)), 0, 1).astype(np.float32)
        logits = model(drawn).data
        margins = logits[:, :1] - logits[:, 1:]
        assert (found.lower <= margins + 1e-6).all()
        assert (margins <= found.upper + 1e-6).all()
    exact = robustness.linear_bounds(model, image, 1e-4, labels=np.array([0]))
    logits = model(image).data
    assert np.allclose(exact.lower, logits[:, :1] - logits[:, 1:], atol=1e-3)


REFUSED = {"gelu": nn.GELU(), "group_norm": nn.GroupNorm(1, 3), "layer_norm": nn.LayerNorm(3), "softmax": nn.Softmax()}


@pytest.mark.parametrize("name", REFUSED)
def test_certificates_refuse_the_others_by_name(name, rng):
    kind, model = type(REFUSED[name]).__name__, nn.Sequential(REFUSED[name], nn.Flatten(), nn.Linear(12, 3)).eval()
    with pytest.raises(NotImplementedError, match=rf"layer '0' \({kind}\) uses the operation '{name}'"):
        robustness.linear_bounds(model, rng.random((1, 2, 2, 3)).astype(np.float32), 0.1)


def test_low_rank_and_pruning_reach_lists():
    model = network()
    compress.low_rank(model, [2, 2, 2])
    assert [type(layer) for layer in model[3].layers] == [nn.LowRankConv2d] * 2
    pruner = compress.MagnitudePruner(model, 0.5, start=0, every=1, count=1)
    pruner.step(1)
    assert compress.sparsity(model) == pytest.approx(0.5, abs=0.01)
    assert np.isfinite(model(np.full((2, 8, 8, 3), 0.5, np.float32)).data).all()


def test_a_softmax_in_a_model_is_told(rng):
    """cross_entropy takes logits: of probabilities it warns."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 3), nn.Softmax())
    with pytest.warns(UserWarning, match="the logits look like probabilities"):
        F.cross_entropy(model(rng.random((4, 2, 2, 3)).astype(np.float32)), [0, 1, 2, 0])


def test_group_norm_learns_alone(rng):
    """One image at a time, which batch normalisation refuses, and the same in training and evaluation."""
    model = network()
    optimizer = md.optim.AdamW(model.parameters(), lr=0.01)
    optimizer.max_norm = 1.0
    x, label = rng.random((1, 8, 8, 3)).astype(np.float32), np.array([2])
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), label)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 < losses[0]
    np.testing.assert_array_equal(model.train()(x).data, model.eval()(x).data)
