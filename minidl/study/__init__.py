"""Studies: many networks trained and attacked, so that nothing is lost or done twice (docs/studies.md)."""

from .folder import BusyError, Folder
from .plan import Figure, Work, all_work, shard
from .pool import Workers
from .problem import Problem, load_problem
from .run import Attack, Pruning, Run
from .study import Outcome, run_study, write_report
from .training import Trained, train
from .work import Place, finish

__all__ = [
    "Attack",
    "BusyError",
    "Figure",
    "Folder",
    "Outcome",
    "Place",
    "Problem",
    "Pruning",
    "Run",
    "Trained",
    "Work",
    "Workers",
    "all_work",
    "finish",
    "load_problem",
    "run_study",
    "shard",
    "train",
    "write_report",
]
