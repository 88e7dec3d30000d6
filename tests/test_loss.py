"""From logits to the loss: the report's equations, and digits that must not be lost on the way.

The oracle is the textbook formula in decimal numbers of 400 digits: they do not overflow, and what
cancellation loses of them lies below float64's smallest number.
"""

import re
from decimal import Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minidl import Tensor
from minidl import functional as F

TEMPERATURES = [0.01, 0.1, 1.0, 20.0, 90.0, 1e4]


def oracle(logits, label, T):
    """p, L and dL/dg for one image, exact but for the last rounding to float64."""
    with localcontext(prec=400):
        g = [Decimal(float(x)) / Decimal(T) for x in logits]
        e = [(x - max(g)).exp() for x in g]
        total = sum(e)
        p = [x / total for x in e]
        loss = total.ln() - (g[label] - max(g))
        gradient = [(x - (k == label)) / Decimal(T) for k, x in enumerate(p)]
        return np.array(p, float), float(loss), np.array(gradient, float)


def loss_and_gradient(logits, labels, **settings):
    g = Tensor(logits, requires_grad=True)
    loss = F.cross_entropy(g, labels, **settings)
    loss.backward(np.ones(loss.shape, loss.dtype))
    return loss.data, g.grad


# The report's equations


@pytest.fixture
def logits(rng):
    return rng.normal(scale=3, size=(4, 5))


LABELS = np.array([1, 0, 4, 4])


def test_equations_5_and_18_softmax(logits):
    p = F.softmax(logits).data
    for k in range(5):
        np.testing.assert_allclose(p[:, k], np.exp(logits[:, k]) / np.exp(logits).sum(axis=1), rtol=1e-14)
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-15)


def test_equations_6_and_19_cross_entropy_with_one_hot_labels(logits):
    y = np.eye(5)[LABELS]
    each = -(y * np.log(F.softmax(logits).data)).sum(axis=1)
    np.testing.assert_allclose(F.cross_entropy(logits, LABELS, reduction="none").data, each, rtol=1e-14)
    np.testing.assert_allclose(F.cross_entropy(logits, LABELS, reduction="sum").data, each.sum(), rtol=1e-14)
    np.testing.assert_allclose(F.cross_entropy(logits, LABELS).data, each.mean(), rtol=1e-14)


def test_equation_7_only_the_true_class_counts(logits):
    p = F.softmax(logits).data
    expected = -sum(np.log(p[i, c]) for i, c in enumerate(LABELS))
    assert F.cross_entropy(logits, LABELS, reduction="sum").item() == pytest.approx(expected, rel=1e-14)


def test_equation_7_is_zero_for_certain_and_right():
    assert F.cross_entropy(np.array([[0.0, 1e4]]), np.array([1])).item() == 0


def test_equation_8_the_predicted_class_is_that_of_the_largest_logit(logits):
    for T in TEMPERATURES:
        np.testing.assert_array_equal(F.softmax(logits, T).data.argmax(axis=1), logits.argmax(axis=1))


def test_equation_20_the_loss_from_logits(logits):
    ratio = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = [-np.log(ratio[i, c]) for i, c in enumerate(LABELS)]
    np.testing.assert_allclose(F.cross_entropy(logits, LABELS, reduction="none").data, expected, rtol=1e-14)


def test_equation_21_the_loss_as_a_difference(logits):
    expected = [-logits[i, c] + np.log(np.exp(logits[i]).sum()) for i, c in enumerate(LABELS)]
    np.testing.assert_allclose(F.cross_entropy(logits, LABELS, reduction="none").data, expected, rtol=1e-13)


@pytest.mark.parametrize("T", [0.5, 1.0, 20.0, 90.0])
def test_equation_22_the_loss_at_a_temperature(logits, T):
    y = np.eye(5)[LABELS]
    expected = -(y * np.log(F.softmax(logits, T).data)).sum(axis=1)
    np.testing.assert_allclose(F.cross_entropy(logits, LABELS, T, "none").data, expected, rtol=1e-13)
    log_p = F.log_softmax(logits, T).data
    np.testing.assert_allclose(-log_p[np.arange(4), LABELS], expected, rtol=1e-13)


@pytest.mark.parametrize("T", [0.5, 1.0, 20.0, 90.0])
def test_equation_23_softmax_at_a_temperature(logits, T):
    ratio = np.exp(logits / T) / np.exp(logits / T).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(F.softmax(logits, T).data, ratio, rtol=1e-13)
    expected = [-np.log(ratio[i, c]) for i, c in enumerate(LABELS)]
    np.testing.assert_allclose(F.cross_entropy(logits, LABELS, T, "none").data, expected, rtol=1e-13)


