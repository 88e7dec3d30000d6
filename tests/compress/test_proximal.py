"""The proximal maps of the nuclear and l1 norms against their optimality conditions; the steps against PyTorch's."""

import math

import numpy as np
import pytest

import minidl as md
from minidl import nn, periodic
from minidl.compress import NuclearL1
from minidl.compress.proximal import on_singular_values, operator_prox, soft_threshold


def rng(seed=0):
    return np.random.default_rng(seed)


def linear(weight):
    layer = nn.Linear(*weight.shape, bias=False).astype(np.float64)
    layer.weight.data[...] = weight
    return layer


# Each prox is where 0 is a subgradient: x - prox(x) is one of threshold times the norm


@pytest.mark.parametrize("threshold", [0.0, 0.3, 1.0, 10.0])
def test_the_prox_of_l1_meets_its_condition(threshold):
    w = rng().standard_normal((7, 5))
    layer = linear(w)
    NuclearL1(layer, 0, threshold).step(0)
    y = layer.weight.data
    left = w - y
    assert np.abs(left).max() <= threshold + 1e-6
    np.testing.assert_allclose(left[y != 0], threshold * np.sign(y[y != 0]), atol=1e-6)


@pytest.mark.parametrize("shape", [(7, 5), (5, 7), (6, 6)])
@pytest.mark.parametrize("threshold", [0.3, 1.0, 2.5, 10.0])
def test_the_prox_of_the_nuclear_norm_meets_its_condition(shape, threshold):
    """The subgradients at Y = U S V^T are U V^T + W with U^T W = 0, W V = 0 and ||W|| <= 1."""
    w = rng().standard_normal(shape)
    layer = linear(w)
    NuclearL1(layer, threshold, 0).step(0)
    y = layer.weight.data
    u, s, vt = np.linalg.svd(y, full_matrices=False)
    rank = int((s > 1e-9).sum())
    assert rank == int((np.linalg.svd(w, compute_uv=False) > threshold).sum())
    rest = (w - y) / threshold - u[:, :rank] @ vt[:rank]
    assert np.abs(u[:, :rank].T @ rest).max(initial=0) < 1e-6
    assert np.abs(rest @ vt[:rank].T).max(initial=0) < 1e-6
    assert np.linalg.norm(rest, 2) <= 1 + 1e-6


