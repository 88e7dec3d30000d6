"""The playground in a real browser: its numbers are minidl's, keys alone suffice, and nothing leaves the page."""

import base64
import contextlib
import importlib.util
import warnings
from pathlib import Path

import numpy as np
import pytest

import minidl as md
from minidl import functional as F
from tests.playground import browser

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "playground" / "index.html"
COUNT, CLIMBED, EPSILON, STEPS = 200, 50, 0.125, 4  # digits, those of PGD
ATTACKERS = (("cross_entropy", 1.0), ("cross_entropy", 90.0), ("margin", 1.0))
pytestmark = pytest.mark.skipif(browser.CHROMIUM is None, reason="needs chromium, chromium-browser or google-chrome")

# In the page: of each digit the logits, and for an attacker the gradient, FGSM's image and the points of PGD; in base64.
MEASURE = """
(() => {
  const kind = %(bits)d === 32 ? Float32Array : Float64Array, found = { logits: [], gradient: [], fgsm: [], pgd: [] };
  const net = layersOf("%(network)s"), digits = %(digits)s, labels = %(labels)s, attacker = %(attacker)s;
  digits.forEach((digit, i) => {
    const x = { data: kind.from(enlarge(digit)), shape: [16, 16, 1] }, all = values(net, x);
    const slope = lossGradient(net, all, labels[i], attacker);
    found.logits.push(...all.at(-1).data);
    found.gradient.push(...slope.data);
    found.fgsm.push(...fgsm(x, slope, %(epsilon)r).data);
    if (i < %(climbed)d) for (const point of pgd(net, x, labels[i], attacker, %(epsilon)r, %(steps)d, %(epsilon)r / 4)) found.pgd.push(...point.x.data);
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
def make():
    spec = importlib.util.spec_from_file_location("make", PAGE.with_name("make.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    chromium = browser.Browser(tmp_path_factory.mktemp("browser"))
    chromium.open(PAGE.as_uri() + "#en")
    with contextlib.closing(chromium):
        yield chromium


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
    small, large, labels = digits
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
    return {"logits": arrays["logits"].reshape(-1, 10), **images, "pgd": arrays["pgd"].reshape(-1, STEPS + 1, 16, 16, 1)}


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
    """The point (B, 16, 16, 1) that minidl's PGD keeps of (B, STEPS + 1, 16, 16, 1): the last, or the last to succeed."""
    labels = labels[: len(points)]
    fooled = np.stack([model(md.Tensor(points[:, k])).data.argmax(axis=1) != labels for k in range(STEPS + 1)], axis=1)
    last = np.where(fooled[:, 1:].any(axis=1), STEPS - fooled[:, :0:-1].argmax(axis=1), STEPS)
    return points[np.arange(len(points)), last]


@pytest.mark.parametrize("attacker", ATTACKERS, ids=["cross-entropy", "cross-entropy at T = 90", "margin"])
@pytest.mark.parametrize("name", ["dense", "pruned90", "pruned98", "lowrank", "hot"])
def test_float64_is_minidls(page, networks, digits, name, attacker):
    """200 digits: logits and gradients to rounding, images of both attacks alike."""
    model, (_, large, labels) = networks[name].astype(np.float64), digits
    ours, theirs = measured(page, name, attacker, 64, digits), expected(model, attacker, large.astype(float), labels)
    np.testing.assert_allclose(ours["logits"], theirs["logits"], rtol=0, atol=1e-10)
    np.testing.assert_allclose(ours["gradient"], theirs["gradient"], rtol=0, atol=1e-10)
    np.testing.assert_array_equal(ours["fgsm"], theirs["fgsm"])
    np.testing.assert_array_equal(kept(ours["pgd"], model, labels), theirs["pgd"])


@pytest.mark.parametrize("attacker", ATTACKERS, ids=["cross-entropy", "cross-entropy at T = 90", "margin"])
@pytest.mark.parametrize("name", ["dense", "pruned90", "pruned98", "lowrank", "hot"])
def test_float32_is_minidls_to_its_rounding(page, networks, digits, name, attacker):
    model, (_, large, labels) = networks[name].astype(np.float32), digits
    ours, theirs = measured(page, name, attacker, 32, digits), expected(model, attacker, large, labels)
    for what in ("logits", "gradient"):
        a, b = ours[what].reshape(COUNT, -1), theirs[what].reshape(COUNT, -1)
        scale = np.maximum(abs(b).max(axis=1), 1)
        print(what, (abs(a - b).max(axis=1)/scale).max(), (abs(a - b).max(axis=1)/abs(b).max(axis=1)).max())
    print("fgsm", (ours["fgsm"] != theirs["fgsm"]).mean(), (kept(ours["pgd"], model, labels) != theirs["pgd"]).mean())
    assert 0
