"""Seed after seed until claims are decided: which runs are done, how often one looks, and when time is over."""

import dataclasses
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("tyro")
EXPERIMENTS = Path(__file__).parents[2] / "experiments"
sys.path.insert(0, str(EXPERIMENTS))
import common  # noqa: E402
import sparsifiers  # noqa: E402
import transfer  # noqa: E402
import until  # noqa: E402
from settings import PRESETS  # noqa: E402

from minidl import report  # noqa: E402
from minidl.report import Results, claims  # noqa: E402
from minidl.report.reported import MODELS  # noqa: E402
from minidl.study import Attack, Ending, Figure, Folder, Place, Run, run_study  # noqa: E402

sys.path.remove(str(EXPERIMENTS))
RUN = Run("digits", 8, 8, "fc5", 256, epochs=1, lr=0.05)
ATTACK = Attack((0.0, 16.0))


def figures_of(seeds):
    """Two figures, one of which has a twin."""
    made = []
    for figure, size, of in (("9", 128, ()), ("11", 256, ()), ("11-pgd", 256, ("11",))):
        attack = dataclasses.replace(ATTACK, method="pgd") if of else ATTACK
        runs = [dataclasses.replace(RUN, batch_size=size, seed=seed) for seed in seeds]
        made.append(Figure(figure, figure, "sparsity", tuple((run, attack) for run in runs), of))
    return made


def verdict(claim, figure, needed):
    return report.Verdict(claim, figure, "", "undecided", 0.0, (0.0, 0.0), 3, "", needed)


@pytest.fixture
def done(monkeypatch):
    """What was done, [(seeds of each figure, names)], in a world where figure 9 is decided by 3 seeds and 11 by 5."""
    found = []

    def do(figures, names):
        found.append(({f.figure: len(f.runs) for f in figures}, list(names)))
        return Ending(0, {}, {})

    def open_claims(folder):
        seeds = found[-1][0]
        return [verdict("C5", "11", 5)] * (seeds["11"] < 5) + [verdict("C2", "9", None)] * (seeds["9"] < 3)

    monkeypatch.setattr(until, "open_claims", open_claims)
    monkeypatch.setattr(until, "say_what_is_open", lambda folder: None)
    until.until_decided(range(7), figures_of, do, Folder("nowhere"))
    return found


def test_three_seeds_are_done_whole(done):
    assert done[:3] == [({"9": n, "11": n, "11-pgd": n}, []) for n in (1, 2, 3)]


def test_then_only_what_an_open_claim_needs_until_it_is_decided(done):
    runs = [dataclasses.replace(RUN, seed=seed).name for seed in range(5)]
    assert done[3:] == [({"9": 3, "11": n, "11-pgd": n}, runs[:n]) for n in (4, 5)]


def test_the_nearest_to_a_decision_comes_first(monkeypatch):
    order = []
    monkeypatch.setattr(until, "open_claims", lambda folder: [verdict("C5", "11", 7), verdict("C2", "9", None)])
    monkeypatch.setattr(until, "say_what_is_open", lambda folder: None)

    def do(figures, names):
        order.extend(f.figure for f in figures if names and [run.name for run in f.runs] == list(names))
        return Ending(0, {}, {})

    until.until_decided(range(4), figures_of, do, Folder("nowhere"))
    assert order == ["11", "11-pgd", "9"]


def test_the_parts_of_figure_13_go_on_together():
    figures = [dataclasses.replace(figures_of([0])[0], figure=name) for name in ("13a", "13b", "13c", "9")]
    figures.append(dataclasses.replace(figures[0], figure="13-auto", of=("13a", "13b", "13c")))
    assert until.family(figures, "13b") == {"13a", "13b", "13c", "13-auto"}
    assert until.family(figures, "9") == {"9"}


def test_what_is_missing_ends_it(monkeypatch):
    calls = []
    monkeypatch.setattr(until, "open_claims", lambda folder: [])
    monkeypatch.setattr(until, "say_what_is_open", lambda folder: None)

    def do(figures, names):
        calls.append(names)
        return Ending(0, {RUN.name: TimeoutError("not begun")}, {})

    ending = until.until_decided(range(5), figures_of, do, Folder("nowhere"))
    assert len(calls) == 1
    assert ending.missing


@pytest.mark.parametrize(("seeds", "looks"), [(1, 1), (3, 1), (4, 2), (7, 5)])
def test_looks_are_counted_beforehand(seeds, looks):
    options = dataclasses.replace(PRESETS["quick"], seeds=tuple(range(seeds)), until="decided")
    assert until.counted(options).looks == looks
    assert until.counted(dataclasses.replace(options, until="finished")).looks == 1


def test_the_command_that_is_recorded_decides_as_often():
    options = dataclasses.replace(PRESETS["quick"], seeds=tuple(range(5)), until="decided")
    words = common.command("study", until.counted(options), PRESETS["quick"], MODELS)
    assert words.endswith("--seeds 0 1 2 3 4 --looks 3 --until decided")
    assert common.command("study", PRESETS["quick"], PRESETS["quick"], MODELS).endswith("--preset quick")


