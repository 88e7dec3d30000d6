"""Which recipe? Trains a network on nine tenths of the training images, and asks about the tenth that is held out.

Recipes are chosen so, and never on the validation images, which the figures are made of. One row a trial, of the same
held-out images for all, is added to a table; a trial that was stopped goes on where it was.

    python experiments/recipes.py --model resnet18 --epochs 15 --lr 0.1 --scale 0.35 1
    python experiments/recipes.py --model alexnet --lr 0.01 --init he pruning:pruning --pruning.sparsity 0.98
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

import minidl as md
from minidl.data import ImageSet
from minidl.report import read_csv, write_csv
from minidl.study import Run, load_problem
from minidl.study.problem import Problem
from minidl.study.training import train

PLAIN = Run("imagenette", 72, 64, "resnet18", 128, epochs=15, lr=0.1)
HELD_OUT = 10  # every so many-th image of each class


@dataclass(frozen=True)
class Options:
    """Where to keep what is tried; the recipe is a ``study.Run``."""

    run: Annotated[Run, tyro.conf.arg(name="")] = PLAIN
    out: Path = Path("runs/recipes")
    """Folder for the table, trials.csv, and for trainings that were stopped."""
    root: Path | None = None
    """Folder that holds Imagenette; by default $MINIDL_DATA, or the user's cache."""


def main(args: list[str] | None = None) -> None:
    options = tyro.cli(Options, description=__doc__, args=args)
    run, folder = options.run, options.out / options.run.name
    if run.teacher is not None:
        raise SystemExit("error: a network that learns from another one is no recipe by itself: try its teacher's")
    problem = held_out(load_problem(run.data, run.pixels, run.crop, options.root))
    folder.mkdir(parents=True, exist_ok=True)
    with md.settings(precision=run.precision):
        trained = train(run, problem, folder)
        md.save(trained.model, folder / "weights.safetensors")
        images, labels = problem.train
        seen = md.data.Loader(images, labels, 256, crop=run.crop, shuffle=False)
        known = md.evaluate(trained.model, seen)
    last = trained.curve[-1]
    add(
        options.out / "trials.csv",
        {
            "run": run.name,
            "recipe": told(run),
            "held out": round(last["val_accuracy"], 4),
            "trained on": round(known.accuracy, 4),
            "seconds": round(trained.seconds),
        },
    )
    print(f"{run}: {last['val_accuracy']:.1%} of the held-out images, {known.accuracy:.1%} of those trained on")


def held_out(problem: Problem) -> Problem:
    """The training images alone: every tenth of each class in place of the validation images."""
    labels = np.asarray(problem.train.labels)
    rows = np.argsort(labels, kind="stable")
    asked = np.zeros(len(labels), bool)
    asked[rows[::HELD_OUT]] = True
    train, val = (ImageSet(problem.train.images[some], labels[some], problem.train.classes) for some in (~asked, asked))
    return dataclasses.replace(problem, train=train, val=val)


def told(run: Run) -> str:
    """What differs from the plain ResNet18."""
    changed = {f.name: getattr(run, f.name) for f in dataclasses.fields(run)}
    return ", ".join(f"{name} {value}" for name, value in changed.items() if value != getattr(PLAIN, name)) or "plain"


def add(path: Path, row: dict[str, Any]) -> None:
    """A table with this row too, in place of an older one of the same run."""
    before = read_csv(path) if path.is_file() else []
    write_csv(path, [*(old for old in before if old["run"] != row["run"]), row])


if __name__ == "__main__":
    main()
