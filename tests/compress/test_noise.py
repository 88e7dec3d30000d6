"""Variational dropout and l0: their formulas against samples, their steps against PyTorch's, their end as masks."""

import math
import sys

import numpy as np
import pytest

import minidl as md
from minidl import functional as F
from minidl import nn
from minidl.compress import NoisePruner, hard_concrete, hard_concrete_open, l0, plain, sparsity, variational
from minidl.functional import noise
from minidl.objectives import Penalized
from minidl.sparsify.scopes import erdos_renyi_kernel


def rng(seed=0):
    return np.random.default_rng(seed)


def network(dtype=np.float64):
    layers = (nn.Conv2d(1, 3, 3, rng=rng(1)), nn.ReLU(), nn.Flatten(), nn.Linear(48, 4, rng=rng(2)))
    return nn.Sequential(*layers).astype(dtype)


IMAGES, LABELS = rng(3).random((10, 6, 6, 1)), rng(4).integers(0, 4, 10)


# Formulas


@pytest.mark.parametrize("log_alpha", np.arange(-8.0, 8.1, 1.0))
def test_the_divergence_is_that_of_a_million_samples(log_alpha):
    """KL(N(w, alpha w^2) || uniform in log |w|) = E log |1 + sqrt(alpha) n| - log(alpha) / 2 + c, 0 at infinity."""
    normal = rng().standard_normal(1_000_000)
    normal = np.concatenate([normal, -normal])
    logs = np.log(np.abs(1 + math.sqrt(math.exp(log_alpha)) * normal))
    at_infinity = -(np.euler_gamma + math.log(2)) / 2  # E log |n|
    expected = logs.mean() - log_alpha / 2 - at_infinity
    error = 5 * logs.std() / math.sqrt(len(normal))
    assert float(F.variational_kl(np.array(log_alpha)).data) == pytest.approx(expected, abs=0.015 + error)


@pytest.mark.parametrize("log_alpha", [-6.0, -3.0, -1.0, 0.0, 2.0, 5.0])
def test_hard_concrete_gates_are_those_of_a_million_samples(log_alpha):
    drawn = hard_concrete(np.full(1_000_000, log_alpha), rng=rng()).data
    opened = float(hard_concrete_open(np.array(log_alpha)).data)
    assert (drawn != 0).mean() == pytest.approx(opened, abs=5 * math.sqrt(opened * (1 - opened) / 1e6) + 1e-6)
    # the mean is the integral of P(z > x) over x in [0, 1], by the distribution's closed form
    x = (np.arange(20_000) + 0.5) / 20_000
    s = (x + 0.1) / 1.2
    above = 1 / (1 + np.exp(2 / 3 * (np.log(s) - np.log(1 - s)) - log_alpha))
    assert drawn.mean() == pytest.approx(above.mean(), abs=5 * drawn.std() / 1e3 + 1e-6)
    assert drawn.min() >= 0
    assert drawn.max() <= 1


def test_the_gradient_of_gates():
    log_alpha = rng(1).standard_normal((4, 5))
    for f in (
        lambda x: hard_concrete(x, rng=rng(0)) ** 2,
        lambda x: hard_concrete(x / 9, training=False),
        hard_concrete_open,
    ):
        md.testing.check_gradients(f, log_alpha, tolerance=1e-8)


def test_gates_in_evaluation_are_the_papers():
    log_alpha = np.array([-10.0, -2.0, 0.0, 1.0, 10.0])
    expected = np.clip(1 / (1 + np.exp(-log_alpha)) * 1.2 - 0.1, 0, 1)
    np.testing.assert_allclose(hard_concrete(log_alpha, training=False).data, expected, atol=1e-15)


