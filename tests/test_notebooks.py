"""The lessons: each runs, warnings and exercises' solutions included, and its notebook shows what it says."""

import importlib.util
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "notebooks"
LESSONS = sorted(FOLDER.glob("[0-9][0-9]_*.py"))
SECONDS = 60  # on two cores, with compilation; a busy machine is given three times as long before it is stopped
MEGABYTES = 6  # of all notebooks together

NOTHING_TO_GUESS = {"Exercises", "More exercises", "Find the bug", "Logits", "A layer of your own"}

needs_jupytext = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("jupytext", "nbclient"))), reason='needs pip install -e ".[docs]"'
)
each_lesson = pytest.mark.parametrize("lesson", LESSONS, ids=lambda path: path.stem)


@each_lesson
def test_it_runs_and_what_it_says_holds(lesson):
    """In a process of its own, with every warning an error and without a network.

    Each hidden cell, checks and solutions alike, finds the names of the visible cells before it and no others.
    """
    done, seconds = _follow(lesson)
    print(f"{lesson.stem}: {seconds:.1f} s")
    assert done.returncode == 0, done.stderr


def test_a_check_that_fails_and_a_name_from_a_hidden_cell_are_noticed(tmp_path):
    first = "# %%\nseed = 0\nx = seed + 1\n"
    hidden = '# %% tags=["hide-input"]\nhelper = 2\nassert x < helper\n'
    solution = '# %% tags=["hide-cell", "solution"]\nassert x == {}\n'
    for text, complaint in (
        (first + hidden + solution.format(1), ""),
        (first + hidden + solution.format("helper - 1"), "NameError"),
        (first + hidden.replace("x <", "x >"), "AssertionError"),
    ):
        lesson = tmp_path / "lesson.py"
        lesson.write_text(text, encoding="utf-8")
        done, _ = _follow(lesson)
        assert (done.returncode != 0) == bool(complaint)
        assert complaint in done.stderr


def test_checks_are_told_seed_by_seed(tmp_path):
    lesson = tmp_path / "lesson.py"
    lesson.write_text('# %%\nseed = 0\n# %% tags=["hide-input"]\nassert seed < 1\n', encoding="utf-8")
    checks = _module("checks")
    told = [checks.follow(lesson, seed, strict=False) for seed in (0, 1)]
    assert told == [[(4, "seed < 1", True, "0, 1")], [(4, "seed < 1", False, "1, 1")]]
    lesson.write_text("# %%\nnumber = 0\n", encoding="utf-8")
    with pytest.raises(ValueError, match="no line 'seed = 0'"):
        checks.follow(lesson, 1)


@each_lesson
def test_it_has_exercises_whose_solutions_are_checked(lesson):
    cells = lesson.read_text(encoding="utf-8").split("# %%")
    solutions = [cell for cell in cells if '"solution"' in cell.partition("\n")[0]]
    assert 2 <= len(solutions) <= 5
    for cell in solutions:
        assert '"hide-cell"' in cell.partition("\n")[0]
        assert "assert " in cell, f"a solution without a check:\n{cell}"


@each_lesson
def test_a_section_that_shows_something_asks_for_a_guess_first(lesson):
    for section in _text(lesson).split("\n# ## ")[1:]:
        title, cells = section.partition("\n")[0], section.split("# %%")
        visible = "".join(cell for cell in cells[1:] if not re.match(r" \[markdown\]| tags=", cell))
        if re.search(r"^ *print\(|^ *plt\.show\(|^ *md\.plot", visible, re.MULTILINE) and title not in NOTHING_TO_GUESS:
            prose = "".join(line for line in section.splitlines() if line.startswith("#"))
            assert re.search(r"\b[Gg]uess", prose), f"{lesson.stem}, {title}"


@needs_jupytext
@each_lesson
def test_its_notebook_has_the_same_cells(lesson):
    assert _module("build").drift(lesson) is None, "run python docs/notebooks/build.py"


@each_lesson
def test_its_notebook_was_run_to_the_end(lesson):
    book = json.loads(lesson.with_suffix(".ipynb").read_text(encoding="utf-8"))
    code = [cell for cell in book["cells"] if cell["cell_type"] == "code" and "".join(cell["source"]).strip()]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell["outputs"]]
    assert not [o for o in outputs if o["output_type"] == "error" or o.get("name") == "stderr"]
    assert any("image/png" in o.get("data", {}) for o in outputs), "a lesson without a picture"


