"""The doctor: each indicator is raised by the network that was made for it, and none by a network trained plainly."""

import copy

import numpy as np
import pytest

import minidl as md
from minidl import nn
from minidl.robustness import ZeroGradientWarning, certified, diagnose, fgsm
from minidl.train.evaluate import drawn
from tests.robustness.test_auto_attack import Wrapped, dropped, rounded
from tests.robustness.twins import digits_cnn


def names(diagnosis):
    return {flag.name for flag in diagnosis.flags}


@pytest.fixture(scope="module")
def digits():
    return digits_cnn(40, np.float32)


@pytest.fixture(scope="module")
def perceptron():
    """A dense network, trained plainly."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 10))
    rng = np.random.default_rng(0)
    for layer in (model[1], model[3]):
        layer.weight.data[...] = rng.standard_normal(layer.weight.shape) / np.sqrt(layer.weight.shape[0])
    loader = md.data.Loader(*md.data.digits("train"), batch_size=64, seed=0)
    md.fit(model, loader, md.optim.SGD(model.parameters(), lr=0.1, momentum=0.9), epochs=8, progress=False)
    return model.eval()


@pytest.mark.parametrize("epsilon", [0.02, 0.05, 0.1, 0.3])
def test_a_network_trained_plainly_raises_none(perceptron, digits, epsilon):
    _, images, labels = digits
    diagnosis = diagnose(perceptron, images, labels, epsilon, surrogate=digits[0])
    assert diagnosis.flags == (), str(diagnosis)
    assert str(diagnosis).endswith("nothing was found that speaks against this.")
    assert diagnosis.clean_accuracy > 0.9
    assert diagnosis.loss.shape == diagnosis.margin.shape == (51, 40)


@pytest.fixture(scope="module")
def hot(digits):
    """As a network trained at T = 90 answers at T = 1: the same, 90 times as loud."""
    model = copy.deepcopy(digits[0])
    for parameter in (model[8].weight, model[8].bias):
        parameter.data *= 90
    return model


def test_temperature_90_raises_i1(hot, digits, perceptron):
    _, images, labels = digits
    diagnosis = diagnose(hot, images, labels, 0.1, steps=20, surrogate=perceptron)
    assert {"I1", "I5", "I6", "square"} <= names(diagnosis)
    with pytest.warns(ZeroGradientWarning):
        vanished = fgsm(hot, images, labels, 0.1).vanished_gradient[diagnosis.right].mean()
    assert vanished > 0.5
    assert "do not believe this number" in str(diagnosis)
    assert f"I1: {vanished:.1%} of the gradients vanished" in str(diagnosis)
    assert "one network has one certificate (certified) at every T" in str(diagnosis)


def test_one_network_has_one_certificate_at_every_temperature(perceptron, digits):
    """What the doctor says of masking: logits that are divided by T are of the same class, and as much is proved."""
    _, images, labels = digits
    hot = copy.deepcopy(perceptron)
    for parameter in (hot[3].weight, hot[3].bias):
        parameter.data *= 64  # exact in floating point
    plain, same = (certified(model, images[:20], labels[:20], [0.02, 0.05, 0.1]) for model in (perceptron, hot))
    np.testing.assert_array_equal(plain.verified, same.verified)
    assert 0 < plain.part[-1] < plain.part[0]


def test_the_advice_is_good(hot, digits):
    """Attack the margin: then nothing is wrong with the same network."""
    _, images, labels = digits
    assert diagnose(hot, images, labels, 0.1, loss="margin").flags == ()


def drawn_at_random(logits, rng=np.random.default_rng(0)):  # noqa: B008
    """The class that is drawn from p, as an answer that is sure of it."""
    classes = drawn(logits.data, 1.0, rng)
    return md.Tensor(10 * (classes[:, None] == np.arange(10)).astype(logits.dtype))


@pytest.mark.parametrize(
    ("change", "expected", "absent"),
    [
        ({"before": rounded}, {"I1", "I6", "gradients are zero"}, {"random", "not logits"}),
        ({"before": dropped}, {"random"}, {"I1"}),
        ({"after": md.functional.softmax}, {"not logits"}, {"random", "I1"}),
        ({"after": drawn_at_random}, {"random", "gradients are zero"}, {"not logits"}),
    ],
    ids=["rounded input", "active dropout", "probabilities", "a class that is drawn"],
)
def test_models_that_hide(digits, change, expected, absent):
    model, images, labels = digits
    found = names(diagnose(Wrapped(model, **change), images, labels, 0.1, steps=12, queries=20))
    assert expected <= found
    assert not found & absent


def test_too_few_steps_raise_i4(digits):
    """Eleven steps of a hundredth of what they should be are still climbing when they end."""
    model, images, labels = digits
    small = Wrapped(model, before=lambda x: x)
    diagnosis = diagnose(small, images, labels, 0.003, steps=11, queries=0)
    assert "I4" in names(diagnosis)


def test_a_loss_that_jumps_raises_i2(digits):
    model, images, labels = digits
    stripes = Wrapped(model, after=lambda z: z * (1 + 0.5 * np.sign(np.sin(1e5 * z.data))))
    assert "I2" in names(diagnose(stripes, images, labels, 0.02, steps=5, queries=0))


class Ridge(nn.Module):
    """Class 1 on a narrow ridge, between 0.5 and 0.52, that steps of 0.1 jump over and land beyond."""

    def forward(self, x):
        x = x.reshape(-1, 1)
        relu = md.functional.relu
        height = 0.1 * x + relu(x - 0.5) * 40 - relu(x - 0.51) * 80 + relu(x - 0.52) * 40
        return (height - 0.2) * np.array([[0.0, 1.0]])


def test_an_image_that_is_lost_and_found_raises_i3():
    image = np.array([0.4049, 0.305, 0.405]).reshape(3, 1, 1, 1)  # 0.405 + 0.105 = 0.51, the top of the ridge
    diagnosis = diagnose(Ridge(), image, [0, 0, 0], 0.21, steps=5, queries=0)
    assert "I3" in names(diagnosis)
    assert diagnosis.accuracy < 1  # though the last step finds it right


def test_the_number_is_pgds(digits):
    model, images, labels = digits
    labels = np.where(np.arange(40) < 4, (labels + 1) % 10, labels)
    diagnosis = diagnose(model, images, labels, 0.1, steps=15, queries=0)
    attack = md.robustness.pgd(model, images, labels, 0.1, steps=15, start="image")
    assert diagnosis.accuracy == pytest.approx(1 - attack.success.mean())
    assert diagnosis.clean_accuracy == pytest.approx(0.9)
    np.testing.assert_array_equal(diagnosis.right, np.arange(40) >= 4)
    np.testing.assert_array_equal(diagnosis.margin[0] < 0, diagnosis.right)


def test_a_network_whose_logits_are_all_equal_has_class_0_right(digits):
    """As everywhere the answer is the first of the largest logits; and no attack can move a pixel of it."""
    _, images, labels = digits
    dead = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    dead[1].weight.data[...] = dead[1].bias.data[...] = 0
    diagnosis = diagnose(dead, images, labels, 0.1, steps=3, queries=3)
    np.testing.assert_array_equal(diagnosis.right, labels == 0)
    assert diagnosis.accuracy == diagnosis.clean_accuracy == (labels == 0).mean() > 0
    assert {"I1", "I6", "gradients are zero"} <= names(diagnosis)


def test_one_epsilon_above_zero(digits):
    with pytest.raises(ValueError, match="epsilon is 0, and must be in"):
        diagnose(*digits, 0)
