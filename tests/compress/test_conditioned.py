"""The bound on the singular values of V and H: clipped at the start, kept while training goes on."""

import numpy as np
import pytest

import minidl as md
from minidl import nn
from minidl.compress import WellConditioned, factorize, low_rank
from minidl.compress.conditioned import clipped


def model(**settings):
    layers = (nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.AdaptiveAvgPool2d(1))
    made = nn.Sequential(*layers, nn.Flatten(), nn.Linear(8, 10)).astype(np.float64)
    return low_rank(made, [2, 6], rng=np.random.default_rng(0), **settings)


def conditions(model):
    """Of Tai's two matrices: V is (C KH) x K, and H is K x (KW N)."""
    found = []
    for layer in (model[0], model[2]):
        v, h = layer.vertical.weight.data, layer.horizontal.weight.data
        for matrix in (
            v.transpose(3, 1, 2, 0).reshape(-1, v.shape[0]),
            h.transpose(3, 1, 2, 0).reshape(h.shape[3], -1),
        ):
            s = np.linalg.svd(matrix, compute_uv=False)
            found.append(s[0] / s[-1])
    return found


@pytest.mark.parametrize("init", ["scratch", "svd"])
def test_it_holds_from_the_start(init):
    assert max(conditions(model(init=init))) > 1.06
    assert max(conditions(model(init=init, condition=1.05))) < 1.05 + 1e-9


def test_it_holds_after_each_step_of_a_training():
    network, seen = model(condition=2), []
    images, labels = np.random.default_rng(1).random((16, 8, 8, 1)), np.arange(16) % 10

    class Look:
        def step(self, t):
            seen.append(max(conditions(network)))

    optimizer = md.optim.SGD(network.parameters(), 0.5)
    followers = [Look(), WellConditioned(network), Look()]
    md.fit(network, [(images, labels)], optimizer, 5, after_step=followers, progress=False)
    assert max(seen[::2]) > 2 + 1e-6  # without it the bound would be lost
    assert max(seen[1::2]) <= 2 + 1e-9


def test_only_what_is_too_small_is_raised():
    v, h = factorize(np.random.default_rng(0).standard_normal((6, 3, 3, 4)), 5)
    for weight, rows in ((v, 5), (h, 18)):
        before = np.linalg.svd(weight.reshape(rows, -1))
        after = np.linalg.svd(clipped(weight, 1.2).reshape(rows, -1))
        np.testing.assert_allclose(after[1], np.maximum(before[1], before[1][0] / 1.2), atol=1e-12)
    np.testing.assert_allclose(clipped(v, 1e9), v, atol=1e-12)


def test_bad_input():
    for condition, message in ((0.5, "condition is 0.5"), ("ten", "condition is 'ten'"), (np.inf, "condition is inf")):
        with pytest.raises((TypeError, ValueError), match=f"low_rank: {message}"):
            model(condition=condition)
    with pytest.raises(ValueError, match=r"no low-rank layer of this model has a bound: use low_rank\(model, ranks"):
        WellConditioned(model())
    network = model(condition=10)
    network[0].vertical.weight.mask = network[0].vertical.weight.data > 0
    with pytest.raises(ValueError, match=r"0\.vertical are pruned"):
        WellConditioned(network)
