"""The page says what the folder holds, whatever state that is in; nothing in it is executed or fetched."""

import collections
import html.parser
import json
import re
import sys

import numpy as np
import pytest

from minidl import report
from minidl.records import Run
from minidl.report import wording
from minidl.report.inline import inline_svg
from tests.report.synthetic import FIGURES, write_study

VOID = {"meta", "link", "br", "path", "use", "line", "polyline", "rect"}
INLINE = {"a", "code", "em", "small", "span", "strong"}


class Page(html.parser.HTMLParser):
    """What the tests ask of a page: its tags, ids, references and visible text; whether its tags are nested well."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.ids, self.references, self.words, self.open = collections.Counter(), [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.handle_startendtag(tag, attributes)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags[tag] += 1
        if tag not in INLINE:
            self.words.append(" ")
        for name, value in attributes:
            assert not name.startswith("on"), "a page without scripts"
            if name == "id":
                self.ids.append(value)
            elif name in ("href", "src", "xlink:href", "srcset", "data", "action"):
                self.references.append(value)
            self.references += re.findall(r"url\((.*?)\)", value or "")

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"style", "script"}.intersection(self.open):
            self.words.append(data)

    @property
    def text(self):
        return " ".join("".join(self.words).split())


def page_of(folder):
    return Page(report.write_page(folder).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    folder = write_study(tmp_path_factory.mktemp("full"), images=785)
    report.draw_figures(report.Results.load(folder))
    return folder


@pytest.fixture(scope="module")
def full_page(full):
    return page_of(full)


def test_ids_are_unique_and_references_stay_within(full, full_page):
    twice = [name for name, n in collections.Counter(full_page.ids).items() if n > 1]
    assert twice == []
    for reference in full_page.references:
        if reference.startswith("#"):
            assert reference[1:] in full_page.ids
        elif reference != "data:,":
            assert (full / reference).is_file()  # a file of the folder, offered for download


def test_everything_is_there(full_page):
    text = full_page.text
    for name in FIGURES:
        assert f"Figure {name}:" in text
    assert full_page.tags["script"] == full_page.tags["img"] == full_page.tags["iframe"] == 0
    assert full_page.tags["figure"] == 10
    assert text.count("Accuracy under attack, %") == 10
    assert "Networks finished 114 of 114" in text
    assert "Not finished" not in text
    assert "Of the report's 9 claims 4 hold, 3 are undecided and 2 fail." in text
    assert "Do sparsity, low rank and high temperature make networks robust?" in text
    assert "3 seeds. Points: their mean. Bars: one standard deviation" in text
    assert "785 validation images" in text
    assert "The attacker does not know T" in text
    assert "The attacker knows T" in text
    assert "Not in the report: FGSM climbs the logit margin" in text
    assert "python experiments/study.py --preset laptop --only resnet18-b512-imagenette64-seed0-" in text
    for word in ("resnet18.weight_decay", "329c2b1", "AMD EPYC 7B13", "2.4.6", "22 min"):
        assert word in text


def test_the_tables_are_the_table(full, full_page):
    """Mean and standard deviation of figure 9's dense networks at epsilon 4/255, from results.csv."""
    rows = [row for row in report.Results.load(full).rows_of("9") if row["sparsity"] == 0 and row["epsilon"] == 4 / 255]
    values = [100 * row["accuracy"] for row in rows]
    mean = sum(values) / 3
    spread = (sum((value - mean) ** 2 for value in values) / 2) ** 0.5
    assert f"{mean:.1f} ± {spread:.1f}" in full_page.text


def test_a_half_finished_study(tmp_path):
    write_study(tmp_path, figures=("9", "11"), unfinished=(0, 1, 2, 4, *range(18, 36)), images=50)
    page = page_of(tmp_path)
    assert "Networks finished 14 of 36" in page.text
    assert "22 networks of 36 are still to be trained or attacked" in page.text
    assert "Not finished. 4 of 18 networks are missing" in page.text
    assert "Nothing is measured yet. 18 of 18 networks are missing" in page.text
    assert "in training 3 seeds, 15 epochs, 3 not finished" in page.text
    assert "sparsity 50 % (2 seeds)" in page.text
    assert page.text.count("not finished") >= 22


def test_training_curves_begin_at_the_left_and_end_at_the_right(tmp_path):
    write_study(tmp_path, figures=("9",), images=50)
    for plot in report.training.training_curves(report.Results.load(tmp_path)):
        assert plot["epochs"] == 30
        for points in plot["lines"]["val_accuracy"]:
            x = [float(point.split(",")[0]) for point in points.split()]
            assert (x[0], x[-1], len(x)) == (0, report.training.PLOT[0], 30)


def test_one_seed_has_intervals(tmp_path):
    write_study(tmp_path, figures=("12b",), seeds=(4,), images=50)
    text = page_of(tmp_path).text
    assert "One seed. Bars: 95 % confidence intervals of the images" in text
    assert re.search(r"\d\d\.\d \[\d\d\.\d, \d\d\.\d\]", text)
    assert "Does low rank make networks robust?" in text


def test_an_empty_study(tmp_path):
    (tmp_path / "study.json").write_text('{"format": 1, "figures": []}', encoding="utf-8")
    assert "This study has no figures" in page_of(tmp_path).text


def test_a_study_that_has_just_begun(tmp_path):
    write_study(tmp_path, figures=("9",), unfinished=range(18), claims=False)
    for path in (tmp_path / "runs").rglob("curve.csv"):
        path.unlink()
    text = page_of(tmp_path).text
    assert "Networks finished 0 of 18" in text
    assert "The report's claims have not been tested yet" in text
    assert "Training" not in text.replace("Time of training", "")


