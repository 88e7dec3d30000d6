"""The last lines of a study, and its exit status."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from minidl import study


def say_what_is_there(out: Path) -> int:
    """Print what an examination of a results folder finds; returns the exit status, 0 unless something is damaged."""
    findings = study.examine(study.Folder(out))
    print(study.as_table(findings))
    return int(any(finding.state in study.BAD for finding in findings))


def say_how_it_ended(ending: study.Ending, out: Path, total: int) -> None:
    """The last lines of a study; its exit status says whether all that was chosen is finished."""
    print(f"{ending.finished} of {total} networks are trained and attacked")
    for what, path in (("page", "index.html"), ("table", "results.csv"), ("figures", "figures")):
        if (out / path).exists():
            print(f"{what:<8} {out / path}")
    if ending.missing:
        count = len(ending.missing)
        what = "network is" if count == 1 else "networks are"
        why = "; ".join(_by_reason(ending.missing))
        raise SystemExit(f"error: {count} {what} missing, and the same command tries again: {why}")


def _by_reason(missing: Mapping[str, Exception]) -> list[str]:
    """ "a, b, c and 35 more (the scheduler is gone)": the names, and why, in one line whatever it is."""
    reasons: dict[str, list[str]] = {}
    for name, error in missing.items():
        reasons.setdefault(" ".join(study.describe(error).split())[:300], []).append(name)
    more = {why: f" and {len(names) - 3} more" if len(names) > 3 else "" for why, names in reasons.items()}
    return [f"{', '.join(names[:3])}{more[why]} ({why})" for why, names in reasons.items()]
