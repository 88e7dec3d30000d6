"""What cannot be proved is refused, by name; and lines enclose what they are of."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minidl as md
from minidl import functional as F
from minidl import nn
from minidl import robustness as R

from .networks import IMAGES, networks

LABELS = np.array([0, 1])
ASK = {
    "interval_bounds": lambda model, images=IMAGES: R.interval_bounds(model, images, 0.1),
    "linear_bounds": lambda model, images=IMAGES: R.linear_bounds(model, images, 0.1),
    "certified": lambda model, images=IMAGES: R.certified(model, images, LABELS, 0.1),
    "certified_epsilon": lambda model, images=IMAGES: R.certified_epsilon(model, images, LABELS),
}
each_question = pytest.mark.parametrize("name", ASK)


def small():
    return networks()["perceptron"]


def head(*layers):
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(36, 4)).eval()


@each_question
def test_training_mode_is_refused(name):
    with pytest.raises(ValueError, match=f"{name}: the model .* training mode.*model.eval"):
        ASK[name](small().train())
    model = nn.Sequential(nn.Dropout(), nn.Flatten(), nn.Linear(36, 4)).eval()
    model[0].training = True
    with pytest.raises(ValueError, match="layer '0' .Dropout. is in training mode"):
        ASK[name](model)


@each_question
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused(name, bad):
    model = small()
    model[2].weight.data[0, 0] = bad
    with pytest.raises(ValueError, match="layer '2' .Linear. is NaN or infinite in its weight"):
        ASK[name](model)


def test_statistics_that_are_not_finite_are_refused():
    model = networks()["pooling"]
    model[1].running_var[0] = np.nan
    with pytest.raises(ValueError, match="NaN or infinite in its running_var"):
        R.linear_bounds(model, IMAGES, 0.1)


@each_question
def test_images_outside_0_to_1_are_refused(name):
    with pytest.raises(ValueError, match=r"images must lie in \[0, 1\]"):
        ASK[name](small(), 255 * IMAGES)
    with pytest.raises(ValueError, match="NaN"):
        ASK[name](small(), np.full_like(IMAGES, np.nan))


@pytest.mark.parametrize("epsilon", [-0.1, np.nan, np.inf])
@pytest.mark.parametrize("norm", ["inf", "2"])
def test_an_epsilon_below_0_or_nan_is_refused(epsilon, norm):
    with pytest.raises(ValueError, match="epsilon is"):
        R.linear_bounds(small(), IMAGES, epsilon, norm)
    with pytest.raises(ValueError, match="epsilon is"):
        R.certified(small(), IMAGES, LABELS, [0.1, epsilon])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"norm": "1"}, "norm is '1': choose 'inf' or '2'"),
        ({"arithmetic": "float16"}, "choose 'exact' or 'float32'"),
        ({"steps": -1}, "steps is -1"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"labels": np.array([0, 4])}, "labels"),
        ({"labels": np.array([0, -1])}, "labels"),
        ({"labels": np.array([0])}, "labels"),
        ({"epsilon": [0.1, 0.2]}, "must be a number"),
    ],
)
def test_settings_out_of_range_are_refused(change, message):
    with pytest.raises((TypeError, ValueError), match=message):
        R.linear_bounds(small(), IMAGES, **({"epsilon": 0.1} | change))


@pytest.mark.parametrize("settings", [{"max_epsilon": 0}, {"max_epsilon": 2}, {"tolerance": 0}, {"tolerance": np.nan}])
def test_a_search_out_of_range_is_refused(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        R.certified_epsilon(small(), IMAGES, LABELS, **settings)


class Wrong(nn.ReLU):
    """Says nothing new of itself, and is something else."""

    def forward(self, x):
        return F.relu(x) * F.relu(x)


class Shifted(nn.Linear):
    def forward(self, x):
        return F.linear(x, self.weight * 2, self.bias)


class Looks(nn.Module):
    """Follows its numbers: what one image shows of it is not all."""

    def __init__(self):
        self.relu, self.linear = nn.ReLU(), nn.Linear(36, 4)

    def forward(self, x):
        x = x.reshape(len(x), -1)
        return self.linear(self.relu(x) if x.data.mean() > self.level else x)


class Hides(nn.Module):
    def __init__(self):
        self.first, self.second = nn.Linear(36, 4), nn.Linear(36, 4)

    def forward(self, x):
        flat = x.reshape(len(x), -1)
        return self.first(flat) + self.second(md.Tensor(np.sin(flat.data)))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (head(nn.LocalResponseNorm(1)), "layer '0' .LocalResponseNorm.|'local_response_norm'"),
        (head(Wrong()), "'multiply', for which no bounds are known"),
        (nn.Sequential(nn.Flatten(), Shifted(36, 4)).eval(), "uses the operation 'linear'"),
        (Hides().eval(), "no operation made of the image"),
    ],
    ids=["unknown layer", "another forward", "another weight", "arrays"],
)
def test_what_nobody_can_follow_is_refused_by_name(model, message):
    with pytest.raises(NotImplementedError, match=message):
        R.linear_bounds(model, IMAGES, 0.1)


def test_a_forward_of_an_object_of_its_own_is_not_its_classes():
    model = small()
    relu = model[3]
    relu.forward = lambda x: F.relu(x) * F.relu(x)
    with pytest.raises(NotImplementedError, match="'multiply'"):
        R.linear_bounds(model, IMAGES, 0.1)


def test_a_forward_that_looks_at_its_numbers_is_found_out():
    model = Looks().eval()
    images = IMAGES[[0, 0]].copy()
    images[0], images[1] = 0.9, 0.1
    model.linear.weight.data[...] = 1
    for parameter in model.parameters():
        parameter.data -= 0.3
    model.level = 0.5  # ReLU of numbers in [0, 1] is nothing: neither branch differs, and both are right
    R.linear_bounds(model, images, 0.01)
    model.relu = nn.Sigmoid().eval()
    with pytest.raises(NotImplementedError, match="looks at numbers"):
        R.linear_bounds(model, images, 0.01)


def test_no_model_and_no_logits():
    with pytest.raises(TypeError, match=r"must be a minidl.nn.Module"):
        R.linear_bounds(lambda x: x, IMAGES, 0.1)
    with pytest.raises(ValueError, match=r"must give \(B, classes\)"):
        R.linear_bounds(nn.Sequential(nn.ReLU()).eval(), IMAGES, 0.1)
    with pytest.raises(ValueError, match="1 class"):
        R.linear_bounds(nn.Sequential(nn.Flatten(), nn.Linear(36, 1)).eval(), IMAGES, 0.1)


class Mixes(nn.Module):
    """A layer of one's own, A x + b with its shape kept: it says |A| radius."""

    def __init__(self):
        self.weight = md.Parameter(np.random.default_rng(5).standard_normal((6, 6)).astype(np.float32))

    def forward(self, x):
        return (x.transpose(0, 3, 1, 2) @ self.weight).transpose(0, 2, 3, 1)

    def spread(self, radius):
        return (radius.transpose(0, 3, 1, 2) @ self.weight.abs()).transpose(0, 2, 3, 1)


