"""Tables come back as they were written; figures show what the table says."""

import pytest

from minidl import report
from minidl.report.figures import Panel, panel_svg
from minidl.report.lines import lines_by


def row(sparsity, epsilon, accuracy, seed=0):
    drop = 0.9 - accuracy
    return {
        "sparsity": sparsity,
        "seed": seed,
        "epsilon": epsilon,
        "accuracy": accuracy,
        "accuracy_low": accuracy - 0.02,
        "accuracy_high": accuracy + 0.02,
        "drop": drop,
        "drop_low": drop - 0.02,
        "drop_high": drop + 0.02,
    }


ROWS = [row(s, e / 255, 0.9 - 0.05 * e - s / 10) for s in (0.0, 0.5, 0.9) for e in (0, 1, 2, 4)]


def draw(rows, what="accuracy"):
    return panel_svg(Panel(lines_by(rows, "sparsity", "sparsity {:.0%}".format), what, "percent", "figure 9"))


def test_csv_round_trip(tmp_path):
    report.write_csv(tmp_path / "deep" / "r.csv", ROWS)
    assert report.read_csv(tmp_path / "deep" / "r.csv") == ROWS
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["r.csv"]


def test_a_failed_write_keeps_the_old_table(tmp_path):
    path = tmp_path / "r.csv"
    report.write_csv(path, ROWS)
    with pytest.raises(ValueError, match="extra"):
        report.write_csv(path, [{"a": 1}, {"a": 2, "extra": 3}])
    assert report.read_csv(path) == ROWS
    assert [p.name for p in tmp_path.iterdir()] == ["r.csv"]


def test_no_rows_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="no rows"):
        report.write_csv(tmp_path / "r.csv", [])


def test_the_same_results_give_the_same_figure():
    assert draw(ROWS) == draw(ROWS) != draw(ROWS[1:])


@pytest.mark.parametrize("what", ["accuracy", "drop"])
def test_the_bars_of_several_seeds_are_their_standard_deviation(what):
    """Seeds at 0.4 and 0.6 draw the line of 0.5 with bars of 0.5 -+ 0.1 sqrt(2), whatever their intervals."""
    spread = 0.1 * 2**0.5
    one = [row(0.0, e / 255, 0.5) for e in (0, 8)]
    two = [row(0.0, e / 255, accuracy, seed) for seed, accuracy in enumerate((0.4, 0.6)) for e in (0, 8)]
    for r in one:
        r["accuracy_low"], r["accuracy_high"] = 0.5 - spread, 0.5 + spread
        r["drop_low"], r["drop_high"] = r["drop"] - spread, r["drop"] + spread
    assert draw(one, what) == draw(two, what)
