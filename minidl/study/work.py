"""All that is to be done for one run: train it unless it is trained, attack it where it is not attacked."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .. import compress
from ..backend.cuda import card_name
from ..checkpoint import Checkpoints
from ..kernels import precision, set_num_threads, set_precision
from ..nn import Module
from ..nn.weights import load, save
from ..report import write_csv
from ..robustness import ZeroGradientWarning, accuracy_curve
from ..tools.files import whole_file
from ..tools.progress import quiet
from .folder import FORMAT, Folder, origin, write_json
from .problem import Problem, load_problem
from .run import Attack, Run
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
    """
    folder = Folder(place.out)
    if place.threads is not None:
        set_num_threads(place.threads)
    problem = load_problem(run.data, run.pixels, run.crop, place.data_root)
    with folder.working_on(run) as path, quiet(not place.progress):
        missing = [attack for attack in attacks if not folder.is_attacked(run, attack)]
        with _at(run.precision):
            if not folder.is_trained(run) or (missing and not (path / "weights.safetensors").is_file()):
                _train(run, problem, path, place)
            Checkpoints(path).clear()  # here, as an earlier process may have died before it came to it
            if missing:
                model = problem.model(run).eval()
                load(model, path / "weights.safetensors")
                for attack in missing:
                    measure(run, attack, model, problem, folder.attack(run, attack))
        return float((folder.read(f"runs/{run.name}/run.json") or {}).get("seconds", 0))


@contextlib.contextmanager
def _at(mode: str) -> Iterator[None]:
    """Compute at that precision within the block."""
    before = precision()
    set_precision(mode)
    try:
        yield
    finally:
        set_precision(before)


def _train(run: Run, problem: Problem, path: Path, place: Place) -> None:
    """Train the network and write what is kept of it, run.json last: its presence says that all is there."""
    started = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    trained = train(run, problem, path, place.checkpoint_share, place.progress)
    cost = compress.cost(trained.model, (problem.crop, problem.crop, problem.train.images.shape[3]))
    save(trained.model, path / "weights.safetensors")
    write_csv(path / "curve.csv", trained.curve)
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
    }
    write_json(path / "run.json", record)


def measure(run: Run, attack: Attack, model: Module, problem: Problem, path: Path) -> None:
    """Attack a network, and keep what happened to each image."""
    rows, images, labels = problem.sample(run, attack)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ZeroGradientWarning)  # which images they are is kept
        curve = accuracy_curve(
            model, images, labels, np.array(attack.epsilons) / 255, attack.temperature, loss=attack.loss
        )
    with whole_file(path) as file:
        np.savez_compressed(
            file,
            epsilons=curve.epsilons,
            indices=rows,
            labels=labels,
            right=curve.right,
            zero_gradient=curve.zero_gradient,
            vanished_gradient=curve.vanished_gradient,
            attack=np.array(json.dumps(dataclasses.asdict(attack))),
        )
