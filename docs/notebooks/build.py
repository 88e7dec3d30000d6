"""Run the lessons: each NN_name.py (percent format) becomes the executed NN_name.ipynb beside it.

    python docs/notebooks/build.py                      every lesson
    python docs/notebooks/build.py 04_backpropagation   one of them
    python docs/notebooks/build.py --check              run nothing: which pairs differ?
    python docs/notebooks/build.py --seeds 0 1 2        which checks hold, at each seed
    python docs/notebooks/build.py --glossary           the glossary alone
    python docs/notebooks/build.py --handout DIR        notebooks for a class (handout.py)
    python docs/notebooks/build.py --slides DIR         their pictures as slides (slides.py)

Write in the .py; the .ipynb is what the site and GitHub show. The same code gives the same file,
but for the times that lesson 6 measures. Two things are made of what the lessons say: the line at a
notebook's head on a reader's time, and glossary.md. It takes ``pip install -e ".[docs]"``.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
import sys
from pathlib import Path
from typing import Any

import glossary  # beside this file
import handout
import jupytext
import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).parent
SECONDS = 120  # that one cell may take
WORDS, LINES = 150, 15  # of prose and of visible code, read in a minute
EXERCISE = 10  # minutes that each takes
SOLUTION = {"code_prompt_show": "Show a solution", "code_prompt_hide": "Hide the solution"}


def lessons() -> list[Path]:
    """The .py files, in order."""
    return sorted(HERE.glob("[0-9][0-9]_*.py"))


def cells(book: Any) -> list[tuple[str, str, list[str]]]:
    """(type, source, tags) of each cell."""
    return [
        (cell.cell_type, cell.source.strip(), sorted(cell.metadata.get("tags", [])))
        for cell in book.cells
    ]


def minutes(lesson: Path) -> int:
    """A reader's time, from the words, the lines of code and the exercises, rounded to five."""
    words, lines, exercises = 0, 0, 0
    for kind, source, tags in cells(jupytext.read(lesson, fmt="py:percent")):
        if kind == "markdown":
            words += len(source.split())
            exercises += len(re.findall(r"^\*\*\d+\. ", source, re.MULTILINE))
        elif "solution" not in tags and not any(tag.startswith("hide") for tag in tags):
            lines += sum(bool(line.strip()) for line in source.splitlines())
    return 5 * round((words / WORDS + lines / LINES + EXERCISE * exercises) / 5)


def timed(lesson: Path) -> Any:
    """The notebook of a lesson, not yet run, with a reader's time under its title."""
    book = jupytext.read(lesson, fmt="py:percent")
    title, _, rest = book.cells[0].source.partition("\n")
    time = f"*About {minutes(lesson)} minutes, with the exercises.*"
    book.cells[0].source = f"{title}\n\n{time}\n{rest}"
    return book


def drift(lesson: Path) -> str | None:
    """What differs between a lesson and its notebook, or None."""
    notebook = lesson.with_suffix(".ipynb")
    if not notebook.exists():
        return f"{lesson.name} has no {notebook.name}"
    written, ran = cells(timed(lesson)), cells(nbformat.read(notebook, as_version=4))
    for i, (here, there) in enumerate(zip(written, ran, strict=False)):
        if here != there:
            title = f"{notebook.name}: cell {i} is not that of {lesson.name}:"
            return f"{title}\n{there[1]}\n--- instead of ---\n{here[1]}"
    if len(written) != len(ran):
        return f"{lesson.name} has {len(written)} cells, {notebook.name} {len(ran)}"
    return None


def run(lesson: Path) -> Any:
    """The executed notebook of a lesson."""
    book = timed(lesson)
    book.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    language = dict(book.metadata["language_info"])
    where = {"metadata": {"path": str(HERE)}}
    NotebookClient(
        book, timeout=SECONDS, kernel_name="python3", resources=where, coalesce_streams=True
    ).execute()
    book.metadata["language_info"] = language
    for i, cell in enumerate(book.cells):
        cell.id = f"cell-{i}"
        tags = cell.metadata.get("tags", [])
        cell.metadata = {"tags": tags} if tags else {}
        if cell.cell_type == "code":
            # without the line that said that kernels are compiled, and is gone again
            cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr" or o.text.strip()]
        if "solution" in tags:  # folded away on the site, and in Jupyter
            cell.metadata |= {
                "mystnb": SOLUTION,
                "jupyter": {"source_hidden": True, "outputs_hidden": True},
            }
    book.nbformat, book.nbformat_minor = 4, 5
    nbformat.validate(book)
    return book


