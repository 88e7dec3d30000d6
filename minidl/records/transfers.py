"""What was made to fool one network, shown to others: which networks and attack, and the file that it leaves."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .archive import check_arrays, check_rows, pack, unpack
from .format import Layout
from .read import read_file
from .run import Attack
from .schema import SchemaError
from .seal import write_file
from .setting import from_record, settle, short_hash

ARRAYS = ("indices", "labels", "right", "fooled")


@dataclass(frozen=True)
class Transfer:
    """Several networks, each of which is attacked, and all of which see what came of it.

    Attributes
    ----------
    networks : tuple of (str, str)
        How each is called, and the name of its run.
    attack : Attack
        On the paired images; its last epsilon is the one.
    """

    networks: tuple[tuple[str, str], ...]
    attack: Attack

    def __post_init__(self) -> None:
        settle(self)

    @property
    def name(self) -> str:
        return f"{self.attack.method}-{short_hash(self, 8)}"


@dataclass(frozen=True, eq=False)
class TransferOutcome:
    """What ``robustness.transfer`` saw, of M networks and B images.

    Attributes
    ----------
    indices, labels : integer arrays (B,)
        As an ``Outcome`` has them.
    right : boolean array (M, B)
        Which images each network has right as they are.
    fooled : boolean array (M, M, B)
        fooled[i, j]: whether j has wrong what was made to fool i.
    """

    indices: np.ndarray
    labels: np.ndarray
    right: np.ndarray
    fooled: np.ndarray

    def __post_init__(self) -> None:
        """Shapes, kinds and order; a ValueError says which of them is not so."""
        m, b = len(np.atleast_2d(self.right)), len(np.atleast_1d(self.indices))
        expected = {
            "indices": ((b,), "iu"), "labels": ((b,), "iu"), "right": ((m, b), "b"), "fooled": ((m, m, b), "b")
        }  # fmt: skip
        check_arrays(self, expected)
        check_rows(self.indices, self.labels)


def write_transfer(path: Path, outcome: TransferOutcome, transfer: Transfer, weights: Sequence[str]) -> None:
    """Keep what was seen; ``weights`` are the hashes of the networks' files, in their order."""
    arrays = {name: getattr(outcome, name) for name in ARRAYS}
    what, whose = json.dumps(dataclasses.asdict(transfer)), json.dumps(list(weights))
    write_file(path, pack(**arrays, transfer=what, name=transfer.name, weights=whose))


def read_transfer(
    layout: Layout, name: str, runs: Mapping[str, Mapping[str, Any]]
) -> tuple[TransferOutcome, Transfer] | None:
    """What the transfer of that name saw, and what it is; None where it is not there, or was of other weights.

    ``runs`` are the run.json of the networks, by their names.
    """

    def parse(content: bytes) -> tuple[TransferOutcome, Transfer, list[str]]:
        arrays = unpack(content, [*ARRAYS, "transfer", "name", "weights"])
        outcome = TransferOutcome(**{name: arrays[name] for name in ARRAYS})
        what = from_record(Transfer, json.loads(str(arrays["transfer"][()])), "transfer")
        weights = json.loads(str(arrays["weights"][()]))
        if not what.name == name == str(arrays["name"][()]):
            raise SchemaError("name", what.name, f"{name}, as its file is called")
        if len(what.networks) != len(outcome.right) or len(weights) != len(outcome.right):
            raise SchemaError("networks", len(what.networks), f"as many as it has outcomes: {len(outcome.right)}")
        return outcome, what, weights

    found = read_file(layout.transfer(name), "transfer", parse)
    if found is None or found[2] != [runs.get(run, {}).get("weights") for _, run in found[1].networks]:
        return None
    return found[:2]
