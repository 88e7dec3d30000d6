"""Finite differences: how to check a derivative without trusting the one who derived it. Read from top to bottom.

A derivative is the limit of a quotient. A computer cannot take the limit, but it can come near, and compare.
"""

import inspect

import numpy as np
import pytest

import minidl as md
from minidl import functional as F

# 1. The formula ------------------------------------------------------------------------------------------------------


def forward(f, x, h):
    """The definition, stopped at a finite step h."""
    return (f(x + h) - f(x)) / h


def central(f, x, h):
    """The same, looking to both sides."""
    return (f(x + h) - f(x - h)) / (2 * h)


def test_the_forward_difference_of_a_parabola_is_wrong_by_h():
    """((x + h)^2 - x^2) / h = 2x + h. To both sides, the h cancels: (4 x h) / (2 h) = 2x."""
    h = 0.25  # with a step that is a power of two there is no rounding here
    assert forward(lambda x: x**2, 3.0, h) == 6 + h
    assert central(lambda x: x**2, 3.0, h) == 6


# 2. How the error depends on the step: a V ---------------------------------------------------------------------------
# By Taylor's formula, the forward difference is wrong by h f''/2 and the central one by h^2 f'''/6. That is the right
# arm of the V, where smaller steps are better. On the left arm rounding takes over: f(x + h) and f(x) agree in almost
# all of their 16 digits, their difference has what is left, and the division by h magnifies it.

X = np.linspace(0, 2, 301)


def mean_error(difference, h, dtype=np.float64):
    """Of the derivative of exp, which is exp, over many points: a single one may be lucky."""
    x, h = X.astype(dtype), dtype(h)
    return float(np.abs(difference(np.exp, x, h).astype(np.float64) - np.exp(x.astype(np.float64))).mean())


def slope(difference, steps):
    """How many powers of ten the error rises while the step rises by one."""
    return np.polyfit(np.log10(steps), np.log10([mean_error(difference, h) for h in steps]), 1)[0]


@pytest.mark.parametrize(("difference", "order"), [(forward, 1), (central, 2)])
def test_on_the_right_arm_the_error_falls_with_the_order_of_the_formula(difference, order):
    assert slope(difference, np.logspace(-3, -1, 9)) == pytest.approx(order, abs=0.05)


@pytest.mark.parametrize("difference", [forward, central])
def test_on_the_left_arm_rounding_rises_as_the_step_falls(difference):
    assert slope(difference, np.logspace(-13, -10, 9)) == pytest.approx(-1, abs=0.15)


@pytest.mark.parametrize(("difference", "order"), [(forward, 1), (central, 2)])
def test_the_best_step_is_where_both_errors_are_equal(difference, order):
    """h^order = eps / h: the best step is the square root of eps for one formula, its cube root for the other."""
    steps = np.logspace(-12, -1, 45)
    best = min(steps, key=lambda h: mean_error(difference, h))
    expected = np.finfo(float).eps ** (1 / (order + 1))
    assert expected / 10 < best < 10 * expected


def test_looking_to_both_sides_gives_several_digits_more():
    steps = np.logspace(-12, -1, 45)
    assert min(mean_error(central, h) for h in steps) < 1e-2 * min(mean_error(forward, h) for h in steps)


# 3. Why float64 ------------------------------------------------------------------------------------------------------


def test_float32_cannot_tell_a_derivative_from_one_that_is_wrong_by_a_millionth():
    """The V of float32 has its point where float64's is still on its right arm. No step saves it."""
    wrong_by = 1e-6 * float(np.exp(X).mean())
    steps = np.logspace(-7, 0, 29)
    assert min(mean_error(central, h, np.float32) for h in steps) > wrong_by
    assert min(mean_error(central, h, np.float64) for h in steps) < 1e-3 * wrong_by


# 4. Kinks ------------------------------------------------------------------------------------------------------------
# Where a function has a corner there is no derivative, and a step that crosses the corner averages both sides.


def relu(x):
    return np.maximum(x, 0)


def test_a_step_across_the_kink_of_relu_misleads():
    x, h = 1e-4, 1e-3  # the slope here is 1, but x - h lies on the other side
    assert central(relu, x, h) == pytest.approx(0.55)
    assert central(relu, x, h=1e-5) == pytest.approx(1)  # a step that stays on this side is right


