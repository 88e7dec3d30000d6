"""A whole study: its runs, one after the other or side by side, then its table, figures, claims and page."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import report
from ..records import FORMAT, LANGUAGES, write_file, write_sealed
from ..report.tables import to_csv
from ..tools.progress import say
from .folder import BusyError, Folder, origin
from .made import say_made, why_to_make
from .plan import Figure, TransferFigure, Work, all_work, shard, teachers_of
from .pool import LostSchedulerError, OutOfTimeError, Workers, do_all
from .problem import load_problem
from .progress import StudyProgress
from .refusals import check
from .table import table
from .transfers import make_transfers
from .work import Place, finish

EXTENDABLE = ("figures", "seeds", "attacks", "certify")  # settings that say how much is done; all others say how


@dataclass(frozen=True)
class Ending:
    """How a study ended.

    Attributes
    ----------
    finished : int
        How many of all its runs are trained and attacked.
    failed : dict
        {name: why} of the chosen runs that failed.
    busy : dict
        {name: who} of the chosen runs that other processes are still working on.
    """

    finished: int
    failed: dict[str, Exception]
    busy: dict[str, Exception]

    @property
    def missing(self) -> dict[str, Exception]:
        """{name: why} of the chosen runs that are not finished."""
        return {**self.failed, **self.busy}


def run_study(
    figures: Sequence[Figure | TransferFigure],
    place: Place,
    record: dict[str, Any],
    workers: Workers | None = None,
    part: str | None = None,
    only: Sequence[str] = (),
    patience: float = 30,
    until: float = math.inf,
) -> Ending:
    """Do what is missing of a study, and write its report.

    Parameters
    ----------
    figures : sequence of Figure and TransferFigure
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
    patience : float
        How many seconds to wait at the end for runs that other processes are working on.
    until : float
        No run is begun once ``time.monotonic()`` is that; those that were not are missing.

    Returns
    -------
    Ending

    Raises
    ------
    ValueError
        When a run cannot work, no run has such a name, or the folder holds the results of other settings or of a newer
        version, or a damaged file. Nothing was changed.
    CannotWriteError
        At the first file that cannot be written, and before a training for which the disk has no room.
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
    failed, busy = _do_all(_unfinished(folder, chosen), place, workers, until)
    if busy:
        theirs = [piece for piece in chosen if piece.run.name in busy]
        more, busy = _wait_for(theirs, busy, place, workers, patience, until)
        failed |= more
    make_transfers([figure for figure in figures if isinstance(figure, TransferFigure)], place)
    write_report(folder)
    for piece in _unfinished(folder, chosen):
        if piece.run.name not in busy:
            gone = FileNotFoundError(f"{folder.run(piece.run)} is not complete any more: something removed its files")
            failed.setdefault(piece.run.name, gone)
    return Ending(len(work) - len(_unfinished(folder, work)), failed, busy)


def _do_all(
    work: Sequence[Work], place: Place, workers: Workers, until: float = math.inf
) -> tuple[dict[str, Exception], dict[str, Exception]]:
    """Do the work, with the table brought up to date after each run; (what failed, what others are working on)."""
    failed: dict[str, Exception] = {}
    busy: dict[str, Exception] = {}
    folder = Folder(place.out)
    with StudyProgress(work) as progress:
        for piece, _, error in do_all(work, functools.partial(_do, place=place), workers, until):
            if isinstance(error, LostSchedulerError | OutOfTimeError):  # all at once: it is told of at the end, once
                failed[piece.run.name] = error
                continue
            if isinstance(error, BusyError):
                busy[piece.run.name] = error
            elif error is not None:
                say(f"{piece.run}: {describe(error)}")
                failed[piece.run.name] = error
            elif not _is_finished(folder, piece):
                failed[piece.run.name] = FileNotFoundError(
                    f"a worker did it, and {folder.run(piece.run)} is not there: every worker must see the results "
                    "folder under the same path"
                )
            progress.done(piece, error)
            with folder.reporting():
                _write_table(folder)
    return failed, busy


def _wait_for(
    work: Sequence[Work], busy: dict[str, Exception], place: Place, workers: Workers, patience: float, until: float
) -> tuple[dict[str, Exception], dict[str, Exception]]:
    """Wait for runs that other processes are working on, and finish those that they leave; (failed, still busy)."""
    folder, patience = Folder(place.out), max(0.0, min(patience, until - time.monotonic()))
    end = time.monotonic() + patience
    failed: dict[str, Exception] = {}
    names = ", ".join(busy)
    say(f"waiting up to {patience:g} s for runs that other processes are working on: {names}")
    while (left := [piece for piece in _unfinished(folder, work) if piece.run.name not in failed]) and (
        time.monotonic() < end
    ):
        free = [p for p in left if not any(folder.is_busy(run.name) for run in (p.run, *teachers_of(p.run)))]
        if free:
            more, _ = _do_all(free, place, workers, until)
            failed |= more
        else:
            time.sleep(0.5)
    return failed, {piece.run.name: busy[piece.run.name] for piece in left}