@needs_jupytext
def test_a_change_of_a_lesson_is_noticed(tmp_path):
    text = LESSONS[0].read_text(encoding="utf-8")
    changed = tmp_path / LESSONS[0].name
    changed.with_suffix(".ipynb").write_bytes(LESSONS[0].with_suffix(".ipynb").read_bytes())
    for edit in (text.replace("import numpy", "import  numpy", 1), text + "\n# %%\n1 + 1\n"):
        changed.write_text(edit, encoding="utf-8")
        assert _module("build").drift(changed) is not None
    changed.write_text(text, encoding="utf-8")
    assert _module("build").drift(changed) is None


def test_the_glossary_is_what_the_lessons_say_and_no_term_is_used_before_its_lesson():
    glossary = _module("glossary")
    terms = glossary.terms(LESSONS)
    assert _text(glossary.PAGE) == glossary.page(LESSONS), "run python docs/notebooks/build.py --glossary"
    assert glossary.used_too_early(terms, LESSONS) == []
    assert len({term.name.lower() for term in terms}) == len(terms) > 80, "a term is introduced twice"
    assert {term.lesson for term in terms} == set(LESSONS), "a lesson without a new term"
    for term in terms:
        assert 20 < len(term.says) < 400, term
        assert "|" not in term.says.replace("$|", "")  # which would end the table's cell


def test_each_greek_letter_of_a_lesson_is_in_the_table_of_letters():
    letters = (
        r"\\(alpha|beta|gamma|delta|varepsilon|zeta|eta|theta|kappa|lambda|mu|nu|xi|rho|sigma|tau|psi|phi|omega)\b"
    )
    table = _text(FOLDER / "index.md").partition("## Letters")[2]
    for lesson in LESSONS:
        used = set(re.findall(letters, _text(lesson)))
        assert used <= set(re.findall(letters, table)), lesson.stem
    softmax = [lesson.stem for lesson in LESSONS if r"\sigma" in _text(lesson)]
    assert softmax == ["03_softmax_cross_entropy"], "sigma is softmax"


def test_a_term_that_is_used_too_early_is_noticed(tmp_path):
    glossary, head = _module("glossary"), "# %% [markdown]\n# # A title on masks\n"
    first, second = tmp_path / "00_a.py", tmp_path / "01_b.py"
    second.write_text(
        head + "# %% [markdown]\n# **1. Masks.** A **mask**\n# is a hat: it\n# hides.\n", encoding="utf-8"
    )
    for says, early in (
        ("Hats.", 0),
        ("Two masks.", 1),
        ("`mask` in code.", 0),
        ("**Next:** masks", 0),
        ("*A mask*", 1),
    ):
        first.write_text(f"{head}# %% [markdown]\n# {says}\n# %%\nmask = 1\n", encoding="utf-8")
        terms = glossary.terms([first, second])
        assert terms == [("mask", "A mask is a hat: it hides.", second)]
        assert len(glossary.used_too_early(terms, [first, second])) == early


@needs_jupytext
def test_a_readers_time_grows_with_words_code_and_exercises(tmp_path):
    build, lesson = _module("build"), tmp_path / "00_a.py"

    def minutes(words=0, lines=0, exercises=0):
        text = "# %% [markdown]\n# # Title\n#" + " word" * words + "\n"
        text += "# %% [markdown]\n" + "".join(f"# **{i}. Do.**\n" for i in range(exercises))
        hidden = "".join(f'# %% tags=["{tag}"]\n' + "x = 1\n" * 900 for tag in ("hide-input", "solution"))
        lesson.write_text(text + "# %%\n" + "x = 1\n" * lines + hidden, encoding="utf-8")
        return build.minutes(lesson)

    assert minutes(words=1500) == 10
    assert minutes(words=1500, lines=300) == 30
    assert minutes(words=1500, lines=300, exercises=3) == 60
    assert "*About 60 minutes" in build.timed(lesson).cells[0].source


def test_the_notebooks_stay_small():
    assert sum(path.stat().st_size for path in FOLDER.glob("*.ipynb")) < MEGABYTES * 1e6


def _module(name):
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(FOLDER))  # they import each other
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(FOLDER))
    return module


def _follow(lesson):
    """The finished process of checks.py, and its seconds."""
    environment = os.environ | {"MPLBACKEND": "agg", "PYTHONPATH": str(ROOT), "MINIDL_DATA": "/nonexistent"}
    # a window's canvas shows nothing where there is no window
    options = ["-W", "error", "-W", "ignore:FigureCanvasAgg:UserWarning"]
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *options, FOLDER / "checks.py", lesson],
        env=environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=3 * SECONDS,
    )
    return done, time.perf_counter() - start


def _text(path):
    return path.read_text(encoding="utf-8")
