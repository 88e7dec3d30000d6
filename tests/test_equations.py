"""docs/equations.md is complete, and every row of it leads where it says: a function, a test, a lesson."""

import ast
import importlib
import inspect
import re
from pathlib import Path

import pytest

import minidl

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "equations.md"
UNNUMBERED = {
    "neuron",
    "layer",
    "chain rule",
    "gradient descent",
    "convolution's output",
    "max-pooling",
    "flatten",
    "FGSM",
    "pruning",
    "pruning schedule",
}
NOT_THE_REPORTS = {"first order", "boxes", "lines", "least margin", "rounding"}  # taught, and others'
UNTAUGHT = {"FAB", "saliency", "distillation", "a mix", "separable", "CP"}  # a paper alone
UNTAUGHT |= {"nuclear norm", "effective rank", "periodic operator", "condition", "smoothing"}
BEYOND = {"PGD", "APGD", "DLR", "DeepFool", "FMN", "worst case", "transfer"} | UNTAUGHT  # the report: each has a paper
BEYOND |= {"adversarial training", "FGSM-RS", "N-FGSM", "lottery ticket", "density"}
BEYOND |= {"variational dropout", "hard concrete", "open gates"}


def rows():
    """(name, cells) of each row of the page's tables."""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if line.startswith("| ") and len(cells) > 1 and cells[1] not in ("formula", "---"):
            yield cells[0], cells


ROWS = [pytest.param(cells, id=name) for name, cells in rows()]
each_row = pytest.mark.parametrize("cells", ROWS)


def link(cell):
    """The text and the target of a cell's link, and nothing besides."""
    found = re.fullmatch(r"\[`?([^\]`]+)`?\]\(([^)]+)\)", cell)
    assert found, cell
    return found[1], (PAGE.parent / found[2]).resolve()


def paper(cells):
    """The number at arXiv that ends the cell of lesson and paper."""
    found = re.search(r"\[(\d{4}\.\d{4,5})\]\(https://arxiv\.org/abs/\1\)$", cells[2])
    return found and found[1]


def named(dotted):
    """What a dotted name means; the modules on the way are imported."""
    found = minidl
    for i, part in enumerate(dotted.split(".")[1:], start=2):
        if not hasattr(found, part):
            importlib.import_module(".".join(dotted.split(".")[:i]))
        found = getattr(found, part)
    return found


def cited(text):
    """The numbers of the equations that a docstring cites: "eq. (7)", "eqs. (6)-(7) and (19)-(24)"."""
    numbers = set()
    for citation in re.findall(r"eqs?\. ((?:\(\d+\)(?:-| and |, )?)+)", text):
        for first, last in re.findall(r"\((\d+)\)(?:-\((\d+)\))?", citation):
            numbers |= set(range(int(first), int(last or first) + 1))
    return numbers


def test_the_reading_of_citations():
    assert cited("(report, eqs. (6)-(7) and (19)-(21)), eq. (3); eqs. (1), (9)") == {1, 3, 6, 7, 9, 19, 20, 21}
    assert cited("report, section 2.1") == set()


def test_every_formula_has_a_row():
    names = [name for name, _ in rows()]
    assert len(names) == len(set(names))
    assert set(names) == {f"({number})" for number in range(1, 25)} | UNNUMBERED | NOT_THE_REPORTS | BEYOND


@each_row
def test_the_formula_is_set_in_latex(cells):
    name, formula, *others = cells
    assert len(others) == 3, name
    assert formula.count("$") in (2, 4, 6, 8, 10, 12), name
    assert formula.count("{") == formula.count("}")


@each_row
def test_the_function_is_there_and_cites_the_report(cells):
    dotted, file = link(cells[3])
    function = named(dotted)
    assert Path(inspect.getsourcefile(inspect.unwrap(function))).resolve() == file
    text = f"{inspect.getdoc(function)}\n{inspect.getmodule(inspect.unwrap(function)).__doc__}"
    number = re.fullmatch(r"\((\d+)\)", cells[0])
    if cells[0] in BEYOND:
        assert f"arXiv:{paper(cells)}" in text, f"{dotted} does not cite its paper"
    elif number:
        assert int(number[1]) in cited(text), f"{dotted} does not cite eq. {number[0]}"
    elif cells[0] not in NOT_THE_REPORTS:
        assert "report" in text


@each_row
def test_the_test_is_there(cells):
    name, file = link(cells[4])
    tests = {
        node.name for node in ast.parse(file.read_text(encoding="utf-8")).body if isinstance(node, ast.FunctionDef)
    }
    assert name in tests
    assert file.is_relative_to(ROOT / "tests")


@each_row
def test_the_lesson_is_there(cells):
    lesson = cells[2]
    if cells[0] in BEYOND:
        assert paper(cells)
        lesson = lesson.rpartition("[")[0].removesuffix(", ")
        assert (not lesson) == (cells[0] in UNTAUGHT)
        if not lesson:
            return
    number, file = link(lesson)
    assert file.is_file()
    assert file.with_suffix(".py").is_file()
    assert file.name.startswith(f"{int(number):02}_")
