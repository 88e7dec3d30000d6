"""The format of a results folder: where its files are, what they hold, and what to do about a damaged one.

docs/studies.md says the same in words. Whatever is read of such a folder is read by ``read.py``, against these schemas.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .run import OWN
from .schema import Check, anything, both, choice, each, fields, mapping, maybe, number, text, whole

FORMAT = 3  # raised when a folder that this code writes can no longer be read by the code before it
SEALED = 2  # from this format on a JSON file holds the checksum of the rest of it, and an attack's file whose it is
LANGUAGES = ("en", "fr")  # of pages and slides; tables and figures' files are in the first

# Where things are


@dataclass(frozen=True)
class Layout:
    """The names of a results folder's files."""

    path: Path

    @property
    def study(self) -> Path:
        return self.path / "study.json"

    @property
    def results(self) -> Path:
        return self.path / "results.csv"

    @property
    def claims(self) -> Path:
        return self.path / "claims.csv"

    def page(self, language: str = "en") -> Path:
        """The study on one page."""
        return self.path / f"index{_of(language)}.html"

    def slide(self, language: str = "en") -> Path:
        """The study's claims as a picture."""
        return self.path / f"summary{_of(language)}.png"

    @property
    def made(self) -> Path:
        """Of what claims, pairs, figures and page were made, and by what."""
        return self.path / "made.json"

    def run(self, run: str) -> Path:
        return self.path / "runs" / run

    def record(self, run: str) -> Path:
        return self.run(run) / "run.json"

    def curve(self, run: str) -> Path:
        return self.run(run) / "curve.csv"

    def weights(self, run: str) -> Path:
        return self.run(run) / "weights.safetensors"

    def attack(self, run: str, attack: str) -> Path:
        return self.run(run) / "attacks" / f"{attack}.npz"

    @property
    def transfers(self) -> Path:
        return self.path / "transfers.csv"

    def transfer(self, name: str) -> Path:
        return self.path / "transfers" / f"{name}.npz"


def _of(language: str) -> str:
    return "" if language == LANGUAGES[0] else f".{language}"


# What to do about a damaged file

ADVICE = {
    "study.json": "delete it and run the study again, with all of its settings: it is made anew",
    "run.json": "delete it and run the study again, which trains this network anew, to the same bits",
    "attack": "delete it and run the study again, which attacks this network anew (seconds to minutes; where its "
    "weights are not kept, it is trained first)",
    "transfer": "delete it and run the study again, which makes it anew where the networks' weights are kept",
    "curve.csv": "delete it and run the study again: the page does without this curve, which only training anew brings "
    "back (delete run.json too)",
    "results.csv": "delete it and run the study again, which makes it anew",
    "claims.csv": "delete it and run the study again, which makes it anew",
    "made.json": "delete it and run the study again, which makes it anew",
}

# JSON

NAME = text(r"(?!\.{1,2}$)[^/\\\0:]{1,200}", "the name of a run or of an attack")
HASH = text("[0-9a-f]{64}", "64 hexadecimal digits")
SHORT = text(r"[\s\S]{0,200}", "a short text")
VERSIONS = mapping(SHORT, SHORT)
ANY_NUMBER = number()
PART = number(0, 1)

