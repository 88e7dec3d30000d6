"""Each network beside its figure's first line: the numbers are those of the images."""

import numpy as np
import pytest

from minidl import report, robustness
from minidl.report.pairs import pairs_table

from .synthetic import write_study


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("study")
    write_study(path, ("9", "12b"), images=200)
    return path


def test_rows_are_computed_from_the_paired_images(folder):
    results = report.Results.load(folder)
    rows = report.pairs(results)
    entry = results.figures["9"]
    mine = [row for row in rows if row["figure"] == "9"]
    seeds = {results.runs[name]["run"]["seed"] for name in entry["runs"]}
    lines = len(entry["runs"]) // len(seeds)
    epsilons = len(results.outcome(entry["runs"][0], entry["attacks"]["paired"][entry["runs"][0]]).epsilons)
    assert len(mine) == (lines - 1) * len(seeds) * epsilons
    row = mine[-1]
    of_figure = [r for r in results.rows if r["figure"] == "9"]
    named = {(r["seed"], r["sparsity"]): r["run"] for r in of_figure}
    a, b = (
        results.outcome(name, entry["attacks"]["paired"][name]).right[-1]
        for name in (named[row["seed"], row["line"]], named[row["seed"], row["against"]])
    )
    assert (row["only_line"], row["only_against"]) == (int((a & ~b).sum()), int((b & ~a).sum()))
    assert row["p_value"] == robustness.mcnemar(a, b).p_value
    assert row["difference"] == pytest.approx(np.mean(a) - np.mean(b))
    assert row["low"] <= row["difference"] <= row["high"]


def test_the_file_and_the_page_s_table_say_the_same(folder):
    report.write_pairs(folder)
    rows = report.read_csv(folder / "pairs.csv")
    assert len(rows) == len(report.pairs(report.Results.load(folder)))
    table = pairs_table(report.Results.load(folder), "12b")
    assert table["against"] == "full rank"
    assert [row[0] for row in table["rows"]][:2] == ["LR1, seed 0", "LR1, seed 1"]