EVIL = '<script>document.title = "pwned"</script><img src=x onerror="alert(1)">\'"&amp;'


def write_evil(folder):
    """A study whose every text is an attack on its page."""
    write_study(folder, figures=("12b",), seeds=(0,), images=40, settings={EVIL: {"a": EVIL, "b": [EVIL]}})
    study = json.loads((folder / "study.json").read_text(encoding="utf-8"))
    entry = study["figures"][0]
    run = entry["runs"][1]
    record = json.loads((folder / "runs" / run / "run.json").read_text(encoding="utf-8"))
    record["run"]["low_rank"] = "LR" + EVIL.replace("/", "")
    name = entry["runs"][1] = Run(**record["run"]).name  # which is part of paths, and has EVIL in it
    for attacks in entry["attacks"].values():
        attacks[name] = attacks.pop(run)
    entry["title"] = study["command"] = study["preset"] = entry["model"] = study["commit"] = EVIL
    study["versions"][EVIL] = EVIL
    (folder / "study.json").write_text(json.dumps(study), encoding="utf-8")
    (folder / "runs" / run).rename(folder / "runs" / name)
    for path in (folder / "runs" / name / "attacks").iterdir():
        with np.load(path) as arrays:
            np.savez(path, **dict(arrays) | {"run": name})
    record |= {"name": name, "commit": EVIL, "processor": EVIL, "versions": {EVIL: EVIL}, "card": EVIL}
    (folder / "runs" / name / "run.json").write_text(json.dumps(record), encoding="utf-8")
    quoted = EVIL.replace('"', '""')
    table = (folder / "results.csv").read_text(encoding="utf-8").replace(run, '"' + name.replace('"', '""') + '"')
    (folder / "results.csv").write_text(table.replace(",LR1,", f',"{quoted}",'), encoding="utf-8")
    claims = (folder / "claims.csv").read_text(encoding="utf-8")
    (folder / "claims.csv").write_text(claims.replace("made up", f'"{quoted}"'), encoding="utf-8")
    return folder


def test_texts_are_shown_and_not_run(tmp_path):
    report.draw_figures(report.Results.load(write_evil(tmp_path)))
    page = page_of(tmp_path)
    assert page.tags["script"] == page.tags["img"] == 0
    assert page.text.count("<script>document.title") > 10
    label = re.search(r'<svg role="img" aria-label="([^"]*)"', (tmp_path / "index.html").read_text(encoding="utf-8"))[1]
    assert "&lt;script&gt;" in label
    assert "<" not in label


def test_without_jinja2(tmp_path, monkeypatch):
    write_study(tmp_path, figures=("12b",), seeds=(0,), images=20)
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(ImportError, match=r"write_page needs jinja2: pip install \"minidl\[experiments\]\""):
        report.write_page(tmp_path)


def test_a_damaged_study_keeps_the_page_that_was_there(tmp_path):
    write_study(tmp_path, figures=("13a",), seeds=(0,), images=20)
    path = report.write_page(tmp_path)
    before = path.read_text(encoding="utf-8")
    next((tmp_path / "runs").glob("*/attacks/fresh*")).write_bytes(b"damaged")
    with pytest.raises(ValueError, match="is damaged"):
        report.write_page(tmp_path)
    assert path.read_text(encoding="utf-8") == before


def test_inlined_pictures_keep_nothing_that_concerns_the_page():
    svg = (
        '<?xml version="1.0"?><!DOCTYPE svg><svg width="1pt" viewBox="0 0 1 1"><metadata>m</metadata>'
        '<defs><style type="text/css">*{stroke: red}</style><clipPath id="p"/></defs>'
        '<g id="g" clip-path="url(#p)" style="stroke: #000000; fill: #0072b2"><use xlink:href="#g"/></g></svg>'
    )
    assert inline_svg(svg, "x-", 'a "<b>"') == (
        '<svg role="img" aria-label="a &quot;&lt;b&gt;&quot;" viewBox="0 0 1 1"><defs><clipPath id="x-p"/></defs>'
        '<g id="x-g" clip-path="url(#x-p)" style="stroke: currentColor; fill: var(--blue)">'
        '<use xlink:href="#x-g"/></g></svg>'
    )
    assert inline_svg(svg, "x-", "").startswith('<svg aria-hidden="true" viewBox')


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (999, "999"),
        (999.6, "1.00 k"),
        (1234, "1.23 k"),
        (99_960, "100 k"),
        (999_500, "1.00 M"),
        (1e12, "1000 G"),
    ],
)
def test_large_numbers(number, text):
    assert wording.large(number) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, wording.NOTHING), (0, "0 s"), (90, "2 min"), (3599, "1 h 00 min"), (90_000, "25 h 00 min")],
)
def test_durations(seconds, text):
    assert wording.duration(seconds) == text


def test_effects_are_signed_points():
    assert wording.effect(-0.031, -0.052, 0.011) == "-3.1 [-5.2, +1.1] percentage points".replace("-", wording.MINUS)
    assert wording.effect(0.5, None, None) == "+50.0 percentage points"
    assert wording.effect(None, None, None) == ""
    assert wording.effect(-0.0004, 0, 0) == "+0.0 [+0.0, +0.0] percentage points"
    assert wording.percent(-0.0004) == "0.0"


def test_settings_are_flat_rows():
    settings = {"a": {"b": 1, "c": None}, "d": [0, 0.5, "x"], "e": [{"f": True}], "g": {}}
    expected = [("a.b", "1"), ("a.c", "null"), ("d", "0, 0.5, x"), ("e", '[{"f": true}]')]
    assert wording.flattened(settings) == expected
