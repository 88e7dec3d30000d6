"""Four decompositions: what each is nearest in, against closed forms, stationarity and tensors of known rank."""

import numpy as np
import pytest

import minidl as md
from minidl import nn
from minidl.compress import cost, decompose
from minidl.compress.cp import alternating_least_squares
from minidl.compress.decompose import METHODS, composed, conjugate_gradients, second_moments


def conv(**settings):
    made = nn.Conv2d(4, 6, (3, 2), **settings, rng=np.random.default_rng(0))
    return nn.Sequential(nn.Sigmoid(), made).astype(np.float64)


IMAGES = np.random.default_rng(1).random((9, 6, 7, 4)) ** 3
SETTINGS = {"stride": (1, 2), "padding": (2, 1)}


def replaced(method, rank, **settings):
    images = IMAGES if method == "jaderberg" else None
    return decompose(conv(**settings), [rank], method, images, rng=np.random.default_rng(2))


def output_error(model, **settings):
    return float(((model(IMAGES).data - conv(**settings)(IMAGES).data) ** 2).mean())


def kernel_error(layer):
    return float(((composed(layer) - conv()[1].weight.data) ** 2).sum())


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("method", METHODS)
def test_what_takes_a_layers_place_is_the_convolution_with_the_composed_kernel(method, bias):
    model = replaced(method, 3, bias=bias, **SETTINGS)
    dense = conv(bias=bias, **SETTINGS)
    dense[1].weight.data[...] = composed(model[1])
    np.testing.assert_allclose(model(IMAGES).data, dense(IMAGES).data, atol=1e-12)


@pytest.mark.parametrize(("method", "rank"), [("tai", 12), ("jaderberg", 12), ("denton", 6), ("cp", 48)])
def test_at_full_rank_nothing_is_lost(method, rank):
    assert kernel_error(replaced(method, rank)[1]) < 1e-9


def test_denton_is_as_near_as_a_matrix_of_that_rank_can_be():
    s = np.linalg.svd(conv()[1].weight.data.reshape(6, -1), compute_uv=False)
    for rank in (1, 3, 5):
        assert kernel_error(replaced("denton", rank)[1]) == pytest.approx((s[rank:] ** 2).sum())


@pytest.mark.parametrize("rank", [1, 3, 6])
def test_jaderberg_is_nearer_on_the_images_and_farther_in_the_kernel(rank):
    tai, data_driven = replaced("tai", rank, **SETTINGS), replaced("jaderberg", rank, **SETTINGS)
    assert output_error(data_driven, **SETTINGS) < 0.9 * output_error(tai, **SETTINGS)
    assert kernel_error(data_driven[1]) > kernel_error(tai[1])


def test_jaderberg_ends_where_no_small_change_helps():
    model = replaced("jaderberg", 3, **SETTINGS)
    least = output_error(model, **SETTINGS)
    rng = np.random.default_rng(5)
    for half in (model[1].vertical, model[1].horizontal):
        for _ in range(10):
            change = rng.standard_normal(half.weight.shape) * 0.02 * np.abs(half.weight.data).mean()
            half.weight.data += change
            assert output_error(model, **SETTINGS) > least * (1 - 1e-3)
            half.weight.data -= change


def test_moments_are_those_of_all_windows():
    model = conv(**SETTINGS)
    found = second_moments(model, [model[1]], IMAGES)[model[1]]
    x = np.pad(model[0](IMAGES).data, ((0, 0), (2, 2), (1, 1), (0, 0)))
    windows = [
        x[b, i : i + 3, j : j + 2].ravel()
        for b in range(9)
        for i in range(0, x.shape[1] - 2)
        for j in range(0, x.shape[2] - 1, 2)
    ]
    np.testing.assert_allclose(found, np.mean([np.outer(w, w) for w in windows], axis=0))
    # the mean square of what the layer gives is a sum over these moments
    w = model[1].weight.data.reshape(6, -1)
    model[1].bias.data[...] = 0
    assert np.trace(w @ found @ w.T) / 6 == pytest.approx((model(IMAGES).data ** 2).mean())


