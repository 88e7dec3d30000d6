"""What a study leaves on disk: names, the format of a results folder, and its readers (docs/studies.md)."""

from .attacks import read_attack, write_attack
from .format import FORMAT, LANGUAGES, Layout
from .outcome import Outcome
from .read import DamagedError, NewerFormatError, read_made, read_run, read_study, read_table
from .run import Adversary, Attack, Proximal, Pruning, Run
from .seal import CannotWriteError, hash_of, hash_of_all, write_file, write_sealed
from .transfers import Transfer, TransferOutcome, read_transfer, write_transfer

__all__ = [
    "FORMAT",
    "LANGUAGES",
    "Adversary",
    "Attack",
    "CannotWriteError",
    "DamagedError",
    "Layout",
    "NewerFormatError",
    "Outcome",
    "Proximal",
    "Pruning",
    "Run",
    "Transfer",
    "TransferOutcome",
    "hash_of",
    "hash_of_all",
    "read_attack",
    "read_made",
    "read_run",
    "read_study",
    "read_table",
    "read_transfer",
    "write_attack",
    "write_file",
    "write_sealed",
    "write_transfer",
]
