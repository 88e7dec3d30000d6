"""A study whose workers are elsewhere: where they write, and whether it can be seen from here."""

import dataclasses
from pathlib import Path

import pytest

from minidl import report
from minidl.study import Attack, Figure, Place, Run, run_study, study

RUN = Run("digits", 8, 8, "fc5", 256, epochs=1, lr=0.05)
FIGURES = [Figure("11", "FC5", "sparsity", ((RUN, Attack((0.0, 16.0))),))]
RECORD = {"command": "", "preset": "quick", "settings": {"figures": ["11"], "seeds": [0]}}
HOT = Figure("13b", "FC5", "temperature", ((dataclasses.replace(RUN, temperature=20.0), Attack((0.0, 16.0))),))
MORE = RECORD | {"settings": {"figures": ["11", "13b"], "seeds": [0]}}


def test_workers_are_given_the_folder_wherever_they_work(tmp_path, monkeypatch):
    given = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(study, "do_all", lambda work, do, workers, until: given.append(do.keywords["place"]) or [])
    run_study(FIGURES, Place(Path("here"), progress=False), RECORD)
    assert given[0].out == tmp_path / "here"


def test_a_worker_that_writes_elsewhere_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(study, "do_all", lambda work, do, workers, until: [(piece, 1.0, None) for piece in work])
    outcome = run_study(FIGURES, Place(tmp_path, progress=False), RECORD)
    assert outcome.finished == 0
    assert "every worker must see the results folder under the same path" in str(outcome.failed[RUN.name])


def test_what_another_process_adds_meanwhile_stays_in_the_table(tmp_path, monkeypatch):
    place, do_all = Place(tmp_path, threads=1, progress=False), study.do_all

    def meanwhile(work, do, workers, until):
        monkeypatch.setattr(study, "do_all", do_all)
        run_study([*FIGURES, HOT], place, MORE)
        return []

    monkeypatch.setattr(study, "do_all", meanwhile)
    run_study(FIGURES, place, RECORD)
    assert {row["figure"] for row in report.Results.load(tmp_path).rows} == {"11", "13b"}


def test_a_plan_that_another_process_has_extended_is_not_cut_down(tmp_path, monkeypatch):
    monkeypatch.setattr(study, "do_all", lambda work, do, workers, until: [])
    run_study([*FIGURES, HOT], Place(tmp_path, progress=False), MORE)
    before = (tmp_path / "study.json").read_bytes()
    with pytest.raises(ValueError, match=r"figures \['13b'\] too.*once more"):
        run_study(FIGURES, Place(tmp_path, progress=False), RECORD)
    assert (tmp_path / "study.json").read_bytes() == before


def test_a_setting_within_a_group_may_be_younger_than_the_folder(tmp_path):
    folder, old = study.Folder(tmp_path), {"fc5": {"epochs": 20, "lr": 0.1}}
    study.check_same(old, {"fc5": {"epochs": 20, "lr": 0.1, "scale": None}}, folder)
    for other in ({"epochs": 20, "lr": 0.1, "scale": [0.35, 1.0]}, {"epochs": 21, "lr": 0.1}, {"epochs": 20}, None):
        with pytest.raises(ValueError, match="holds the results of other settings .fc5 was"):
            study.check_same(old, {"fc5": other}, folder)
