"""The playground's numbers, computed by a real browser, are minidl's: for 200 digits, all networks, three attackers."""

import base64
import warnings

import numpy as np
import pytest

import minidl as md
from minidl import functional as F
from minidl import kernels

COUNT, CLIMBED, EPSILON, STEPS = 200, 50, 0.125, 4  # digits, those of PGD
ATTACKERS = (("cross_entropy", 1.0), ("cross_entropy", 90.0), ("margin", 1.0))
each_network = pytest.mark.parametrize("name", ["dense", "pruned90", "pruned98", "lowrank", "hot"])

# In the page: each digit's logits, and for an attacker the gradient, FGSM's image and PGD's points; in base64.
MEASURE = """
(() => {
  const kind = %(bits)d === 32 ? Float32Array : Float64Array, found = { logits: [], gradient: [], fgsm: [], pgd: [] };
  const layers = net("%(network)s"), digits = %(digits)s, labels = %(labels)s, attacker = %(attacker)s;
  digits.forEach((digit, i) => {
    const x = { data: kind.from(enlarge(digit)), shape: [16, 16, 1] }, all = values(layers, x);
    const slope = lossGradient(layers, all, labels[i], attacker);
    found.logits.push(...all.at(-1).data);
    found.gradient.push(...slope.data);
    found.fgsm.push(...fgsm(x, slope, %(epsilon)r).data);
    if (i >= %(climbed)d) return;
    const points = pgd(layers, x, labels[i], attacker, %(epsilon)r, %(steps)d, %(epsilon)r / 4);
    for (const point of points) found.pgd.push(...point.x.data);
  });
  for (const name in found) {
    let text = "";
    for (const byte of new Uint8Array(Float64Array.from(found[name]).buffer)) text += String.fromCharCode(byte);
    found[name] = btoa(text);
  }
  return found;
})()
"""


@pytest.fixture(scope="module")
def networks(make):
    """minidl's, from the page's own file."""
    return make.read()


@pytest.fixture(scope="module")
def digits(make):
    """(8 x 8 as the page enlarges them, 16 x 16 as minidl reads them, labels)"""
    small, labels = md.data.digits("val")
    return small[:COUNT], make.enlarge(small[:COUNT]), labels[:COUNT]


def measured(page, name, attacker, bits, digits):
    small, _, labels = digits
    loss, temperature = attacker
    found = page.evaluate(
        MEASURE
        % {
            "bits": bits,
            "network": name,
            "digits": small.reshape(-1, 64).tolist(),
            "labels": labels.tolist(),
            "attacker": f'{{ loss: "{loss}", T: {temperature} }}',
            "epsilon": EPSILON,
            "steps": STEPS,
            "climbed": CLIMBED,
        }
    )
    arrays = {key: np.frombuffer(base64.b64decode(text)) for key, text in found.items()}
    images = {key: arrays[key].reshape(-1, 16, 16, 1) for key in ("gradient", "fgsm")}
    return {
        "logits": arrays["logits"].reshape(-1, 10),
        **images,
        "pgd": arrays["pgd"].reshape(-1, STEPS + 1, 16, 16, 1),
    }


def expected(model, attacker, images, labels):
    """The logits, the gradient, and the images of FGSM and PGD, by minidl in the precision of the images."""
    loss, temperature = attacker
    x = md.Tensor(images, requires_grad=True)
    logits = model(x)
    if loss == "margin":
        F.margin_loss(logits, labels, reduction="sum").backward(inputs=[x])
    else:
        F.cross_entropy(logits, labels, temperature, reduction="sum").backward(inputs=[x])
    options = {"loss": loss, "temperature": temperature}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", md.robustness.ZeroGradientWarning)
        fgsm = md.robustness.fgsm(model, images, labels, [EPSILON], **options).adversarial[0]
        pgd = md.robustness.pgd(
            model,
            images[:CLIMBED],
            labels[:CLIMBED],
            [EPSILON],
            steps=STEPS,
            step=EPSILON / 4,
            start="image",
            **options,
        ).adversarial[0]
    return {"logits": logits.data, "gradient": x.grad, "fgsm": fgsm, "pgd": pgd}


