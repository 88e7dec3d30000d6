"""Studies: many networks trained and attacked, so that nothing is lost or done twice (docs/studies.md)."""

from ..records import Adversary, Attack, Proximal, Pruning, Run
from .examine import BAD, Finding, as_table, examine
from .folder import BusyError, Folder
from .plan import Figure, TransferFigure, Work, all_work, shard
from .pool import Workers
from .problem import Problem, load_problem
from .study import Ending, describe, run_study, write_report
from .training import Trained, train
from .work import Place, finish

__all__ = [
    "BAD",
    "Adversary",
    "Attack",
    "BusyError",
    "Ending",
    "Figure",
    "Finding",
    "Folder",
    "Place",
    "Problem",
    "Proximal",
    "Pruning",
    "Run",
    "Trained",
    "TransferFigure",
    "Work",
    "Workers",
    "all_work",
    "as_table",
    "describe",
    "examine",
    "finish",
    "load_problem",
    "run_study",
    "shard",
    "train",
    "write_report",
]
