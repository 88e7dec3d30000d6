"""The singular values of layers, against their matrices; the counts that follow from them."""

import math

import numpy as np
import pytest

import minidl as md
from minidl import nn
from minidl.robustness import lipschitz_bound, spectrum


def matrix_of(layer, shape):
    size = math.prod(shape)
    with md.no_grad():
        bias = layer(md.Tensor(np.zeros((1, *shape)))).data
        return (layer(md.Tensor(np.eye(size).reshape(size, *shape))).data - bias).reshape(size, -1)


@pytest.mark.parametrize("settings", [{}, {"stride": 2, "padding": 1}, {"padding": (0, 2)}])
def test_a_convolutions_values_are_those_of_its_matrix(settings):
    layer = nn.Conv2d(2, 3, (3, 2), **settings, rng=np.random.default_rng(0)).astype(np.float64)
    found = spectrum(layer, (6, 5, 2)).layers[0]
    expected = np.linalg.svd(matrix_of(layer, (6, 5, 2)), compute_uv=False)
    np.testing.assert_allclose(found.values, expected, atol=1e-12)
    assert found.how == "exact"
    assert found.norm == pytest.approx(lipschitz_bound(layer, (6, 5, 2)).layers[0].norm, rel=1e-4)


def test_with_joined_borders_the_values_are_nearly_the_same():
    """The larger the image, the less its border matters: half as far at twice the size, or nearer."""
    layer, far = nn.Conv2d(2, 3, 3, padding=1, rng=np.random.default_rng(0)).astype(np.float64), []
    for size in (8, 16):
        exact, periodic = (spectrum(layer, (size, size, 2), largest).layers[0] for largest in (2048, 0))
        assert (exact.how, periodic.how) == ("exact", "periodic")
        assert periodic.values.size == exact.values.size == 2 * size * size
        assert exact.norm <= periodic.norm * (1 + 1e-9)  # zeros at the border only take away
        far.append(np.abs(exact.values - periodic.values).mean())
    assert far[1] < 0.6 * far[0]


def test_a_stride_that_does_not_divide_the_image():
    layer = nn.Conv2d(1, 2, 3, stride=2, rng=np.random.default_rng(0))
    assert spectrum(layer, (7, 7, 1), largest=0).layers[0].values.size == 4 * 4 * 2


def test_counts_by_hand():
    layer = nn.Linear(4, 4, bias=False).astype(np.float64)
    layer.weight.data[...] = np.diag([3.0, 3.0, 3.0, 0.0])
    (row,) = spectrum(layer, (4,)).layers
    assert (row.norm, row.condition) == (3, math.inf)
    assert row.effective_rank == pytest.approx(3)
    assert row.effective_sparsity == pytest.approx(13 / 16)
    layer.weight.data[...] = np.diag([4.0, 2.0, 1.0, 1.0])
    row = spectrum(layer, (4,)).layers[0]
    assert row.condition == pytest.approx(4)
    assert row.effective_rank == pytest.approx(64 / 22)
    layer.weight.data[...] *= 7  # neither changes
    again = spectrum(layer, (4,))
    assert again.layers[0].effective_rank == pytest.approx(64 / 22)
    assert again.effective_sparsity == pytest.approx(1 - 64 / 22 / 16)
    assert again.effective_rank == pytest.approx(16 / 22)
    layer.weight.data[...] = 0
    assert spectrum(layer, (4,)).layers[0].effective_rank == 0


def test_all_kernels_in_forward_order_and_the_modes_as_they_were():
    model = nn.Sequential(nn.Normalize(0.5, 0.5), nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(18, 3))
    found = spectrum(model, (5, 5, 1))
    assert [(row.name, row.kind) for row in found.layers] == [("1", "Conv2d"), ("4", "Linear")]
    assert model.training
    assert str(found).count("\n") == 2
    low = md.compress.low_rank(model, [2])
    assert [row.name for row in spectrum(low, (5, 5, 1)).layers] == ["1.vertical", "1.horizontal", "4"]


def test_a_layer_of_ones_own_that_says_it_is_affine():
    class Turned(nn.Linear):
        def forward(self, x):
            return md.functional.linear(x, self.weight) * -2

        def spread(self, radius):
            return md.functional.linear(radius, self.weight.abs()) * 2

    layer = Turned(3, 3, bias=False).astype(np.float64)
    found = spectrum(layer, (3,)).layers[0].values
    np.testing.assert_allclose(found, 2 * np.linalg.svd(layer.weight.data, compute_uv=False))
    with pytest.raises(NotImplementedError, match=r"Turned\) is a map from 3 to 3 numbers"):
        spectrum(layer, (3,), largest=2)


@pytest.mark.parametrize("size", [6, 64])  # written out; and by frequencies, of which there are many
def test_condition_is_infinite_only_where_a_value_is_zero(size):
    layer = nn.Conv2d(2, 2, 3, padding=1, rng=np.random.default_rng(0))
    found = spectrum(layer, (size, size, 2)).layers[0]
    assert 1 < found.condition < 1e5
    assert found.condition == found.values[0] / found.values[-1]
    layer.weight.data[1] = layer.weight.data[0]
    for bias in (0, 1e3):  # beside which float32 would lose the digits that tell zero
        layer.bias.data[:] = [bias, 0.37 * bias]
        assert spectrum(layer, (size, size, 2)).layers[0].condition == math.inf


def test_of_gated_weights_all_is_of_what_they_compute_with():
    model = md.compress.l0(nn.Sequential(nn.Flatten(), nn.Linear(16, 4, rng=np.random.default_rng(0))))
    model[1].noise.data[::2] = -9  # closed
    found = spectrum(model, (4, 4, 1)).layers[0]
    plain = spectrum(md.compress.plain(model), (4, 4, 1)).layers[0]
    np.testing.assert_allclose(found.values, plain.values, rtol=1e-6, atol=1e-12)
    assert found.effective_sparsity == pytest.approx(plain.effective_sparsity)


def test_bad_input():
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    with pytest.raises(ValueError, match="spectrum: input_shape is"):
        spectrum(model, (2, 2))
    with pytest.raises(ValueError, match="spectrum: the model has no affine layer with a kernel"):
        spectrum(nn.Flatten(), (2, 2, 1))
    with pytest.raises(TypeError, match="spectrum: largest is 1.5"):
        spectrum(model, (2, 2, 1), largest=1.5)
    model[1].weight.data[0, 0] = np.nan
    with pytest.raises(ValueError, match=r"weights of layer '1' \(Linear\) are NaN or infinite"):
        spectrum(model, (2, 2, 1))
