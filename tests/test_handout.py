"""What a class is given: notebooks without solutions, slides, and a stick that works without a network."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("jupytext")
nbformat = pytest.importorskip("nbformat")

FOLDER = Path(__file__).parents[1] / "docs" / "notebooks"
sys.path.insert(0, str(FOLDER))
import answers  # noqa: E402, F401  registers the judges
import handout  # noqa: E402
import judge  # noqa: E402
import slides  # noqa: E402

sys.path.remove(str(FOLDER))
LESSONS = sorted(FOLDER.glob("[0-9][0-9]_*.py"))


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    folder = tmp_path_factory.mktemp("class")
    handout.hand_out(LESSONS, folder)
    return folder


def books(folder):
    return {path.stem: nbformat.read(path, as_version=4) for path in sorted(folder.glob("*.ipynb"))}


def test_students_get_every_lesson_and_exercise_and_no_solution(given):
    students, teacher = books(given / "students"), books(given / "teacher")
    assert [*students] == [*teacher] == [lesson.stem for lesson in LESSONS]
    for lesson in LESSONS:
        text = lesson.read_text(encoding="utf-8")
        solutions = text.count('"solution"]')
        here, there = students[lesson.stem].cells, teacher[lesson.stem].cells
        assert len(there) - len(here) == solutions >= 3
        assert all(cell.source in {c.source for c in there} for cell in here)
        assert not any("solution" in cell.metadata.get("tags", []) for cell in here)
        exercises = sorted(set(re.findall(r'^judge\("(\d+\.\d+)"', text, re.MULTILINE)))
        tests = [cell for cell in here if cell.metadata.get("nbgrader", {}).get("grade")]
        assert sorted(re.search(r'judge\("(\d+\.\d+)"', cell.source)[1] for cell in tests) == exercises


def test_each_answer_is_open_and_stands_before_its_judge(given):
    for book in books(given / "students").values():
        judges = [i for i, cell in enumerate(book.cells) if "nbgrader" in cell.metadata]
        assert len({book.cells[i].metadata.nbgrader.grade_id for i in judges}) == len(judges)
        for i in judges:
            answer, test = book.cells[i - 1], book.cells[i].metadata.nbgrader
            assert (test.points, test.grade, test.locked, test.solution) == (1, True, True, False)
            dots = [node for node in ast.walk(ast.parse(answer.source)) if getattr(node, "value", None) is ...]
            assert dots, answer.source


def test_the_notebooks_find_what_they_import(given):
    for kind in ("students", "teacher"):
        found = {path.name for path in (given / kind).glob("*.py")}
        assert found == set(handout.BESIDE)
        done = subprocess.run(
            [sys.executable, "-c", "import answers"], cwd=given / kind, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr


def test_a_wrong_answer_raises_while_it_is_graded(monkeypatch):
    assert "no answer yet" in repr(judge.judge("3.1", ...))
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    with pytest.raises(AssertionError, match=r"3\.1: no answer yet"):
        judge.judge("3.1", ...)
    assert judge.judge("3.1", lambda g, c: -g[c] + g.max() + np.log(np.exp(g - g.max()).sum()))


def test_pictures_become_slides(tmp_path):
    from PIL import Image

    lesson = tmp_path / "99_test.py"
    cells = ["# %% [markdown]\n# # 99. A & B\n#\n# ## First < last\n", "import matplotlib.pyplot as plt\n"]
    draw = "plt.figure(figsize=(3, 9))\nplt.plot([1, 2])\nplt.xlabel('seen')\n"
    cells += [draw, '# %% tags=["hide-cell", "solution"]\nplt.figure()\nx = 1\n']
    lesson.write_text("\n# %%\n".join(cells[:3]) + "\n" + cells[3])
    (path,) = slides.draw(lesson, tmp_path / "out")
    picture = np.asarray(Image.open(path).convert("L"))
    assert picture.shape == (1080, 1920)
    assert picture[:, :60].min() == picture[-40:].min() == 255  # the edges are free
    svg = path.with_suffix(".svg").read_text(encoding="utf-8")
    assert "First &lt; last" in svg
    assert "99. A &amp; B" in svg
    assert svg.count("<svg") == 2


def test_an_empty_stick_says_so(tmp_path):
    (tmp_path / "stick.py").write_bytes((FOLDER / "stick.py").read_bytes())
    command = [sys.executable, tmp_path / "stick.py", "install", tmp_path / "there"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert "has no minidl: gather first" in done.stderr
    assert not (tmp_path / "there").exists()


def test_a_handout_of_one_lesson_from_the_command_line(tmp_path):
    command = [sys.executable, FOLDER / "build.py", "--handout", tmp_path, "08_fgsm"]
    subprocess.run(command, check=True, capture_output=True)
    (book,) = (tmp_path / "students").glob("*.ipynb")
    assert json.loads(book.read_text(encoding="utf-8"))["cells"]