FIGURE = fields(
    {
        "figure": NAME,
        "title": SHORT,
        "model": SHORT,
        "batch_size": whole(1),
        "varied": choice("sparsity", "low_rank", "temperature", "defence", "pruned"),
        "runs": each(NAME),
        "attacks": mapping(choice("fresh", "paired"), mapping(NAME, NAME)),
    },
    {"method": choice(*OWN), "of": each(NAME, 10), "certificates": mapping(NAME, NAME)},
)
TRANSFER = fields(
    {
        "figure": NAME,
        "title": SHORT,
        "method": choice(*OWN),
        "epsilon": PART,
        "seeds": each(fields({"transfer": NAME, "networks": mapping(SHORT, NAME)})),
    }
)
STUDY = fields(
    {"format": whole(1), "figures": each(FIGURE, 1000)},
    {
        "transfers": each(TRANSFER, 1000),
        "command": text(),
        "preset": SHORT,
        "settings": both(
            mapping(SHORT, anything),
            fields({}, {name: each(NAME) for name in ("figures", "attacks", "certify")} | {"seeds": each(whole())}),
        ),
        "versions": VERSIONS,
        "commit": SHORT,
        "processor": SHORT,
        "checksum": HASH,
    },
)
EPOCH = both(
    mapping(SHORT, maybe(number())),
    fields({"epoch": whole(), "val_accuracy": maybe(PART)}, {"accuracy": maybe(PART), "sparsity": maybe(PART)}),
)
RUN: dict[str, Check] = {
    "format": whole(1),
    "name": NAME,
    "run": mapping(SHORT, anything),  # its fields are those of records.Run
    "versions": VERSIONS,
    "device": choice("cpu", "gpu"),
    "seconds": number(0, 1e12),
    "val_loss": ANY_NUMBER,
    "val_accuracy": PART,
    "sparsity": PART,
    "parameters": whole(1),
    "multiply_adds": whole(),
}
RUN_OPTIONAL: dict[str, Check] = {
    "commit": SHORT,
    "processor": SHORT,
    "card": anything,
    "started": text(r"[\d:T+.Z -]{10,40}", "a time"),
    "checksum": HASH,
    "weights": HASH,
    "curve": each(EPOCH),
}
FLAGS = each(fields({"name": SHORT, "evidence": SHORT, "advice": SHORT}), 100)
MADE = fields({"format": whole(1), "of": HASH, "by": HASH, "files": mapping(SHORT, HASH), "checksum": HASH})


def run_schema(version: int) -> Check:
    """Of ``run.json``: from format 2 on it has the hash of the weights and the training curve, too."""
    sealed = ("checksum", "weights", "curve") if version >= SEALED else ()
    return fields({**RUN, **{name: RUN_OPTIONAL[name] for name in sealed}}, RUN_OPTIONAL)


# Tables: how each column is checked; those whose check is not of a text are numbers

SIGNED = number(-1, 1)
POSITIVE = number(0)
RESULTS_TABLE: dict[str, Check] = {
    "figure": NAME,
    "run": NAME,
    "model": SHORT,
    "batch_size": whole(1),
    "sparsity": PART,
    "low_rank": SHORT,
    "temperature": POSITIVE,
    "defence": SHORT,
    "pruned": SHORT,
    "seed": whole(),
    "images": choice("fresh", "paired"),
    "method": choice(*OWN),
    "loss": SHORT,
    "attack_temperature": POSITIVE,
    "epsilon": PART,
    "count": whole(1),
    "accuracy": PART,
    "accuracy_low": PART,
    "accuracy_high": PART,
    "drop": SIGNED,
    "drop_low": SIGNED,
    "drop_high": SIGNED,
    "zero_gradients": PART,
    "vanished_gradients": PART,
    "val_accuracy": PART,
    "achieved_sparsity": PART,
    "parameters": whole(1),
    "multiply_adds": whole(),
    "flags": SHORT,
}
# Columns that older tables lack, and what they would have said
YOUNGER = {"method": "fgsm", "flags": "", "defence": "none", "pruned": "none"}
CLAIMS_TABLE: dict[str, Check] = {
    "claim": SHORT,
    "figure": NAME,
    "text": text(),
    "verdict": choice("holds", "fails", "undecided"),
    "effect": maybe(number(-math.inf, math.inf)),
    "low": maybe(number()),
    "high": maybe(number()),
    "seeds": whole(),
    "reason": text(),
}
CURVE_TABLE: dict[str, Check] = {"epoch": whole()}
TEXTS = frozenset("figure run model low_rank defence pruned images method loss flags claim text verdict reason".split())


def advice(kind: str, seconds: Any = None) -> str:
    """What to do about a damaged file of this kind, and what it costs where that is known."""
    return ADVICE[kind] + (f" (it took {seconds:.0f} s)" if seconds else "")
