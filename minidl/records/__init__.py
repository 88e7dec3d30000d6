"""What a study leaves on disk: names, the format of a results folder, and its readers (docs/studies.md)."""

from .format import FORMAT, Layout
from .outcome import Outcome
from .read import DamagedError, NewerFormatError, read_attack, read_made, read_run, read_study, read_table
from .run import Attack, Proximal, Pruning, Run
from .seal import CannotWriteError, hash_of, hash_of_all, write_file, write_sealed

__all__ = [
    "FORMAT",
    "Attack",
    "CannotWriteError",
    "DamagedError",
    "Layout",
    "NewerFormatError",
    "Outcome",
    "Proximal",
    "Pruning",
    "Run",
    "hash_of",
    "hash_of_all",
    "read_attack",
    "read_made",
    "read_run",
    "read_study",
    "read_table",
    "write_file",
    "write_sealed",
]
