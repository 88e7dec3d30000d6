"""The report's formulas that no other test takes at their word; docs/equations.md has the whole list."""

import itertools

import numpy as np
import pytest

import minidl as md
from minidl import functional as F
from minidl import nn
from minidl.compress import factorize
from minidl.robustness import fgsm


def softmax(g):
    return np.exp(g) / np.exp(g).sum(axis=-1, keepdims=True)


# Section 2.1, networks and learning


def test_a_neuron_is_the_activation_of_a_weighted_sum(rng):
    """O_j = psi(sum_i w_j[i] x_i + b_j), with psi the sigmoid."""
    x, w, b = rng.standard_normal(5), rng.standard_normal((5, 3)), rng.standard_normal(3)
    outputs = F.sigmoid(F.linear(x, w, b)).data
    for j in range(3):
        inside = sum(w[i, j] * x[i] for i in range(5)) + b[j]
        assert outputs[j] == pytest.approx(1 / (1 + np.exp(-inside)), rel=1e-14)


@pytest.mark.parametrize(
    ("layer", "psi"), [(nn.ReLU(), lambda z: z * (z > 0)), (nn.Tanh(), np.tanh)], ids=["relu", "tanh"]
)
def test_a_layer_is_the_activation_of_an_affine_function(layer, psi, rng):
    """f(z) = psi(W^T z + b), for each row z of a batch."""
    linear = nn.Linear(4, 6, rng=rng).astype(np.float64)
    W, b = linear.weight.data, linear.bias.data
    batch = rng.standard_normal((7, 4))
    found = nn.Sequential(linear, layer)(batch).data
    for z, row in zip(batch, found, strict=True):
        np.testing.assert_allclose(row, psi(W.T @ z + b), rtol=1e-13, atol=1e-15)


def test_equations_2_to_4_and_15_to_17_logits_and_probabilities(rng):
    """g(x) = W_d^T f(x) + b_d is what the last layer gives, and p(x) = sigma(g(x)) its softmax."""
    model = md.models.fc5(image_size=4, channels=1, seed=0).astype(np.float64)
    x = rng.random((3, 4, 4, 1))
    f, last = model[:-1](x).data, model[-1]  # the output of the first d - 1 layers, and layer d
    g = f @ last.weight.data + last.bias.data
    np.testing.assert_allclose(model(x).data, g, rtol=1e-12)
    p = F.softmax(model(x)).data
    np.testing.assert_allclose(p, softmax(g), rtol=1e-12)
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-14)


def jacobian(f, x):
    """df_i / dx_j, one backward pass for each i."""
    rows = []
    for i in range(f(md.Tensor(x)).size):
        leaf = md.Tensor(x, requires_grad=True)
        f(leaf)[i].backward()
        rows.append(leaf.grad)
    return np.stack(rows)


def test_the_chain_rule(rng):
    """df/dX = df/dY dY/dX."""
    A, B = rng.standard_normal((2, 4, 4))
    inner, outer = (lambda x: F.tanh(F.linear(x, A))), (lambda y: F.sigmoid(F.linear(y, B)) * y)
    x = rng.standard_normal(4)
    y = inner(md.Tensor(x)).data
    whole = jacobian(lambda x: outer(inner(x)), x)
    np.testing.assert_allclose(whole, jacobian(outer, y) @ jacobian(inner, x), rtol=1e-12)


def test_gradient_descent(rng):
    """w <- w - eta dL/dw and b <- b - eta dL/db."""
    layer = nn.Linear(4, 3, rng=rng).astype(np.float64)
    W, b = layer.weight.data.copy(), layer.bias.data.copy()
    x, labels, eta = rng.standard_normal((5, 4)), np.array([0, 1, 2, 1, 0]), 0.3
    F.cross_entropy(layer(x), labels, reduction="sum").backward()
    md.optim.SGD(layer.parameters(), lr=eta).step()
    error = softmax(x @ W + b) - np.eye(3)[labels]  # dL/dg
    np.testing.assert_allclose(layer.weight.data, W - eta * x.T @ error, rtol=1e-12)
    np.testing.assert_allclose(layer.bias.data, b - eta * error.sum(axis=0), rtol=1e-12)