def seeds(lesson: Path, chosen: list[int]) -> bool:
    """Write which checks of a lesson hold at each seed, with their numbers; whether all do."""
    import checks  # beside this file

    if not checks.SEED.search(lesson.read_text(encoding="utf-8")):
        print(f"{lesson.name} has no line 'seed = 0', and is run as it is")
        chosen = [0]
    with contextlib.redirect_stdout(io.StringIO()):  # what the lesson itself prints
        runs = [checks.follow(lesson, seed, strict=False) for seed in chosen]
    print(f"## {lesson.stem}\n")
    for found in zip(*runs, strict=True):
        held = " ".join("holds" if check.held else "FAILS" for check in found)
        print(f"{held}  line {found[0].line}: {found[0].says}")
        if any(check.numbers for check in found):
            print("    " + " | ".join(check.numbers for check in found))
    print(flush=True)
    return all(check.held for run in runs for check in run)


def check(chosen: list[Path]) -> bool:
    """Say which lessons and notebooks differ, and the glossary; whether all agree."""
    problems = [problem for path in chosen if (problem := drift(path))]
    if glossary.PAGE.read_text(encoding="utf-8") != glossary.page(lessons()):
        problems.append("glossary.md is not what the lessons say: run build.py")
    print("\n".join(problems) or f"{len(chosen)} lessons agree with their notebooks")
    return not problems


def build(chosen: list[Path]) -> None:
    """The glossary, and the notebooks of these lessons."""
    paths = [str(HERE.parents[1]), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)
    glossary.PAGE.write_text(glossary.page(lessons()), encoding="utf-8")
    for path in chosen:
        notebook = path.with_suffix(".ipynb")
        nbformat.write(run(path), notebook)
        print(f"{notebook.name}: {notebook.stat().st_size // 1024} KB", flush=True)


def read_options() -> tuple[argparse.Namespace, list[Path]]:
    """What the command line asks for, and of which lessons."""
    parser = argparse.ArgumentParser(
        description="Run the lessons, or check that lessons and notebooks agree."
    )
    parser.add_argument(
        "names", nargs="*", help="lessons, such as 04_backpropagation; all of them by default"
    )
    parser.add_argument("--check", action="store_true", help="run nothing, say which pairs differ")
    parser.add_argument("--glossary", action="store_true", help="make the glossary alone")
    parser.add_argument(
        "--seeds", nargs="+", type=int, help="build nothing, say which checks hold at each of them"
    )
    parser.add_argument("--handout", type=Path, metavar="DIR", help="notebooks for a class, there")
    parser.add_argument("--slides", type=Path, metavar="DIR", help="all pictures as slides, there")
    options = parser.parse_args()
    chosen = [path for path in lessons() if not options.names or path.stem in options.names]
    unknown = set(options.names) - {path.stem for path in chosen}
    if unknown:
        names = ", ".join(path.stem for path in lessons())
        parser.error(f"no such lesson: {', '.join(sorted(unknown))}; there are {names}")
    return options, chosen


def main() -> int:
    options, chosen = read_options()
    if options.check:
        return 0 if check(chosen) else 1
    if options.slides or options.seeds:  # which run the lessons here
        os.environ["MPLBACKEND"] = "agg"
        sys.path.insert(0, str(HERE.parents[1]))
    if options.handout:
        handout.hand_out(chosen, options.handout)
    elif options.slides:
        import slides  # beside this file

        for path in chosen:
            count = len(slides.draw(path, options.slides.resolve()))
            print(f"{path.stem}: {count} slides", flush=True)
    elif options.seeds:
        os.chdir(HERE)
        held = [seeds(path, options.seeds) for path in chosen]  # all are run, whatever one says
        return 0 if all(held) else 1
    else:
        build([] if options.glossary else chosen)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
