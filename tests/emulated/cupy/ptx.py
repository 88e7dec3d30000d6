"""Inline PTX: each ``asm`` statement becomes a call of the C++ function of its instruction's name (``warp.hpp``)."""

from __future__ import annotations

import re

STATEMENT = re.compile(r"\basm\s*(?:volatile\b\s*)?\(")
STRINGS = re.compile(r'\s*((?:"(?:[^"\\]|\\.)*"\s*)+)')
OPERAND = re.compile(r'\s*"[^"]*"\s*\(')
KNOWN = {  # what the emulated card does
    "cvt.rn.bf16.f32",
    "ldmatrix.sync.aligned.m8n8.x4.shared.b16",
    "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32",
    "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32",
    "cvt.rn.bf16x2.f32",
}


class UnknownInstructionError(Exception):
    """PTX that the emulated card does not understand, and where it stands."""

    def __init__(self, text, place):
        self.place = place
        super().__init__(text)


def _closing(code, start):
    """The place behind the parenthesis that closes the one before ``start``."""
    depth = 1
    while depth:
        depth += {"(": 1, ")": -1}.get(code[start], 0)
        start += 1
    return start


def _operands(text):
    """The expressions in ``"=r"(a), "f"(b) : ...``, in their order; what is clobbered is none."""
    found, start = [], 0
    while match := OPERAND.search(text, start):
        start = _closing(text, match.end())
        found.append(text[match.end() : start - 1])
    return found


def _call(statement, place):
    strings = STRINGS.match(statement)
    template = "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', strings[1])).strip()
    name, _, places = template.rstrip(";").partition(" ")
    if name not in KNOWN or ";" in places:
        raise UnknownInstructionError(template, place)
    operands = _operands(statement[strings.end() :])
    arguments = ", ".join(operands[int(i)] for i in re.findall(r"%(\d+)", places))
    return f"emulated::ptx_{name.replace('.', '_')}({arguments})"


def translate(code):
    """C++ without ``asm``; lines stay where they are."""
    done, start = [], 0
    while match := STATEMENT.search(code, start):
        end = _closing(code, match.end())
        lines = "\n" * code.count("\n", match.start(), end)
        done += [code[start : match.start()], _call(code[match.end() : end - 1], match.start()), lines]
        start = end
    return "".join(done) + code[start:]
