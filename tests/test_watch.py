"""Looking inside a model: what its layers give in a pass, and the gradients by it."""

import numpy as np
import pytest

import minidl as md
from minidl import functional as F
from minidl import nn, robustness


class Twice(nn.Module):
    """One layer that is called twice, and a value that two layers are given."""

    def __init__(self):
        self.first, self.shared = nn.Linear(3, 3), nn.Linear(3, 3)
        self.same = self.shared

    def forward(self, x):
        h = self.first(x)
        return self.shared(self.shared(h)) + h


def test_values_and_gradients_are_those_of_the_chain_rule(rng):
    model, x = Twice().astype(np.float64), rng.standard_normal((4, 3))
    with nn.watch(model) as seen:
        y = model(x)
        (y * y).sum().backward()
    weights = [layer.weight.data for layer in (model.first, model.shared)]
    h = x @ weights[0] + model.first.bias.data
    np.testing.assert_allclose(seen["first"].value, h)
    np.testing.assert_allclose(seen["shared"].value, y.data - h)
    np.testing.assert_allclose(seen["shared"].gradient, 2 * y.data)  # of the last call
    np.testing.assert_allclose(seen["first"].gradient, 2 * y.data @ weights[1].T @ weights[1].T + 2 * y.data)
    assert seen["same"] is seen["shared"]


def test_nothing_else_changes(rng):
    """The same bits of logits and gradients, and no forward of its own is left behind."""
    model, x, labels = md.models.fc5(image_size=8, channels=1), rng.random((5, 8, 8, 1), np.float32), np.arange(5)

    def gradients():
        model.zero_grad()
        F.cross_entropy(model(x), labels).backward()
        return [p.grad for p in model.parameters()]

    plain = gradients()
    with nn.watch(model, "fc*") as seen:
        watched = gradients()
    assert all((a == b).all() for a, b in zip(plain, watched, strict=True))
    assert [*seen] == [name for name, _ in model.named_modules() if name.startswith("fc")]
    assert all("forward" not in vars(module) for module in model.modules())
    kept = seen["fc1"].value
    gradients()
    assert seen["fc1"].value is kept


def test_an_attack_is_seen_from_within(rng):
    """The last pass of an attack: its gradients are by the layers' values too, though only images are asked for."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    images, labels = rng.random((6, 2, 2, 1), np.float32), np.array([0, 1] * 3)
    with nn.watch(model, "1") as seen:
        robustness.fgsm(model, images, labels, [0.1])
    assert seen["1"].value.shape == (6, 3)
    x = md.Tensor(images, requires_grad=True)
    with nn.watch(model, "1") as seen:
        F.cross_entropy(model(x), labels).backward(inputs=[x])
    np.testing.assert_allclose(seen["1"].gradient @ model[1].weight.data.T, x.grad.reshape(6, 4), rtol=1e-5)
    assert model[1].weight.grad is None


def test_patterns(rng):
    model = md.models.resnet18(num_classes=2).eval()
    with nn.watch(model, "layer2.*", "fc") as seen, md.no_grad():
        model(rng.random((1, 32, 32, 3), np.float32))
    assert {name.split(".")[0] for name in seen} == {"layer2", "fc"}
    assert "layer2.0.conv1" in seen
    assert seen["fc"].value.shape == (1, 2)
    assert seen["fc"].gradient is None
    with (
        pytest.raises(ValueError, match=r"watch: no layer is called 'layre2\.\*': the names are normalize, conv1"),
        nn.watch(model, "layre2.*"),
    ):
        pass


def test_a_layer_that_passes_its_input_on(rng):
    model = nn.Sequential(nn.Linear(3, 3), nn.Identity(), nn.Linear(3, 1))
    with nn.watch(model) as seen:
        model(rng.random((2, 3), np.float32)).sum().backward()
    np.testing.assert_array_equal(seen["0"].gradient, seen["1"].gradient)
    np.testing.assert_array_equal(seen["0"].gradient, np.repeat(model[2].weight.data.T, 2, axis=0))