class Steep(nn.ReLU):
    """A layer of one's own that goes value by value, with a slope below 0 too."""

    def forward(self, x):
        return F.relu(x) + x

    def lines(self, low, high):
        below, at_below, above, at_above = super().lines(low, high)
        return type(super().lines(low, high))(below + 1, at_below, above + 1, at_above)


def test_layers_of_ones_own_say_their_bounds():
    from .test_bounds import assert_no_point_lies_outside

    model = nn.Sequential(Mixes(), Steep(), nn.Flatten(), nn.Linear(36, 4)).eval()
    for epsilon in (0.02, 0.2):
        assert_no_point_lies_outside(model, IMAGES, epsilon)


@pytest.mark.parametrize("layer", [Steep(), nn.ReLU()], ids=["as it says", "ReLU"])
def test_better_slopes_are_sought_below_what_bends_as_a_relu_alone(layer):
    from .test_bounds import assert_no_point_lies_outside

    model = nn.Sequential(Mixes(), layer, nn.Flatten(), nn.Linear(36, 4)).eval()
    plain = R.linear_bounds(model, IMAGES, 0.2).lower
    improved = assert_no_point_lies_outside(model, IMAGES, 0.2, steps=8).lower
    assert (improved >= plain).all()
    assert (improved > plain).any() == (type(layer) is nn.ReLU)


ends = st.floats(-8, 8) | st.floats(-1e-6, 1e-6)


@pytest.mark.parametrize(
    "layer", [nn.ReLU(), nn.LeakyReLU(0.2), nn.Sigmoid(), nn.Tanh()], ids=lambda layer: type(layer).__name__
)
@given(a=ends, b=ends)
def test_lines_enclose_their_curve(layer, a, b):
    low, high = np.array([min(a, b)]), np.array([max(a, b)])
    below, at_below, above, at_above = layer.lines(low, high)
    x = np.linspace(low, high, 201)
    y = layer(x).data
    off = 1e-14 * (1 + abs(low) + abs(high))  # which bounds allow for beside the lines
    assert (below * x + at_below <= y + off).all()
    assert (y <= above * x + at_above + off).all()
    gap = (above - below) * x + at_above - at_below
    assert gap.max() <= max(y.max() - y.min(), 0) + (high - low) ** 2 + 1e-9 or isinstance(
        layer, nn.ReLU | nn.LeakyReLU
    )


@pytest.mark.parametrize("settings", [(2,), (3, 2, 1), (3, 1, 1), ((2, 3), (1, 2)), (3, 2)])
def test_lines_enclose_max_pooling(settings, rng):
    layer = nn.MaxPool2d(*settings)
    low = rng.standard_normal((1, 7, 7, 2))
    high = low + rng.exponential(0.5, low.shape) * (rng.random(low.shape) < 0.7)
    lines = layer.lines(low, high)
    ends = md.Tensor(low, requires_grad=True)
    winner = layer(ends)  # the number that a line is of lies where the gradient at the lower ends goes
    decided = 0
    for _ in range(300):
        x = np.where(
            rng.random(low.shape) < 0.3, low, np.where(rng.random(low.shape) < 0.5, high, rng.uniform(low, high))
        )
        y = layer(x).data
        order = np.argsort(low, axis=None)
        ranks = np.empty(low.size)
        ranks[order] = np.arange(low.size)
        of = x.ravel()[order[layer(ranks.reshape(low.shape)).data.astype(int)]]
        assert (lines.below * of + lines.at_below <= y).all()
        assert (y <= lines.above * of + lines.at_above).all()
        decided += (lines.above == 1).sum()
    assert winner.shape == lines.below.shape
    assert decided > 0
