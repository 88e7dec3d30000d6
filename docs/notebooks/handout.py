"""Notebooks for a class: a folder without solutions, and one with them for whoever teaches it.

    python docs/notebooks/build.py --handout class      class/students and class/teacher

Answers go in place of the dots, and ``judge`` says what to look at. For nbgrader, which grades them
by itself, the cell of a judge is a locked test of one point, and the cell of an answer is like any
other, so that it is released as it is; while nbgrader grades, a wrong answer raises.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jupytext
import nbformat

HERE = Path(__file__).parent
BESIDE = ("judge.py", "answers.py", "answers_9_to_16.py")  # what the notebooks import
JUDGED = re.compile(r'^judge\("(\d+)\.(\d+)"', re.MULTILINE)
HIDDEN = {"jupyter": {"source_hidden": True}}


def hand_out(lessons: list[Path], folder: Path) -> None:
    """Write the notebooks of both kinds, not yet run, and what they import."""
    for kind in ("students", "teacher"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for name in BESIDE:
            shutil.copy(HERE / name, folder / kind / name)
        for lesson in lessons:
            book = nbformat.v4.new_notebook(cells=list(cells(lesson, solutions=kind == "teacher")))
            book.metadata["kernelspec"] = {
                "display_name": "Python 3",
                "language": "python",
                "name": "python3",
            }
            for i, cell in enumerate(book.cells):
                cell.id = f"cell-{i}"
            nbformat.validate(book)
            nbformat.write(book, folder / kind / f"{lesson.stem}.ipynb")


def cells(lesson: Path, solutions: bool) -> Iterator[Any]:
    """A lesson's cells, with its answers and their judges in cells of their own."""
    for cell in jupytext.read(lesson, fmt="py:percent").cells:
        tags = cell.metadata.get("tags", [])
        if cell.cell_type == "markdown":
            yield nbformat.v4.new_markdown_cell(cell.source)
        elif "solution" in tags:
            if solutions:
                yield nbformat.v4.new_code_cell(cell.source, metadata={"tags": tags})
        elif (asked := JUDGED.search(cell.source)) and not tags:
            yield from answered(cell.source, asked)
        else:
            hidden = HIDDEN if any(tag.startswith("hide") for tag in tags) else {}
            yield nbformat.v4.new_code_cell(cell.source, metadata=dict(hidden))


def answered(source: str, asked: re.Match[str]) -> Iterator[Any]:
    """The cell to fill in, and the one that says what there is to say of it."""
    yield nbformat.v4.new_code_cell(source[: asked.start()].rstrip())
    test = {
        "schema_version": 3,
        "grade_id": f"exercise-{asked[1]}-{asked[2]}",
        "grade": True,
        "locked": True,
        "points": 1,
        "solution": False,
        "task": False,
    }
    judged = source[asked.start() :].strip()
    yield nbformat.v4.new_code_cell(judged, metadata={"nbgrader": test})
