"""What made a study's results: versions and machines, and of each run how to repeat it."""

from __future__ import annotations

import shlex
from typing import Any

from . import wording
from .language import say
from .results import Results


def origin(results: Results) -> list[tuple[str, str]]:
    """Versions, commits, devices, processors: what the finished runs say, and the study where none does."""
    records = [*results.runs.values()] or [results.study]
    rows = []
    for key in ("commit", "device", "processor"):
        found = dict.fromkeys(str(record[key]) for record in records if record.get(key))
        rows += [(say(f"page.{key}"), ", ".join(found))] if found else []
    packages = dict.fromkeys(name for record in (results.study, *records) for name in record.get("versions", {}))
    for package in packages:
        found = dict.fromkeys(str(record["versions"][package]) for record in records if package in record["versions"])
        rows.append((package, ", ".join(found) or str(results.study["versions"][package])))
    started = sorted(str(record["started"]) for record in results.runs.values() if record.get("started"))
    if not started:
        return rows
    return [*rows, (say("page.first_run"), started[0]), (say("page.last_run"), started[-1])]


def run_row(results: Results, name: str) -> dict[str, Any]:
    """A row of the table of runs: how it ended, and how to repeat it."""
    record = results.runs.get(name, {})
    figures = [
        *(figure["figure"] for figure in results.figures.values() if name in figure["runs"]),
        *(shown for shown in results.transfers if name in results.networks_of(shown)),
    ]
    attacked = name not in results.attacked or any(row["run"] == name for row in results.rows)
    state = "finished" if record and attacked else "not_attacked" if record else "unfinished_run"
    command = results.study.get("command", "")
    return {
        "name": name,
        "state": say(f"page.{state}"),
        "is_finished": state == "finished",
        "figures": ", ".join(figures),
        "accuracy": wording.percent(record.get("val_accuracy")),
        "time": wording.duration(record.get("seconds")),
        "started": str(record.get("started", ""))[:16].replace("T", " "),
        "device": record.get("device", ""),
        "commit": record.get("commit", ""),
        "command": f"{command} --only {shlex.quote(name)}" if command else "",
    }