def test_noise_of_a_layer_has_the_mean_and_variance_that_its_weights_give():
    layer = nn.VariationalLinear(3, 2, rng=rng()).astype(np.float64)
    layer.noise.data[...] = rng(1).uniform(-3, 0, 6)
    x = np.array([[1.0, -2.0, 0.5]])
    drawn = np.concatenate([layer(np.repeat(x, 50_000, 0)).data for _ in range(4)])
    mean = x @ layer.weight.data + layer.bias.data
    deviation = np.sqrt(x**2 @ np.exp(layer.noise.data.reshape(3, 2)))
    np.testing.assert_allclose(drawn.mean(0), mean[0], atol=5 * deviation.max() / math.sqrt(200_000))
    np.testing.assert_allclose(drawn.std(0), deviation[0], rtol=0.01)


def test_uniform_numbers_reach_no_end():
    for dtype in (np.float32, np.float64):
        for end in (-1.0, 1 - 2.0**-24):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(md.kernels.of(np.ones(1, dtype)), "uniform", lambda x, rng, end=end: np.full_like(x, end))
                u = noise.open_uniform(np.zeros(2, dtype), None)
            assert u.dtype == dtype
            assert 0 < u[0] < 1
            assert np.isfinite(np.log(u) - np.log(1 - u)).all()
    many = noise.open_uniform(np.zeros(2**20, np.float32), rng())
    assert abs(many.mean() - 0.5) < 0.002
    assert many.min() < 1e-5
    assert many.max() > 1 - 1e-5


def test_log_alpha_is_cut():
    found = F.log_alpha(np.array([0.0, 1.0, 10.0]), np.array([0.0, -1.0, -20.0])).data
    np.testing.assert_allclose(found, [8, -1, -8], atol=1e-7)


# Three steps in float64 are those of PyTorch, with the same random numbers


class Same:
    """Uniform numbers for both: written down as ours are drawn, and read by theirs."""

    def __init__(self, monkeypatch):
        self.drawn, original = [], noise.open_uniform

        def open_uniform(x, rng):
            self.drawn.append(original(x, rng))
            return self.drawn[-1].copy()

        for user in (sys.modules["minidl.functional.noise"], sys.modules["minidl.sparsify.gates"]):
            monkeypatch.setattr(user, "open_uniform", open_uniform)


def fitted(model, objective, **settings):
    optimizer = md.optim.SGD(model.parameters(), 0.05, momentum=0.9)
    md.fit(model, [(IMAGES, LABELS)], optimizer, 3, objective=objective, after_step=[], progress=False, **settings)
    return optimizer


def theirs(torch, start, drawn, layer, penalty):
    """Three steps of SGD in PyTorch, of a convolution, ReLU and a linear layer as ``layer`` computes them."""
    twin = {name: torch.tensor(value, requires_grad=True) for name, value in start.items()}
    numbers, x = iter(drawn), torch.tensor(IMAGES).permute(0, 3, 1, 2)
    optimizer = torch.optim.SGD(twin.values(), 0.05, momentum=0.9)

    def conv(x, w, b):
        return torch.nn.functional.conv2d(x, w, b)

    def linear(x, w, b):
        return torch.nn.functional.linear(x, w, b)

    for t in range(3):
        first = layer(conv, x, twin, "0", numbers)
        hidden = torch.relu(first).permute(0, 2, 3, 1).reshape(len(x), -1)
        logits = layer(linear, hidden, twin, "3", numbers)
        loss = torch.nn.functional.cross_entropy(logits, torch.tensor(LABELS)) + penalty(twin) * min(t / 2, 1) / 10
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return {name: value.detach().numpy() for name, value in twin.items()}


def ours_as_theirs(torch, noise, weight):
    """The noise, in the order of our kernels' numbers, as PyTorch's kernels lie."""
    if weight.ndim == 4:
        n, c, kh, kw = weight.shape
        return noise.reshape(n, kh, kw, c).permute(0, 3, 1, 2)
    return noise.reshape(weight.shape[1], weight.shape[0]).T