def kept(points, model, labels):
    """What minidl's PGD keeps of (B, STEPS + 1, 16, 16, 1): the last point, or the last to succeed."""
    labels = labels[: len(points)]
    fooled = np.stack([model(md.Tensor(points[:, k])).data.argmax(axis=1) != labels for k in range(STEPS + 1)], axis=1)
    last = np.where(fooled[:, 1:].any(axis=1), STEPS - fooled[:, :0:-1].argmax(axis=1), STEPS)
    return points[np.arange(len(points)), last]


@pytest.mark.parametrize("attacker", ATTACKERS, ids=["cross-entropy", "cross-entropy at T = 90", "margin"])
@each_network
def test_float64_is_minidls(page, networks, digits, name, attacker):
    """200 digits: logits and gradients to rounding, images of both attacks alike."""
    model, (_, large, labels) = networks[name].astype(np.float64), digits
    ours, theirs = measured(page, name, attacker, 64, digits), expected(model, attacker, large.astype(float), labels)
    np.testing.assert_allclose(ours["logits"], theirs["logits"], rtol=0, atol=1e-10)
    np.testing.assert_allclose(ours["gradient"], theirs["gradient"], rtol=0, atol=1e-10)
    np.testing.assert_array_equal(ours["fgsm"], theirs["fgsm"])
    np.testing.assert_array_equal(kept(ours["pgd"], model, labels), theirs["pgd"])


@each_network
def test_float32_is_minidls_to_its_rounding(page, networks, digits, name):
    """The page rounds what it stores, minidl's kernels each sum: logits and gradients differ in the last digits."""
    model, (_, large, labels) = networks[name].astype(np.float32), digits
    attacker = ("cross_entropy", 90.0 if name == "hot" else 1.0)
    ours, theirs = measured(page, name, attacker, 32, digits), expected(model, attacker, large, labels)
    for what in ("logits", "gradient"):
        largest = abs(theirs[what]).reshape(COUNT, -1).max(axis=1).clip(1)  # the hot network's logits are some 1000
        differences = abs(ours[what] - theirs[what]).reshape(COUNT, -1).max(axis=1)
        assert (differences / largest).max() < 1e-5
    np.testing.assert_array_equal(ours["logits"].argmax(axis=1), theirs["logits"].argmax(axis=1))
    gradient = abs(theirs["gradient"])
    felt = gradient > 1e-5 * gradient.max(axis=(1, 2, 3), keepdims=True)  # what is smaller may have either sign
    np.testing.assert_array_equal(ours["fgsm"][felt], theirs["fgsm"][felt])


def test_the_hot_networks_gradient_vanishes_as_minidls_does(page, networks, digits):
    _, large, labels = digits
    ours = measured(page, "hot", ATTACKERS[0], 32, digits)
    theirs = expected(networks["hot"].astype(np.float32), ATTACKERS[0], large, labels)
    vanished = [(found["gradient"] == 0).all(axis=(1, 2, 3)) for found in (ours, theirs)]
    assert vanished[1].mean() > 0.8
    assert (vanished[0] != vanished[1]).mean() <= 0.01  # one or two may be at the very edge


def test_the_loops_are_those_of_minidl(page, networks, digits):
    """Not only alike: the same sums in the same order, so that float64 has the same bits."""
    small, large, labels = (part[:1] for part in digits)
    for name in ("dense", "lowrank"):
        model = networks[name].astype(np.float64)
        x = md.Tensor(large.astype(float), requires_grad=True)
        with kernels.using("loops"):
            logits = model(x)
            F.margin_loss(logits, labels, reduction="sum").backward(inputs=[x])
        ours = measured(page, name, ("margin", 1.0), 64, (small, large, labels))
        np.testing.assert_array_equal(ours["logits"], logits.data)
        np.testing.assert_array_equal(ours["gradient"], x.grad)
