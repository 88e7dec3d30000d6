"""The readers of a results folder: one for each kind of file, against its schema. Nothing that is read is executed.

Each error names the file, the field, what was expected of it, and what to do.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from .format import CLAIMS_TABLE, CURVE_TABLE, FORMAT, MADE, RESULTS_TABLE, SEALED, STUDY, TEXTS, Layout, run_schema
from .format import advice as advice_for
from .outcome import Outcome
from .run import Attack, Run
from .schema import Check, SchemaError
from .seal import checksum
from .setting import from_record

MOST = 2**28  # bytes of a file of text, or of one array: the largest that a study writes are a few MB
TABLES = {"results.csv": RESULTS_TABLE, "claims.csv": CLAIMS_TABLE, "curve.csv": CURVE_TABLE}
Read = TypeVar("Read")


class DamagedError(ValueError):
    """A file of a results folder is not what was written."""


class NewerFormatError(ValueError):
    """A newer minidl wrote the folder."""


def read_study(layout: Layout) -> dict[str, Any] | None:
    """study.json; None where there is none."""

    def parse(content: bytes) -> dict[str, Any]:
        study = _json(content, layout.study)
        STUDY(study, "")
        names = [figure["figure"] for figure in study["figures"]]
        if len(set(names)) < len(names):
            raise SchemaError("figures", names, "each figure once")
        for figure in study["figures"]:
            _check_figure(figure)
        return study

    return _read(layout.study, "study.json", parse)


def _check_figure(figure: Mapping[str, Any]) -> None:
    where, runs = f"figure {figure['figure']}", figure["runs"]
    if len(set(runs)) < len(runs):
        raise SchemaError(f"{where}: runs", runs, "each run once")
    for attacks in figure["attacks"].values():
        for run in attacks:
            if run not in runs:
                raise SchemaError(f"{where}: attacks", run, "runs of this figure alone")


def read_run(layout: Layout, name: str) -> dict[str, Any] | None:
    """A run's run.json; None where there is none. Its name, its folder's and that of its fields are one."""

    def parse(content: bytes) -> dict[str, Any]:
        record = _json(content, layout.record(name))
        run_schema(record["format"])(record, "")
        try:
            run = from_record(Run, record["run"], "run")
        except TypeError as error:
            raise ValueError(str(error)) from error
        if not name == record["name"] == run.name:
            raise SchemaError(
                f"name (the fields are of {run.name})", record["name"], f"{name}, as its folder is called"
            )
        if record["device"] != run.device:
            raise SchemaError("device", record["device"], f"{run.device}, as in run")
        curve = record.get("curve")
        if curve is not None and (len(curve) != run.all_epochs or curve[-1]["val_accuracy"] != record["val_accuracy"]):
            raise SchemaError("curve", len(curve), f"{run.all_epochs} epochs, the last with val_accuracy as here")
        return record | {"run": json.loads(json.dumps(dataclasses.asdict(run)))}  # defaults too, that may be left out

    return _read(layout.record(name), "run.json", parse)


def read_attack(layout: Layout, record: Mapping[str, Any], attack: str) -> tuple[Outcome, Attack] | None:
    """What an attack did to the run of this run.json, and what it is; None where there is none on its weights."""
    run = record["name"]

    def parse(content: bytes) -> tuple[Outcome, Attack, str | None]:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = {*Outcome.__dataclass_fields__, "attack", "run", "name", "weights"}
            arrays = {name: _array(archive, name) for name in names if f"{name}.npy" in archive.namelist()}
        absent = [name for name in (*Outcome.__dataclass_fields__, "attack") if name not in arrays]
        if absent:
            raise ValueError(f"it has no {', '.join(absent)}")
        outcome = Outcome(**{name: arrays[name] for name in Outcome.__dataclass_fields__})
        how = from_record(Attack, json.loads(str(arrays["attack"][()])), "attack")
        whose = {name: str(arrays[name][()]) for name in ("run", "name", "weights") if name in arrays}
        if how.name != attack or whose.get("name", attack) != attack:
            raise SchemaError("attack", whose.get("name", how.name), f"{attack}, as its file is called")
        if whose.get("run", run) != run:
            raise SchemaError("run", whose["run"], f"{run}, in whose folder it is")
        if not np.array_equal(np.array(how.epsilons) / 255, outcome.epsilons):
            raise SchemaError("epsilons", outcome.epsilons.tolist(), f"{how.epsilons} / 255, as in attack")
        return outcome, how, whose.get("weights")

    found = _read(layout.attack(run, attack), "attack", parse)
    if found is None or found[2] != record.get("weights", found[2]):  # of a run of format 1 they are not known
        return None
    return found[:2]


def read_made(layout: Layout) -> dict[str, Any] | None:
    """made.json; None where there is none, or no whole one: it is made again."""

    def parse(content: bytes) -> dict[str, Any]:
        record = _json(content, layout.made)
        MADE(record, "")
        return record

    try:
        return _read(layout.made, "made.json", parse)
    except ValueError:
        return None


def read_table(path: Path) -> list[dict[str, Any]]:
    """The rows of results.csv, claims.csv or a curve.csv, which its name tells; none where there is no such file."""
    schema = TABLES[path.name]

    def parse(content: bytes) -> list[dict[str, Any]]:
        reader = csv.DictReader(io.StringIO(content.decode("utf-8"), newline=""), strict=True)
        rows = list(reader)
        absent = [name for name in schema if name not in (reader.fieldnames or ())]
        if absent:
            raise ValueError(f"it has no column {', '.join(absent)}")
        if content and not content.endswith(b"\n"):
            raise ValueError("its last line has no end")
        return [_row(row, schema, f"line {i + 2}: ") for i, row in enumerate(rows)]

    return _read(path, path.name, parse) or []


def _read(path: Path, kind: str, parse: Callable[[bytes], Read]) -> Read | None:
    """What a parser makes of a file; None where there is none, and a DamagedError of whatever goes wrong in it."""
    if not path.is_file():
        return None
    size = path.stat().st_size
    try:
        if size > MOST:
            raise ValueError(f"it has {size} bytes, and at most {MOST} were expected")
        content = path.read_bytes()
        return parse(content)
    except (NewerFormatError, OSError):
        raise
    except Exception as error:  # of hostile bytes: parsers raise whatever comes to them
        raise damaged(path, kind, error) from error


def damaged(path: Path, kind: str, error: Exception) -> DamagedError:
    why = str(error) if isinstance(error, ValueError) and str(error) else f"{type(error).__name__}: {error}"
    return DamagedError(f"{path} is damaged ({why[:300]}): {advice_for(kind)}")


def _json(content: bytes, path: Path) -> dict[str, Any]:
    record = json.loads(content.decode("utf-8"))
    version = record.get("format") if isinstance(record, dict) else None
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise ValueError("it has no format number")
    if version > FORMAT:
        raise NewerFormatError(
            f"{path} was written by a newer minidl (format {version}, this one reads formats up to {FORMAT}): update "
            "minidl, or choose another folder"
        )
    if version >= SEALED and "checksum" not in record:
        raise ValueError("it has no checksum")
    if "checksum" in record and record["checksum"] != checksum(record):
        raise ValueError("its checksum is not that of what it says: something in it was changed")
    return record


def _array(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    """One array of an npz file, whose header may claim no more than is there."""
    member = archive.getinfo(f"{name}.npy")
    if member.file_size > MOST:
        raise ValueError(f"{name} claims {member.file_size} bytes, and at most {MOST} were expected")
    file = io.BytesIO(archive.read(member))
    read_header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }[np.lib.format.read_magic(file)]
    shape, fortran_order, dtype = read_header(file)
    content = file.read()
    if dtype.hasobject or math.prod(shape) * dtype.itemsize != len(content):
        raise ValueError(f"{name} claims the shape {shape} of {dtype}, and has {len(content)} bytes")
    return np.frombuffer(content, dtype).reshape(shape, order="F" if fortran_order else "C")


def _row(row: Mapping[Any, Any], schema: Mapping[str, Check], where: str) -> dict[str, Any]:
    if None in row or None in row.values():
        raise ValueError(f"{where}a row is longer or shorter than the header")
    values = {name: text if name in TEXTS else _number(text, where + name) for name, text in row.items()}
    for name, check in schema.items():
        check(values[name], where + name)
    return values


def _number(text: str, field: str) -> int | float | None:
    if text == "":
        return None
    try:
        return int(text)
    except ValueError:
        pass
    try:
        value = float(text)
    except ValueError as error:
        raise SchemaError(field, text, "a number, or nothing") from error
    if math.isnan(value):
        raise SchemaError(field, text, "a number that is one")
    return value
