"""The readers of a results folder: one for each kind of file, against its schema. Nothing that is read is executed.

Each error names the file, the field, what was expected of it, and what to do.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from .archive import MOST
from .format import (
    CLAIMS_TABLE,
    CURVE_TABLE,
    FORMAT,
    MADE,
    RESULTS_TABLE,
    SEALED,
    STUDY,
    TEXTS,
    YOUNGER,
    Layout,
    run_schema,
)
from .format import advice as advice_for
from .run import Run
from .schema import Check, SchemaError
from .seal import checksum
from .setting import from_record

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
        names = [figure["figure"] for figure in (*study["figures"], *study.get("transfers", ()))]
        if len(set(names)) < len(names):
            raise SchemaError("figures", names, "each figure once")
        for figure in study["figures"]:
            _check_figure(figure)
        return study

    return read_file(layout.study, "study.json", parse)


def _check_figure(figure: Mapping[str, Any]) -> None:
    where, runs = f"figure {figure['figure']}", figure["runs"]
    if len(set(runs)) < len(runs):
        raise SchemaError(f"{where}: runs", runs, "each run once")
    for attacks in (*figure["attacks"].values(), figure.get("certificates", {})):
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

    return read_file(layout.record(name), "run.json", parse)


def read_made(layout: Layout) -> dict[str, Any] | None:
    """made.json; None where there is none, or no whole one: it is made again."""

    def parse(content: bytes) -> dict[str, Any]:
        record = _json(content, layout.made)
        MADE(record, "")
        return record

    try:
        return read_file(layout.made, "made.json", parse)
    except ValueError:
        return None


def read_table(path: Path) -> list[dict[str, Any]]:
    """The rows of results.csv, claims.csv or a curve.csv, which its name tells; none where there is no such file."""
    schema = TABLES[path.name]

    def parse(content: bytes) -> list[dict[str, Any]]:
        reader = csv.DictReader(io.StringIO(content.decode("utf-8"), newline=""), strict=True)
        rows = list(reader)
        absent = [name for name in schema if name not in (*(reader.fieldnames or ()), *YOUNGER)]
        if absent:
            raise ValueError(f"it has no column {', '.join(absent)}")
        if content and not content.endswith(b"\n"):
            raise ValueError("its last line has no end")
        return [_row(row, schema, f"line {i + 2}: ") for i, row in enumerate(rows)]

    return read_file(path, path.name, parse) or []


def read_file(path: Path, kind: str, parse: Callable[[bytes], Read]) -> Read | None:
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


def _row(row: Mapping[Any, Any], schema: Mapping[str, Check], where: str) -> dict[str, Any]:
    if None in row or None in row.values():
        raise ValueError(f"{where}a row is longer or shorter than the header")
    row = {name: default for name, default in YOUNGER.items() if name in schema} | dict(row)
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
