"""What the page says first: a sentence that follows from the verdict, its interval, and what is another setting."""

import re
from types import SimpleNamespace

import pytest

from minidl import report
from minidl.report.answers import answers, elsewhere, plainly, same, verdicts_anew
from minidl.report.evidence import Lines, MissingError
from minidl.report.interval import interval_svg, reach_of
from minidl.report.language import say, speaking
from minidl.report.setting import setting_rows
from minidl.report.verdict import Verdict
from minidl.report.wording import MINUS
from tests.report.synthetic import write_study


def found(claim="C2", verdict="fails", effect=0.08, asked=(-0.03, 0.0), hangs_on="drop"):
    row = {"claim": claim, "figure": "9", "text": "as the report has it", "verdict": verdict, "effect": effect}
    return row, Verdict(claim, "9", "", verdict, effect, (effect - 0.01, effect + 0.01), 3, "", None, asked, hangs_on)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, "Pruning makes a ResNet18 trained on batches of 64 less robust"),
        ({"effect": -0.08}, "more robust, and more than slightly"),
        ({"verdict": "holds", "effect": -0.01}, "very slightly more robust."),
        ({"verdict": "undecided"}, "is not known yet"),
        ({"hangs_on": "clean"}, "does not make a ResNet18"),  # nothing is said of that: the plain negation
        ({"claim": "C7", "effect": -0.05, "hangs_on": "clean", "asked": (-0.03, 0.03)}, "costs a ResNet18 accuracy"),
        ({"claim": "C99"}, "as the report has it"),
    ],
)
def test_the_sentence_follows_from_the_verdict(change, words):
    assert words in plainly(*found(**change), 64)


def test_without_what_it_hangs_on_it_is_the_plain_negation():
    row, _ = found()
    assert plainly(row, None, 128) == say("answer.C2.fails", batch=128)


def test_a_row_of_another_time_has_no_verdict():
    row, verdict = found()
    assert same(row, {("C2", "9"): verdict}) is verdict
    assert same(row | {"effect": 0.07}, {("C2", "9"): verdict}) is None
    assert same(row | {"verdict": "holds"}, {("C2", "9"): verdict}) is None
    assert same(row, {}) is None


def place(svg, what):
    """Where a part of the picture begins, from 0 to 320."""
    return float(re.search(rf'class="{what}" (?:x|cx)="([\d.]+)"', svg)[1])


def test_the_picture_has_the_numbers_in_their_places():
    svg = interval_svg(0.1, 0.05, 0.15, (-0.03, 0.0), 0.2)
    assert place(svg, "effect") == 160 + 144 / 2
    assert place(svg, "asked") == pytest.approx(160 - 144 * 0.15, abs=0.06)
    assert re.findall(r">([^<]+)</text>", svg) == [f"{MINUS}20", "0", "+20"]
    assert f"The interval +5 to +15 points, against what is asked for: between {MINUS}3 and 0" in svg


@pytest.mark.parametrize("limits", [(-float("inf"), -0.01), (0.01, float("inf")), None])
def test_an_open_range_ends_with_the_axis(limits):
    svg = interval_svg(0.9, None, None, limits, 0.2)
    assert place(svg, "effect") == 304  # beyond the axis, at its end
    assert svg.count("<rect") == (limits is not None)
    if limits:
        assert place(svg, "asked") == (16 if limits[0] < -1 else pytest.approx(167.2))


def test_one_axis_for_all():
    rows = [{"effect": 0.01, "low": -0.07, "high": 0.02}, {"effect": None, "low": None, "high": None}]
    assert reach_of(rows, [None, SimpleNamespace(asked=(0.01, float("inf")))]) == 0.1
    assert reach_of([], []) == 0.05
    assert reach_of([{"effect": 7, "low": -9, "high": 9}], []) == 1


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = write_study(tmp_path_factory.mktemp("study"), figures=("9", "12b"), seeds=(0,), images=60, claims=False)
    report.write_claims(folder)
    return report.Results.load(folder)


def test_of_one_seed_nobody_knows_how_many_are_needed(study):
    told = answers(study, verdicts_anew(study))
    assert told["C2"]["needed"] == "It takes at least 3 seeds to decide."
    assert told["C2"]["here"] == "ResNet18, batch 128, Imagenette, 64 px."
    with speaking("fr"):
        assert "1 graine" in answers(study, verdicts_anew(study))["C2"]["hangs"]


def test_what_the_study_cannot_test_is_named_and_no_answer(study):
    """A reader of one figure is not led through eight empty boxes first."""
    assert [*answers(study, verdicts_anew(study))] == ["C2", "C7"]
    assert elsewhere(study) == ["C1", "C3", "C4", "C5", "C6", "C8", "C9"]
    page = report.write_page(study.folder).read_text(encoding="utf-8").replace("&#39;", "'")
    assert "as their figures are none of this study's: C1, C3, C4, C5, C6, C8, C9." in page
    assert "Claims of the report that this study tests, 2 in number:" in page


def test_what_differs_from_the_report_is_seen(study):
    rows = {row["what"]: row for row in setting_rows(study)}
    assert rows["sparsities, %"] == {
        "what": "sparsities, %", "report": "0, 50, 80, 90, 95, 98", "here": "0, 50, 80, 90, 95, 98", "same": True,
    }  # fmt: skip
    assert rows["images"]["here"] == "Imagenette, 64 px"
    assert rows["batches"]["here"] == "128"
    assert not rows["batches"]["same"]
    assert rows["recipe of ResNet18"]["here"] == "30 epochs, one cycle up to a rate of 0.05"
    assert rows["attacked images"]["here"] == "60"
    assert "temperatures" not in rows
    with speaking("fr"):
        french = {row["what"]: row["here"] for row in setting_rows(study)}
    assert re.search("^30 époques, un cycle .* un taux de 0,05$", french["recette de ResNet18"])


def test_where_only_a_stronger_attack_was_made_the_reports_own_is_asked_for():
    only_pgd = SimpleNamespace(study={"figures": [{"figure": "9-pgd"}]})
    with pytest.raises(MissingError, match="run it, with --attacks fgsm"):
        Lines.of(only_pgd, "9")
    with pytest.raises(MissingError, match="run it, with --figures 11"):
        Lines.of(only_pgd, "11")