def test_at_the_kink_itself_both_answers_are_fair():
    """Every number from 0 to 1 is a slope of relu at 0: the difference says 1/2, and minidl takes 0."""
    assert central(relu, 0.0, 1e-5) == 0.5
    x = md.Tensor(np.zeros(1), requires_grad=True)
    F.relu(x).backward()
    assert x.grad[0] == 0


def test_a_tie_in_max_pooling_is_a_kink():
    """Of two equal pixels, raising one raises the maximum, lowering it does nothing: 1/2. minidl asks the first one."""
    image = np.array([7.0, 7.0, 1.0, 2.0]).reshape(1, 2, 2, 1)
    pixel = np.array([1.0, 0.0, 0.0, 0.0]).reshape(image.shape)
    assert central(lambda t: F.max_pool2d(image + t * pixel, 2).item(), 0.0, 1e-5) == pytest.approx(0.5)
    x = md.Tensor(image, requires_grad=True)
    F.max_pool2d(x, 2).backward()
    np.testing.assert_array_equal(x.grad.ravel(), [1, 0, 0, 0])


def distinct(rng, *shape):
    """What to do about kinks: numbers that are far, in steps, from zero and from each other, in random order."""
    numbers = np.arange(1, np.prod(shape) + 1) * rng.choice([-1, 1], np.prod(shape))
    return rng.permutation(numbers).reshape(shape) / 10.0


def test_distinct_numbers_keep_away_from_kinks(rng):
    x = distinct(rng, 2, 6, 6, 3)
    assert np.abs(x).min() >= 0.1
    assert np.diff(np.sort(x.ravel())).min() > 0.09


# 5. A mistake is caught ----------------------------------------------------------------------------------------------


@md.op
def square(x):
    return x**2, (lambda dy: dy * 2,)  # the mistake: the derivative is 2 x


def gradient(f, x):
    leaf = md.Tensor(x, requires_grad=True)
    f(leaf).sum().backward()
    return leaf.grad


def test_a_wrong_gradient_is_caught():
    x = np.array([0.7])  # an array of float64: a tensor of a plain number or list would be float32, see 3
    assert gradient(square, x) == 2
    assert central(lambda x: square(x).data, x, 1e-5) == pytest.approx(1.4)


def test_but_not_at_a_round_number():
    """At 1, 2 and 2 x are the same. Check where nothing is special: at random points."""
    x = np.array([1.0])
    assert gradient(square, x) == pytest.approx(central(lambda x: square(x).data, x, 1e-5))


# 6. Many numbers at once ---------------------------------------------------------------------------------------------
# A weight of 3 x 3 x 64 x 64 has 36 864 derivatives, and each would take two calls of the network. Two calls in all are
# enough: move all numbers together along a direction u. The slope along u is the sum of gradient times u.


def test_the_slope_along_a_direction_is_the_gradient_times_it(rng):
    x, u = rng.standard_normal((2, 4, 5))
    f = lambda x: np.sin(x).prod()  # noqa: E731
    one_by_one = np.empty_like(x)
    for place in np.ndindex(x.shape):
        e = np.zeros_like(x)
        e[place] = 1
        one_by_one[place] = central(lambda t, e=e: f(x + t * e), 0.0, 1e-5)
    assert central(lambda t: f(x + t * u), 0.0, 1e-5) == pytest.approx((one_by_one * u).sum(), rel=1e-6)


def test_the_direction_must_be_random(rng):
    """Along (1, ..., 1), errors that sum to zero cannot be seen: here two entries are exchanged."""
    x = rng.standard_normal(5)
    right = 2 * x
    wrong = right[[1, 0, 2, 3, 4]]

    def gap(u):
        return abs(central(lambda t: ((x + t * u) ** 2).sum(), 0.0, 1e-5) - (wrong * u).sum())

    assert gap(np.ones(5)) < 1e-9
    assert gap(rng.standard_normal(5)) > 0.1


# 7. The whole check, in ten lines, and the engine under it -----------------------------------------------------------
# float64 is computed by the portable kernels; tests/kernels holds the fast ones of float32 to the same sums as loops.


