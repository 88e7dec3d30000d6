"""Tidy results to tables and figures."""

from .claims import claims, write_claims
from .figures import accuracy_and_drop
from .results import Outcome, Results
from .tables import read_csv, write_csv
from .verdict import Verdict

__all__ = [
    "Outcome",
    "Results",
    "Verdict",
    "accuracy_and_drop",
    "claims",
    "read_csv",
    "write_claims",
    "write_csv",
]
