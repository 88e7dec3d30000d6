"""What is whole in a results folder, what will be made again, what is lost: every file is compared with the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..records import LANGUAGES, hash_of, read_attack, read_run, read_study, read_table, read_transfer
from ..report.tables import to_csv
from .folder import Folder
from .made import why_to_make
from .table import table

WHOLE, AGAIN, MISSING, LOST, DAMAGED = "whole", "made again", "missing", "lost", "damaged"
BAD = (DAMAGED,)
STATES = {
    WHOLE: "is what was written",
    AGAIN: "the study's command makes it again, from what is there",
    MISSING: "not done yet: the study's command trains and attacks what is missing",
    LOST: "not kept: training anew brings it back, to the same bits",
    DAMAGED: "not what was written: the message says what to do",
}


@dataclass(frozen=True)
class Finding:
    """What is known of one file."""

    path: Path
    state: str
    why: str = ""


def examine(folder: Folder) -> list[Finding]:
    """Compare every file of a study's folder with every other, and every hash; nothing is trained or written.

    Raises
    ------
    FileNotFoundError
        When the folder holds no study.
    ValueError
        When study.json, from which all others are known, is damaged.
    """
    layout = folder.layout
    study = read_study(layout)
    if study is None:
        raise FileNotFoundError(f"{layout.path} holds no study.json: there is no study to check")
    attacks: dict[str, dict[str, None]] = {}
    for figure in study["figures"]:
        for run in figure["runs"]:
            attacks.setdefault(run, {})
        for found in (*figure["attacks"].values(), figure.get("certificates", {})):
            for run, attack in found.items():
                attacks[run][attack] = None
    matrices = [seed for figure in study.get("transfers", ()) for seed in figure["seeds"]]
    attacks |= {run: attacks.get(run, {}) for seed in matrices for run in seed["networks"].values()}
    with ThreadPoolExecutor() as pool:  # hashing lets other threads work
        runs = pool.map(lambda run: list(_run(folder, run, list(attacks[run]))), attacks)
        findings = [Finding(layout.study, WHOLE), *(finding for found in runs for finding in found)]
    findings += [_transfer(folder, seed) for seed in matrices]
    return [*findings, *_derived(folder, findings)]


def _run(folder: Folder, run: str, attacks: Sequence[str]) -> Iterator[Finding]:
    layout = folder.layout
    try:
        record = read_run(layout, run)
    except ValueError as error:
        yield Finding(layout.record(run), DAMAGED, str(error))
        return
    if record is None:
        yield Finding(layout.record(run), MISSING)
        return
    yield Finding(layout.record(run), WHOLE)
    yield _curve(folder, run, record)
    yield _weights(layout.weights(run), record)
    for attack in attacks:
        path = layout.attack(run, attack)
        try:
            if read_attack(layout, record, attack) is not None:
                yield Finding(path, WHOLE)
            else:
                yield Finding(path, MISSING, "it is of other weights" if path.is_file() else "")
        except ValueError as error:
            yield Finding(path, DAMAGED, str(error))


def _transfer(folder: Folder, seed: dict[str, Any]) -> Finding:
    """The matrix of one seed, unless a network's own file is damaged, which is told of there."""
    layout, path = folder.layout, folder.layout.transfer(seed["transfer"])
    try:
        runs = {run: record for run in seed["networks"].values() if (record := read_run(layout, run)) is not None}
    except ValueError:
        return Finding(path, MISSING, "a network of it is damaged")
    try:
        if read_transfer(layout, seed["transfer"], runs) is not None:
            return Finding(path, WHOLE)
    except ValueError as error:
        return Finding(path, DAMAGED, str(error))
    return Finding(path, MISSING, "it is of other weights" if path.is_file() and len(runs) else "")


def _curve(folder: Folder, run: str, record: dict[str, Any]) -> Finding:
    path = folder.layout.curve(run)
    if "curve" in record:
        same = path.is_file() and path.read_bytes() == to_csv(record["curve"])
        return Finding(path, WHOLE) if same else Finding(path, AGAIN, "it is not the copy of what run.json says")
    try:
        return Finding(path, WHOLE if read_table(path) else LOST)
    except ValueError as error:
        return Finding(path, DAMAGED, str(error))


def _weights(path: Path, record: dict[str, Any]) -> Finding:
    if not path.is_file():
        return Finding(path, LOST, "only new attacks need the weights")
    if "weights" in record and hash_of(path) != record["weights"]:
        return Finding(path, LOST, "its hash is not the one in run.json; only new attacks need the weights")
    return Finding(path, WHOLE, "" if "weights" in record else "of format 1, which has no hash of it")


def _derived(folder: Folder, findings: Sequence[Finding]) -> Iterator[Finding]:
    """The table, and what is made of it; unknown while a file is damaged from which it is made."""
    layout = folder.layout
    if any(finding.state == DAMAGED for finding in findings):
        yield Finding(layout.results, AGAIN, "once nothing is damaged")
        yield from (Finding(page, AGAIN, "once nothing is damaged") for page in map(layout.page, LANGUAGES))
        return
    content = to_csv(table(folder))
    same = content == (layout.results.read_bytes() if layout.results.is_file() else b"")
    yield Finding(layout.results, WHOLE) if same else Finding(layout.results, AGAIN, "it is not that of the runs")
    why = why_to_make(layout) if same else "the table is"
    names = ["claims.csv", "pairs.csv", "figures", *(layout.page(language).name for language in LANGUAGES)]
    slides = [layout.slide(language).name for language in LANGUAGES]
    names += [name for name in ("transfers.csv", "sides.csv", *slides) if (layout.path / name).is_file()]
    yield from (Finding(layout.path / name, AGAIN if why else WHOLE, why) for name in names)


def as_table(findings: Sequence[Finding]) -> str:
    """How many files are in which state, and each that is not whole, as lines of text.

    Examples
    --------
    >>> from pathlib import Path
    >>> from minidl.study.examine import Finding, as_table
    >>> print(as_table([Finding(Path("study.json"), "whole"), Finding(Path("a/curve.csv"), "lost")]))
    whole             1  is what was written
    lost              1  not kept: training anew brings it back, to the same bits
    <BLANKLINE>
    lost        a/curve.csv
    """
    counts = Counter(finding.state for finding in findings)
    lines = [f"{state:<12}{counts[state]:>7}  {what}" for state, what in STATES.items() if counts[state]]
    rest = [finding for finding in findings if finding.state != WHOLE]
    lines += [""] * bool(rest)
    for finding in rest:
        lines.append(f"{finding.state:<12}{finding.path}" + f": {finding.why}" * bool(finding.why))
    return "\n".join(lines)
