"""All that is to be done for one run: train it unless it is trained, attack it where it is not attacked."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .. import compress
from ..backend.cuda import card_name
from ..checkpoint import Checkpoints
from ..nn import Module
from ..records import FORMAT, Attack, Run, hash_of, write_sealed
from ..records.seal import cannot_write
from ..report import write_csv
from ..settings import settings
from ..tools.progress import quiet, say
from ..weights import load, save
from .folder import Folder, origin
from .measure import measure
from .problem import Problem, load_problem
from .room import check_room
from .training import train


@dataclass(frozen=True)
class Place:
    """Where a study works; nothing of it changes a result.

    Attributes
    ----------
    out : Path
        The results folder.
    data_root : Path, optional
        Where Imagenette is.
    threads : int, optional
        Of each process; all cores by default.
    checkpoint_share : float
        The part of the time that checkpoints may take; 1 writes one after each epoch.
    progress : bool
        Whether to show each training.
    """

    out: Path
    data_root: Path | None = None
    threads: int | None = None
    checkpoint_share: float = 0.03
    progress: bool = True


def finish(run: Run, attacks: Sequence[Attack], place: Place) -> float:
    """Do what is missing of a run; returns the seconds of its training.

    Raises
    ------
    BusyError
        When another process is working on it.
    CannotWriteError
        When the disk has no room for it, or a file could not be written.
    """
    folder = Folder(place.out)
    problem = load_problem(run.data, run.pixels, run.crop, place.data_root)
    with folder.working_on(run) as path, quiet(not place.progress), settings(threads=place.threads):
        with settings(precision=run.precision):
            model = _trained(run, attacks, problem, folder, place)
        Checkpoints(path).clear()  # here, as an earlier process may have died before it came to it
        if model is not None:
            weights = hash_of(folder.layout.weights(run.name))
            # FGSM takes signs: a gradient near zero must not be taken by Winograd's rounding, or by TF32's
            with settings(precision="exact"):
                for attack in _missing(run, attacks, folder):
                    measure(run, attack, model, problem, folder.attack(run, attack), weights)
        return float((folder.record(run) or {}).get("seconds", 0))


def _missing(run: Run, attacks: Sequence[Attack], folder: Folder) -> list[Attack]:
    return [attack for attack in attacks if not folder.is_attacked(run, attack)]


def _trained(
    run: Run, attacks: Sequence[Attack] | None, problem: Problem, folder: Folder, place: Place
) -> Module | None:
    """The network, trained if it is not, where there is something left to attack, or no attacks are given at all.

    Weights are needed for that alone. If they are not there, or not those that were trained, they are trained anew.
    """
    record = folder.record(run)
    if record is None:
        _train(run, problem, folder, place)
    elif attacks is not None and not _missing(run, attacks, folder):
        return None
    for _ in range(2):
        path, model = folder.layout.weights(run.name), problem.model(run).eval()
        expected = (folder.record(run) or {}).get("weights")
        try:
            if path.is_file() and expected is not None and hash_of(path) != expected:
                raise ValueError(f"{path} is damaged (its hash is not the one in run.json)")
            load(model, path)
            return model
        except (ValueError, FileNotFoundError) as error:
            say(f"{run}: {error}; attacks need the weights, so the network is trained anew")
            _train(run, problem, folder, place)
    raise OSError(f"{path} cannot be read back after it was written: is the disk sound?")


def _teacher(run: Run, place: Place) -> Module | None:
    """The trained network that the run learns from: trained now if it is not there, by this process alone."""
    if run.teacher is None:
        return None
    folder, problem = Folder(place.out), load_problem(run.data, run.pixels, run.crop, place.data_root)
    with folder.working_on(run.teacher), settings(precision=run.teacher.precision):
        model = _trained(run.teacher, None, problem, folder, place)
        Checkpoints(folder.run(run.teacher)).clear()
    return model


def _train(run: Run, problem: Problem, folder: Folder, place: Place) -> None:
    """Train the network and write what is kept of it, run.json last: its presence says that all is there."""
    teacher = _teacher(run, place)
    path, weights = folder.run(run), folder.layout.weights(run.name)
    check_room(path, lambda: problem.model(run))
    started = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    trained = train(run, problem, path, place.checkpoint_share, place.progress, teacher)
    cost = compress.cost(trained.model, (problem.crop, problem.crop, problem.train.images.shape[3]))
    try:
        save(trained.model, weights)
    except OSError as error:
        raise cannot_write(weights, sum(p.data.nbytes for p in trained.model.parameters()), error) from error
    write_csv(folder.layout.curve(run.name), trained.curve)
    last = trained.curve[-1]
    record = {
        "format": FORMAT,
        "name": run.name,
        "run": dataclasses.asdict(run),
        **origin(),
        "device": run.device,
        **({"card": card_name()} if run.device == "gpu" else {}),
        "started": started,
        "seconds": round(trained.seconds, 1),
        "val_loss": last["val_loss"],
        "val_accuracy": last["val_accuracy"],
        "sparsity": compress.sparsity(trained.model),
        "parameters": sum(parameter.size for parameter in trained.model.parameters()),
        "multiply_adds": cost.multiply_adds,
        "weights": hash_of(weights),
        "curve": trained.curve,
    }
    write_sealed(folder.layout.record(run.name), record)
