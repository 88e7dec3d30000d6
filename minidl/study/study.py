"""A whole study: its runs, one after the other or side by side, then its table, figures, claims and page."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .. import report
from ..report.tables import to_csv
from ..tools.files import whole_file
from ..tools.progress import say
from .folder import FORMAT, BusyError, Folder, origin, write_json
from .plan import Figure, Work, all_work, shard
from .pool import Workers, do_all
from .problem import load_problem
from .progress import StudyProgress
from .table import table
from .training import check
from .work import Place, finish

EXTENDABLE = ("figures", "seeds")  # settings that say how much is done; all others say how


@dataclass(frozen=True)
class Outcome:
    """How a study ended: what is finished, what failed and why, and what other processes are working on."""

    finished: int
    failed: dict[str, Exception]
    busy: dict[str, Exception]


def run_study(
    figures: Sequence[Figure],
    place: Place,
    record: dict[str, Any],
    workers: Workers | None = None,
    part: str | None = None,
    only: Sequence[str] = (),
) -> Outcome:
    """Do what is missing of a study, and write its report.

    Parameters
    ----------
    figures : sequence of Figure
    place : Place
        The results folder, and how to work.
    record : dict
        ``command``, ``preset`` and ``settings``, for ``study.json``.
    workers : Workers, optional
        By default all runs are done in this process.
    part : str, optional
        "i/N": only the i-th of N parts of the runs.
    only : sequence of str
        Beginnings of run names: only these.

    Returns
    -------
    Outcome

    Raises
    ------
    ValueError
        When a run cannot work, no run has such a name, or the folder holds the results of other settings or of a newer
        version. Nothing was changed.
    """
    workers, folder = workers or Workers(), Folder(place.out)
    place = dataclasses.replace(place, out=folder.path)  # a cluster's workers have working directories of their own
    work = all_work(figures)
    for piece in work:
        check(piece.run, load_problem(piece.run.data, piece.run.pixels, piece.run.crop, place.data_root))
    chosen = _chosen(work, part, only)
    _write_plan(folder, figures, record)
    with folder.reporting():
        _write_table(folder)  # now, so that a damaged file is found before hours of training
    try:
        failed, busy = _do_all([piece for piece in chosen if not _is_finished(folder, piece)], place, workers)
    finally:
        write_report(folder)
    return Outcome(sum(_is_finished(folder, piece) for piece in work), failed, busy)


def _do_all(work: Sequence[Work], place: Place, workers: Workers) -> tuple[dict[str, Exception], dict[str, Exception]]:
    """Do the work, with the table brought up to date after each run; (what failed, what others are working on)."""
    failed: dict[str, Exception] = {}
    busy: dict[str, Exception] = {}
    folder = Folder(place.out)
    with StudyProgress(work) as progress:
        for piece, _, error in do_all(work, functools.partial(_do, place=place), workers):
            if isinstance(error, BusyError):
                busy[piece.run.name] = error
            elif error is not None:
                failed[piece.run.name] = error
                say(f"{piece.run}: {error}")
            elif not _is_finished(folder, piece):
                failed[piece.run.name] = FileNotFoundError(
                    f"a worker did it, and {folder.run(piece.run)} is not there: every worker must see the results "
                    "folder under the same path"
                )
            progress.done(piece, error)
            with folder.reporting():
                _write_table(folder)
    return failed, busy


def write_report(folder: Folder) -> None:
    """Table, claims, paired tests, figures and page of what is finished, unless they are there and nothing is new."""
    with folder.reporting():
        _write_table(folder)
        if not _is_reported(folder):
            report.write_claims(folder.path)
            report.write_pairs(folder.path)
            report.draw_figures(report.Results.load(folder.path))
            report.write_page(folder.path)


def _is_reported(folder: Folder) -> bool:
    """Whether the page, which is written last, is younger than what it is made from."""
    page, *sources = (folder.path / name for name in ("index.html", "results.csv", "study.json"))
    times = [source.stat().st_mtime_ns for source in sources if source.is_file()]
    return page.is_file() and all(page.stat().st_mtime_ns >= time for time in times)


def _do(piece: Work, place: Place) -> float:
    return finish(piece.run, piece.attacks, place)


def _is_finished(folder: Folder, piece: Work) -> bool:
    return folder.is_trained(piece.run) and all(folder.is_attacked(piece.run, attack) for attack in piece.attacks)


def _chosen(work: Sequence[Work], part: str | None, only: Sequence[str]) -> list[Work]:
    chosen = [piece for piece in work if not only or piece.run.name.startswith(tuple(only))]
    if not chosen:
        names = "\n  ".join(piece.run.name for piece in work)
        raise ValueError(f"no run's name begins with {' or '.join(only)}; they are\n  {names}")
    return shard(chosen, part) if part else chosen


def _write_table(folder: Folder) -> None:
    """Bring ``results.csv`` up to date; one that is, is left alone."""
    content, path = to_csv(table(folder)), folder.path / "results.csv"
    if content != (path.read_bytes() if path.is_file() else b""):
        with whole_file(path) as file:
            file.write(content)


def _write_plan(folder: Folder, figures: Sequence[Figure], record: dict[str, Any]) -> None:
    """Write ``study.json``, unless the folder is another study's."""
    new = {"format": FORMAT, **record, **origin(), "figures": [figure.record() for figure in figures]}
    with folder.reporting():
        found = folder.read("study.json")
        if found is not None:
            check_same(found.get("settings", {}), record["settings"], folder)
        if found != json.loads(json.dumps(new, default=str)):
            write_json(folder.path / "study.json", new)


def check_same(found: dict[str, Any], settings: dict[str, Any], folder: Folder) -> None:
    """Raise a ValueError unless a folder's settings are these, or these with fewer figures and seeds."""
    # a setting that the folder does not know is younger than it, and its default means what was done then
    names = [name for name in settings if name not in EXTENDABLE and found.get(name, settings[name]) != settings[name]]
    if names:
        changes = "; ".join(f"{name} was {found.get(name)}, now {settings[name]}" for name in names)
        raise ValueError(
            f"{folder.path} holds the results of other settings ({changes}): choose another --out, or delete it"
        )
    for name in EXTENDABLE:
        more = [value for value in found.get(name, ()) if value not in settings.get(name, ())]
        if more:
            raise ValueError(f"{folder.path} has {name} {more} too, of another process: give the command once more")
