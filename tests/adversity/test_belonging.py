"""A result belongs to its run, what is derived to what it was made of, and each advice helps."""

import io
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from minidl import report
from minidl.records import Layout
from minidl.records.seal import checksum
from minidl.study import Folder, made, write_report
from tests.adversity.damage import TABLES, command

DERIVED = [*TABLES, "index.html", "figures/figure-11.png", "made.json"]


def two_runs(study):
    """The folders of a dense and of a sparse run of one seed."""
    runs = study.out / "runs"
    return next(runs.glob("fc5-b256-digits8-seed0-*")), next(runs.glob("*-sparsity90-seed0-*"))


def test_a_run_json_of_another_run_is_refused(study):
    dense, sparse = two_runs(study)
    shutil.copy(sparse / "run.json", dense / "run.json")
    said = command(study.out)
    assert f"{dense / 'run.json'} is damaged (name" in said
    assert dense.name in said
    assert "delete it and run the study again, which trains this network anew" in said


def test_a_run_json_that_is_given_the_other_name_is_refused(study):
    """The fields are compared as well: their hash is the name."""
    dense, sparse = two_runs(study)
    record = json.loads((sparse / "run.json").read_text(encoding="utf-8")) | {"name": dense.name}
    (dense / "run.json").write_text(json.dumps(record | {"checksum": checksum(record)}))
    assert f"the fields are of {sparse.name}" in command(study.out)


@pytest.mark.parametrize("name", ["val_accuracy", "parameters", "multiply_adds", "sparsity"])
def test_one_changed_number_is_noticed(study, name):
    dense, _ = two_runs(study)
    record = json.loads((dense / "run.json").read_text(encoding="utf-8"))
    (dense / "run.json").write_text(json.dumps(record | {name: 1}))
    assert "its checksum is not that of what it says" in command(study.out)


def test_an_attack_of_another_run_is_refused(study):
    dense, sparse = two_runs(study)
    for path in (sparse / "attacks").iterdir():
        shutil.copy(path, dense / "attacks" / path.name)  # the names of attacks are the same
    said = command(study.out)
    assert f"{dense / 'attacks'}" in said
    assert f"run is '{sparse.name}', expected {dense.name}, in whose folder it is" in said


def test_an_attack_under_another_s_name_is_refused(study):
    fresh, paired, _ = sorted((two_runs(study)[0] / "attacks").iterdir())
    shutil.copy(paired, fresh)
    assert f"{fresh} is damaged (attack is '{paired.stem}'" in command(study.out)


def test_an_attack_on_other_weights_is_done_again(study):
    dense, _ = two_runs(study)
    path = next((dense / "attacks").iterdir())
    with np.load(path) as file:
        arrays = dict(file)
    np.savez(path, **arrays | {"weights": np.array("0" * 64), "right": ~arrays["right"]})
    assert command(study.out) is None
    assert study.read_tables() == study.tables


@pytest.mark.parametrize("content", [b"", None])
def test_damaged_weights_are_trained_anew_where_an_attack_needs_them(study, content, capsys):
    dense, _ = two_runs(study)
    weights = dense / "weights.safetensors"
    before = weights.read_bytes()
    weights.write_bytes(bytes([before[-1] ^ 1]).join([before[:-1], b""]) if content is None else content)
    assert command(study.out) is None  # nobody needs them
    assert "anew" not in capsys.readouterr().err
    next((dense / "attacks").iterdir()).unlink()
    assert command(study.out) is None
    assert f"{weights} is damaged" in capsys.readouterr().err
    assert weights.read_bytes() == before
    assert study.read_tables() == study.tables


# What is derived


