"""A study whose workers are elsewhere: where they write, and whether it can be seen from here."""

from pathlib import Path

from minidl.study import Attack, Figure, Place, Run, run_study, study

RUN = Run("digits", 8, 8, "fc5", 256, epochs=1, lr=0.05)
FIGURES = [Figure("11", "FC5", "sparsity", ((RUN, Attack((0.0, 16.0))),))]
RECORD = {"command": "", "preset": "quick", "settings": {"seeds": [0]}}


def test_workers_are_given_the_folder_wherever_they_work(tmp_path, monkeypatch):
    given = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(study, "do_all", lambda work, do, workers: given.append(do.keywords["place"]) or [])
    run_study(FIGURES, Place(Path("here"), progress=False), RECORD)
    assert given[0].out == tmp_path / "here"


def test_a_worker_that_writes_elsewhere_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(study, "do_all", lambda work, do, workers: [(piece, 1.0, None) for piece in work])
    outcome = run_study(FIGURES, Place(tmp_path, progress=False), RECORD)
    assert outcome.finished == 0
    assert "every worker must see the results folder under the same path" in str(outcome.failed[RUN.name])
