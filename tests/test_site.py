"""The site: it builds without a warning, its links lead somewhere, and it needs no network to be read."""

import importlib.util
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import minidl

NEEDED = ("sphinx", "myst_nb", "numpydoc", "sphinx_design", "furo", "sphinx-mathjax-offline")
pytestmark = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in NEEDED), reason='needs pip install -e ".[docs]"'
)

ROOT = Path(__file__).parents[1]
LOADED = {"img": "src", "script": "src", "link": "href", "source": "src", "iframe": "src"}  # by the browser, unasked


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the built site."""
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", str(ROOT / "docs"), str(out / "html")]
    done = subprocess.run(
        [*command, "-d", str(out / "doctrees")], capture_output=True, text=True, encoding="utf-8", timeout=600
    )
    assert done.returncode == 0, done.stderr
    return out / "html"


class Page(HTMLParser):
    """What a page links to, what it loads, and the places in it that can be linked to."""

    def __init__(self, path):
        super().__init__()
        self.links, self.loads, self.anchors = [], [], {""}
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.anchors.update(attributes[name] for name in ("id", "name") if attributes.get(name))
        if tag == "a" and attributes.get("href"):
            self.links.append(attributes["href"])
        if attributes.get(LOADED.get(tag, "")) and attributes.get("rel") not in ("canonical", "author"):
            self.loads.append(attributes[LOADED[tag]])


@pytest.fixture(scope="module")
def pages(site):
    return {path: Page(path) for path in sorted(site.rglob("*.html"))}


def test_every_link_within_the_site_leads_somewhere(pages):
    broken = []
    for path, page in pages.items():
        for link in page.links + page.loads:
            address = urlsplit(link)
            if address.scheme or address.netloc:
                continue
            target = (path.parent / unquote(address.path)).resolve() if address.path else path
            anchors = pages[target].anchors if target in pages else {""}
            known = target.exists() and (target.suffix != ".html" or unquote(address.fragment) in anchors)
            if not known:
                broken.append(f"{path.name}: {link}")
    assert broken == []


def test_no_page_loads_anything_from_elsewhere(pages):
    elsewhere = {load for page in pages.values() for load in page.loads if urlsplit(load).netloc}
    assert elsewhere == set()


def test_formulas_are_drawn_by_what_is_there(site, pages):
    scripts = {load.partition("?")[0] for page in pages.values() for load in page.loads if "mathjax" in load}
    assert scripts, "no page has formulas"
    assert (site / "_static" / "mathjax" / "tex-chtml.js").is_file()


def test_every_lesson_and_page_is_in_the_site(site):
    docs = ROOT / "docs"
    sources = [*docs.rglob("*.md"), *(docs / "notebooks").glob("*.ipynb")]
    missing = [s for s in sources if not (site / s.relative_to(docs).with_suffix(".html")).exists()]
    assert missing == []


def test_every_public_name_is_in_the_reference(site):
    anchors = set()
    for page in (site / "api").glob("*.html"):
        anchors |= set(re.findall(r'id="(minidl[\w.]*)"', page.read_text(encoding="utf-8")))
    missing = []
    for part in (minidl, *(getattr(minidl, name) for name in minidl.__all__)):
        if getattr(part, "__name__", "").startswith("minidl") and hasattr(part, "__path__"):
            missing += [
                f"{part.__name__}.{name}" for name in getattr(part, "__all__", ()) if not _there(part, name, anchors)
            ]
    assert missing == []


def _there(part, name, anchors):
    value = getattr(part, name)
    if not (callable(value) and getattr(value, "__doc__", None)):
        return True
    places = {f"{part.__name__}.{name}"} | ({f"minidl.{name}"} if getattr(minidl, name, None) is value else set())
    return not places.isdisjoint(anchors)
