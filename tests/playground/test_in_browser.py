"""The playground in a real browser: a hand draws, keys alone suffice, nothing is cut, and nothing leaves the page."""

import pytest

from tests.playground.browser import ENGLISH, PAGE


def test_keys_alone_suffice(page):
    """Draw a one, attack it, guess and look at the answer: with the tabulator, arrows, the space bar and Enter."""
    page.open(ENGLISH)

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
    """A two, by pointer: all five networks read it, and it is labelled so."""
    page.open(ENGLISH)
    box = "document.getElementById('pad').getBoundingClientRect()"
    left, top, side = page.evaluate(f"(({{ x, y, width }}) => [x, y, width])({box})")
    way = [(0.3, 0.3), (0.35, 0.2), (0.5, 0.15), (0.65, 0.22), (0.68, 0.35), (0.6, 0.5), (0.3, 0.85), (0.72, 0.85)]
    events = [("mousePressed", way[0]), *(("mouseMoved", point) for point in way[1:]), ("mouseReleased", way[-1])]
    for kind, (x, y) in events:
        place = {"x": left + x * side, "y": top + y * side}
        page.call("Input.dispatchMouseEvent", type=kind, button="left", buttons=1, clickCount=1, **place)
    assert page.evaluate("KEYS.map(key => largest(clean(key).at(-1).data))") == [2, 2, 2, 2, 2]
    assert page.evaluate("[state.label, state.down]") == [2, False]
    page.evaluate("document.getElementById('clear').click()")
    assert page.evaluate("state.strokes.length") == 0


def test_why_nothing_happened_is_said(page):
    page.open(ENGLISH)
    page.evaluate("document.getElementById('setup').click()")
    assert "the gradient is 0 in every pixel" in page.evaluate("document.getElementById('verdict').innerText")
    assert page.evaluate("document.querySelector('[data-is=single]').textContent") == "0"
    assert page.evaluate("document.querySelector('[data-is=margins]').textContent") == "256"
    assert page.evaluate("document.querySelectorAll('#digits s:not(:empty)').length") == 9


def test_a_right_guess_counts_and_a_wrong_one_does_not(page):
    page.open(ENGLISH)
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
    page.open(ENGLISH)
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
