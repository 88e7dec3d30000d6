"""Every field of every JSON file is checked: the file, the field, what was expected and what to do are said."""

import contextlib
import copy
import dataclasses
import json

import pytest

from minidl.records import (
    FORMAT,
    DamagedError,
    Layout,
    NewerFormatError,
    Run,
    read_made,
    read_run,
    read_study,
    write_sealed,
)

RUN = Run("digits", 8, 8, "fc5", 64, epochs=1, lr=0.1)
EPOCH = {"epoch": 0, "loss": 2.0, "accuracy": 0.5, "val_accuracy": 0.5, "sparsity": 0.0}
RECORD = {
    "format": FORMAT,
    "name": RUN.name,
    "run": dataclasses.asdict(RUN),
    "versions": {"numpy": "2"},
    "commit": "abc",
    "device": "cpu",
    "seconds": 640.0,
    "val_loss": 0.7,
    "val_accuracy": 0.5,
    "sparsity": 0.0,
    "parameters": 10,
    "multiply_adds": 10,
    "weights": "0" * 64,
    "curve": [EPOCH],
}
FIGURE = {
    "figure": "11",
    "title": "FC5",
    "model": "fc5",
    "batch_size": 64,
    "varied": "sparsity",
    "runs": [RUN.name],
    "attacks": {"fresh": {RUN.name: "a"}},
}
STUDY = {"format": FORMAT, "command": "python", "settings": {"figures": ["11"], "seeds": [0]}, "figures": [FIGURE]}
OPTIONAL = {"commit", "command", "settings"}


def read(tmp_path, kind, record):
    layout = Layout(tmp_path)
    path = layout.record(RUN.name) if kind == "run.json" else layout.study
    write_sealed(path, record)
    return path, lambda: read_run(layout, RUN.name) if kind == "run.json" else read_study(layout)


KINDS = [("run.json", RECORD), ("study.json", STUDY)]
FIELDS = [(kind, record, name) for kind, record in KINDS for name in record]


@pytest.mark.parametrize(("kind", "record"), KINDS)
def test_what_is_whole(tmp_path, kind, record):
    found = read(tmp_path, kind, record)[1]()
    assert found.pop("checksum")
    assert found == json.loads(json.dumps(record))


@pytest.mark.parametrize(("kind", "record", "name"), FIELDS)
def test_a_field_that_is_not_there(tmp_path, kind, record, name):
    path, again = read(tmp_path, kind, {k: v for k, v in record.items() if k != name})
    if name in OPTIONAL:
        again()
        return
    with pytest.raises(DamagedError, match=rf"{name}|no format number") as said:
        again()
    assert str(path) in str(said.value)
    assert "delete it and run the study again" in str(said.value)


STRANGE = [None, {"a": []}, [[]], True, -1, 10**30, 1e999, float("nan"), "../../x\0", ["x"] * 3]


@pytest.mark.parametrize("value", STRANGE, ids=[repr(value)[:12] for value in STRANGE])
@pytest.mark.parametrize(("kind", "record", "name"), FIELDS)
def test_a_field_of_another_type_or_size(tmp_path, kind, record, name, value):
    path, again = read(tmp_path, kind, record | {name: value})
    fits = {
        "val_loss": (-1, 10**30, 1e999),
        "command": ("../../x\0",),
        "commit": ("../../x\0",),
        "settings": STRANGE[1:2],
    }
    if any(value is fine for fine in fits.get(name, ())) or (name == "format" and value == 10**30):
        with pytest.raises(NewerFormatError) if name == "format" else contextlib.nullcontext():
            again()
        return
    with pytest.raises(DamagedError, match=rf"{name}|no format number|NaN") as said:
        again()
    assert str(path) in str(said.value)


@pytest.mark.parametrize("value", STRANGE, ids=[repr(value)[:12] for value in STRANGE])
@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Run)])
def test_a_field_of_the_run(tmp_path, name, value):
    record = copy.deepcopy(RECORD)
    record["run"][name] = value
    _, again = read(tmp_path, "run.json", record)
    if value is None and name in ("pruning", "adversary", "teacher", "proximal", "condition", "scale"):  # as it is
        again()
        return
    with pytest.raises(DamagedError, match=rf"{name}|name \(the fields are of"):
        again()


@pytest.mark.parametrize("content", ["", "[]", "7", '{"format": 1}', "[" * 10**5, '{"a":' * 10**5, '{"a": 1e', "\0"])
def test_json_that_is_none(tmp_path, content):
    for path, read in (
        (tmp_path / "study.json", lambda layout: read_study(layout)),
        (tmp_path / "runs" / RUN.name / "run.json", lambda layout: read_run(layout, RUN.name)),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
        with pytest.raises(DamagedError, match=rf"{path.name} is damaged \(.*\): delete it and run the study again"):
            read(Layout(tmp_path))


def test_one_bit_of_a_sealed_file(tmp_path):
    """A bit of each byte in turn: the file says the same, or is refused."""
    path, again = read(tmp_path, "run.json", RECORD)
    whole, content, refused = again(), path.read_bytes(), 0
    for i in range(len(content)):
        path.write_bytes(content[:i] + bytes([content[i] ^ 1 << i % 7]) + content[i + 1 :])
        found = told(again)
        assert found == whole or str(path) in found
        refused += found != whole
    assert refused > len(content) / 2  # the others are of spaces


def told(read):
    """What is read, or what is said."""
    try:
        return read()
    except (DamagedError, NewerFormatError) as said:
        return str(said)


def test_a_damaged_made_json_is_as_if_it_were_not_there(tmp_path):
    layout = Layout(tmp_path)
    for content in (b"", b"{}", b"\xff", b'{"format": 2}'):
        layout.made.write_bytes(content)
        assert read_made(layout) is None


def test_a_newer_format_is_left_alone(tmp_path):
    _, again = read(tmp_path, "study.json", STUDY | {"format": FORMAT + 1, "figures": "of another kind"})
    with pytest.raises(NewerFormatError, match=r"newer minidl \(format 4, this one reads formats up to 3\)"):
        again()


def test_a_field_at_its_default_may_be_left_out(tmp_path):
    """It has the same name, and whoever reads it finds all of the fields."""
    record = copy.deepcopy(RECORD)
    for name in ("temperature", "low_rank", "pruning", "precision"):
        del record["run"][name]
    assert read(tmp_path, "run.json", record)[1]()["run"] == json.loads(json.dumps(dataclasses.asdict(RUN)))
