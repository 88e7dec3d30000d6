"""The smallest epsilon: exact on a linear model, and honest where success comes and goes along the ray."""

import numpy as np
import pytest

import minidl as md
from minidl import nn
from minidl.robustness import ZeroGradientWarning, fgsm, smallest_epsilon


def linear_images(margins):
    """Images of two pixels that fall at epsilon margin / 2, and the linear model that says so, in float64."""
    layer = nn.Linear(2, 2)
    layer.weight.data, layer.bias.data = np.array([[1.0, -1], [-1, 1]]), np.zeros(2)
    margins = np.asarray(margins, float)
    images = np.stack([0.5 + margins / 2, 0.5 - margins / 2], axis=1)
    return nn.Sequential(nn.Flatten(), layer), images.reshape(-1, 1, 2, 1)


class Island(nn.Module):
    """Class 1 where the first pixel lies in one of the given intervals, else class 0."""

    def __init__(self, *intervals):
        self.intervals = intervals

    def forward(self, x):
        inside = sum((x.data[:, 0, 0, 0] > low) & (x.data[:, 0, 0, 0] < high) for low, high in self.intervals)
        g = x[:, 0, 0, 0].reshape(-1, 1) * np.array([[0.0, 0.1]])  # the gradient points upwards everywhere
        return g + np.stack([np.zeros(len(inside)), 2.0 * inside - 1], axis=1)


@pytest.mark.parametrize("loss", ["cross_entropy", "margin"])
def test_linear_model_has_a_closed_form(loss):
    margins = np.array([-0.2, 0.0101, 0.1, 0.33, 0.49, 0.51, 0.9])
    model, images = linear_images(margins)
    found = smallest_epsilon(model, images, np.zeros(7, int), max_epsilon=0.25, tolerance=1e-4, loss=loss)
    assert found[0] == 0
    np.testing.assert_array_equal(found[5:], np.inf)
    exact = margins[1:5] / 2
    assert (found[1:5] >= exact).all()
    assert (found[1:5] <= exact + 1e-4).all()


@pytest.mark.parametrize("steps", [1, 7, 64])
def test_tolerance_and_grid_do_not_depend_on_each_other(steps):
    model, images = linear_images([0.123, 0.3])
    for tolerance in (0.1, 1e-3, 1e-9):
        found = smallest_epsilon(model, images, [0, 0], max_epsilon=0.2, steps=steps, tolerance=tolerance)
        np.testing.assert_array_less(found - [0.0615, 0.15], tolerance + 1e-12)
        np.testing.assert_array_less([0.0615, 0.15], found + 1e-12)


def test_budget_itself_is_tried():
    model, images = linear_images([0.5])
    assert smallest_epsilon(model, images, [0], max_epsilon=0.2500001)[0] == pytest.approx(0.25, abs=1e-3)
    assert smallest_epsilon(model, images, [0], max_epsilon=0.2499999)[0] == np.inf


def test_first_island_counts_where_success_comes_and_goes():
    image = np.full((1, 1, 1, 1), 0.1)
    model = Island((0.2, 0.25), (0.6, 1.1))  # broken at epsilon 0.1 to 0.15, and from 0.5 on
    success = fgsm(model, image, [0], [0.05, 0.12, 0.3, 0.6]).success[:, 0]
    assert success.tolist() == [False, True, False, True]
    assert smallest_epsilon(model, image, [0], max_epsilon=0.9)[0] == pytest.approx(0.1, abs=1e-3)
    assert smallest_epsilon(model, image, [0], max_epsilon=0.9, steps=3)[0] == pytest.approx(
        0.5, abs=1e-3
    )  # stepped over


def test_answers_break_a_real_network():
    rng = np.random.default_rng(0)
    model = md.models.fc5(num_classes=3, image_size=4, channels=1)
    images = rng.random((40, 4, 4, 1), dtype=np.float32)
    with md.no_grad():
        right = model(md.Tensor(images)).data.argmax(axis=1)
    labels = np.where(np.arange(40) < 35, right, (right + 1) % 3)
    found = smallest_epsilon(model, images, labels, max_epsilon=1, steps=50, tolerance=1e-3, batch_size=16)
    np.testing.assert_array_equal(found[35:], 0)
    assert np.isfinite(found[:35]).any()
    for i in np.flatnonzero(np.isfinite(found[:35])):
        below = max(0, found[i] - 2e-3)
        success = fgsm(model, images[i : i + 1], labels[i : i + 1], [found[i], below]).success[:, 0]
        assert success.tolist() == [True, False]


def test_modes_and_images_come_back():
    model, images = linear_images([0.1, 0.4])
    model[1].eval()
    before = images.copy()
    smallest_epsilon(model, images, [0, 0])
    assert [m.training for m in model.modules()] == [True, True, False]
    np.testing.assert_array_equal(images, before)


def test_zero_gradients_warn_and_are_out_of_reach():
    model, images = linear_images([0.1, 0.2])
    model[1].weight.data[...] = 0
    with pytest.warns(ZeroGradientWarning, match="smallest_epsilon.*2 of 2"):
        assert smallest_epsilon(model, images, [0, 0]).tolist() == [np.inf, np.inf]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_epsilon": 0}, "max_epsilon"),
        ({"max_epsilon": -0.1}, "-0.1"),
        ({"max_epsilon": 8}, "8 / 255"),
        ({"steps": 0}, "steps is 0"),
        ({"tolerance": 0}, "tolerance"),
        ({"temperature": 0}, "temperature"),
        ({"loss": "margin", "temperature": 2.0}, "smallest_epsilon: temperature is 2.0"),
        ({"loss": "hinge"}, "smallest_epsilon: unknown loss 'hinge'"),
    ],
)
def test_bad_settings_say_what_is_wrong(settings, message):
    model, images = linear_images([0.1])
    with pytest.raises(ValueError, match=message):
        smallest_epsilon(model, images, [0], **settings)
