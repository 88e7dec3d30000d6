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
from minidl import kernels
from tests.playground import browser

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "playground" / "index.html"
COUNT, CLIMBED, EPSILON, STEPS = 200, 50, 0.125, 4  # digits, those of PGD
ATTACKERS = (("cross_entropy", 1.0), ("cross_entropy", 90.0), ("margin", 1.0))
each_network = pytest.mark.parametrize("name", ["dense", "pruned90", "pruned98", "lowrank", "hot"])
pytestmark = pytest.mark.skipif(browser.CHROMIUM is None, reason="needs chromium, chromium-browser or google-chrome")

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


def test_keys_alone_suffice(page):
    """Draw a one, attack it, guess and look at the answer: with the tabulator, arrows, the space bar and Enter."""
    page.open(PAGE.as_uri() + "#en")

    def go_to(selector):
        for _ in range(80):
            page.press("Tab")
            if page.evaluate(f"document.activeElement.matches({selector!r})"):
                return
        raise AssertionError(f"the tabulator does not lead to {selector}")

    go_to("#pad")
    page.press(" ", *["ArrowDown"] * 12, " ")
    assert page.evaluate("state.strokes.length") == 1
    assert page.evaluate("state.pixels.reduce((a, b) => a + b)") > 20
    go_to("#label input")
    page.press("ArrowRight")
    go_to("#network input")
    page.press("ArrowRight")
    assert page.evaluate("state.network") == "pruned90"
    go_to(".epsilon")
    page.press("ArrowRight")
    assert page.evaluate("state.epsilon") == 17
    go_to("#fgsm")
    page.press("Enter")
    assert page.evaluate("state.method") == "fgsm"
    go_to("#pgd")
    page.press(" ", " ")
    assert page.evaluate("[state.method, state.steps]") == ["pgd", 2]
    go_to("#guess input")
    page.press(" ")
    assert page.evaluate("state.guess") == "dense"
    assert page.evaluate("document.getElementById('answered').hidden")
    go_to("#answer")
    page.press("Enter")
    assert not page.evaluate("document.getElementById('answered').hidden")
    assert page.evaluate("state.asked") == 1
    go_to("#setup")
    page.press("Enter")
    assert page.evaluate("[state.network, state.T]") == ["hot", 1]


def test_a_hand_draws(page):
    """A seven, by pointer: all five networks read it, and it is labelled so."""
    page.open(PAGE.as_uri() + "#en")
    box = "document.getElementById('pad').getBoundingClientRect()"
    left, top, side = page.evaluate(f"(({{ x, y, width }}) => [x, y, width])({box})")
    way = [(0.3, 0.18), (0.5, 0.18), (0.7, 0.18), (0.58, 0.5), (0.45, 0.85)]
    events = [("mousePressed", way[0]), *(("mouseMoved", point) for point in way[1:]), ("mouseReleased", way[-1])]
    for kind, (x, y) in events:
        place = {"x": left + x * side, "y": top + y * side}
        page.call("Input.dispatchMouseEvent", type=kind, button="left", buttons=1, clickCount=1, **place)
    assert page.evaluate("KEYS.map(key => largest(clean(key).at(-1).data))") == [7, 7, 7, 7, 7]
    assert page.evaluate("[state.label, state.down]") == [7, False]
    page.evaluate("document.getElementById('clear').click()")
    assert page.evaluate("state.strokes.length") == 0


def test_why_nothing_happened_is_said(page):
    page.open(PAGE.as_uri() + "#en")
    page.evaluate("document.getElementById('setup').click()")
    assert "the gradient is 0 in every pixel" in page.evaluate("document.getElementById('verdict').innerText")
    assert page.evaluate("document.querySelector('[data-is=single]').textContent") == "0"
    assert page.evaluate("document.querySelector('[data-is=margins]').textContent") == "256"
    assert page.evaluate("document.querySelectorAll('#digits s:not(:empty)').length") == 9


def test_a_right_guess_counts_and_a_wrong_one_does_not(page):
    page.open(PAGE.as_uri() + "#en")
    firsts = "KEYS.filter(key => state.answers[key].at === Math.min(...KEYS.map(k => state.answers[k].at ?? Infinity)))"
    for is_right in (1, 0):
        page.evaluate("take(2)")
        page.evaluate("state.guess = 'dense', answer()")  # to know what is right
        known = page.evaluate(firsts)
        others = [key for key in page.evaluate("KEYS") if key not in known]
        page.evaluate("take(2), Object.assign(state, { right: 0, asked: 0 }) && 0")
        chosen = known[0] if is_right else others[0]
        page.evaluate(f"document.querySelector('#guess input[value={chosen}]').click()")
        page.evaluate("document.getElementById('answer').click()")
        assert page.evaluate("[state.right, state.asked]") == [is_right, 1]
        assert page.evaluate("document.querySelectorAll('.first').length") == len(known)


@pytest.mark.parametrize("language", ["en", "fr"])
@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_cut_and_one_language_is_seen(page, width, language):
    page.open(f"{PAGE.as_uri()}#{language}", width)
    page.evaluate("document.getElementById('setup').click(), state.guess = 'hot', answer()")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    everything = "[...document.querySelectorAll('main *, header *, footer *')]"
    outside = f"{everything}.filter(e => e.getBoundingClientRect().right > innerWidth)"
    assert page.evaluate(f"{outside}.map(e => e.outerHTML.slice(0, 80))") == []
    text = page.evaluate("document.body.innerText")
    assert ("Show the answer" in text) == (language == "en")
    assert ("Voir la réponse" in text) == (language == "fr")


@pytest.mark.parametrize("slider", ["epsilon", "T"])
@pytest.mark.parametrize("method", ["fgsm", "pgd"])
def test_a_slider_is_answered_at_once(page, method, slider):
    """With all that the page can show; in processor time, as what else the machine does is not the page's."""
    page.open(PAGE.as_uri() + "#en")
    page.evaluate(f"choose({{ method: '{method}', steps: STEPS, guess: 'dense' }}), answer()")
    move = f"""for (let i = 0; i < 20; i++) {{
      const slider = document.querySelector(".{slider}");
      slider.value = i % 7 + {20 if slider == "epsilon" else 0};
      slider.dispatchEvent(new Event("input", {{ bubbles: true }}));
    }}"""
    page.evaluate(move)  # is compiled
    before = page.seconds()
    page.evaluate(move)
    milliseconds = 1000 * (page.seconds() - before) / 20
    print(f"{method}, {slider}: {milliseconds:.0f} ms")
    assert milliseconds < 30


def test_nothing_leaves_the_page_and_nothing_is_complained_of(page):
    """After all of the above."""
    asked = {
        event["params"]["request"]["url"] for event in page.events if event["method"] == "Network.requestWillBeSent"
    }
    files = {PAGE.with_name(name).as_uri() for name in ("style.css", "networks.js", "network.js", "attacks.js")}
    files |= {PAGE.with_name(name).as_uri() for name in ("drawing.js", "pictures.js", "page.js")}
    assert {url.partition("#")[0] for url in asked} <= {PAGE.as_uri(), "about:blank", "data:,", *files}
    assert files <= asked
    told = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")
    assert [event for event in page.events if event["method"] in told] == []
