"""The page in a real browser, as wide as a phone's and as a desk's, light and dark: nothing overflows, is cut or faint.

A second page, ``measure.html``, served beside the first, shows it in frames of these widths and measures it there. What
it finds becomes its own text, which ``chromium --dump-dom`` prints: no driver is needed.
"""

import functools
import html
import http.server
import json
import re
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from minidl import report
from tests.report.synthetic import write_study
from tests.report.test_page import write_evil

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WIDTHS = (390, 1280)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium, chromium-browser or google-chrome")

MEASURE = Path(__file__).with_name("measure.html").read_text(encoding="utf-8")


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves the study's folder, and notes what was asked for."""

    def log_request(self, code="-", size="-"):
        self.server.asked.append(self.path)


def measured(folder, scheme, page="index.html"):
    """What the browser finds at each width, and what it asked the server for."""
    frames = "".join(f'<iframe src="{page}" style="width: {width}px"></iframe>' for width in WIDTHS)
    (folder / "measure.html").write_text(MEASURE.replace("FRAMES", frames), encoding="utf-8")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=folder))
    server.asked = []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
    options += [f"--user-data-dir={folder / 'browser'}", "--window-size=1400,1000", "--virtual-time-budget=20000"]
    options += [f"--blink-settings=preferredColorScheme={0 if scheme == 'dark' else 1}"]
    try:
        url = f"http://127.0.0.1:{server.server_port}/measure.html"
        command = [CHROMIUM, *options, "--dump-dom", url]
        done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=120)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    found = re.search(r'<pre id="found">(.+?)</pre>', done.stdout, re.DOTALL)
    assert found, f"chromium said nothing: {done.stderr[-2000:]}"
    return json.loads(html.unescape(found[1])), server.asked


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Of each kind of figure one, with one and with three panels' worth of lines, and a half-finished one."""
    folder = write_study(
        tmp_path_factory.mktemp("study"), figures=("9", "11", "12b", "13a"), unfinished=(1, 4, *range(18, 36))
    )
    report.write_claims(folder)
    report.write_page(folder)
    return folder


@pytest.fixture(scope="module", params=[("light", "index.html"), ("dark", "index.html"), ("dark", "index.fr.html")])
def found(request, study):
    scheme, page = request.param
    frames, asked = measured(study, scheme, page)
    assert [frame["dark"] for frame in frames] == [scheme == "dark"] * len(WIDTHS)
    assert {*asked} == {"/measure.html", f"/{page}"}
    return frames


def test_nothing_is_wider_than_the_window(found):
    for frame, width in zip(found, WIDTHS, strict=True):
        assert frame["scroll"] <= frame["width"] <= width
        assert frame["outside"] == []


def test_the_figures_are_seen_whole(found):
    for frame in found:
        assert len(frame["panels"]) == 2 + 2 + 3  # of figure 11 nothing is measured yet
        for panel in frame["panels"]:
            assert panel["width"] >= 280
            assert panel["height"] >= 200
            assert panel["cut"] == []
        assert len(frame["curves"]) == 6 + 6 + 2 + 4
        assert min(frame["curves"]) > 50


def test_every_text_can_be_read(found):
    for frame in found:
        assert frame["texts"] > 500
        assert frame["faint"] == []
        assert frame["small"] == []


def test_the_page_fetches_nothing(found):
    for frame in found:
        assert frame["fetched"] == []
        assert frame["scripts"] == 0


def test_what_is_missing_is_seen(found):
    for frame in found:
        assert re.search("(Nothing is|Rien n.est encore) measur", frame["text"].replace("mesur", "measur"))
        assert re.search("2 (of 18 networks are missing|de 18 réseaux manquent)", frame["text"])


def test_what_was_found_is_seen(found):
    """Of three figures there are networks of all lines: their claims have a number, and it is drawn."""
    for frame in found:
        assert frame["ranges"] == 3
        assert len(frame["glimpses"]) == 3
        for glimpse in frame["glimpses"]:
            assert glimpse["width"] >= 250
            assert glimpse["height"] > glimpse["width"] / 2


def test_scripts_in_names_are_shown_and_not_run(tmp_path):
    report.write_page(write_evil(tmp_path))
    frames, asked = measured(tmp_path, "light")
    assert {*asked} == {"/measure.html", "/index.html"}
    for frame in frames:
        assert frame["title"] != "pwned"
        assert frame["scripts"] == 0
        assert frame["text"].count('<script>document.title = "pwned"') > 10
        assert frame["scroll"] <= frame["width"]
        assert frame["fetched"] == []
