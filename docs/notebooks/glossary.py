"""The glossary is made from the lessons: a term in bold is introduced by the sentence it stands in.

    python docs/notebooks/glossary.py    the page, as build.py writes it

What is bold and ends in a stop, a colon or a question mark is no term but a heading, such as that
of an exercise; for emphasis there are italics. Whatever uses a term stands after that sentence.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
PAGE = HERE / "glossary.md"
BOLD = re.compile(r"\*\*([^*]+)\*\*")
EXERCISE = re.compile(r"^\*\*\d+\. [^*]*\*\*\s*")
SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z(\"$*`])|(?<=[.!?:]\))\s+")
HEAD = """# Glossary

Each term, the sentence that introduces it, and the lesson where this sentence stands. Nothing
before it uses the term: the tests see to that. `build.py` makes this page from what is bold in the
lessons.

| term | | lesson |
| --- | --- | --- |
"""


class Term(NamedTuple):
    """A term as it stands in its lesson, the sentence that says what it means, and the lesson."""

    name: str
    says: str
    lesson: Path


def paragraphs(lesson: Path) -> Iterator[str]:
    """What the markdown cells of a lesson say, but for its head and the title of the next."""
    cells = lesson.read_text(encoding="utf-8").split("# %%")
    said = [cell.partition("\n")[2] for cell in cells if cell.startswith(" [markdown]")]
    for cell in said[1:]:  # the first is the title, and what one can do afterwards
        text = re.sub(r"^# ?", "", cell, flags=re.MULTILINE)
        for part in re.split(r"\n\s*\n|^(?=\* )", text, flags=re.MULTILINE):
            words = EXERCISE.sub("", " ".join(part.split()))
            if words and not words.startswith(("**Next:**", "#")):
                yield words


def introduced(sentence: str) -> list[str]:
    """The terms in a sentence: what is bold, and no heading."""
    return [bold for bold in BOLD.findall(sentence) if bold[-1] not in ".:?"]


def terms(lessons: list[Path]) -> list[Term]:
    """The terms that the lessons introduce, in their order."""
    found = []
    for lesson in lessons:
        for words in paragraphs(lesson):
            for sentence in SENTENCE.split(words):
                says = sentence.replace("**", "").removeprefix("* ").removesuffix(":")
                if says.startswith("(") and says.endswith(")"):
                    says = says[1:-1]
                says = says if says.endswith(".") else f"{says}."
                found += [Term(name, says, lesson) for name in introduced(sentence)]
    return found


def used_too_early(known: list[Term], lessons: list[Path]) -> list[str]:
    """Each use of a term before the sentence that introduces it; its name in code is none."""
    found, to_come, compound = [], {term.name: term for term in known}, [r"`[^`]*`"]
    for lesson in lessons:
        for words in paragraphs(lesson):
            for sentence in SENTENCE.split(words):
                for name in introduced(sentence):
                    to_come.pop(name, None)
                    if not name.isalnum():  # "vector-Jacobian product" is no use of "Jacobian"
                        compound.append(re.escape(name.lower()))
                prose = re.sub("|".join(compound), "", sentence.lower())
                found += [
                    f"{lesson.stem}: '{sentence}' uses {name}, which {term.lesson.stem} introduces"
                    for name, term in to_come.items()
                    if re.search(rf"\b{re.escape(name.lower().removesuffix('s'))}", prose)
                ]
    return found


def page(lessons: list[Path]) -> str:
    """The glossary."""
    rows = [
        f"| {term.name[0].upper()}{term.name[1:]} | {term.says} "
        f"| [{int(term.lesson.stem[:2])}]({term.lesson.stem}.ipynb) |\n"
        for term in sorted(terms(lessons), key=lambda term: term.name.lower())
    ]
    return HEAD + "".join(rows)


if __name__ == "__main__":
    print(page(sorted(HERE.glob("[0-9][0-9]_*.py"))), end="")
