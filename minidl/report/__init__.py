"""Tidy results to tables and figures."""

from .figures import accuracy_and_drop
from .results import Outcome, Results
from .tables import read_csv, write_csv

__all__ = ["Outcome", "Results", "accuracy_and_drop", "read_csv", "write_csv"]
