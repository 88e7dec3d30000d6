"""The gradient check catches what it is for."""

import numpy as np
import pytest

import minidl as md
from minidl import functional as F
from minidl.testing import check_gradients


@md.op
def wrong_square(x):
    return x * x, (lambda dy: dy * 2.001 * x,)


@md.op
def wrong_product(x, y):
    return x * y, (lambda dy: dy * y, lambda dy: dy * y)


def test_a_wrong_gradient_is_caught_with_both_slopes():
    with pytest.raises(AssertionError, match=r"by the gradient and .* by finite differences") as caught:
        check_gradients(wrong_square, np.array([1.0, 2.0, 3.0]))
    message = str(caught.value)
    assert "input 0, shape (3,)" in message
    gradient, numeric = (float(message.split(before)[1].split()[0]) for before in ("direction is ", "gradient and "))
    assert gradient / numeric == pytest.approx(1.0005, rel=1e-6)


def test_the_message_names_the_input(rng):
    with pytest.raises(AssertionError, match="input 1"):
        check_gradients(wrong_product, *rng.standard_normal((2, 3)))


@pytest.mark.parametrize("f", [lambda x: x * 0 + np.nan, lambda x: F.relu(x) * np.nan], ids=["value", "both"])
def test_nan_is_not_right(f):
    with pytest.raises(AssertionError):
        check_gradients(f, np.ones(3))


def test_a_kink_is_caught():
    with pytest.raises(AssertionError):
        check_gradients(F.relu, np.zeros(3))


def test_an_unused_input_has_gradient_zero(rng):
    check_gradients(lambda x, y: x * 2, rng.standard_normal(3), rng.standard_normal(4))
    with pytest.raises(AssertionError, match="input 1"):  # used, but hidden from the graph
        check_gradients(lambda x, y: x * y.data, rng.standard_normal(3), rng.standard_normal(3))


@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_only_float64_has_the_digits(dtype):
    with pytest.raises(TypeError, match=f"input 1 is {np.dtype(dtype)}: finite differences need float64"):
        check_gradients(lambda x, y: x * y, np.ones(3), np.ones(3, dtype))


def test_tensors_and_arrays_are_left_as_they_are(rng):
    x, y = md.Tensor(rng.standard_normal(3), requires_grad=True), rng.standard_normal(3)
    before = x.data.copy(), y.copy()
    check_gradients(lambda x, y: x * y, x, y)
    assert x.grad is None
    np.testing.assert_array_equal([x.data, y], before)


def test_tolerance_is_of_the_slope(rng):
    x = rng.standard_normal(5)
    check_gradients(lambda x: (x**3) * 1e6, x)  # finite differences alone are off by far more than 1e-6 here
    with pytest.raises(AssertionError):
        check_gradients(wrong_square, x, tolerance=1e-9)
    check_gradients(wrong_square, x, tolerance=1e-2)


@pytest.mark.parametrize("scale", [1e-7, 1e-30, 1e30])
def test_every_scale_is_checked_as_strictly(scale, rng):
    @md.op
    def five_times(x):
        return scale * x * x, (lambda dy: dy * scale * 10 * x,)

    x = rng.standard_normal(5)
    assert check_gradients(lambda x: scale * (x * x), x) is True
    with pytest.raises(AssertionError):
        check_gradients(five_times, x)


def test_infinities_prove_nothing():
    @md.op
    def pole(x):
        return x * 1, (lambda dy: dy * np.inf,)

    with pytest.raises(AssertionError):
        check_gradients(pole, np.ones(3))


def test_an_operation_that_overwrites_its_input_is_caught():
    @md.op
    def square(x):
        np.multiply(x, x, out=x)
        return x, (lambda dy: (dy * 2 * x,))

    x = np.array([2.0, 3.0])
    with pytest.raises(ValueError, match="read-only"):
        check_gradients(square, x)
    assert x.tolist() == [2, 3]
