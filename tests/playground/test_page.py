"""What can be said of the playground without a browser: its networks, its size, and both its languages."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest

import minidl as md
from tests.playground.browser import PAGE

FOLDER = PAGE.parent
COMPUTE, SHOW = ("network.js", "attacks.js", "drawing.js"), ("pictures.js", "page.js")
TEXT = PAGE.read_text(encoding="utf-8")


class Spoken(HTMLParser):
    """What the page says in each language, in its order, and outside of both."""

    def __init__(self):
        super().__init__()
        self.said, self.plain, self._open = {"en": [], "fr": []}, [], []
        self.feed(TEXT.partition("<body>")[2].partition("</body>")[0])

    def handle_starttag(self, tag, attributes):
        if tag not in ("input", "link", "meta"):
            self._open.append(dict(attributes).get("lang"))
            if self._open[-1]:
                self.said[self._open[-1]].append("")

    def handle_endtag(self, tag):
        self._open.pop()

    def handle_data(self, data):
        language = next(filter(None, reversed(self._open)), None)
        if language:
            self.said[language][-1] += data
        else:
            self.plain.append(data)


def test_all_is_said_in_both_languages():
    spoken = Spoken()
    english, french = spoken.said["en"], spoken.said["fr"]
    assert len(english) == len(french) > 40
    assert all(text.strip() for text in english + french)
    words = re.findall(r"[A-Za-zÀ-ÿ]{2,}", " ".join(spoken.plain))
    assert set(words) <= {"English", "Français", "FGSM", "PGD", "float", "dense"}


def test_numbers_stand_in_both_languages():
    """Where a text has a place for a number, so has its translation; names of keys and files likewise."""
    pairs = re.findall(r'<(span|p)[^>]* lang="en">(.*?)</\1>\s*<\1[^>]* lang="fr">(.*?)</\1>', TEXT, re.DOTALL)
    assert len(pairs) > 40
    for _, english, french in pairs:
        assert sorted(re.findall(r"data-is=\"(\w+)\"|<code>(.*?)</code>", english)) == sorted(
            re.findall(r"data-is=\"(\w+)\"|<code>(.*?)</code>", french)
        )


def test_it_is_small():
    assert sum(file.stat().st_size for file in FOLDER.iterdir() if file.suffix in (".html", ".css", ".js")) <= 1e6
    assert (FOLDER / "networks.js").stat().st_size <= 500e3
    lines = {name: (FOLDER / name).read_text(encoding="utf-8").splitlines() for name in (*COMPUTE, *SHOW)}
    assert max(len(line) for found in lines.values() for line in found) <= 120
    assert sum(len(lines[name]) for name in COMPUTE) <= 250
    assert sum(map(len, lines.values())) <= 550


def test_it_names_nothing_elsewhere():
    for file in (*(FOLDER / name for name in (*COMPUTE, *SHOW, "style.css")), FOLDER / "index.html"):
        assert "://" not in file.read_text(encoding="utf-8")


def test_the_networks_are_what_the_page_says(make):
    said = {
        name: (float(accuracy), int(weights))
        for name, accuracy, weights in re.findall(
            r'"(\w+)":\{"temperature":[\d.]+,"accuracy":([\d.]+),"weights":(\d+)',
            make.FILE.read_text(encoding="utf-8"),
        )
    }
    networks, labels = make.read(), md.data.digits("val").labels
    assert list(said) == list(networks) == list(make.NETWORKS)
    for name, model in networks.items():
        accuracy, weights = said[name]
        assert np.mean(make.answers(model) == labels) == pytest.approx(accuracy, abs=1.5 / len(labels))
        kernels = [parameter.data for parameter in model.parameters() if parameter.data.ndim > 1]
        assert sum(map(np.count_nonzero, kernels)) == weights
        assert accuracy > (0.9 if name == "pruned98" else 0.97)
    assert said["pruned90"][1] == pytest.approx(0.1 * said["dense"][1], abs=1)
    assert said["pruned98"][1] == pytest.approx(0.02 * said["dense"][1], abs=1)
    assert said["lowrank"][1] < said["dense"][1]


def test_what_is_written_is_what_was_trained(make):
    """Each kind of layer comes back as it was, after a training too short to learn much."""
    images = make.enlarge(md.data.digits("val").images[:20])
    for settings in ({"temperature": 90}, {"ranks": (2, 8)}):
        model = make.trained(**settings, epochs=1)
        again = md.nn.Sequential(*map(make.module_of, make.layers_of(model))).eval()
        np.testing.assert_allclose(again(md.Tensor(images)).data, model(md.Tensor(images)).data, atol=1e-4)


def test_it_refuses_a_layer_that_the_page_has_not(make):
    with pytest.raises(TypeError, match="no layer for a Dropout"):
        list(make.layers_of(md.nn.Dropout(0.5)))


def test_a_digit_keeps_its_ink_when_it_is_enlarged(make):
    images = md.data.digits("val").images
    large = make.enlarge(images)
    assert large.shape == (len(images), 16, 16, 1)
    assert large.min() >= 0
    assert large.max() <= 1
    np.testing.assert_allclose(large.sum(axis=(1, 2, 3)), 4 * images.sum(axis=(1, 2, 3)), rtol=1e-5)
