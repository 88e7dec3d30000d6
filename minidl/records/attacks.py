"""The file that an attack leaves: what happened to each image, whose it is, and what speaks against it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .archive import need, pack, unpack
from .format import FLAGS, Layout
from .outcome import Outcome
from .read import read_file
from .run import Attack
from .schema import SchemaError
from .seal import write_file
from .setting import from_record

ALWAYS = ("epsilons", "indices", "labels", "right", "zero_gradient", "vanished_gradient")  # arrays of an Outcome
SINCE_3 = ("flags", "run", "name", "weights")  # in every file of format 3, whose attacks say their method


def write_attack(path: Path, outcome: Outcome, attack: Attack, run: str, weights: str) -> None:
    """Keep what an attack did to the run of that name, whose weights' file has this hash."""
    arrays = {name: getattr(outcome, name) for name in ALWAYS}
    if outcome.broken_by is not None:
        arrays["broken_by"] = outcome.broken_by
    flags = json.dumps([dict(zip(("name", "evidence", "advice"), flag, strict=True)) for flag in outcome.flags])
    what = json.dumps(dataclasses.asdict(attack))
    write_file(path, pack(**arrays, flags=flags, attack=what, run=run, name=attack.name, weights=weights))


def read_attack(layout: Layout, record: Mapping[str, Any], attack: str) -> tuple[Outcome, Attack] | None:
    """What an attack did to the run of this run.json, and what it is; None where there is none on its weights."""
    run = record["name"]

    def parse(content: bytes) -> tuple[Outcome, Attack, str | None]:
        arrays = unpack(content, [*ALWAYS, "attack"], ["broken_by", *SINCE_3])
        outcome = Outcome(
            **{name: arrays[name] for name in ALWAYS}, broken_by=arrays.get("broken_by"), flags=_flags(arrays)
        )
        what = json.loads(_text(arrays["attack"]))
        how = from_record(Attack, what, "attack")
        wanted = [*(SINCE_3 if "method" in what else ()), *(("broken_by",) if how.method == "auto" else ())]
        need([name for name in wanted if name not in arrays])
        whose = {name: _text(arrays[name]) for name in ("run", "name", "weights") if name in arrays}
        if how.name != attack or whose.get("name", attack) != attack:
            raise SchemaError("attack", whose.get("name", how.name), f"{attack}, as its file is called")
        if whose.get("run", run) != run:
            raise SchemaError("run", whose["run"], f"{run}, in whose folder it is")
        if not np.array_equal(np.array(how.epsilons) / 255, outcome.epsilons):
            raise SchemaError("epsilons", outcome.epsilons.tolist(), f"{how.epsilons} / 255, as in attack")
        return outcome, how, whose.get("weights")

    found = read_file(layout.attack(run, attack), "attack", parse)
    if found is None or found[2] != record.get("weights", found[2]):  # of a run of format 1 they are not known
        return None
    return found[:2]


def _text(array: np.ndarray) -> str:
    return str(array[()])


def _flags(arrays: Mapping[str, np.ndarray]) -> tuple[tuple[str, str, str], ...]:
    if "flags" not in arrays:
        return ()
    found = json.loads(_text(arrays["flags"]))
    FLAGS(found, "flags")
    return tuple((flag["name"], flag["evidence"], flag["advice"]) for flag in found)
