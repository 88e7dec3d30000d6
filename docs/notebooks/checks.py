"""Does what a lesson says hold? Each sentence that compares, or says why, stands on hidden asserts.

    python docs/notebooks/checks.py 05_vanishing_gradients.py   at seed 0, until one fails

A *check* is a cell tagged ``hide-input`` with asserts in it. Names from hidden cells are forgotten:
whoever reads the visible cells alone can run them, and do every exercise. It needs nothing of what
builds the site; ``build.py --seeds 0 1 2`` sets the checks of all lessons beside each other.
"""

from __future__ import annotations

import ast
import contextlib
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.pyplot as plt

SEED = re.compile(r"^seed = 0\b", re.MULTILINE)  # a line of a lesson's first cell
HIDDEN = ("hide-input", "hide-cell")


class Cell(NamedTuple):
    """A piece of a lesson, and the line of the file it begins after."""

    line: int
    header: str
    source: str

    def has(self, *tags: str) -> bool:
        """Whether it has one of the tags."""
        return any(f'"{tag}"' in self.header for tag in tags)


class Check(NamedTuple):
    """One assert: its line in the file, what it says, whether it held, and the numbers in it."""

    line: int
    says: str
    held: bool
    numbers: str


def code_cells(text: str) -> Iterator[Cell]:
    """The cells of a lesson's text that are code, in order."""
    places = [match.start() for match in re.finditer(r"^# %%", text, re.MULTILINE)]
    for start, end in zip(places, [*places[1:], len(text)]):
        header, _, source = text[start:end].partition("\n")
        if "[markdown]" not in header:
            yield Cell(text.count("\n", 0, start) + 1, header, source)


@contextlib.contextmanager
def forgotten(cell: Cell, names: dict[str, Any]) -> Iterator[None]:
    """Run a cell within; what a hidden one called by a name is forgotten afterwards."""
    before = dict(names)
    yield
    if cell.has(*HIDDEN):
        names.clear()  # not replaced: functions keep the dictionary of names
        names.update(before)


def follow(lesson: Path, seed: int = 0, strict: bool = True) -> list[Check]:
    """Run a lesson at a seed, and each check; strictly, the first that fails raises."""
    text = lesson.read_text(encoding="utf-8")
    if seed != 0 and not SEED.search(text):
        raise ValueError(f"{lesson.name} has no line 'seed = 0' for its random numbers")
    names: dict[str, Any] = {"__name__": "__main__", "__file__": str(lesson)}
    found: list[Check] = []
    for cell in code_cells(SEED.sub(f"seed = {seed}", text)):
        with forgotten(cell, names):
            for statement in ast.parse("\n" * cell.line + cell.source).body:
                asserts = any(isinstance(part, ast.Assert) for part in ast.walk(statement))
                if cell.has("hide-input") and asserts and not strict:
                    found.append(_check(statement, names, str(lesson)))
                else:
                    _run([statement], names, str(lesson))
    plt.close("all")
    return found


def _run(statements: list[ast.stmt], names: dict[str, Any], file: str) -> None:
    exec(compile(ast.Module(statements, []), file, "exec"), names)


def _check(statement: ast.stmt, names: dict[str, Any], file: str) -> Check:
    """What becomes of an assert, or of a loop of them; and the numbers that it compares."""
    says, sides = ast.unparse(statement), []
    if isinstance(statement, ast.Assert) and isinstance(statement.test, ast.Compare):
        for side in (statement.test.left, *statement.test.comparators):
            value = eval(compile(ast.Expression(side), file, "eval"), names)
            with contextlib.suppress(TypeError, ValueError):
                sides.append(f"{float(value):.4g}")
    try:
        _run([statement], names, file)
        held = True
    except AssertionError:
        held = False
    return Check(statement.lineno, says.removeprefix("assert "), held, ", ".join(sides))


def main() -> None:
    os.chdir(Path(__file__).parent)
    for name in sys.argv[1:]:
        follow(Path(name).resolve())


if __name__ == "__main__":
    main()
