"""A model as NumPy functions: its logits, its gradients, and foolbox attacking it through them."""

import re
from pathlib import Path

import numpy as np
import pytest

import minidl as md
from minidl.robustness import as_callable, pgd
from tests.robustness.twins import digits_cnn


def test_logits_and_gradient_are_the_models():
    model, _, labels = digits_cnn(6)
    images = np.random.default_rng(2).random((6, 8, 8, 1))  # without the digits' equal pixels, where max pooling bends
    model.train()
    logits, gradient = as_callable(model)
    x = md.Tensor(images, requires_grad=True)
    model.eval()
    expected = model(x)
    md.functional.cross_entropy(expected, labels, reduction="sum").backward(inputs=[x])
    model.train()
    np.testing.assert_array_equal(logits(images), expected.data)
    np.testing.assert_array_equal(gradient(images, labels), x.grad)
    assert all(m.training for m in model.modules())
    weights = np.random.default_rng(0).standard_normal((6, 10))
    step = 1e-6 * np.random.default_rng(1).standard_normal(images.shape)
    slope = ((logits(images + step) - logits(images - step)) * weights).sum() / 2
    assert (gradient(images, weights) * step).sum() == pytest.approx(slope, rel=1e-4)


def test_channels_come_first_where_they_are_wanted():
    model, _, _ = digits_cnn(1)
    colour = md.models.resnet18(seed=0)
    images = np.random.default_rng(0).random((2, 16, 16, 3)).astype(np.float32)
    last, first = as_callable(colour), as_callable(colour, channels="first")
    turned = images.transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(first.logits(turned), last.logits(images))
    np.testing.assert_array_equal(first.gradient(turned, [0, 1]).transpose(0, 2, 3, 1), last.gradient(images, [0, 1]))
    with pytest.raises(ValueError, match="unknown channels 'middle'"):
        as_callable(model, channels="middle")
    with pytest.raises(TypeError, match="function"):
        as_callable(lambda x: x)


def test_foolbox_attacks_a_minidl_model_as_the_page_shows():
    """docs/attacks.md, from beginning to end; then foolbox's PGD through our functions breaks what ours breaks."""
    torch, foolbox = pytest.importorskip("torch"), pytest.importorskip("foolbox")
    page = Path(__file__).parents[2] / "docs" / "attacks.md"
    names: dict = {}
    for block in re.findall(r"```python\n(.+?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        exec(block, names)
    assert 0 < names["success"].numpy().mean() < 1
    assert names["curve"].accuracy[0] > names["curve"].accuracy[-1]
    attack = foolbox.attacks.LinfPGD(abs_stepsize=0.03, steps=5, random_start=False)
    _, moved, success = attack(names["theirs"], names["x"], names["y"], epsilons=0.1)
    ours = pgd(names["model"], names["images"], names["labels"], 0.1, steps=5, step=0.03, start="image")
    assert isinstance(moved, torch.Tensor)
    assert (success.numpy() == ours.success[0]).mean() >= 0.95  # its cross-entropy loses the gradient of a few


def test_images_are_taken_as_by_every_attack():
    """uint8 for the same images; what is no pixel is refused, but for the little that a difference quotient needs."""
    logits, gradient = as_callable(digits_cnn(3)[0])
    bytes_ = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 1), dtype=np.uint8)
    real = bytes_.astype(np.float32) / 255
    np.testing.assert_array_equal(logits(bytes_), logits(real))
    np.testing.assert_array_equal(gradient(bytes_, [0, 1, 2]), gradient(real, [0, 1, 2]))
    assert np.isfinite(logits(real + 0.01)).all()
    for call in (logits, lambda images: gradient(images, [0, 1, 2])):
        with pytest.raises(ValueError, match="Divide pixels from 0 to 255 by 255"):
            call(255 * real)
        with pytest.raises(ValueError, match="they span \\[-1, "):
            call(2 * real - 1)
        with pytest.raises(ValueError, match="NaN"):
            call(real * np.nan)
        with pytest.raises(TypeError, match="astype\\(np.uint8\\)"):
            call(bytes_.astype(int))