def operator(kernel, size, stride):
    """The matrix of a convolution with joined borders, written out place by place."""
    n, kh, kw, c = kernel.shape
    (h, w), (sh, sw) = size, stride
    matrix = np.zeros((h // sh, w // sw, n, h, w, c))
    for oy, ox, ky, kx in np.ndindex(h // sh, w // sw, kh, kw):
        matrix[oy, ox, :, (oy * sh + ky) % h, (ox * sw + kx) % w] += kernel[:, ky, kx]
    return matrix.reshape(h // sh * (w // sw) * n, h * w * c)


@pytest.mark.parametrize("shape", [(5, 40), (40, 5), (6, 6), (3, 4, 20), (3, 20, 4)])
def test_float32_needs_no_decomposition_of_its_own(shape):
    """To the digits that float32 has, for what shrinks, what grows, and values that are gone."""
    w = rng().standard_normal(shape).astype(np.float32)
    flat = w.copy()
    flat[..., 1, :] = flat[..., 0, :]  # a singular value is 0, or for tall matrices two rows are alike
    for change in (lambda s: soft_threshold(s, 0.5), lambda s: np.maximum(s, s[..., :1] / 1.5)):
        for matrix in (w, flat):
            found = on_singular_values(matrix, change)
            assert found.dtype == np.float32
            values = np.linalg.svd(found.astype(float), compute_uv=False)
            expected = change(np.linalg.svd(matrix.astype(float), compute_uv=False))
            np.testing.assert_allclose(values, expected, atol=3e-6 * expected.max())
        np.testing.assert_allclose(
            on_singular_values(w, change), on_singular_values(w.astype(float), change), atol=1e-5
        )


@pytest.mark.parametrize("small", [1e-2, 1e-3, 1e-4, 1e-5])
def test_what_is_raised_by_far_keeps_its_direction(small):
    """Of a float32 matrix, whose smallest value lies so far below the largest: as of float64's decomposition."""
    u, _, vt = np.linalg.svd(rng().standard_normal((32, 200)), full_matrices=False)
    w = ((u * np.geomspace(1, small, 32)) @ vt).astype(np.float32)
    found, right = (on_singular_values(kind, lambda s: np.maximum(s, s[:1] / 2)) for kind in (w, w.astype(float)))
    np.testing.assert_allclose(found, right, atol=2e-6)


@pytest.mark.parametrize(("size", "stride"), [((4, 5), (1, 1)), ((4, 6), (2, 2)), ((3, 4), (1, 2))])
def test_blocks_have_the_singular_values_of_the_operator(size, stride):
    kernel = rng().standard_normal((3, 3, 2, 2))
    blocks = periodic.periodic_blocks(kernel, size, stride)
    found = np.sort(np.linalg.svd(blocks, compute_uv=False), axis=None)[::-1]
    expected = np.linalg.svd(operator(kernel, size, stride), compute_uv=False)
    np.testing.assert_allclose(found, expected[: len(found)], atol=1e-9)
    back = periodic.from_periodic_blocks(blocks, (3, 2), size, stride)
    np.testing.assert_allclose(back, kernel, atol=1e-12)


@pytest.mark.parametrize("stride", [(1, 1), (2, 2)])
@pytest.mark.parametrize("threshold", [0.1, 0.6, 2.0])
def test_the_prox_of_the_operators_norm_meets_its_condition(stride, threshold):
    """Against the matrix itself: W - K is the adjoint of a subgradient of threshold ||A(K)||_* / places."""
    kernel, size = rng().standard_normal((2, 3, 3, 2)), (4, 4)
    places = size[0] * size[1] / math.prod(stride)
    found, dual = operator_prox(kernel, threshold, size, stride, tolerance=1e-10)
    # the subgradient: at most threshold in the spectral norm, and its product with A(K) is the norm itself
    assert np.linalg.svd(dual, compute_uv=False).max() <= threshold + 1e-6
    blocks = periodic.periodic_blocks(found, size, stride)
    norm = np.linalg.svd(operator(found, size, stride), compute_uv=False).sum()
    assert (dual.conj() * blocks).sum().real == pytest.approx(threshold * norm, abs=1e-6)
    adjoint = np.zeros_like(kernel)
    for place in np.ndindex(kernel.shape):  # of K -> A(K), in the product of the blocks
        one = np.zeros_like(kernel)
        one[place] = 1
        ones = periodic.periodic_blocks(one, size, stride)
        adjoint[place] = (dual.conj() * ones).sum().real / places
    np.testing.assert_allclose(kernel - found, adjoint, atol=1e-6)


def test_the_operator_of_a_1_x_1_kernel_is_its_matrix():
    layers = [nn.Conv2d(3, 4, 1, bias=False, rng=rng(1)).astype(np.float64) for _ in range(2)]
    NuclearL1(layers[0], 0.2, 0).step(0)
    NuclearL1(layers[1], 0.2, 0, matrix="operator", input_shape=(5, 5, 3)).step(0)
    np.testing.assert_allclose(layers[0].weight.data, layers[1].weight.data, atol=1e-5)


def test_nuclear_then_l1_and_not_the_other_way_round():
    w = rng().standard_normal((6, 4))
    layer = linear(w)
    NuclearL1(layer, 0.5, 0.3).step(0)
    low = on_singular_values(w, lambda s: soft_threshold(s, 0.5))
    np.testing.assert_allclose(layer.weight.data, soft_threshold(low, 0.3), atol=1e-12)
    other = on_singular_values(soft_threshold(w, 0.3), lambda s: soft_threshold(s, 0.5))
    assert np.abs(layer.weight.data - other).max() > 0.01  # as the docstring says: the order matters


def test_a_convolutions_matrix_has_a_row_for_each_kernel():
    layer = nn.Conv2d(3, 4, 3, rng=rng()).astype(np.float64)
    w, bias = layer.weight.data.copy(), layer.bias.data.copy()
    NuclearL1(layer, 0.1, 0).step(0)
    u, s, vt = np.linalg.svd(w.reshape(4, 27), full_matrices=False)
    expected = (u * np.maximum(s - 0.1, 0)) @ vt
    np.testing.assert_allclose(layer.weight.data.reshape(4, 27), expected, atol=1e-12)
    np.testing.assert_array_equal(layer.bias.data, bias)


def test_every_so_often_as_much():
    w = rng().standard_normal((4, 4))
    layer = linear(w)
    prox = NuclearL1(layer, 0, 0.1, every=3)
    for t in (0, 1):
        prox.step(t)
    np.testing.assert_array_equal(layer.weight.data, w)
    prox.step(2)
    np.testing.assert_allclose(layer.weight.data, soft_threshold(w, 0.3), atol=1e-12)
    assert prox.sparsity == (np.abs(w) <= 0.3).mean()


def test_pruned_weights_stay_zero():
    layer = linear(rng().standard_normal((6, 5)))
    layer.weight.mask = rng(1).random((6, 5)) > 0.5
    NuclearL1(layer, 0.5, 0).step(0)
    assert (layer.weight.data[~layer.weight.mask] == 0).all()
    assert (layer.weight.data[layer.weight.mask] != 0).any()


def test_three_steps_are_those_of_pytorch():
    torch = pytest.importorskip("torch")
    images, labels = rng().random((8, 5)), rng(1).integers(0, 3, 8)
    model = nn.Sequential(nn.Linear(5, 6, rng=rng(2)), nn.ReLU(), nn.Linear(6, 3, rng=rng(3))).astype(np.float64)
    twin = [torch.tensor(p.data.copy(), requires_grad=True) for p in model.parameters()]
    optimizer = md.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    prox = NuclearL1(model, 0.05, 0.02, optimizer=optimizer)
    md.fit(model, [(images, labels)], optimizer, 3, after_step=[prox], progress=False)
    theirs = torch.optim.SGD(twin, 0.1, momentum=0.9)
    for _ in range(3):
        hidden = torch.relu(torch.tensor(images) @ twin[0] + twin[1])
        loss = torch.nn.functional.cross_entropy(hidden @ twin[2] + twin[3], torch.tensor(labels))
        theirs.zero_grad()
        loss.backward()
        theirs.step()
        with torch.no_grad():
            for w in twin[::2]:
                u, s, vt = torch.linalg.svd(w, full_matrices=False)
                w.copy_(torch.nn.functional.softshrink(u @ torch.diag((s - 0.005).clamp(min=0)) @ vt, 0.002))
    for ours, w in zip(model.parameters(), twin, strict=True):
        np.testing.assert_allclose(ours.data, w.detach().numpy(), rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"nuclear": -1}, "NuclearL1: nuclear is -1, and must be finite and not negative"),
        ({"l1": "much"}, "NuclearL1: l1 is 'much', and must be a number"),
        ({"every": 0}, "NuclearL1: every is 0, and must be at least 1"),
        ({"matrix": "kernels"}, "unknown matrix 'kernels': choose from 'kernel', 'operator'"),
        ({"matrix": "operator"}, "needs an input_shape"),
        ({"matrix": "operator", "input_shape": (8, 8)}, "NuclearL1: input_shape is"),
        ({"exclude": "fd"}, "NuclearL1: exclude names 'fd', where there is no kernel: choose from 0, 3"),
        ({"exclude": ["0", "3"]}, "NuclearL1: there is nothing to do"),
        ({"optimizer": 0.1}, "must be an optim.Optimizer"),
    ],
)
def test_bad_input(settings, message):
    model = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 2))
    with pytest.raises((TypeError, ValueError)) as caught:
        NuclearL1(model, **{"nuclear": 1, "l1": 1} | settings)
    assert message in str(caught.value)
