"""What a study left on disk (docs/studies.md), read back and checked: tables and figures are made from this alone."""

from __future__ import annotations

import csv
import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..tools.files import user_path

FORMAT = 1  # of the folder, as this file reads it

COLUMNS = tuple(
    "figure run model batch_size sparsity low_rank temperature seed images loss attack_temperature epsilon count "
    "accuracy accuracy_low accuracy_high drop drop_low drop_high zero_gradients vanished_gradients val_accuracy "
    "achieved_sparsity parameters multiply_adds".split()
)
CLAIM_COLUMNS = ("claim", "figure", "text", "verdict", "effect", "low", "high", "seeds", "reason")
# The columns that are text; the others are numbers, or empty. The name of figure 9 is "9".
TEXT = frozenset({"figure", "run", "model", "low_rank", "images", "loss"})
CLAIM_TEXT = frozenset({"claim", "figure", "text", "verdict", "reason"})


@dataclass(frozen=True, eq=False)
class Outcome:
    """What one attack did, image by image.

    Attributes
    ----------
    epsilons : array (E,), in [0, 1] pixel units, ascending, the first is 0
    indices : integer array (B,)
        The attacked images' rows in the validation set, ascending.
    labels : integer array (B,)
    right : boolean array (E, B)
        Whether the model was right.
    zero_gradient, vanished_gradient : boolean array (B,)
        Which images had a gradient of exactly 0, and which one too small for float32's full precision.
    """

    epsilons: np.ndarray
    indices: np.ndarray
    labels: np.ndarray
    right: np.ndarray
    zero_gradient: np.ndarray
    vanished_gradient: np.ndarray

    def __post_init__(self) -> None:
        """Shapes, kinds and order, as docs/studies.md has them; a ValueError says which of them is not so."""
        e, b = len(np.atleast_1d(self.epsilons)), len(np.atleast_1d(self.indices))
        expected = {
            "epsilons": ((e,), "f"),
            "indices": ((b,), "iu"),
            "labels": ((b,), "iu"),
            "right": ((e, b), "b"),
            "zero_gradient": ((b,), "b"),
            "vanished_gradient": ((b,), "b"),
        }
        for name, (shape, kinds) in expected.items():
            array = getattr(self, name)
            if array.shape != shape or array.dtype.kind not in kinds:
                raise ValueError(f"{name} has shape {array.shape} of {array.dtype}, expected {shape} of kind {kinds!r}")
        if b == 0 or e == 0 or self.epsilons[0] != 0 or not (np.diff(self.epsilons) > 0).all():
            raise ValueError(f"epsilons are {self.epsilons.tolist()} on {b} images: expected 0 first, then ascending")