def test_three_steps_of_variational_dropout_are_pytorchs(monkeypatch):
    torch = pytest.importorskip("torch")
    model = variational(network(), log_variance=-3)
    start, same = model.state_dict(), Same(monkeypatch)
    fitted(model, Penalized(0.1, ramp=(0, 2)))

    def layer(operation, x, twin, name, numbers):
        w = twin[f"{name}.weight"]
        mean = operation(x, w, twin[f"{name}.bias"])
        variance = operation(x * x, ours_as_theirs(torch, twin[f"{name}.noise"].exp(), w), None)
        u = [torch.tensor(next(numbers)) for _ in range(2)]
        u = [each.permute(0, 3, 1, 2) if each.ndim == 4 else each for each in u]
        normal = torch.sqrt(-2 * torch.log(u[0])) * torch.cos(2 * math.pi * u[1])
        return mean + torch.sqrt(variance + 1e-8) * normal

    def penalty(twin):
        total = 0
        for name in ("0", "3"):
            w = twin[f"{name}.weight"]
            noise = ours_as_theirs(torch, twin[f"{name}.noise"], w)
            log_alpha = (noise - torch.log(w * w + 1e-8)).clamp(-8, 8)
            gate = torch.sigmoid(1.87320 + 1.48695 * log_alpha)
            total = total + (0.63576 - 0.63576 * gate + 0.5 * torch.log1p(torch.exp(-log_alpha))).sum()
        return total

    expected = theirs(torch, start, same.drawn, layer, penalty)
    for name, value in model.state_dict().items():
        np.testing.assert_allclose(value, expected[name], rtol=0, atol=1e-9, err_msg=name)
        assert not np.array_equal(value, start[name])


def test_three_steps_of_l0_are_pytorchs(monkeypatch):
    torch = pytest.importorskip("torch")
    model = l0(network(), open_at_first=0.6)
    start, same = model.state_dict(), Same(monkeypatch)
    fitted(model, Penalized(0.1, ramp=(0, 2)))

    def layer(operation, x, twin, name, numbers):
        w, noise = twin[f"{name}.weight"], twin[f"{name}.noise"]
        u = torch.tensor(next(numbers))
        s = torch.sigmoid((torch.log(u) - torch.log(1 - u) + noise) / (2 / 3))
        z = (s * 1.2 - 0.1).clamp(0, 1)
        return operation(x, w * ours_as_theirs(torch, z, w), twin[f"{name}.bias"])

    def penalty(twin):
        return sum(torch.sigmoid(twin[f"{n}.noise"] - 2 / 3 * math.log(0.1 / 1.1)).sum() for n in ("0", "3"))

    expected = theirs(torch, start, same.drawn, layer, penalty)
    for name, value in model.state_dict().items():
        np.testing.assert_allclose(value, expected[name], rtol=0, atol=1e-9, err_msg=name)


# All ends as masks


@pytest.mark.parametrize("make", [variational, l0])
def test_a_mask_ends_the_randomness_and_leaves_a_plain_network(make):
    model = make(network())
    model[0].noise.data[...] = rng(5).uniform(-9, 4, 27)
    pruner = NoisePruner(model, at=2, sparsity=0.75)
    assert not np.array_equal(model(IMAGES).data, model(IMAGES).data)
    assert float(model[0].penalty().data) > 0
    pruner.step(1)
    assert pruner.sparsity == 0
    pruner.step(2)
    assert pruner.sparsity == pytest.approx(0.75, abs=1 / 219)
    assert model[0].penalty() == 0
    before = model.train()(IMAGES).data
    np.testing.assert_array_equal(model(IMAGES).data, before)
    parameters = [model[0].weight, model[3].weight]
    assert plain(model) is model
    assert [type(layer) for layer in model] == [nn.Conv2d, nn.ReLU, nn.Flatten, nn.Linear]
    assert [model[0].weight, model[3].weight] == parameters
    np.testing.assert_array_equal(model(IMAGES).data, before)
    assert sparsity(model) >= 0.75 - 1 / 219
    assert set(model.state_dict()) == set(network().state_dict())