def describe(error: BaseException) -> str:
    """An error in words: some have none of their own."""
    if isinstance(error, MemoryError):
        return f"there is not enough memory ({error or 'no details'}): use smaller batches, or fewer workers"
    return str(error) or type(error).__name__


def write_report(folder: Folder) -> None:
    """Table, claims, paired tests, figures and page of what is finished, unless they are those of today's results."""
    layout = folder.layout
    with folder.reporting():
        _write_table(folder)
        _write_curves(folder)
        if why_to_make(layout):
            report.write_claims(layout.path)
            report.write_pairs(layout.path)
            report.write_transfers(layout.path)
            report.write_sides(layout.path)
            files = report.draw_figures(report.Results.load(layout.path))
            files += report.write_slides(layout.path)
            report.write_page(layout.path)
            names = ("claims.csv", "pairs.csv", "transfers.csv", "sides.csv")
            tables = [path for name in names if (path := layout.path / name).is_file()]
            say_made(layout, [*tables, *files, *map(layout.page, LANGUAGES)])


def _do(piece: Work, place: Place) -> float:
    return finish(piece.run, piece.attacks, place)


def _is_finished(folder: Folder, piece: Work) -> bool:
    return folder.is_trained(piece.run) and all(folder.is_attacked(piece.run, attack) for attack in piece.attacks)


def _unfinished(folder: Folder, work: Sequence[Work]) -> list[Work]:
    return [piece for piece in work if not _is_finished(folder, piece)]


def _chosen(work: Sequence[Work], part: str | None, only: Sequence[str]) -> list[Work]:
    if "" in only:
        raise ValueError("only is '': give the beginnings of runs' names, or leave it out to do all of them")
    chosen = [piece for piece in work if not only or piece.run.name.startswith(tuple(only))]
    if not chosen:
        names = "\n  ".join(piece.run.name for piece in work)
        raise ValueError(f"no run's name begins with {' or '.join(only)}; they are\n  {names}")
    return shard(chosen, part) if part is not None else chosen


def _write_table(folder: Folder) -> None:
    """Bring ``results.csv`` up to date."""
    _write_if_new(folder.layout.results, to_csv(table(folder)))


def _write_curves(folder: Folder) -> None:
    """Each ``curve.csv`` is a copy of what run.json says, which is made again where it is none."""
    results = report.Results.load(folder.path, tables=[])
    for name, record in results.runs.items():
        if "curve" in record:
            _write_if_new(folder.layout.curve(name), to_csv(record["curve"]))


def _write_if_new(path: Path, content: bytes) -> None:
    if not content:
        path.unlink(missing_ok=True)
    elif content != (path.read_bytes() if path.is_file() else b""):
        write_file(path, content)


def _write_plan(folder: Folder, figures: Sequence[Figure | TransferFigure], record: dict[str, Any]) -> None:
    """Write ``study.json``, unless the folder is another study's."""
    lines, matrices = (
        [figure.record() for figure in figures if isinstance(figure, kind)] for kind in (Figure, TransferFigure)
    )
    new = {"format": FORMAT, **record, **origin(), "figures": lines, **({"transfers": matrices} if matrices else {})}
    with folder.reporting():
        found = folder.study()
        if found is not None:
            check_same(found.get("settings", {}), record["settings"], folder)
            found.pop("checksum", None)
        if found != json.loads(json.dumps(new, default=str)):
            write_sealed(folder.layout.study, new)


def _changed(old: Any, new: Any) -> bool:
    """Whether a setting is another; within a group, what the folder does not know and nobody asks for is not."""
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return bool(old != new)
    return any(_changed(old.get(name), new.get(name)) for name in {*old, *new})


def check_same(found: dict[str, Any], settings: dict[str, Any], folder: Folder) -> None:
    """Raise a ValueError unless a folder's settings are these, or these with less of what can be added."""
    # a setting that the folder does not know is younger than it, and its default means what was done then
    names = [
        name for name in settings if name not in EXTENDABLE and name in found and _changed(found[name], settings[name])
    ]
    if names:
        changes = "; ".join(f"{name} was {found.get(name)}, now {settings[name]}" for name in names)
        raise ValueError(
            f"{folder.path} holds the results of other settings ({changes}; in study.json): choose another --out, or "
            "delete it"
        )
    for name in EXTENDABLE:
        more = [value for value in found.get(name, ()) if value not in settings.get(name, ())]
        if more:
            raise ValueError(f"{folder.path} has {name} {more} too, of another process: give the command once more")