@dataclass(frozen=True, eq=False)
class Results:
    """A study's results, finished or not. Made by ``Results.load``.

    Attributes
    ----------
    folder : Path
    study : dict
        study.json: what was asked for.
    rows : list of dicts
        results.csv: a row a figure, run, choice of images and epsilon. Empty while there is no such file.
    claims : list of dicts
        claims.csv. Empty while there is no such file.
    runs : dict
        {name: run.json} of the study's runs that are finished, in the study's order.
    missing : dict
        {figure: [names of its runs that are not finished]}, for each figure that lacks one.
    """

    folder: Path
    study: dict[str, Any]
    rows: list[dict[str, Any]]
    claims: list[dict[str, Any]]
    runs: dict[str, dict[str, Any]]
    missing: dict[str, list[str]]

    @classmethod
    def load(cls, folder: str | Path) -> Results:
        """Read a study's folder. Nothing in it is ever executed.

        Parameters
        ----------
        folder : str or Path
            As docs/studies.md describes it.

        Returns
        -------
        Results

        Raises
        ------
        FileNotFoundError
            When there is no such folder, or no study.json in it.
        ValueError
            When a newer minidl wrote it, or a file is damaged: which, and what to do about it.

        Examples
        --------
        >>> import json, pathlib, tempfile
        >>> from minidl import report
        >>> study = {"format": 1, "figures": [{"figure": "11", "runs": ["fc5-a", "fc5-b"], "attacks": {}}]}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = pathlib.Path(folder, "study.json").write_text(json.dumps(study), encoding="utf-8")
        ...     results = report.Results.load(folder)
        >>> results.missing
        {'11': ['fc5-a', 'fc5-b']}
        """
        folder = user_path(folder)
        if not folder.is_dir():
            raise FileNotFoundError(
                f"Results.load: there is no folder {folder}; expected what a study wrote to its --out"
            )
        if not (folder / "study.json").is_file():
            raise FileNotFoundError(
                f"Results.load: {folder} holds no study.json, so it is not a study's folder (docs/studies.md)"
            )
        study = _read_json(folder / "study.json")
        figures = _checked_figures(folder / "study.json", study)
        names = dict.fromkeys(name for figure in figures for name in figure["runs"])
        files = {name: folder / "runs" / name / "run.json" for name in names}
        runs = {name: _read_json(path) for name, path in files.items() if path.is_file()}
        missing = {figure["figure"]: [name for name in figure["runs"] if name not in runs] for figure in figures}
        return cls(
            folder=folder,
            study=study,
            rows=_read_table(folder / "results.csv", COLUMNS, TEXT),
            claims=_read_table(folder / "claims.csv", CLAIM_COLUMNS, CLAIM_TEXT),
            runs=runs,
            missing={figure: names for figure, names in missing.items() if names},
        )

    @property
    def figures(self) -> dict[str, dict[str, Any]]:
        """{"13b": its entry in study.json}, in the study's order."""
        return {figure["figure"]: figure for figure in self.study["figures"]}

    def rows_of(self, figure: str, images: str = "fresh") -> list[dict[str, Any]]:
        """The rows of one figure, attacked on the "fresh" or the "paired" images."""
        return [row for row in self.rows if row["figure"] == figure and row["images"] == images]

    def unmeasured(self, figure: str) -> list[str]:
        """The names of a figure's runs that results.csv does not have yet: not trained, or not attacked."""
        measured = {row["run"] for row in self.rows_of(figure)}
        return [run for run in self.figures[figure]["runs"] if run not in measured]

    def curve(self, run: str) -> list[dict[str, Any]]:
        """A run's training curve, a row an epoch; as far as it is trained, and empty before its first epoch."""
        return _read_table(self._run(run) / "curve.csv", ("epoch",))

    def outcome(self, run: str, attack: str) -> Outcome:
        """What one attack did to one run; ``attack`` as in ``study["figures"][i]["attacks"][images][run]``.

        Raises
        ------
        FileNotFoundError
            When the attack is not there (yet).
        ValueError
            When its file is damaged, or no figure has such a run.
        """
        path = self._run(run) / "attacks" / f"{_checked_name(attack)}.npz"
        if not path.is_file():
            raise FileNotFoundError(f"Results.outcome: there is no {path}; run the study (again) to make it")
        try:
            with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                return Outcome(**{name: file[name] for name in Outcome.__dataclass_fields__})
        except (ValueError, TypeError, KeyError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise _damaged(path, error) from error

    def _run(self, run: str) -> Path:
        if not any(run in figure["runs"] for figure in self.study["figures"]):
            raise ValueError(f"Results: no figure of {self.folder} has a run {run!r}")
        return self.folder / "runs" / run


def _damaged(path: Path, why: object) -> ValueError:
    return ValueError(f"{path} is damaged ({why}): delete it and run the study again, which makes what is missing")


def _checked_name(name: Any) -> str:
    """A name out of a file becomes part of a path: it must stay within the folder."""
    if not isinstance(name, str) or name in ("", ".", "..") or any(character in name for character in "/\\\0:"):
        raise ValueError(f"{name!r} is not the name of a run or of an attack")
    return name


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict) or not isinstance(content.get("format"), int):
            raise ValueError("it has no format number")
    except (ValueError, RecursionError) as error:
        raise _damaged(path, error) from error
    if content["format"] > FORMAT:
        raise ValueError(
            f"{path} has format {content['format']}, and this minidl reads formats up to {FORMAT}: "
            "a newer minidl wrote it; read it with that one"
        )
    return content


def _checked_figures(path: Path, study: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The figures of study.json, once it is known that each has a name, its runs and their attacks."""
    try:
        for figure in study["figures"]:
            _checked_name(figure["figure"])
            for name in figure["runs"]:
                _checked_name(name)
            for attacks in figure["attacks"].values():
                for run, attack in attacks.items():
                    if run not in figure["runs"]:
                        raise ValueError(f"figure {figure['figure']} attacks {run!r}, which is not one of its runs")
                    _checked_name(attack)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise _damaged(path, f"{type(error).__name__}: {error}") from error
    return study["figures"]


def _read_table(
    path: Path, columns: tuple[str, ...], text_columns: frozenset[str] = frozenset()
) -> list[dict[str, Any]]:
    """The rows of a table with at least these columns; none where there is no such file."""
    if not path.is_file():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file, strict=True)
            rows = list(reader)
        absent = [name for name in columns if name not in (reader.fieldnames or ())]
        if absent:
            raise ValueError(f"it has no column {', '.join(absent)}")
        return [{name: _value(name, text, text_columns) for name, text in row.items()} for row in rows]
    except (ValueError, csv.Error) as error:
        raise _damaged(path, error) from error


def _value(name: str | None, text: str | None, text_columns: frozenset[str]) -> Any:
    if name is None or text is None:
        raise ValueError("a row is longer or shorter than the header")
    if name in text_columns:
        return text
    if text == "":
        return None
    try:
        return int(text)
    except ValueError:
        return float(text)  # its error says what is no number