def test_the_least_important_go():
    model = variational(nn.Linear(2, 3))
    model.weight.data[...] = 1
    model.noise.data[...] = [0, 5, -5, 1, -1, 4]  # log alpha, as the weights are 1
    NoisePruner(model, at=0).step(0)
    np.testing.assert_array_equal(model.weight.mask, [[True, False, True], [True, True, False]])
    model = variational(nn.Linear(2, 3))
    model.weight.data[...] = 1
    model.noise.data[...] = [0, 5, -5, 1, -1, 4]
    NoisePruner(model, at=0, sparsity=0.5).step(7)  # jumped over, and made up for
    np.testing.assert_array_equal(model.weight.mask, [[True, False, True], [False, True, False]])
    gated = l0(nn.Linear(2, 2))
    gated.weight.data[...] = 2
    gated.noise.data[...] = [-9, 0, 9, -9]
    NoisePruner(gated, at=0).step(0)
    np.testing.assert_allclose(gated.weight.data, [[0, 1], [2, 0]], atol=1e-6)  # z = 0.5 stays in the weight
    np.testing.assert_array_equal(gated.weight.mask, [[False, True], [True, False]])


@pytest.mark.parametrize("scope", ["layer", "global", "erk"])
@pytest.mark.parametrize("of", ["weight", "noise"])
@pytest.mark.parametrize("make", [variational, l0])
def test_what_is_nan_is_named_and_nothing_is_done(make, of, scope):
    model = make(network())
    getattr(model[3], of).data[:5] = np.nan
    pruner = NoisePruner(model, at=0, sparsity=0.5, scope=scope)
    for step in (0, 1):
        with pytest.raises(ValueError, match="weights of 3 are NaN, or their noise is"):
            pruner.step(step)
        assert model[0].is_random()
        assert model[3].is_random()


@pytest.mark.parametrize("of", ["weight", "noise"])
@pytest.mark.parametrize("make", [variational, l0])
def test_nan_is_no_reason_to_prune(make, of):
    """Without a sparsity too, where each weight is asked whether it is noise."""
    model = make(network())
    getattr(model[3], of).data[:5] = np.nan
    for act in (lambda: NoisePruner(model, at=0).step(0), lambda: plain(model)):
        with pytest.raises(ValueError, match="weights of 3 are NaN, or their noise is"):
            act()
        assert model[0].is_random()
        assert model[3].is_random()


def test_training_finds_which_weights_are_noise():
    """Half of the inputs tell nothing: variational dropout prunes most of their weights, and few of the others'."""
    r = rng()
    x = r.standard_normal((400, 8)).astype(np.float32)
    labels = (x[:, :4].sum(1) > 0).astype(int)
    model = variational(nn.Sequential(nn.Linear(8, 2, rng=rng(1))), log_variance=-4)
    optimizer = md.optim.Adam(model.parameters(), 0.02)
    objective = Penalized(1 / 400, ramp=(100, 500))
    md.fit(model, [(x, labels)], optimizer, 900, objective=objective, after_step=[], progress=False)
    log_alpha = model[0].log_alpha().data
    assert log_alpha[:4].max() < 3 < np.median(log_alpha[4:])


@pytest.mark.parametrize("make", [variational, l0])
def test_a_training_is_resumed_with_the_same_bits(make):
    def parts():
        md.manual_seed(0)
        model = make(network(np.float32))
        optimizer = md.optim.SGD(model.parameters(), 0.05, momentum=0.9)
        return model, optimizer, Penalized(0.01, ramp=(1, 4)), NoisePruner(model, at=5, sparsity=0.5)

    def fit(model, optimizer, objective, pruner, first, epochs, on_epoch=None):
        batches = [(IMAGES.astype(np.float32), LABELS)]
        settings = {"objective": objective, "after_step": [pruner], "progress": False, "first_epoch": first}
        settings["on_epoch"] = on_epoch
        md.fit(model, batches, optimizer, epochs, **settings)

    whole = parts()
    fit(*whole, 0, 8)
    for stop in (3, 6):
        snapshots, first = [], parts()
        state = md.train.State(first[0], first[1], first[2], [first[3]])
        fit(*first, 0, 8, lambda epoch, seen=snapshots, state=state: seen.append(state.capture()))
        second = parts()
        md.train.State(second[0], second[1], second[2], [second[3]]).restore(snapshots[stop - 1])
        fit(*second, stop, 8)
        for name, value in whole[0].state_dict().items():
            np.testing.assert_array_equal(second[0].state_dict()[name], value, err_msg=f"{stop}: {name}")