# Section 2.2, convolutional networks


@pytest.mark.parametrize(("k", "s", "n"), [*itertools.product((1, 2, 3, 5), (1, 2, 3), (1, 4))])
def test_the_size_of_a_convolutions_output(k, s, n):
    """H <- floor((H - k) / s) + 1, V likewise, D <- N; the weights are N x k x k x C."""
    layer = nn.Conv2d(2, n, k, stride=s)
    assert layer.weight.shape == (n, k, k, 2)
    assert layer(np.zeros((1, 9, 12, 2), np.float32)).shape == (1, (9 - k) // s + 1, (12 - k) // s + 1, n)


@pytest.mark.parametrize(("m", "s"), [(2, 2), (3, 2), (2, 1), (3, 3)])
def test_max_pooling(m, s, rng):
    """Of each m x m window the largest value, channel by channel."""
    x = rng.standard_normal((2, 7, 8, 3))
    y = F.max_pool2d(x, m, s).data
    assert y.shape == (2, (7 - m) // s + 1, (8 - m) // s + 1, 3)
    for b, i, j, c in np.ndindex(y.shape):
        assert y[b, i, j, c] == max(x[b, i * s + di, j * s + dj, c] for di in range(m) for dj in range(m))


def test_flatten_gives_a_vector_of_h_v_d_numbers(rng):
    x = rng.standard_normal((2, 3, 4, 5))
    y = F.flatten(x).data
    assert y.shape == (2, 3 * 4 * 5)
    np.testing.assert_array_equal(y[1], [x[1, h, v, d] for h in range(3) for v in range(4) for d in range(5)])


# Section 3, attacks


def smooth_network():
    """Tanh and not ReLU: the first order of Taylor's formula is then exact to the second, without kinks."""
    rng = np.random.default_rng(3)
    model = nn.Sequential(nn.Flatten(), nn.Linear(6, 8, rng=rng), nn.Tanh(), nn.Linear(8, 3, rng=rng))
    return model.astype(np.float64), rng.uniform(0.3, 0.7, (1, 2, 3, 1)), np.array([1])


def loss_and_gradient(model, x, labels):
    leaf = md.Tensor(x, requires_grad=True)
    loss = F.cross_entropy(model(leaf), labels)
    loss.backward(inputs=[leaf])
    return loss.item(), leaf.grad


def test_the_loss_is_linear_to_the_first_order(rng):
    """L(x + delta) = L(x) + delta^T grad L(x) + Theta(||delta||^2): ten times nearer, a hundred times less error."""
    model, x, labels = smooth_network()
    loss, gradient = loss_and_gradient(model, x, labels)
    u = rng.standard_normal(x.shape)
    sizes = np.array([1e-2, 1e-3, 1e-4])
    errors = [abs(loss_and_gradient(model, x + t * u, labels)[0] - loss - t * (u * gradient).sum()) for t in sizes]
    np.testing.assert_allclose(np.diff(np.log10(errors)), -2, atol=0.1)


def corners(size, shape):
    """All delta with entries -size and size: a linear function is largest over the box ||delta|| <= size at one."""
    return (size * np.reshape(signs, shape) for signs in itertools.product((-1, 1), repeat=int(np.prod(shape))))


def test_fgsm_is_the_best_step_of_the_linear_loss():
    """argmax delta^T grad L over ||delta||_inf <= M is M sign(grad L), what ``fgsm`` adds."""
    model, x, labels = smooth_network()
    gradient = loss_and_gradient(model, x, labels)[1]
    for size in (1 / 255, 8 / 255, 0.2):
        delta = fgsm(model, x, labels, size).adversarial[0] - x
        np.testing.assert_allclose(delta, size * np.sign(gradient), rtol=1e-12)
        best = max((corner * gradient).sum() for corner in corners(size, x.shape))
        assert (delta * gradient).sum() == pytest.approx(best, rel=1e-12)


def test_equation_11_is_solved_exactly_where_the_model_is_linear():
    """For growing M_k, no delta with ||delta||_inf <= M_k has a larger loss than FGSM's: two classes, all corners."""
    rng = np.random.default_rng(4)
    model = nn.Sequential(nn.Flatten(), nn.Linear(6, 2, rng=rng)).astype(np.float64)
    x, labels = rng.uniform(0.3, 0.7, (1, 2, 3, 1)), np.array([0])
    sizes = np.array([1, 4, 16, 64]) / 255
    attack = fgsm(model, x, labels, sizes)
    losses = []
    for size, adversarial in zip(sizes, attack.adversarial, strict=True):
        assert np.abs(adversarial - x).max() <= size * (1 + 1e-12)
        losses.append(loss_and_gradient(model, adversarial, labels)[0])
        best = max(loss_and_gradient(model, x + corner, labels)[0] for corner in corners(size, x.shape))
        assert losses[-1] == pytest.approx(best, rel=1e-12)
    assert (np.diff(losses) > 0).all()


# Section 4.2, low rank


def test_equation_12_the_convolution_with_its_kernel_turned_round(rng):
    """F^n(x, y) = sum of Z^c(x', y') W_n^c(x - x', y - y'): the index of W falls as that of Z rises.

    ``conv2d`` slides the kernel without turning it, as all libraries do: kernels are learned, and whether they are
    stored one way or the other changes nothing. Turned round, the two are equal, number by number.
    """
    Z, W = rng.standard_normal((6, 5, 2)), rng.standard_normal((3, 3, 2, 2))  # (X', Y', C) and (N, k, m, C)
    k, m = W.shape[1:3]
    turned = W[:, ::-1, ::-1]
    found = F.conv2d(Z[None], turned).data[0]
    for x, y, n in np.ndindex(found.shape):
        expected = 0.0
        for xx, yy, c in np.ndindex(Z.shape):  # windows that lie within the image: x is counted from the first of them
            i, j = x + k - 1 - xx, y + m - 1 - yy
            if 0 <= i < k and 0 <= j < m:
                expected += Z[xx, yy, c] * W[n, i, j, c]
        assert found[x, y, n] == pytest.approx(expected, rel=1e-12)


def test_equation_13_kernels_are_sums_of_outer_products(rng):
    """W_n^c = sum_d V_d^c H_n^d, with V of shape K x k x 1 x C and H of shape N x 1 x k x K."""
    V, H = rng.standard_normal((2, 3, 1, 4)), rng.standard_normal((5, 1, 3, 2))
    W = np.empty((5, 3, 3, 4))
    for n, c in np.ndindex(5, 4):
        W[n, :, :, c] = sum(V[d, :, :, c] @ H[n, :, :, d] for d in range(2))
    V2, H2 = factorize(W, rank=2)  # finds kernels of this form again, if not the same factors
    assert (V2.shape, H2.shape) == (V.shape, H.shape)
    for n, c in np.ndindex(5, 4):
        again = sum(V2[d, :, :, c] @ H2[n, :, :, d] for d in range(2))
        np.testing.assert_allclose(again, W[n, :, :, c], rtol=1e-10, atol=1e-12)


def test_equation_14_two_convolutions_for_one(rng):
    """F^n = sum_c W_n^c * Z^c = sum_d H_n^d * (sum_c V_d^c * Z^c)."""
    layer = nn.LowRankConv2d(4, 5, 3, rank=2, bias=False, norm=False, rng=rng).astype(np.float64)
    V, H = layer.vertical.weight.data, layer.horizontal.weight.data
    assert (V.shape, H.shape) == ((2, 3, 1, 4), (5, 1, 3, 2))
    W = np.einsum("dkuc,nvld->nklc", V, H)
    Z = rng.standard_normal((1, 7, 6, 4))
    np.testing.assert_allclose(layer(Z).data, F.conv2d(Z, W).data, rtol=1e-11, atol=1e-13)
