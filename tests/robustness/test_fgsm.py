"""FGSM: its closed form on a linear model, what it must leave untouched, and what it says to bad input."""

import numpy as np
import pytest

import minidl as md
from minidl import nn
from minidl.robustness import ZeroGradientWarning, fgsm

EPSILONS = [0, 1 / 255, 0.03, 0.2, 1]


def batch(count=6, size=8, channels=3, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    return rng.random((count, size, size, channels)).astype(dtype), rng.integers(0, 3, count)


def linear_model(features, classes=3, seed=0):
    """x W + b in float64, and its weights."""
    layer = nn.Linear(features, classes)
    rng = np.random.default_rng(seed)
    layer.weight.data, layer.bias.data = rng.standard_normal((features, classes)), rng.standard_normal(classes)
    return nn.Sequential(nn.Flatten(), layer), layer.weight.data, layer.bias.data


def network(seed=0):
    """Everything that differs between the two modes."""
    rng = np.random.default_rng(seed)
    model = nn.Sequential(
        nn.Normalize(0.5, 0.25),
        nn.Conv2d(3, 8, 3, padding=1, rng=rng),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(128, 3, rng=rng),
    )
    model[2].running_mean[...] = rng.random(8)
    model[2].running_var[...] = 1 + rng.random(8)
    return model


def predictions(model, images):
    """By the model in evaluation mode, on its own."""
    with md.no_grad():
        return model.eval()(md.Tensor(images)).data.argmax(axis=1)


# Closed forms


@pytest.mark.parametrize("temperature", [0.5, 1.0, 20.0])
def test_linear_model_has_a_closed_form(temperature):
    images, labels = batch()
    model, W, b = linear_model(images[0].size)
    W, flat = W / 20, images.reshape(len(images), -1)  # small enough that no probability rounds to 1
    model[1].weight.data = W
    g = flat @ W + b
    p = np.exp(g / temperature) / np.exp(g / temperature).sum(axis=1, keepdims=True)
    gradient = ((p - np.eye(3)[labels]) @ W.T).reshape(images.shape)  # of -g_c / T + log sum exp(g / T), by the image
    attack = fgsm(model, images, labels, EPSILONS, temperature)
    for e, epsilon in enumerate(EPSILONS):
        expected = np.clip(images + epsilon * np.sign(gradient), 0, 1)
        np.testing.assert_allclose(attack.adversarial[e], expected, rtol=0, atol=1e-15)
        wrong = (expected.reshape(len(images), -1) @ W + b).argmax(axis=1) != labels
        np.testing.assert_array_equal(attack.success[e], wrong)
    assert attack.success[-1].any()
    assert not attack.success[0].all()


def test_temperature_changes_the_direction():
    images, labels = batch(count=20)
    model, W, _ = linear_model(images[0].size)
    model[1].weight.data = W / 20
    cold, hot = (fgsm(model, images, labels, [0.1], t).adversarial for t in (0.1, 100))
    assert (cold != hot).any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_network_agrees_with_finite_differences(dtype):
    """Where the slope of the loss is not next to zero, each pixel moves uphill by exactly epsilon."""
    images, labels = batch(count=2, size=8)
    images = 0.25 + images / 2  # away from the bounds, that clipping takes no part
    model = network()
    attack = fgsm(model, images.astype(dtype), labels, 0.1)
    assert attack.adversarial.dtype == dtype
    moved = attack.adversarial[0] - images
    np.testing.assert_allclose(abs(moved), 0.1, atol=1e-6)

    def losses(x):
        with md.no_grad():
            return md.functional.cross_entropy(model.eval()(md.Tensor(x)), labels, reduction="none").data

    rng, checked = np.random.default_rng(1), 0
    for h, w, c in rng.integers(0, [8, 8, 3], (40, 3)):
        step = np.zeros_like(images)
        step[:, h, w, c] = 1e-5
        slopes = (losses(images + step) - losses(images - step)) / 2e-5
        steep = abs(slopes) > 1e-3
        np.testing.assert_array_equal(np.sign(moved[steep, h, w, c]), np.sign(slopes[steep]))
        checked += steep.sum()
    assert checked > 40


def test_torch_finds_the_same_images():
    torch = pytest.importorskip("torch")
    images, labels = batch()
    model, W, b = linear_model(images[0].size)
    model[1].weight.data = W / 20
    x = torch.tensor(images, requires_grad=True)
    logits = x.flatten(1) @ torch.tensor(W / 20) + torch.tensor(b)
    torch.nn.functional.cross_entropy(logits / 20, torch.tensor(labels), reduction="sum").backward()
    expected = (x + 0.05 * x.grad.sign()).clamp(0, 1).detach().numpy()
    np.testing.assert_array_equal(fgsm(model, images, labels, 0.05, temperature=20).adversarial[0], expected)


# The contract


def test_shapes_bounds_and_sizes_of_the_steps():
    images, labels = batch(dtype=np.float32)
    images[0, 0, 0], images[0, 0, 1] = 0, 1
    attack = fgsm(network(), images, labels, EPSILONS)
    assert attack.adversarial.shape == (5, 6, 8, 8, 3)
    assert attack.success.shape == (5, 6)
    assert attack.zero_gradient.shape == attack.vanished_gradient.shape == (6,)
    assert attack.adversarial.dtype == np.float32
    assert attack.success.dtype == bool
    assert attack.adversarial.min() >= 0
    assert attack.adversarial.max() <= 1
    for e, epsilon in enumerate(EPSILONS):
        assert abs(attack.adversarial[e] - images).max() <= epsilon + 1e-7


def test_epsilon_zero_gives_the_images_bit_for_bit():
    images, labels = batch(dtype=np.float32)
    images[0, 0, 0, 0] = -0.0
    attack = fgsm(network(), images, labels, [0.1, 0])
    assert attack.adversarial[1].tobytes() == images.tobytes()
    np.testing.assert_array_equal(attack.success[1], predictions(network(), images) != labels)


def test_success_is_what_the_model_says_of_the_adversarial_images():
    images, labels = batch(count=10, dtype=np.float32)
    model = network()
    attack = fgsm(model, images, labels, EPSILONS)
    for moved, success in zip(attack.adversarial, attack.success, strict=True):
        np.testing.assert_array_equal(predictions(model, moved) != labels, success)


def test_all_epsilons_come_from_one_gradient():
    images, labels = batch(dtype=np.float32)
    together = fgsm(network(), images, labels, EPSILONS)
    for e, epsilon in enumerate(EPSILONS):
        alone = fgsm(network(), images, labels, epsilon)
        np.testing.assert_array_equal(alone.adversarial[0], together.adversarial[e])


def test_batch_size_bounds_the_memory_and_not_the_result():
    images, labels = batch(count=7)
    model, _, _ = linear_model(images[0].size)
    expected = fgsm(model, images, labels, EPSILONS, batch_size=64)
    for batch_size in (1, 3, 7):
        attack = fgsm(model, images, labels, EPSILONS, batch_size=batch_size)
        np.testing.assert_array_equal(attack.adversarial, expected.adversarial)
        np.testing.assert_array_equal(attack.success, expected.success)


def test_margin_attack_has_a_closed_form_on_a_linear_model():
    images, labels = batch()
    model, W, b = linear_model(images[0].size)
    g = images.reshape(len(images), -1) @ W + b
    rival = np.array([max(set(range(3)) - {c}, key=lambda k: row[k]) for row, c in zip(g, labels, strict=True)])
    slope = (W[:, rival] - W[:, labels]).T.reshape(images.shape)
    attack = fgsm(model, images, labels, EPSILONS, loss="margin")
    for e, epsilon in enumerate(EPSILONS):
        expected = np.clip(images + epsilon * np.sign(slope), 0, 1)
        np.testing.assert_allclose(attack.adversarial[e], expected, rtol=0, atol=1e-15)


def test_two_classes_have_one_direction():
    """With two classes the cross-entropy rises with the margin, so that both attacks move alike."""
    images, labels = batch()
    model, _, _ = linear_model(images[0].size, classes=2)
    by_margin, by_entropy = (fgsm(model, images, labels % 2, EPSILONS, loss=s) for s in ("margin", "cross_entropy"))
    np.testing.assert_array_equal(by_margin.adversarial, by_entropy.adversarial)


def test_nothing_of_the_callers_is_touched():
    images, labels = batch(dtype=np.float32)
    model = network()
    model.train()
    model[2].eval()  # each module has its own mode
    gradients = []
    for p in list(model.parameters())[::2]:
        p.grad = np.ones_like(p.data)
        gradients.append(p.grad)
    state, modes = model.state_dict(), [m.training for m in model.modules()]
    images.setflags(write=False)
    labels.setflags(write=False)
    before = images.copy()
    fgsm(model, images, labels, EPSILONS)
    np.testing.assert_array_equal(images, before)
    assert [m.training for m in model.modules()] == modes
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, state[name])
    for i, p in enumerate(model.parameters()):
        if i % 2:
            assert p.grad is None
        else:
            assert p.grad is gradients[i // 2]
            assert (p.grad == 1).all()


def test_training_mode_changes_nothing_about_the_attack():
    images, labels = batch(dtype=np.float32)
    training, evaluating = (fgsm(network().train(mode), images, labels, EPSILONS) for mode in (True, False))
    np.testing.assert_array_equal(training.adversarial, evaluating.adversarial)
    np.testing.assert_array_equal(training.success, evaluating.success)


def test_modes_come_back_after_an_error():
    images, labels = batch(dtype=np.float32)
    model = network()
    model[6].eval()
    modes = [m.training for m in model.modules()]
    labels[-1] = 3
    with pytest.raises(ValueError, match="label 3 of image 5"):
        fgsm(model, images, labels, 0.1, batch_size=2)
    assert [m.training for m in model.modules()] == modes


def test_tensors_and_lists_of_labels_are_welcome():
    images, labels = batch(dtype=np.float32)
    expected = fgsm(network(), images, labels, [0.1]).adversarial
    np.testing.assert_array_equal(
        fgsm(network(), md.Tensor(images), labels.tolist(), np.array([0.1])).adversarial, expected
    )


def test_very_sure_networks_are_attacked_too():
    """Margins of 40 round p to 1 in float32; the loss keeps the sign, and so does the attack."""
    images, labels = batch(dtype=np.float32)
    model, W, _ = linear_model(images[0].size)
    model[1].weight.data = W.astype(np.float32)
    model[1].bias.data = np.array([40, 0, -40], np.float32)
    attack = fgsm(model, images, np.zeros_like(labels), [1.0])
    assert not attack.zero_gradient.any()
    assert (attack.adversarial[0] != images).all()


# Zero gradients


def test_zero_gradients_warn_with_their_count():
    images, labels = batch(dtype=np.float32)
    model, W, _ = linear_model(images[0].size)
    model[1].weight.data = np.zeros_like(W, dtype=np.float32)
    model[1].weight.data[0, 0] = 1000  # the first pixel alone speaks for class 0, so loudly that p is 1 and 1 - p is 0
    model[1].bias.data = np.zeros(3, np.float32)
    images[:, 0, 0, 0] = [1, 1, 0, 0.001, 1, 0.002]
    with pytest.warns(ZeroGradientWarning, match="zero for 3 of 6 images") as caught:
        attack = fgsm(model, images, np.zeros_like(labels), [0.5], batch_size=4)
    assert caught[0].filename == __file__
    assert attack.zero_gradient.tolist() == [True, True, False, False, True, False]
    np.testing.assert_array_equal(attack.adversarial[0][attack.zero_gradient], images[attack.zero_gradient])


def test_a_gradient_vanishes_before_it_is_zero():
    """The margin 2 g of an image sets its gradient, near exp(-2 g): normal, below normal and zero in float32."""
    layer = nn.Linear(2, 2)
    layer.weight.data, layer.bias.data = np.float32([[1, -1], [-1, 1]]) * 100, np.zeros(2, np.float32)
    model = nn.Sequential(nn.Flatten(), layer)
    bright = np.float32([0.6, 0.72, 0.735, 0.9])
    images = np.stack([bright, 1 - bright], axis=1).reshape(4, 1, 2, 1)
    with pytest.warns(ZeroGradientWarning, match="zero for 1 of 4 images.*loss='margin'"):
        attack = fgsm(model, images, np.zeros(4, int), [0.5])
    assert attack.zero_gradient.tolist() == [False, False, False, True]
    assert attack.vanished_gradient.tolist() == [False, False, True, True]
    exact = fgsm(model_in_float64(model), images.astype(float), np.zeros(4, int), [0.5])
    assert not exact.vanished_gradient.any()


def model_in_float64(model):
    for parameter in model.parameters():
        parameter.data = parameter.data.astype(np.float64)
    return model


def test_zero_gradients_of_the_margin_have_another_cause():
    images, labels = batch(dtype=np.float32)
    model, W, _ = linear_model(images[0].size)
    model[1].weight.data = np.zeros_like(W, dtype=np.float32)
    with pytest.warns(ZeroGradientWarning, match="6 of 6 images.*No pixel changes their margin"):
        attack = fgsm(model, images, labels, [0.5], loss="margin")
    assert attack.zero_gradient.all()
    assert attack.vanished_gradient.all()


# Bad input

IMAGES, LABELS = batch(dtype=np.float32)
BAD_INPUT = {
    "int64": ({"images": (IMAGES * 255).astype(int)}, TypeError, r"uint8 in 0..255.*got int64"),
    "half": ({"images": IMAGES.astype(np.float16)}, TypeError, "float16.*float32 or float64"),
    "list": ({"images": [1.0]}, TypeError, "list"),
    "one image": ({"images": IMAGES[0]}, ValueError, r"\(8, 8, 3\).*image\[None\]"),
    "no images": ({"images": IMAGES[:0], "labels": LABELS[:0]}, ValueError, r"no images.*\(0, 8, 8, 3\)"),
    "0 to 255": ({"images": IMAGES * 255}, ValueError, r"\[0, 1\].*span.*255"),
    "below 0": ({"images": IMAGES - 0.5}, ValueError, r"span \[-0.*normalisation"),
    "nan": ({"images": np.where(IMAGES > 0.9, np.nan, IMAGES)}, ValueError, "NaN"),
    "infinite": ({"images": np.where(IMAGES > 0.9, np.float32(np.inf), IMAGES)}, ValueError, "infinite"),
    "negative": ({"epsilons": [0, -0.1]}, ValueError, "epsilon is -0.1"),
    "grey levels": ({"epsilons": [8]}, ValueError, "epsilon is 8.*8 / 255"),
    "nan epsilon": ({"epsilons": [float("nan")]}, ValueError, "epsilon is nan"),
    "infinite epsilon": ({"epsilons": float("inf")}, ValueError, "epsilon is inf"),
    "no epsilons": ({"epsilons": []}, ValueError, r"epsilon is \[\].*one or more"),
    "text": ({"epsilons": "all"}, TypeError, "'all'"),
    "real labels": ({"labels": LABELS * 1.0}, TypeError, "integers"),
    "too few labels": ({"labels": LABELS[:-1]}, ValueError, r"\(5,\).*\(6,\)"),
    "one-hot": ({"labels": np.eye(3, dtype=int)[LABELS]}, ValueError, "argmax"),
    "class 7": ({"labels": LABELS + 7}, ValueError, "fgsm: label .* out of range.*0 to 2"),
    "temperature": ({"temperature": 0}, ValueError, "temperature is 0"),
    "negative temperature": ({"temperature": -1.0}, ValueError, "temperature is -1"),
    "loss": ({"loss": "hinge"}, ValueError, "fgsm: unknown loss 'hinge': choose 'cross_entropy' or 'margin'"),
    "margin's temperature": ({"loss": "margin", "temperature": 20}, ValueError, "fgsm: temperature is 20.*margin"),
    "batch size": ({"batch_size": 0}, ValueError, "batch_size is 0"),
    "half a batch": ({"batch_size": 0.5}, TypeError, "batch_size is 0.5"),
    "function": ({"model": lambda x: x}, TypeError, "Module"),
}


@pytest.mark.parametrize(("change", "error", "message"), BAD_INPUT.values(), ids=BAD_INPUT)
def test_bad_input_says_what_is_wrong(change, error, message):
    settings = {"model": network(), "images": IMAGES, "labels": LABELS, "epsilons": [0.1]} | change
    with pytest.raises(error, match=message):
        fgsm(**settings)


def test_a_broken_model_is_an_error_and_no_success():
    model = network()
    model[7].weight.data[0, 0] = np.nan
    with pytest.raises(ValueError, match="^fgsm: the model's logits are NaN"):
        fgsm(model, IMAGES, LABELS, [0.1])


@pytest.mark.gpu
def test_images_follow_the_model_to_its_device():
    from minidl.backend import device_of, to_device

    expected = fgsm(network(), IMAGES, LABELS, EPSILONS)
    for images in (IMAGES, to_device(IMAGES, "gpu")):
        attack = fgsm(network().to("gpu"), images, LABELS, EPSILONS)
        assert device_of(attack.adversarial) == device_of(images)
        assert isinstance(attack.success, np.ndarray)
        assert (to_device(attack.adversarial, "cpu") == expected.adversarial).mean() > 0.999


def test_a_gradient_that_has_overflowed_is_reported_like_one_that_has_vanished():
    """sign(inf) is 1: the image would be attacked as if its gradient were sound."""

    @md.op
    def steep(x):
        return x * 1, (lambda dy: dy * np.where(np.arange(len(x)) == 0, np.inf, 1.0)[:, None, None, None],)

    class Steep(md.nn.Module):
        def forward(self, x):
            return steep(x)

    model = md.nn.Sequential(Steep(), md.nn.Flatten(), md.nn.Linear(4, 3, rng=np.random.default_rng(0)))
    images = np.full((2, 2, 2, 1), 0.5, np.float32)
    found = md.robustness.fgsm(model, images, np.array([0, 1]), [8 / 255])
    assert found.vanished_gradient.tolist() == [True, False]
    assert not found.zero_gradient.any()