def test_what_a_noisy_layer_says_of_itself():
    model = variational(network(), exclude="0")
    assert type(model[0]) is nn.Conv2d
    assert model.train()[3].lipschitz(md.Tensor(np.zeros((1, 48)))) is None
    assert model.eval()[3].lipschitz(md.Tensor(np.zeros((1, 48)))) > 0
    assert "random" in model[3].formula(md.Tensor(np.zeros((1, 48))))
    assert sparsity(model) == 0  # noise is no kernel
    assert md.robustness.spectrum(model, (6, 6, 1)).layers[1].kind == "VariationalLinear"


def test_bad_input():
    model = network()
    for call, message in (
        (lambda: variational(model, exclude="5"), "variational: exclude names '5'"),
        (lambda: variational(model, log_variance="low"), "variational: log_variance is 'low'"),
        (lambda: l0(model, open_at_first=1), "l0: open_at_first is 1, and must be in (0, 1)"),
        (lambda: NoisePruner(model, at=3), "NoisePruner: no layer of this model is noisy"),
        (lambda: NoisePruner(l0(network()), at=-1), "NoisePruner: at is -1"),
        (lambda: NoisePruner(l0(network()), 1, sparsity=1), "NoisePruner: sparsity is 1"),
        (lambda: NoisePruner(l0(network()), 1, scope="all"), "NoisePruner: unknown scope 'all'"),
        (
            lambda: NoisePruner(l0(network()), 9).check(9),
            "NoisePruner: it prunes at iteration 9, and training has 0",
        ),
        (lambda: Penalized(-1), "Penalized: weight is -1"),
        (lambda: Penalized(1, ramp=3), "Penalized: ramp is 3, and must be two steps"),
        (lambda: Penalized(1, ramp=(3, 2)), "Penalized: ramp is (3, 2), and must be two steps in order"),
        (lambda: Penalized(1, loss=0), "Penalized: loss is 0, and must be an objective"),
        (lambda: Penalized(1)(model, md.Tensor(IMAGES), LABELS), "Penalized: no layer of this model has a penalty"),
        (lambda: F.gaussian(np.zeros(3), np.zeros(2)), "gaussian: the mean has shape (3,) and the variance (2,)"),
        (lambda: F.log_alpha(np.zeros(3), np.zeros(2)), "log_alpha: the weight has shape (3,)"),
        (lambda: variational(l0(network())), "variational: 0 (GatedConv2d) is no plain Linear or Conv2d: leave it"),
    ):
        with pytest.raises((TypeError, ValueError)) as caught:
            call()
        assert message in str(caught.value), message
    model[0].weight.mask = model[0].weight.data > 0
    with pytest.raises(ValueError, match=r"l0: 0 \(Conv2d\) is pruned already: leave it as it is, with exclude='0'"):
        l0(model)


# Scopes


def test_erdos_renyi_kernel_by_hand():
    shapes = [(8, 3, 3, 4), (16, 3, 3, 8), (100, 10)]
    raw = [18 / 288, 30 / 1152, 110 / 1000]
    density = 0.1
    scale = density * 2440 / (18 + 30 + 110)
    np.testing.assert_allclose(erdos_renyi_kernel(shapes, density), [scale * each for each in raw])
    found = erdos_renyi_kernel(shapes, 0.7)
    assert found[2] == 1.0  # all that it has; the others make up for it
    assert found[0] * 288 + found[1] * 1152 + 1000 == pytest.approx(0.7 * 2440)
    assert found[0] / found[1] == pytest.approx(raw[0] / raw[1])
    assert erdos_renyi_kernel(shapes, 1.0) == pytest.approx([1.0, 1.0, 1.0])
