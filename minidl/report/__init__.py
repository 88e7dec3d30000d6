"""Tidy results to tables and figures."""

from .figures import accuracy_and_drop
from .tables import read_csv, write_csv

__all__ = ["accuracy_and_drop", "read_csv", "write_csv"]
