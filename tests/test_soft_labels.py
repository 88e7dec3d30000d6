"""Labels that are probabilities: a class is one of them, no digit is lost on the way, and what is none is refused."""

from decimal import Decimal, localcontext

import numpy as np
import pytest

import minidl as md
from minidl import Tensor
from minidl import functional as F
from tests.test_loss import HARD, TEMPERATURES, loss_and_gradient


def oracle(logits, y, T):
    """L and dL/dg for one image, exact but for the last rounding to float64."""
    with localcontext(prec=400):
        g, y = [Decimal(float(x)) / Decimal(T) for x in logits], [Decimal(float(q)) for q in y]
        e = [(x - max(g)).exp() for x in g]
        total = sum(e)
        loss = sum(q * (total.ln() - (x - max(g))) for q, x in zip(y, g, strict=True))
        gradient = [(x / total * sum(y) - q) / Decimal(T) for x, q in zip(e, y, strict=True)]
        return float(loss), np.array(gradient, float)


@pytest.fixture
def soft(rng):
    return F.softmax(rng.normal(scale=3, size=(6, 5))).data


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("T", TEMPERATURES)
def test_a_class_is_the_row_that_is_sure_of_it_to_the_bit(T, dtype, rng):
    logits, labels = rng.normal(scale=20, size=(40, 7)).astype(dtype), rng.integers(7, size=40)
    for reduction in ("none", "sum", "mean"):
        ours = loss_and_gradient(logits, labels, temperature=T, reduction=reduction)
        rows = loss_and_gradient(logits, np.eye(7, dtype=dtype)[labels], temperature=T, reduction=reduction)
        for a, b in zip(ours, rows, strict=True):
            assert a.dtype == b.dtype == dtype
            assert a.tobytes() == b.tobytes()


SURE = [[1.0, 0, 0], [1, 1e-20, 1e-30], [1e-12, 1, 1e-40]]


@pytest.mark.parametrize("y", [*SURE, [0.5, 0.5, 0], [0.2, 0.3, 0.5]], ids=str)
@pytest.mark.parametrize("name", HARD)
def test_no_digits_are_lost(name, y):
    """Where p and y both round to 1, their difference is that of the other classes."""
    logits = np.array([HARD[name][0]])
    for T in (0.1, 1.0, 20.0):
        loss, gradient = loss_and_gradient(logits, np.array([y]), temperature=T, reduction="none")
        exact_loss, exact = oracle(logits[0], y, T)
        np.testing.assert_allclose(loss[0], exact_loss, rtol=1e-12)
        np.testing.assert_allclose(gradient[0], exact, rtol=1e-12, atol=1e-300)


def test_the_gradient_is_zero_where_labels_are_the_models_own(rng):
    for T in (1.0, 20.0):
        g = rng.normal(scale=4, size=(30, 6))
        _, gradient = loss_and_gradient(g, F.softmax(g, T).data, temperature=T, reduction="sum")
        assert abs(gradient).max() < 1e-15 / T


def test_losses_agree_with_pytorch(rng, soft):
    torch = pytest.importorskip("torch")
    for T in (0.3, 1.0, 50.0):
        for reduction in ("mean", "sum"):
            logits = rng.normal(scale=5, size=(6, 5))
            g = torch.tensor(logits, requires_grad=True)
            expected = torch.nn.functional.cross_entropy(g / T, torch.tensor(soft), reduction=reduction)
            expected.backward()
            loss, gradient = loss_and_gradient(logits, soft, temperature=T, reduction=reduction)
            np.testing.assert_allclose(loss, expected.item(), rtol=1e-13)
            np.testing.assert_allclose(gradient, g.grad.numpy(), rtol=1e-11, atol=1e-14)


def test_lists_and_tensors_are_rows_too_and_stay_as_they_are(soft):
    expected = F.cross_entropy(np.zeros((6, 5)), soft).item()
    before = soft.copy()
    for rows in (soft.tolist(), Tensor(soft), Tensor(soft, requires_grad=True), soft.astype(np.longdouble)):
        assert F.cross_entropy(np.zeros((6, 5)), rows).item() == pytest.approx(expected)
    np.testing.assert_array_equal(soft, before)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_what_softmax_gives_is_taken(dtype, rng):
    """Though in few digits it sums to 1 but nearly."""
    rows = F.softmax(rng.normal(scale=3, size=(200, 100)).astype(dtype)).data
    assert rows.dtype == dtype
    assert np.isfinite(F.cross_entropy(np.zeros((200, 100)), rows).item())


def fourth(value):
    return lambda y: np.where(np.arange(6)[:, None] == 3, value, y)


BAD = {
    "of sum": (lambda y: 2 * y, r"the labels of image 0 are of sum 2, .* \(6 of 6 are none\): functional\.softmax"),
    "NaN": (fourth(np.nan), "the labels of image 3 are NaN or infinite"),
    "infinite": (
        lambda y: np.where(np.arange(6)[:, None] == 3, np.inf, y),
        "the labels of image 3 are NaN or infinite",
    ),
    "below 0": (
        lambda y: y - [0.5, -0.5, 0, 0, 0] * (np.arange(6)[:, None] > 4),
        r"image 5 are below 0 \(-0\..* \(1 of",
    ),
    "logits": (np.log, "the labels of image 0 are below 0"),
    "classes": (lambda y: y[:, :4], r"shape \(6, 4\), and as probabilities .* must have shape \(6, 5\)"),
    "images": (lambda y: y[:4], r"shape \(4, 5\), and as probabilities .* must have shape \(6, 5\)"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_probability_is_refused(name, soft):
    change, message = BAD[name]
    with pytest.raises(ValueError, match=f"^cross_entropy: .*{message}"):
        F.cross_entropy(np.zeros((6, 5)), change(soft))


def test_fit_and_evaluate_take_them():
    """Two images mixed, with their labels (Zhang et al. 2018): right is who finds the likelier."""
    images, labels = md.data.digits("train")
    rows = np.eye(10)[labels[:400]]
    mixed = [(0.7 * images[:200] + 0.3 * images[200:400], 0.7 * rows[:200] + 0.3 * rows[200:])]
    model = md.models.fc5(image_size=8, channels=1, seed=0)
    curve = md.fit(model, mixed, md.optim.SGD(model.parameters(), 0.05, momentum=0.9), epochs=30, progress=False)
    assert curve[-1].accuracy > 0.9
    score = md.evaluate(model, mixed, progress=False)
    assert score.accuracy > 0.9
    assert score.loss > -(0.7 * np.log(0.7) + 0.3 * np.log(0.3)) * 0.8  # the labels' own entropy, but for equal classes
    with pytest.raises(ValueError, match="labels of image 0 are of sum 2"):
        md.fit(model, [(mixed[0][0], 2 * mixed[0][1])], md.optim.SGD(model.parameters(), 0.1), 1, progress=False)