def test_looks_that_were_taken_stay_when_the_rest_is_finished(tmp_path):
    place, looked = Place(tmp_path, threads=1, progress=False), dataclasses.replace(PRESETS["quick"], looks=3)
    record = {"command": "", "preset": "quick", "settings": common.recorded(looked, MODELS)}
    run_study([Figure("11", "FC5", "sparsity", ((RUN, ATTACK),))], place, record)
    finished = until.counted(common.extended(PRESETS["quick"], Folder(tmp_path)))
    assert finished.looks == common.recorded(finished, MODELS)["looks"] == 3


def test_a_study_does_not_go_on_for_what_no_seed_brings(tmp_path, capsys):
    place, seen = Place(tmp_path, threads=1, progress=False), []

    def figures(seeds):
        runs = [dataclasses.replace(RUN, seed=seed) for seed in seeds]
        return [Figure("11", "FC5", "sparsity", tuple((run, ATTACK) for run in runs))]

    def do(some, names):
        seen.append(list(names))
        settings = {"figures": ["11"], "seeds": [0, 1, 2, 3], "looks": 2}
        record = {"command": "", "preset": "quick", "settings": settings}
        return run_study(some, place, record, only=names)

    ending = until.until_decided((0, 1, 2, 3), figures, do, Folder(tmp_path))
    assert ending.finished == 3
    assert [len(names) for names in seen] == [0, 0, 0]  # C5 wants a pruned network, which no seed brings
    said = capsys.readouterr().out
    assert "no seed decides: C5, figure 11: Not decided: network" in said or "Figure 11 has no pruned" in said
    assert len(Results.load(tmp_path).study["figures"][0]["runs"]) == 3


def test_no_run_is_begun_after_its_time(tmp_path):
    runs = [dataclasses.replace(RUN, seed=seed) for seed in (0, 1)]
    figures = [Figure("11", "FC5", "sparsity", tuple((run, ATTACK) for run in runs))]
    record = {"command": "", "preset": "quick", "settings": {"figures": ["11"], "seeds": [0, 1]}}
    ending = run_study(figures, Place(tmp_path, threads=1, progress=False), record, until=time.monotonic())
    assert ending.finished == 0
    assert {str(why) for why in ending.missing.values()} == {"not begun, as the hours were over"}
    assert run_study(figures, Place(tmp_path, threads=1, progress=False), record).finished == 2


def test_no_run_that_another_process_leaves_is_begun_after_its_time(tmp_path, monkeypatch):
    """The other one works on it when the study begins, and is gone as soon as the study begins to wait."""
    figures = [Figure("11", "FC5", "sparsity", ((RUN, ATTACK),))]
    record = {"command": "", "preset": "quick", "settings": {"figures": ["11"], "seeds": [0]}}
    with Folder(tmp_path).working_on(RUN), monkeypatch.context() as gone:
        gone.setattr(Folder, "is_busy", lambda folder, name: False)
        soon = time.monotonic() + 1.5
        ending = run_study(figures, Place(tmp_path, threads=1, progress=False), record, patience=60, until=soon)
        assert time.monotonic() < soon + 20
    assert ending.finished == 0
    assert ending.missing.keys() == {RUN.name}


def test_more_looks_make_wider_intervals():
    from tests.report.test_claims import Study, along, attacked

    one, several = (Study({"11": along(attacked(0.02))}) for _ in range(2))
    several.study["settings"] = {"looks": 3}
    (low, high), (lower, higher) = (next(v for v in claims(s) if v.claim == "C5").interval for s in (one, several))
    assert lower < low < high < higher
    reason = next(v for v in claims(several) if v.claim == "C5").reason
    assert "(98.3 % interval" in reason
    assert "At each of 3 looks at the claims, for 95 % over all of them." in reason


def test_a_claim_beyond_the_report_goes_on_with_its_figure_and_all_its_twins():
    """C10 is read under PGD: its networks are those of the plain figure."""
    options = dataclasses.replace(common.preset_of("quick", sparsifiers.FIGURES, sparsifiers.ATTACKS), seeds=(0, 1))
    figures = common.figures_of(options, sparsifiers.FIGURES)
    assert until.family(figures, "17-pgd") == {"17", "17-pgd", "17-auto"}
    assert until.names_of(figures, "17-pgd") == [run.name for run in figures[0].runs]


def test_a_claim_about_a_matrix_of_transfer_goes_on_with_its_networks():
    options = dataclasses.replace(common.preset_of("quick", transfer.FIGURES), seeds=(0, 1))
    figures = common.figures_of(options, transfer.FIGURES)
    assert until.family(figures, "14") == {"14"}
    assert until.names_of(figures, "14") == [run.name for run in figures[0].runs]


@pytest.mark.parametrize(("claim", "figure"), [("C10", "17-pgd"), ("C13", "14")])
def test_a_study_that_has_only_claims_of_ours_is_open_until_they_are_decided(claim, figure, monkeypatch):
    verdict = report.Verdict(claim, figure, "", "undecided", 0.01, (-0.1, 0.1), 3, "", 5)
    results = SimpleNamespace(pictured={"17", "17-pgd", "14"})
    monkeypatch.setattr(until.report.Results, "load", lambda *args, **kwargs: results)
    monkeypatch.setattr(until.report, "claims", lambda found: [verdict])
    assert until.open_claims(Folder("nowhere")) == [verdict]