def check(f, *arrays, h=1e-5):
    """Compare each gradient of sum(v f(...)), v random, with its slope along a random direction."""
    rng = np.random.default_rng(1)
    leaves = [md.Tensor(array, requires_grad=True) for array in arrays]
    y = f(*leaves)
    v = rng.standard_normal(y.shape)
    y.backward(v)
    for i, leaf in enumerate(leaves):
        u = rng.standard_normal(leaf.shape)
        moved = lambda t, i=i, u=u: [x + t * u if j == i else x for j, x in enumerate(arrays)]  # noqa: E731
        slope = central(lambda t, moved=moved: (v * f(*map(md.Tensor, moved(t))).data).sum(), 0.0, h)
        assert (leaf.grad * u).sum() == pytest.approx(slope, rel=1e-6, abs=1e-8)


LABELS = np.array([0, 2, 1])
CASES = {
    "linear": (F.linear, (5, 4), (4, 3), (3,)),
    "conv2d": (F.conv2d, (2, 6, 5, 3), (4, 3, 3, 3), (4,)),
    "conv2d, stride and padding": (lambda x, w: F.conv2d(x, w, None, 2, (1, 0)), (2, 7, 6, 3), (4, 3, 2, 3)),
    "conv2d, one pixel": (F.conv2d, (2, 4, 4, 3), (5, 1, 1, 3)),
    "max_pool2d": (lambda x: F.max_pool2d(x, 2), (2, 6, 6, 3)),
    "max_pool2d, overlapping": (lambda x: F.max_pool2d(x, 3, 2, 1), (2, 6, 5, 3)),
    "avg_pool2d": (lambda x: F.avg_pool2d(x, 2), (2, 6, 6, 3)),
    "avg_pool2d, overlapping": (lambda x: F.avg_pool2d(x, 3, 2, 1), (2, 6, 5, 3)),
    "adaptive_avg_pool2d": (lambda x: F.adaptive_avg_pool2d(x, (2, 3)), (2, 5, 7, 3)),
    "flatten": (F.flatten, (2, 3, 4, 2)),
    "flatten, channels first": (lambda x: F.flatten(x, channels_first=True), (2, 3, 4, 2)),
    "softmax": (F.softmax, (3, 4)),
    "softmax, T = 20": (lambda g: F.softmax(g, 20.0), (3, 4)),
    "log_softmax": (F.log_softmax, (3, 4)),
    "cross_entropy": (lambda g: F.cross_entropy(g, LABELS), (3, 4)),
    "cross_entropy, T = 20, sum": (lambda g: F.cross_entropy(g, LABELS, 20.0, "sum"), (3, 4)),
    "cross_entropy, each": (lambda g: F.cross_entropy(g, LABELS, 1.0, "none"), (3, 4)),
    "margin_loss": (lambda g: F.margin_loss(g, LABELS), (3, 4)),
}


@pytest.mark.parametrize("name", CASES)
def test_the_engine(name, rng):
    f, *shapes = CASES[name]
    check(f, *(distinct(rng, *shape) for shape in shapes))


def test_no_operation_of_these_files_is_left_out():
    files = (F.convolution, F.pooling, F.loss)
    operations = {name for file in files for name, f in vars(file).items() if hasattr(f, "__wrapped__")}
    assert {name.partition(",")[0] for name in CASES} == operations & set(F.__all__)


def test_the_check_itself_can_fail(rng):
    with pytest.raises(AssertionError):
        check(square, rng.standard_normal((3, 4)))


# 8. md.testing.check_gradients is this check, with the steps and tolerances thought over ------------------------------


@pytest.mark.parametrize("name", CASES)
def test_check_gradients_agrees(name, rng):
    f, *shapes = CASES[name]
    assert md.testing.check_gradients(f, *(distinct(rng, *shape) for shape in shapes))


def test_check_gradients_catches_what_we_caught(rng):
    with pytest.raises(
        AssertionError, match=r"gradient by input 0, shape \(3, 4\): the slope along a random direction"
    ):
        md.testing.check_gradients(square, rng.standard_normal((3, 4)))


def test_it_takes_float64_and_a_central_difference():
    with pytest.raises(TypeError, match="float32: finite differences need float64"):
        md.testing.check_gradients(F.relu, np.ones(3, np.float32))
    assert inspect.signature(md.testing.check_gradients).parameters["step"].default == 1e-5  # the cube root of eps