@pytest.mark.parametrize("T", [0.5, 1.0, 20.0, 90.0])
def test_equation_24_the_difference_at_a_temperature(logits, T):
    expected = [-logits[i, c] / T + np.log(np.exp(logits[i] / T).sum()) for i, c in enumerate(LABELS)]
    np.testing.assert_allclose(F.cross_entropy(logits, LABELS, T, "none").data, expected, rtol=1e-12)


def test_temperature_flattens(logits):
    assert (np.diff([F.softmax(logits, T).data.max() for T in TEMPERATURES]) <= 0).all()
    np.testing.assert_allclose(F.softmax(logits, 1e9).data, 1 / 5, rtol=1e-7)


@pytest.mark.parametrize("T", TEMPERATURES)
def test_the_gradient_is_p_minus_y_over_temperature(logits, T):
    expected = (F.softmax(logits, T).data - np.eye(5)[LABELS]) / T
    for reduction, share in (("sum", 1), ("none", 1), ("mean", 1 / 4)):
        _, gradient = loss_and_gradient(logits, LABELS, temperature=T, reduction=reduction)
        np.testing.assert_allclose(gradient, expected * share, rtol=1e-12, atol=1e-15 / T)


# Digits

HARD = {
    "certain and right": ([1e4, 0.0, -1e4], 0),
    "certain and wrong": ([1e4, 0.0, -1e4], 1),
    "certain and utterly wrong": ([1e4, 0.0, -1e4], 2),
    "large and close": ([1e4, 1e4 - 1, 1e4 - 2], 0),
    "large and tied": ([1e4, 1e4, -1e4], 1),
    "all large and negative": ([-1e4, -1e4 - 30, -1e4 - 60], 0),
    "p rounds to 1": ([60.0, 20.0, 0.0], 0),
    "p rounds to 1 in float32": ([25.0, 5.0, 0.0], 0),
    "ordinary": ([0.5, -1.0, 2.0], 1),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("T", TEMPERATURES)
@pytest.mark.parametrize(("logits", "label"), HARD.values(), ids=HARD)
def test_hard_logits_keep_their_digits(logits, label, T, dtype):
    """Nothing overflows (warnings are errors here), and each gradient has its sign and its digits."""
    logits = np.array([logits], dtype)
    p, loss, gradient = oracle(logits[0], label, T)
    # exp magnifies the rounding of its argument by that argument, at most 750 before it underflows; below the
    # smallest normal number there are fewer digits
    close = {"rtol": 750 * np.finfo(dtype).eps, "atol": 4 * float(np.finfo(dtype).tiny) / min(T, 1)}
    found_loss, found_gradient = loss_and_gradient(logits, np.array([label]), temperature=T, reduction="sum")
    assert found_loss.dtype == found_gradient.dtype == dtype
    np.testing.assert_allclose(F.softmax(logits, T).data[0], p, **close)
    np.testing.assert_allclose(found_loss, loss, **close)
    np.testing.assert_allclose(found_gradient[0], gradient, **close)
    np.testing.assert_allclose(-F.log_softmax(logits, T).data[0, label], loss, **close)
    representable = np.abs(gradient) > close["atol"]
    np.testing.assert_array_equal(np.sign(found_gradient[0])[representable], np.sign(gradient)[representable])


def test_the_true_class_keeps_its_sign_where_p_rounds_to_1():
    """p - 1 computed as such would be 0, and FGSM would leave such an image alone."""
    logits = np.array([[30.0, 0.0, 0.0]], np.float32)
    assert F.softmax(logits).data[0, 0] == 1
    _, gradient = loss_and_gradient(logits, np.array([0]))
    np.testing.assert_allclose(gradient, np.exp(-30) * np.array([[-2, 1, 1]]), rtol=1e-5)
    assert gradient.sum() == 0


@pytest.mark.parametrize("logits", [(40.0, 0.0, 0.0), (0.0, 39.0, 1.0), (2.0, 2.0, 0.0), (-1.0, 0.5, 0.0)])
@pytest.mark.parametrize("dy", [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.5, -2.0, 1.0), (3.0, 3.0, 2.0)])
@pytest.mark.parametrize("T", [1.0, 0.5, 10.0])
def test_gradients_through_softmax_keep_their_digits(logits, dy, T):
    """Against the textbook formulas in decimals: p (dy - sum(p dy)) / T, and (dy - p sum(dy)) / T."""
    with localcontext(prec=400):
        e = [(Decimal(x) / Decimal(T)).exp() for x in logits]
        p, d = [x / sum(e) for x in e], [Decimal(x) for x in dy]
        mean = sum(a * b for a, b in zip(p, d, strict=True))
        expected = {
            F.softmax: [float(a * (b - mean) / Decimal(T)) for a, b in zip(p, d, strict=True)],
            F.log_softmax: [float((b - a * sum(d)) / Decimal(T)) for a, b in zip(p, d, strict=True)],
        }
    for f, exact in expected.items():
        g = Tensor(np.float32([logits]), requires_grad=True)
        f(g, T).backward(np.float32([dy]))
        assert g.grad.dtype == np.float32
        np.testing.assert_allclose(g.grad[0], exact, rtol=1e-4, atol=1e-37, err_msg=f.__name__)


