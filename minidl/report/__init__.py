"""Tidy results to tables, figures and verdicts, and a study on one page."""

from ..records import Outcome
from .claims import claims, write_claims
from .figures import draw_figures
from .page import write_page
from .pairs import pairs, write_pairs
from .results import Results
from .sides import sides, write_sides
from .slide import write_slides
from .tables import read_csv, write_csv
from .transfers import transfers, write_transfers
from .verdict import Verdict

__all__ = [
    "Outcome",
    "Results",
    "Verdict",
    "claims",
    "draw_figures",
    "pairs",
    "read_csv",
    "sides",
    "transfers",
    "write_claims",
    "write_csv",
    "write_page",
    "write_pairs",
    "write_sides",
    "write_slides",
    "write_transfers",
]
