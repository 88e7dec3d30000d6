"""Tidy tables: one row for each measurement, one column for each thing that varies or was measured."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..tools.files import user_path, whole_file

Row = Mapping[str, Any]


def write_csv(path: str | Path, rows: Iterable[Row]) -> None:
    """Write rows, which all have the same keys, to a CSV file that appears whole or not at all.

    Parameters
    ----------
    path : str or Path
    rows : iterable of mappings from columns to values

    Raises
    ------
    ValueError
        When there are no rows, or they have other columns than the first.

    Examples
    --------
    >>> import tempfile
    >>> from minidl import report
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     report.write_csv(folder + "/t.csv", [{"model": "fc5", "accuracy": 0.5}])
    ...     report.read_csv(folder + "/t.csv")
    [{'model': 'fc5', 'accuracy': 0.5}]
    """
    content = to_csv(rows)
    if not content:
        raise ValueError(f"write_csv: there are no rows to write to {path}")
    with whole_file(path) as file:
        file.write(content)


def to_csv(rows: Iterable[Row]) -> bytes:
    """The CSV file of these rows; nothing without any."""
    rows = list(rows)
    text = io.StringIO(newline="")
    if rows:
        writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return text.getvalue().encode()


def read_csv(path: str | Path) -> list[dict[str, Any]]:
    """The rows of a CSV file; what reads as a number is one.

    Parameters
    ----------
    path : str or Path

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from minidl import report
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "t.csv")
    ...     _ = path.write_text("model,epsilon\\nfc5,0.5\\n", encoding="utf-8")
    ...     report.read_csv(path)
    [{'model': 'fc5', 'epsilon': 0.5}]
    """
    with user_path(path).open(newline="", encoding="utf-8") as file:
        return [{name: _value(text) for name, text in row.items()} for row in csv.DictReader(file)]


def _value(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