@pytest.mark.parametrize("how", ["deleted", "emptied", "cut", "changed"])
def test_what_is_derived_is_made_again_without_a_word(study, how, capsys):
    for name in DERIVED:
        path, content = study.out / name, study.files[name]
        path.unlink()
        if how != "deleted":
            path.write_bytes({"emptied": b"", "cut": content[: len(content) // 2], "changed": b"x" + content[1:]}[how])
    assert command(study.out) is None
    assert "damaged" not in "".join(capsys.readouterr())
    for name in DERIVED:
        assert (study.out / name).read_bytes() == study.files[name], name


@pytest.mark.parametrize("name", [name for name in DERIVED if name != "results.csv"])
def test_one_of_them_is_enough(study, name):
    path = study.out / name
    path.write_bytes(study.files[name][:-1] + b"x")
    os.utime(study.out / "index.html", (4e9, 4e9))  # a page that is newer than all
    assert made.why_to_make(Layout(study.out))


def test_a_curve_is_a_copy_of_run_json(study):
    path = next(study.out.rglob("curve.csv"))
    for content in (None, b"", b"epoch,loss\n0,"):
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_bytes(content)
        assert len(report.Results.load(study.out).curve(path.parent.name)) == 1  # whatever the copy says
        assert command(study.out) is None
        assert path.read_bytes() == study.files[path.relative_to(study.out).as_posix()]


@pytest.mark.parametrize("when", [0, 4e9])
def test_times_of_files_say_nothing(study, when):
    """A clock set back, a folder copied with new times: what is up to date stays, what is not is made again."""
    for path in study.out.rglob("*"):
        os.utime(path, (when, when))
    assert command(study.out) is None
    assert (study.out / "index.html").stat().st_mtime == when
    two_runs(study)[0].joinpath("run.json").unlink()
    for path in study.out.rglob("*"):
        os.utime(path, (when, when))
    write_report(Folder(study.out))
    assert (study.out / "claims.csv").read_bytes() != study.tables["claims.csv"]
    assert f"1 of {len(study.runs)} networks" in (study.out / "index.html").read_text(encoding="utf-8")


def test_another_minidl_makes_the_page_again(study, monkeypatch):
    path = study.out / "index.html"
    before = path.stat().st_mtime_ns
    assert command(study.out) is None
    assert path.stat().st_mtime_ns == before
    monkeypatch.setattr(made, "makers", lambda: "1" * 64)
    assert command(study.out) is None
    assert path.stat().st_mtime_ns > before


def test_what_makes_a_page_is_all_that_it_is_made_with(monkeypatch, tmp_path):
    files = dict(made._files(Path(report.__file__).parent))
    assert {"page.py", "claims.py", "templates/page.html.jinja", "templates/page.css"} <= set(files)
    before = made.makers.__wrapped__()
    monkeypatch.setattr(made.metadata, "version", lambda name: "99")
    assert made.makers.__wrapped__() != before


# Every advice is followed


def damaged_files(study):
    dense, _ = two_runs(study)
    return {
        "study.json": study.out / "study.json",
        "run.json": dense / "run.json",
        "attack": next((dense / "attacks").iterdir()),
    }


@pytest.mark.parametrize("kind", ["study.json", "run.json", "attack"])
def test_delete_it_and_run_the_study_again(study, kind):
    path = damaged_files(study)[kind]
    for content in (b"", b"{", b"\xff\xfe\0"):
        path.write_bytes(content)
        said = command(study.out)
        assert f"{path} is damaged (" in said
        assert "delete it and run the study again" in said
    path.unlink()
    assert command(study.out) is None
    assert study.read_tables() == study.tables


@pytest.mark.parametrize("name", ["results.csv", "claims.csv"])
def test_a_table_that_is_read_without_the_study(study, name):
    path = study.out / name
    path.write_bytes(study.files[name][:100])
    with pytest.raises(
        ValueError, match=rf"{name} is damaged .*: delete it and run the study again, which makes it anew"
    ):
        report.Results.load(study.out)
    path.unlink()
    assert command(study.out) is None
    assert path.read_bytes() == study.files[name]


def of_format_1(study):
    """Make the folder as minidl wrote it before there were checksums, and other attacks than FGSM."""
    for path in study.out.rglob("*.json"):
        if path.name in ("run.json", "study.json"):
            record = json.loads(path.read_text(encoding="utf-8")) | {"format": 1}
            path.write_text(json.dumps({k: v for k, v in record.items() if k not in ("checksum", "weights", "curve")}))
    for path in study.out.rglob("*.npz"):
        with np.load(path) as file:
            arrays = dict(file)
        attack = json.loads(str(arrays["attack"]))
        if attack["method"] == "fgsm":
            younger = ("method", "steps", "restarts", "queries")
            arrays["attack"] = json.dumps({name: value for name, value in attack.items() if name not in younger})
            then = {name: array for name, array in arrays.items() if name not in ("run", "name", "weights", "flags")}
            np.savez_compressed(path, **then)
    (study.out / "made.json").unlink()


def test_a_folder_of_format_1_is_read_as_what_it_is(study):
    of_format_1(study)
    before = {path: path.read_bytes() for path in study.out.rglob("run.json")}
    assert command(study.out) is None
    assert study.read_tables() == study.tables
    assert {path: path.read_bytes() for path in before} == before
    assert command(study.out, "--check") == 0


def test_a_curve_of_format_1_is_not_derived_and_says_what_it_costs(study):
    of_format_1(study)
    path = next(study.out.rglob("curve.csv"))
    path.write_bytes(b"")
    said = command(study.out)
    assert f"{path} is damaged (it has no column epoch)" in said
    assert "the page does without this curve" in said
    path.unlink()
    assert command(study.out) is None
    assert study.read_tables() == study.tables
    (path.parent / "run.json").unlink()
    assert command(study.out) is None
    assert path.is_file()


# Hostile numbers


@pytest.mark.parametrize(
    ("name", "array", "words"),
    [
        ("indices", [5, 5], "each once"),
        ("indices", [-1, 3], "validation set"),
        ("epsilons", [0.0, 2.0, 3.0], "up to 1"),
        ("labels", [-1, 3], "classes from 0"),
    ],
)
def test_outcomes_that_cannot_be(name, array, words):
    good = {
        "epsilons": np.array([0.0, 0.1, 0.2]),
        "indices": np.arange(2),
        "labels": np.arange(2),
        "right": np.ones((3, 2), bool),
        "zero_gradient": np.zeros(2, bool),
        "vanished_gradient": np.zeros(2, bool),
    }
    with pytest.raises(ValueError, match=words):
        report.Outcome(**good | {name: np.array(array)})


def test_a_header_that_claims_a_million_million_numbers(study):
    path = damaged_files(study)["attack"]
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<i8", "fortran_order": False, "shape": (10**12,)})
    import zipfile

    with zipfile.ZipFile(path) as old:
        members = {name: old.read(name) for name in old.namelist()}
    with zipfile.ZipFile(path, "w") as new:
        for name, content in members.items():
            new.writestr(name, file.getvalue() if name == "labels.npy" else content)
    assert "labels claims the shape (1000000000000,)" in command(study.out)


def test_a_finding_for_every_file(study, capsys):
    assert command(study.out, "--check") == 0
    assert "whole" in capsys.readouterr().out
    dense, sparse = two_runs(study)
    (dense / "weights.safetensors").unlink()
    (sparse / "curve.csv").unlink()
    next((sparse / "attacks").iterdir()).unlink()
    assert command(study.out, "--check") == 0
    out = capsys.readouterr().out
    for state, path in (
        ("lost", dense / "weights.safetensors"),
        ("made again", sparse / "curve.csv"),
        ("missing", sparse / "attacks"),
        ("made again", study.out / "index.html"),
    ):
        assert any(line.startswith(state) and str(path) in line for line in out.splitlines()), (state, path)
    before = {path: path.stat().st_mtime_ns for path in study.out.rglob("*") if study.is_result(path)}
    (dense / "run.json").write_bytes(b"{}")
    assert command(study.out, "--check") == 1
    assert f"damaged     {dense / 'run.json'}" in capsys.readouterr().out
    now = {path: path.stat().st_mtime_ns for path in study.out.rglob("*") if study.is_result(path)}
    assert {p for p in before if now[p] != before[p]} == {dense / "run.json"}  # nothing is written


def test_the_folders_that_are_published(tmp_path):
    """docs/results is of format 1: all of it is whole, and today's code makes the same table and verdicts of it."""
    for folder in ("quick", "imagenette-64px"):
        source = Path(__file__).parents[2] / "docs" / "results" / folder
        shutil.copytree(source, tmp_path / folder, ignore=shutil.ignore_patterns("figures", "index.html"))
        layout = Layout(tmp_path / folder)
        report.write_claims(layout.path)
        report.write_pairs(layout.path)
        from minidl.report.tables import to_csv
        from minidl.study.table import table

        assert to_csv(table(Folder(layout.path))) == (source / "results.csv").read_bytes()
        for name in ("claims.csv", "pairs.csv"):
            assert (layout.path / name).read_bytes() == (source / name).read_bytes(), name