@given(
    hnp.arrays(np.float64, (3, 4), elements=st.floats(-1e4, 1e4)),
    hnp.arrays(np.int64, 3, elements=st.integers(0, 3)),
    st.floats(0.01, 1e4),
)
def test_any_logits_and_temperature(logits, labels, T):
    losses, gradients = loss_and_gradient(logits, labels, temperature=T, reduction="none")
    assert (losses >= 0).all()
    for row, label, loss, gradient in zip(logits, labels, losses, gradients, strict=True):
        _, exact_loss, exact_gradient = oracle(row, label, T)
        np.testing.assert_allclose(loss, exact_loss, rtol=1e-12, atol=1e-300)
        np.testing.assert_allclose(gradient, exact_gradient, rtol=1e-12, atol=1e-300)


@pytest.mark.parametrize("T", [1.1e-19, 9e18])
def test_the_ends_of_what_float32_allows(T):
    """The loss and its gradient are those of float64, to float32's digits."""
    logits = np.array([[3.0, -1.0, 0.5], [0.0, 40.0, -2.0]])
    exact = loss_and_gradient(logits, [2, 1], temperature=T, reduction="none")
    found = loss_and_gradient(logits.astype(np.float32), [2, 1], temperature=T, reduction="none")
    for a, b in zip(found, exact, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=0)


# Bad input


@pytest.mark.parametrize("operation", ["softmax", "log_softmax", "cross_entropy"])
class TestBadLogits:
    def call(self, operation, logits, **settings):
        labels = [np.array([0])] if operation == "cross_entropy" else []
        return getattr(F, operation)(logits, *labels, **settings)

    @pytest.mark.parametrize("T", [0, 0.0, -1, float("nan"), float("inf")])
    def test_temperature(self, operation, T):
        with pytest.raises(ValueError, match=f"^{operation}: temperature is {T}, and must be above 0 and finite"):
            self.call(operation, np.ones((1, 3)), temperature=T)

    @pytest.mark.parametrize("T", ["1", None, [1.0]], ids=repr)
    def test_temperature_is_a_number(self, operation, T):
        with pytest.raises(TypeError, match=f"^{operation}: temperature is {re.escape(repr(T))}, and must be a number"):
            self.call(operation, np.ones((1, 3)), temperature=T)

    @pytest.mark.parametrize("T", [1e-40, 1e-20, 1e19, 1e300])
    def test_temperature_beyond_the_precision(self, operation, T):
        message = f"{operation}: temperature is {T:g}, and logits of float32 need one from 1.1e-19 to 9.2e+18"
        with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
            self.call(operation, np.ones((1, 3), np.float32), temperature=T)
        if 1e-100 < T < 1e100:  # float64 has more exponents
            assert np.isfinite(self.call(operation, np.eye(3)[:1], temperature=T).data).all()

    @pytest.mark.parametrize("logits", [np.ones((1, 3), int), "logits", np.array(1.0)], ids=repr)
    def test_kind(self, operation, logits):
        with pytest.raises(TypeError, match=f"^{operation}: logits must be an array of real numbers"):
            self.call(operation, logits)


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        ([0.0, 1.0], TypeError, r"labels must be integers .* and are float64: use \.astype\(int\)"),
        (np.array([True, False]), TypeError, "labels must be integers .* are bool"),
        (["cat", "dog"], TypeError, "labels must be integers"),
        ([0, 1, 2], ValueError, r"labels have shape \(3,\), the logits ask for \(2,\)"),
        ([[0], [1]], ValueError, r"labels have shape \(2, 1\), the logits ask for \(2,\)"),
        (1, ValueError, r"labels have shape \(\), the logits ask for \(2,\)"),
        (
            [[1, 0, 0], [0, 1, 0]],
            ValueError,
            r"labels .* the logits ask for \(2,\); for one-hot rows, use labels\.argmax",
        ),
        ([0, 3], ValueError, r"label 3 of image 1 is out of range: with 3 classes, labels go from 0 to 2 \(1 of 2 "),
        ([-1, -1], ValueError, r"label -1 of image 0 is out of range: .* \(2 of 2 "),
    ],
)
def test_bad_labels(labels, error, message):
    with pytest.raises(error, match=f"^cross_entropy: {message}"):
        F.cross_entropy(np.zeros((2, 3)), labels)


@pytest.mark.parametrize("kind", [np.uint8, np.int32, np.int64, list, Tensor])
def test_integers_of_any_kind_are_labels(kind):
    labels = [1, 2] if kind is list else Tensor(np.array([1, 2])) if kind is Tensor else np.array([1, 2], kind)
    assert F.cross_entropy(np.zeros((2, 3)), labels).item() == pytest.approx(np.log(3))


