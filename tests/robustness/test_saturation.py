"""The temperature trap: a network so sure that float32 loses the attacker's gradient looks robust, and is not."""

import numpy as np
import pytest

import minidl as md
from minidl import nn
from minidl.robustness import ZeroGradientWarning, accuracy_curve, smallest_epsilon

EPSILONS = np.array([0, 2, 8, 32, 64]) / 255


@pytest.fixture(scope="module")
def network():
    """A small network whose margins lie between 120 and 600, and images in float32 with the labels it gives them.

    float32 loses exp(-margin) from 104 on, float64 from 745.
    """
    model = md.models.fc5(num_classes=4, image_size=6, channels=1, seed=0)
    images = np.random.default_rng(0).random((200, 6, 6, 1), dtype=np.float32)
    with md.no_grad():
        logits = np.sort(model.eval()(md.Tensor(images)).data, axis=1)
    margins = logits[:, -1] - logits[:, -2]
    images = images[margins > margins.max() / 5]
    last = [module for module in model.modules() if isinstance(module, nn.Linear)][-1]
    last.weight.data *= 600 / margins.max()  # which changes no answer of the model
    last.bias.data *= 600 / margins.max()
    with md.no_grad():
        return model, images, model(md.Tensor(images)).data.argmax(axis=1)


def curve_of(network, **settings):
    model, images, labels = network
    return accuracy_curve(model, images, labels, EPSILONS, **settings)


def test_cross_entropy_at_temperature_one_finds_nothing(network):
    with pytest.warns(ZeroGradientWarning, match="loss='margin'"):
        curve = curve_of(network)
    assert curve.zero_gradients == curve.vanished_gradients == 1
    assert (curve.accuracy == 1).all()  # which looks like a perfectly robust network


def test_the_margin_breaks_it(network):
    curve = curve_of(network, loss="margin")
    assert curve.zero_gradients == curve.vanished_gradients == 0
    assert curve.accuracy[0] == 1
    assert curve.accuracy[-1] < 0.2


def test_an_attacker_who_is_warm_enough_breaks_it_too(network):
    curve = curve_of(network, temperature=100)
    assert curve.vanished_gradients == 0
    assert curve.accuracy[-1] < 0.2


def test_float64_is_the_oracle(network):
    """The same weights and images with more exponents: cross-entropy finds what float32 lost."""
    model, images, labels = network
    exact = md.models.fc5(num_classes=4, image_size=6, channels=1)
    for mine, its in zip(exact.parameters(), model.parameters(), strict=True):
        mine.data = its.data.astype(np.float64)
    curve = accuracy_curve(exact, images.astype(float), labels, EPSILONS)
    assert curve.vanished_gradients == 0
    assert curve.accuracy[0] == 1
    assert curve.accuracy[-1] < 0.2
    # so far from a tie only the largest other logit counts, so that the margin's float32 gradient has the same signs
    by_margin = curve_of(network, loss="margin")
    assert (curve.right == by_margin.right).mean() > 0.97


def test_smallest_epsilon_is_out_of_reach_for_one_and_near_for_the_other(network):
    model, images, labels = network
    with pytest.warns(ZeroGradientWarning):
        far = smallest_epsilon(model, images, labels, max_epsilon=64 / 255)
    near = smallest_epsilon(model, images, labels, max_epsilon=64 / 255, loss="margin")
    assert np.isinf(far).all()
    assert np.isinf(near).mean() < 0.2
