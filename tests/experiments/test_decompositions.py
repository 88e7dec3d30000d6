"""The page of four decompositions is made, with all that it promises."""

import csv
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "experiments"))
import decompositions


def test_the_page_has_every_way_and_share(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(decompositions, "EPOCHS", 2)
    monkeypatch.setattr(decompositions, "AFTER", 1)
    monkeypatch.setattr(decompositions, "SHARES", (0.5,))
    decompositions.main(["--seeds", "0", "1", "--out", str(tmp_path)])
    text = (tmp_path / "decompositions.md").read_text(encoding="utf-8")
    assert capsys.readouterr().out == text
    assert [line.split(" | ")[0] for line in text.splitlines()[2:]] == [
        "| dense",
        "| tai",
        "| jaderberg",
        "| denton",
        "| cp",
    ]
    rows = list(csv.DictReader((tmp_path / "decompositions.csv").read_text(encoding="utf-8").splitlines()))
    by = {(row["seed"], row["method"]): row for row in rows}
    assert len(by) == 10
    for seed in "01":
        dense, tai, data_driven = (by[seed, method] for method in ("dense", "tai", "jaderberg"))
        assert float(data_driven["output error"]) < float(tai["output error"]) < 1
        assert float(tai["kernel error"]) < float(data_driven["kernel error"])
        assert int(tai["multiply-adds"]) < int(dense["multiply-adds"])
