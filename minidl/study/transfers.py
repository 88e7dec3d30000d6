"""The matrices of transfer: made where all of a matrix's networks are trained and their weights are still there."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

import numpy as np

from ..records import Run, Transfer, TransferOutcome, hash_of, read_transfer, write_transfer
from ..robustness import ZeroGradientWarning
from ..robustness.transfer import seen
from ..settings import settings
from ..tools.progress import quiet, say
from ..weights import load
from .folder import Folder
from .measure import attacker
from .plan import TransferFigure
from .problem import load_problem
from .work import Place


def make_transfers(figures: Iterable[TransferFigure], place: Place) -> None:
    """Make those that are missing and can be made; of the others it is said which weights they need."""
    folder = Folder(place.out)
    for figure in figures:
        for what, networks in figure.transfers():
            records = {run.name: record for run in networks.values() if (record := folder.record(run)) is not None}
            if len(records) < len(networks) or read_transfer(folder.layout, what.name, records) is not None:
                continue
            lost = [run for run in networks.values() if not _is_kept(folder, run, records[run.name].get("weights"))]
            if lost:
                gone = f"figure {figure.figure}: the weights of {lost[0].name} are not kept"
                say(f"{gone}; delete its run.json to have it trained anew")
                continue
            with quiet(not place.progress), settings(threads=place.threads, precision="exact"):
                _make(what, networks, folder, place)


def _is_kept(folder: Folder, run: Run, expected: str | None) -> bool:
    path = folder.layout.weights(run.name)
    return path.is_file() and hash_of(path) == expected


def _make(what: Transfer, networks: dict[str, Run], folder: Folder, place: Place) -> None:
    first, models = next(iter(networks.values())), {}
    for label, run in networks.items():
        problem = load_problem(run.data, run.pixels, run.crop, place.data_root)
        models[label] = problem.model(run).eval()
        load(models[label], folder.layout.weights(run.name))
    rows, images, labels = problem.sample(first, what.attack)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ZeroGradientWarning)  # the diagonal shows what it comes to
        right, fooled = seen(models, images, labels, what.attack.epsilons[-1] / 255, attacker(what.attack, first.seed))
    hashes = [hash_of(folder.layout.weights(run.name)) for run in networks.values()]
    outcome = TransferOutcome(rows, np.asarray(labels), right, fooled)
    write_transfer(folder.layout.transfer(what.name), outcome, what, hashes)