def test_cp_finds_a_tensor_of_its_rank_and_the_more_the_better():
    rng = np.random.default_rng(3)
    factors = [rng.standard_normal((size, 2)) for size in (5, 3, 3, 4)]
    tensor = np.einsum("nr,hr,wr,cr->nhwc", *factors)
    found = alternating_least_squares(tensor, 2, np.random.default_rng(0))
    np.testing.assert_allclose(np.einsum("nr,hr,wr,cr->nhwc", *found), tensor, atol=5e-3 * np.abs(tensor).max())
    errors = [kernel_error(replaced("cp", rank)[1]) for rank in (1, 4, 10, 20)]
    assert errors == sorted(errors, reverse=True)


def test_conjugate_gradients_solve():
    a = np.random.default_rng(0).standard_normal((8, 8))
    a, x = a @ a.T + np.eye(8), np.arange(8.0)
    np.testing.assert_allclose(conjugate_gradients(lambda v: a @ v, a @ x, np.zeros(8)), x, atol=1e-6)


def test_multiply_adds_by_hand():
    places, found = 4 * 4, {}
    for method in METHODS:
        model = nn.Sequential(nn.Conv2d(8, 16, 3, padding=1, rng=np.random.default_rng(0)))
        images = np.random.default_rng(0).random((2, 4, 4, 8)) if method == "jaderberg" else None
        found[method] = cost(decompose(model, [5], method, images), (4, 4, 8)).multiply_adds
    pair = places * 5 * (3 * 8 + 3 * 16)
    assert found == {
        "tai": pair,
        "jaderberg": pair,
        "denton": places * 5 * (9 * 8 + 16),
        "cp": places * 5 * (8 + 3 + 3 + 16),
    }


def test_cp_layers_train_as_the_convolution_they_are():
    model = replaced("cp", 4)
    layer = model[1]

    def value(a, b, d, e):
        kernel = np.einsum("nr,hr,wr,cr->nhwc", e.data, b.data, d.data, a.data)
        np.testing.assert_allclose(layer.kernel().data, kernel, atol=1e-12)

    value(*list(layer.parameters())[:4])
    (model(IMAGES) ** 2).sum().backward()
    for parameter in layer.parameters():
        step, grad = np.zeros(parameter.shape), parameter.grad
        index = np.unravel_index(np.abs(grad).argmax(), grad.shape)
        step[index] = 1e-6
        parameter.data += step
        up = (model(IMAGES).data ** 2).sum()
        parameter.data -= 2 * step
        down = (model(IMAGES).data ** 2).sum()
        parameter.data += step
        assert (up - down) / 2e-6 == pytest.approx(grad[index], rel=1e-6)
    assert md.robustness.lipschitz_bound(layer, (6, 7, 4)).bound > 0
    assert md.robustness.spectrum(layer, (6, 7, 4)).layers[0].how == "exact"


def test_bad_input():
    for call, message in (
        (
            lambda: decompose(conv(), [3], "tucker"),
            "decompose: unknown method 'tucker': choose from 'tai', 'jade",
        ),
        (lambda: decompose(conv(), [3], "jaderberg"), "method 'jaderberg' needs images"),
        (lambda: decompose(conv(), [3], "tai", IMAGES), "method 'tai' takes no images"),
        (lambda: decompose(conv(), [3], "jaderberg", IMAGES[0]), "decompose: the images have shape"),
        (lambda: decompose(conv(), [7], "denton"), "decompose: 1: the rank is 7, and a matrix of 6 x 24 has at most 6"),
        (lambda: decompose(conv(), [0], "cp"), "decompose: 1: the rank is 0"),
        (lambda: decompose(conv(), [13], "tai"), "decompose: 1: the rank is 13"),
        (lambda: decompose(conv(), [3, 3], "cp"), "decompose: ranks has 2 entries, and the model has 1 convolution"),
    ):
        with pytest.raises((TypeError, ValueError)) as caught:
            call()
        assert message in str(caught.value)
