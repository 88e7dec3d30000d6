"""What is derived from a study's runs is known by what it was made of and by what makes it, not by the time of a file.

``made.json`` holds a hash of both, and of each file that was made: where one of them differs, all are made again.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterable, Iterator
from importlib import metadata, resources
from pathlib import Path
from typing import Any

from ..records import FORMAT, Layout, hash_of, hash_of_all, read_made, read_study, write_sealed

MAKERS = ("minidl.records", "minidl.report", "minidl.robustness", "minidl.study")
LIBRARIES = ("numpy", "matplotlib", "jinja2")  # what they draw and write may change with their versions


def why_to_make(layout: Layout) -> str:
    """Why claims, pairs, figures and page are to be made again; empty if they are those of today's results.

    A file that is missing, damaged or cut is one of the reasons.
    """
    made = read_made(layout)
    if made is None:
        return f"{layout.made} is not there, or damaged"
    for name, content in made["files"].items():
        path = layout.path / name
        if not path.is_file() or hash_of(path) != content:
            return f"{path} is not there, or not what was made"
    if made["of"] != sources(layout):
        return "the results have changed"
    return "" if made["by"] == makers() else "another version of minidl, or of a library, made them"


def say_made(layout: Layout, files: Iterable[Path]) -> None:
    """Write down what the files were made of, once all of them are there."""
    hashes = {path.relative_to(layout.path).as_posix(): hash_of(path) for path in files}
    write_sealed(layout.made, {"format": FORMAT, "of": sources(layout), "by": makers(), "files": hashes})


def sources(layout: Layout) -> str:
    """The hash of all that a report is made from: the study, its table, and what is finished of its runs."""
    return hash_of_all((path.relative_to(layout.path).as_posix(), path.read_bytes()) for path in _sources(layout))


def _sources(layout: Layout) -> Iterator[Path]:
    study = read_study(layout) or {"figures": []}
    paths = [layout.study, layout.results]
    for figure in study.get("transfers", ()):
        paths += [layout.transfer(seed["transfer"]) for seed in figure["seeds"]]
        paths += [layout.record(run) for seed in figure["seeds"] for run in seed["networks"].values()]
    for figure in study["figures"]:
        for run in figure["runs"]:
            paths += [layout.record(run), layout.curve(run)]
        for attacks in (*figure["attacks"].values(), figure.get("certificates", {})):
            paths += [layout.attack(run, attack) for run, attack in attacks.items()]
    yield from (path for path in dict.fromkeys(paths) if path.is_file())


@functools.cache
def makers() -> str:
    """The hash of the code that makes a report, and of the versions of what it is made with."""
    contents = [(package + "/" + name, text) for package in MAKERS for name, text in _files(resources.files(package))]
    for library in LIBRARIES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            contents.append((library, metadata.version(library).encode()))
    return hash_of_all(contents)


def _files(folder: Any) -> Iterator[tuple[str, bytes]]:
    """The files of a package, which may lie in a zip archive."""
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_file() and not entry.name.endswith((".pyc", ".pyo")):
            yield entry.name, entry.read_bytes()
        elif entry.is_dir() and entry.name != "__pycache__":
            yield from ((f"{entry.name}/{name}", text) for name, text in _files(entry))
