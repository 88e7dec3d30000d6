"""Each figure of a study is drawn as far as it is measured, and says what it lacks."""

import json
import re

import pytest

from minidl import report
from minidl.report.figures import STYLES, panel_svg, panels_of, sample_svg
from minidl.report.lines import Line, describe_bars, lines_of
from minidl.report.results import COLUMNS, Results
from tests.report.synthetic import write_study


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = write_study(tmp_path_factory.mktemp("study"), figures=("9", "12b", "13a", "13b"), unfinished=(4, 7))
    return Results.load(folder)


def texts(svg):
    """The words of a drawing whose letters are paths: matplotlib leaves them as comments."""
    return re.findall(r"<!-- (.*?) -->", svg)


def test_a_file_of_each_kind_for_each_figure(results):
    files = report.draw_figures(results)
    names = [f"figure-{name}.{ending}" for name in ("9", "12b", "13a", "13b") for ending in ("svg", "png")]
    assert [file.name for file in files] == names
    assert sorted(file.name for file in (results.folder / "figures").iterdir()) == sorted(names)
    nine, low_rank, hot = (files[i].read_text(encoding="utf-8") for i in (0, 2, 4))
    assert [svg.count('id="axes_') for svg in (nine, low_rank, hot)] == [2, 2, 3]
    assert {"(a) accuracy under attack", "(b) drop of accuracy", "chance"} <= {*texts(nine)}
    assert {"accuracy under attack", "full rank", "LR1", "LR2"} <= {*texts(low_rank)}
    assert {"right, gradient vanished", "T = 1", "T = 20", "T = 90"} <= {*texts(hot)}


def test_a_half_finished_figure_says_what_it_lacks(results):
    """Seeds 1 of 50 % and of 80 % are not there; figure 12b is finished."""
    report.draw_figures(results)
    nine, low_rank = (
        (results.folder / "figures" / f"figure-{name}.svg").read_text(encoding="utf-8") for name in ("9", "12b")
    )
    assert "not finished: 2 of 18 networks are missing" in texts(nine)
    assert {"sparsity 0 % (3 seeds)", "sparsity 50 % (2 seeds)", "sparsity 95 % (3 seeds)"} <= {*texts(nine)}
    assert not any("not finished" in text for text in texts(low_rank))
    assert results.unmeasured("9") == [results.figures["9"]["runs"][i] for i in (4, 7)]


def test_what_is_not_attacked_yet_is_missing_too(tmp_path):
    """A network that is trained, of which the table has no row."""
    write_study(tmp_path, figures=("12b",), seeds=(0,))
    results = Results.load(tmp_path)
    last = results.figures["12b"]["runs"][-1]
    results.rows[:] = [row for row in results.rows if row["run"] != last]
    assert results.unmeasured("12b") == [last]
    assert results.missing == {}
    assert [line.label for line in lines_of(results, "12b")] == ["full rank", "LR1"]


def test_nothing_measured_draws_nothing(tmp_path):
    write_study(tmp_path, figures=("9", "11"), seeds=(0,), unfinished=range(6))
    (svg, _) = report.draw_figures(Results.load(tmp_path))
    assert svg.name == "figure-11.svg"
    assert not (tmp_path / "figures" / "figure-9.svg").exists()


def test_the_figures_are_of_the_fresh_images(results):
    for line in lines_of(results, "9"):
        assert {row["images"] for row in line.rows} == {"fresh"}


def test_vanished_gradients_are_counted_among_what_is_right(results):
    """At T = 90 an attacker at T = 1 finds the gradients of half the images vanished; one who knows T does not."""
    fixed, knowing = (panels_of(results, name)[-1].lines[-1].points("vanished_right") for name in ("13a", "13b"))
    assert all(0.3 < point.mean < 0.6 for point in fixed)
    assert all(point.mean < 0.05 for point in knowing)
    line = lines_of(results, "13a")[-1]
    for point, accuracy in zip(fixed, line.points("accuracy"), strict=True):
        assert point.mean <= accuracy.mean
    run = line.rows[0]["run"]
    outcome = results.outcome(run, results.figures["13a"]["attacks"]["fresh"][run])
    first = panels_of(results, "13a")[-1].lines[-1].rows[0]
    assert first["vanished_right"] == (outcome.right[0] & outcome.vanished_gradient).mean()
    assert first["vanished_right_low"] < first["vanished_right"] < first["vanished_right_high"]


def test_without_the_attacks_files_the_panel_is_left_out(tmp_path):
    write_study(tmp_path, figures=("13a",), seeds=(0,), images=30)
    results = Results.load(tmp_path)
    paths = sorted((tmp_path / "runs").glob("*T90*/attacks/fresh*"))
    assert len(paths) == 1
    paths[0].unlink()
    (last,) = (line for line in panels_of(results, "13a")[-1].lines if line.label == "T = 90")
    assert last.rows == []
    report.draw_figures(results)  # an empty line is no error
    for path in (tmp_path / "runs").glob("*/attacks/fresh*"):
        path.unlink()
    assert len(panels_of(results, "13a")) == 2


def rename(folder, **changes):
    """Change the first figure's entry in study.json."""
    study = json.loads((folder / "study.json").read_text(encoding="utf-8"))
    study["figures"][0].update(changes)
    (folder / "study.json").write_text(json.dumps(study), encoding="utf-8")


def test_titles_and_labels_are_no_formulas(tmp_path):
    write_study(tmp_path, figures=("12b",), seeds=(0,), images=30)
    rename(tmp_path, title=r"costs $1 or $\nothing$ & <b>")
    table = tmp_path / "results.csv"
    table.write_text(table.read_text(encoding="utf-8").replace(",LR1,", r",$\LR1$,"), encoding="utf-8")
    results = Results.load(tmp_path)
    svg, _ = report.draw_figures(results)
    assert r"$\LR1$" in texts(svg.read_text(encoding="utf-8"))
    for panel in panels_of(results, "12b"):
        panel_svg(panel)


def test_the_same_results_give_the_same_bytes(results):
    first = [path.read_bytes() for path in report.draw_figures(results)]
    assert first == [path.read_bytes() for path in report.draw_figures(results)]


def test_every_line_looks_different():
    samples = [re.sub(r'\bid="[^"]*"|#\w{9,}', "", sample_svg(i)) for i in range(2 * len(STYLES))]
    assert len({*samples}) == len(samples)


def one_row(seed, accuracy):
    row = dict.fromkeys(COLUMNS, 0) | {"seed": seed, "accuracy": accuracy}
    return row | {"accuracy_low": accuracy - 0.1, "accuracy_high": accuracy + 0.2}


def test_bars_of_one_seed_and_of_several():
    one, two = Line("a", [one_row(0, 0.5)]), Line("b", [one_row(0, 0.4), one_row(1, 0.6)])
    (point,) = one.points("accuracy")
    assert (point.mean, point.low, point.high) == (0.5, 0.4, 0.7)
    (point,) = two.points("accuracy")
    assert (point.mean, point.low, point.high) == pytest.approx((0.5, 0.5 - 0.02**0.5, 0.5 + 0.02**0.5))
    assert describe_bars([one]).startswith("One seed. Bars: 95 % confidence intervals")
    assert describe_bars([two]).startswith("2 seeds. Points: their mean. Bars: one standard deviation")
    assert describe_bars([one, two]).startswith("1 to 2 seeds. Bars of several seeds: one standard deviation")