def test_bad_shape_and_reduction():
    with pytest.raises(
        ValueError, match=r"cross_entropy: logits have shape \(3,\), and must have shape \(B, classes\)"
    ):
        F.cross_entropy(np.zeros(3), np.array([0]))
    with pytest.raises(ValueError, match="unknown reduction 'average': choose 'mean', 'sum' or 'none'"):
        F.cross_entropy(np.zeros((1, 3)), np.array([0]), reduction="average")


# The logit margin


def margin_and_gradient(logits, labels, reduction):
    g = Tensor(logits, requires_grad=True)
    loss = F.margin_loss(g, labels, reduction)
    loss.backward(np.ones(loss.shape, loss.dtype))
    return loss.data, g.grad


def test_the_margin_is_that_of_the_largest_other_logit(logits):
    each = [max(np.delete(g, c)) - g[c] for g, c in zip(logits, LABELS, strict=True)]
    rivals = [max(set(range(5)) - {c}, key=lambda k: g[k]) for g, c in zip(logits, LABELS, strict=True)]
    signs = np.eye(5)[rivals] - np.eye(5)[LABELS]
    for reduction, expected, share in (("none", each, 1), ("sum", sum(each), 1), ("mean", np.mean(each), 1 / 4)):
        loss, gradient = margin_and_gradient(logits, LABELS, reduction)
        np.testing.assert_allclose(loss, expected, rtol=1e-15)
        np.testing.assert_array_equal(gradient, signs * share)


def test_the_margin_is_below_zero_where_the_model_is_right(logits):
    right = logits.argmax(axis=1) == LABELS
    np.testing.assert_array_equal(F.margin_loss(logits, LABELS, "none").data < 0, right)
    assert 0 < right.sum() < 4


@pytest.mark.parametrize("label", [0, 1, 2])
def test_of_tied_logits_the_first_other_counts(label):
    _, gradient = margin_and_gradient(np.ones((1, 3), np.float32), np.array([label]), "sum")
    expected = [0.0, 0.0, 0.0]
    expected[label], expected[1 if label == 0 else 0] = -1, 1
    assert gradient.tolist() == [expected]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("margin", [1.0, 88.0, 1e4, 1e30])
def test_the_margin_never_saturates(margin, dtype):
    loss, gradient = margin_and_gradient(np.array([[0.0, margin]], dtype), np.array([1]), "mean")
    assert loss.dtype == gradient.dtype == dtype
    assert loss == dtype(-margin)
    assert gradient.tolist() == [[1, -1]]


def test_a_margin_needs_logits_of_two_classes():
    with pytest.raises(ValueError, match=r"margin_loss: logits have shape \(2, 1\): a margin is between two classes"):
        F.margin_loss(np.zeros((2, 1)), [0, 0])
    with pytest.raises(ValueError, match=r"margin_loss: logits have shape \(3,\), and must have shape \(B, classes\)"):
        F.margin_loss(np.zeros(3), [0])
    with pytest.raises(TypeError, match="margin_loss: logits must be an array of real numbers"):
        F.margin_loss(np.zeros((1, 3), int), [0])
    with pytest.raises(ValueError, match="margin_loss: unknown reduction 'average'"):
        F.margin_loss(np.zeros((1, 3)), [0], reduction="average")
    with pytest.raises(ValueError, match="margin_loss: label 3 of image 0 is out of range"):
        F.margin_loss(np.zeros((1, 3)), [3])


def test_arguments_are_left_as_they_are(logits):
    before, labels = logits.copy(), LABELS.copy()
    margin_and_gradient(logits, labels, "mean")
    for T in (1.0, 20.0):
        loss_and_gradient(logits, labels, temperature=T)
        F.softmax(logits, T)
        F.log_softmax(logits, T)
    np.testing.assert_array_equal(logits, before)
    np.testing.assert_array_equal(labels, LABELS)


def test_losses_agree_with_pytorch(rng):
    torch = pytest.importorskip("torch")
    for T in (0.3, 1.0, 50.0):
        for reduction in ("mean", "sum"):
            logits, labels = rng.normal(scale=5, size=(6, 10)), rng.integers(0, 10, 6)
            g = torch.tensor(logits, requires_grad=True)
            expected = torch.nn.functional.cross_entropy(g / T, torch.tensor(labels), reduction=reduction)
            expected.backward()
            loss, gradient = loss_and_gradient(logits, labels, temperature=T, reduction=reduction)
            np.testing.assert_allclose(loss, expected.item(), rtol=1e-13)
            np.testing.assert_allclose(gradient, g.grad.numpy(), rtol=1e-11, atol=1e-14)
