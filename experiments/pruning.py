"""Does magnitude pruning make networks robust? (report, section 4.1, figures 8 to 11, claims C1 to C5)

Trains a network at each final sparsity, attacks it by FGSM on a random fifth of the validation images, and draws
accuracy and drop of accuracy against epsilon, one line for each sparsity.

    python experiments/pruning.py                        handwritten digits: minutes on two cores, no download
    python experiments/pruning.py --preset laptop        Imagenette at 64 px
    python experiments/pruning.py --preset paper         Imagenette at 128 px, with the report's batch sizes
"""

from __future__ import annotations

import dataclasses
import itertools
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from common import ModelName, Problem, Recipe, load_problem, run_or_exit, settings_from_command_line, write_settings

import minidl as md
from minidl import report

Figure = Literal["8", "9", "10a", "10b", "11"]
FIGURES: dict[str, tuple[ModelName, int]] = {  # the report's figures: which model, trained with which batch size
    "8": ("resnet18", 512),
    "9": ("resnet18", 128),
    "10a": ("alexnet", 128),
    "10b": ("alexnet", 512),
    "11": ("fc5", 512),
}

TITLES = {"fc5": "FC5", "alexnet": "AlexNet", "resnet18": "ResNet18"}


@dataclass(frozen=True)
class Settings:
    """Settings; the defaults shown are those of the preset."""

    preset: Literal["quick", "laptop", "paper"] = "quick"
    """Where the other settings start from."""
    figures: tuple[Figure, ...] = ("11", "9")
    """Which of the report's figures to make: 8 and 9 are ResNet18 with batches of 512 and 128, 10a and 10b AlexNet
    with 128 and 512, 11 FC5 with 512."""
    data: Literal["digits", "imagenette"] = "digits"
    """Handwritten digits (shipped, 8 x 8, enlarged), or ten classes of ImageNet."""
    root: Path | None = None
    """Folder that holds Imagenette; by default $MINIDL_DATA, or the user's cache."""
    download: bool = False
    """Download Imagenette (99 MB) if it is not there."""
    pixels: int = 16
    """Side to which images are resized."""
    crop: int = 16
    """Side of the window that the model sees."""
    batch_size: int | None = 64
    """Instead of the figures' own batch sizes (None)."""
    sparsities: tuple[float, ...] = (0.0, 0.5, 0.9, 0.98)
    """Final parts of the weights that are pruned; a network is trained for each."""
    epsilons: tuple[float, ...] = (0, 4, 8, 16, 32, 64)
    """Attack budgets, in 1/255 of the pixel range."""
    seeds: tuple[int, ...] = (0,)
    """Everything is done once for each."""
    fc5: Recipe = Recipe(epochs=20, lr=0.1)
    alexnet: Recipe = Recipe(epochs=20, lr=0.02)
    resnet18: Recipe = Recipe(epochs=7, lr=0.05)
    weight_decay: float = 5e-4
    """Pull of every weight towards zero."""
    scope: Literal["layer", "global"] = "layer"
    """Rank magnitudes within each layer, or over the whole network."""
    prune_between: tuple[float, float] = (0.2, 0.7)
    """When pruning starts and ends, as parts of the training."""
    prune_steps: int = 20
    """Into how many steps pruning is divided."""
    attack_part: float = 0.2
    """Part of the validation images that is attacked, drawn anew for each attack."""
    device: Literal["cpu", "gpu"] = "cpu"
    """Where to compute."""
    out: Path | None = None
    """Folder for the table, the figures, the training curves and these settings; by default runs/pruning-PRESET."""


IMAGENETTE = Settings(
    preset="laptop",
    figures=("11", "9", "10a"),
    data="imagenette",
    pixels=72,
    crop=64,
    batch_size=128,
    sparsities=(0.0, 0.5, 0.8, 0.9, 0.95, 0.98),
    epsilons=(0, 1, 2, 4, 8, 16),
    fc5=Recipe(epochs=20, lr=0.02),
    alexnet=Recipe(epochs=20, lr=0.02),
    resnet18=Recipe(epochs=15, lr=0.1),
    prune_steps=100,
)
PRESETS = {
    "quick": Settings(),
    "laptop": IMAGENETTE,
    "paper": dataclasses.replace(
        IMAGENETTE,
        preset="paper",
        figures=("8", "9", "10a", "10b", "11"),
        pixels=144,
        crop=128,
        batch_size=None,
        resnet18=Recipe(epochs=20, lr=0.1),
    ),
}


@dataclass(frozen=True)
class Run:
    """One network to train and attack."""

    figure: Figure
    seed: int
    sparsity: float
    model: ModelName
    batch_size: int
    recipe: Recipe

    def __str__(self) -> str:
        return f"figure {self.figure}, {self.model}, sparsity {self.sparsity:.0%}, seed {self.seed}"


def plan(settings: Settings) -> list[Run]:
    """All networks of the study, in order."""
    runs = []
    for figure in settings.figures:
        model, batch_size = FIGURES[figure]
        batch_size = batch_size if settings.batch_size is None else settings.batch_size
        recipe = getattr(settings, model)
        for seed, sparsity in itertools.product(settings.seeds, settings.sparsities):
            runs.append(Run(figure, seed, sparsity, model, batch_size, recipe))
    return runs


def pruning_schedule(settings: Settings, steps: int) -> tuple[int, int, int]:
    """(start, every, count) of a pruner whose last step lies where pruning shall end."""
    start, end = (round(part * (steps - 1)) for part in settings.prune_between)
    count = max(1, min(settings.prune_steps, end - start))
    every = max(1, (end - start) // count)
    return end - count * every, every, count


def check(settings: Settings, problem: Problem) -> None:
    """Refuse what cannot work now, rather than after hours of training."""
    for name in ("figures", "sparsities", "epsilons", "seeds"):
        if not getattr(settings, name):
            raise ValueError(f"--{name}: give at least one")
    for sparsity in settings.sparsities:
        if not 0 <= sparsity < 1:
            raise ValueError(f"--sparsities: {sparsity} is not in [0, 1)")
    for epsilon in settings.epsilons:
        if not 0 <= epsilon <= 255:
            raise ValueError(f"--epsilons: {epsilon} is not in [0, 255]; they are in 1/255 of the pixel range")
    first, last = settings.prune_between
    if not 0 <= first < last <= 1 or settings.prune_steps < 1:
        raise ValueError(
            f"--prune-between: {first} {last} with --prune-steps {settings.prune_steps}: pruning needs a step, and two "
            "parts of the training in order, within [0, 1]"
        )
    if not 1 / len(problem.val) <= settings.attack_part <= 1:
        raise ValueError(f"--attack-part: {settings.attack_part} of {len(problem.val)} images is not 1 to all of them")
    for run in plan(settings):
        if run.recipe.epochs < 1:
            raise ValueError(f"--{run.model}.epochs: {run.recipe.epochs} epochs teach nothing: give 1 or more")
        if run.model == "alexnet" and settings.crop < 63:
            raise ValueError(f"--figures {run.figure}: AlexNet needs --crop 63 or more, and it is {settings.crop}")
        problem.batches(run.batch_size, run.seed)
    md.backend.check_device(settings.device)


def train(settings: Settings, problem: Problem, run: Run, name: str) -> tuple[md.nn.Module, list[md.train.Epoch]]:
    """A network, pruned while it was trained, and its training curve."""
    batches = problem.batches(run.batch_size, run.seed)
    model = problem.model(run.model, run.seed).to(settings.device)
    steps = run.recipe.epochs * len(batches)
    pruner = None
    if run.sparsity > 0:
        pruner = md.compress.MagnitudePruner(
            model, run.sparsity, *pruning_schedule(settings, steps), scope=settings.scope
        )
    curve = md.fit(
        model,
        batches,
        md.optim.SGD(
            model.parameters(), run.recipe.lr, momentum=0.9, weight_decay=settings.weight_decay, nesterov=True
        ),
        run.recipe.epochs,
        schedule=md.optim.one_cycle(run.recipe.lr, steps),
        validation=problem.validation(),
        pruner=pruner,
        name=name,
    )
    return model, curve


def attack(
    settings: Settings, problem: Problem, model: md.nn.Module, rng: np.random.Generator
) -> list[dict[str, float]]:
    """What FGSM does to the network on a random part of the validation images: a row for each epsilon."""
    images, labels = problem.sample(round(settings.attack_part * len(problem.val)), rng)
    curve = md.robustness.accuracy_curve(model, images, labels, np.array(settings.epsilons) / 255)
    measured = {
        "epsilon": curve.epsilons,
        "accuracy": curve.accuracy,
        "accuracy_low": curve.accuracy_band[0],
        "accuracy_high": curve.accuracy_band[1],
        "drop": curve.drop,
        "drop_low": curve.drop_band[0],
        "drop_high": curve.drop_band[1],
    }
    whole = {"images": curve.count, "zero_gradients": curve.zero_gradients}
    return [{name: float(values[i]) for name, values in measured.items()} | whole for i in range(len(curve.epsilons))]


def main() -> None:
    settings = settings_from_command_line(Settings, PRESETS, __doc__ or "")
    out = settings.out or Path("runs") / f"pruning-{settings.preset}"
    started = time.perf_counter()
    problem = load_problem(settings.data, settings.pixels, settings.crop, settings.root, settings.download)
    check(settings, problem)
    write_settings(out, settings)
    rows: list[dict] = []
    runs = plan(settings)
    for i, run in enumerate(runs, start=1):
        model, curve = train(settings, problem, run, f"network {i} of {len(runs)}, {run}:")
        report.write_csv(
            out / "curves" / f"figure-{run.figure}-sparsity-{100 * run.sparsity:g}-seed-{run.seed}.csv",
            [dataclasses.asdict(epoch) for epoch in curve],
        )
        # the images are drawn anew for each attack, as in the report
        images = np.random.default_rng([run.seed, *run.figure.encode(), round(1e6 * run.sparsity)])
        about = dataclasses.asdict(run) | {"achieved_sparsity": md.compress.sparsity(model)}
        about |= {"val_accuracy": curve[-1].val_accuracy}
        del about["recipe"]
        rows += [about | row for row in attack(settings, problem, model, images)]
        report.write_csv(out / "results.csv", rows)  # after each model: nothing finished is lost
        mine = [row for row in rows if row["figure"] == run.figure]
        title = f"Figure {run.figure}: {TITLES[run.model]}, batch {run.batch_size}, {settings.data}, {settings.crop} px"
        path = out / f"figure-{run.figure}"
        report.accuracy_and_drop(mine, path, line="sparsity", label="sparsity {:.0%}", title=title)
    print_summary(settings, out, rows, time.perf_counter() - started)


def print_summary(settings: Settings, out: Path, rows: list[dict], seconds: float) -> None:
    """Accuracy under attack of every model, and where the files are."""
    count = rows[0]["images"]
    spread = max(100 * (row["accuracy_high"] - row["accuracy_low"]) / 2 for row in rows)
    print(f"Accuracy on all validation images, and under FGSM on {count} of them drawn anew for each network")
    print(f"(95 % intervals of the latter: up to +- {spread:.0f} points), by epsilon in 1/255:\n")
    print(
        f"{'model':9} {'batch':>5} {'sparsity':>8} {'seed':>4} {'val':>7} |"
        + "".join(f"{e:>7g}" for e in settings.epsilons)
    )
    for i in range(0, len(rows), len(settings.epsilons)):
        group = rows[i : i + len(settings.epsilons)]
        first = group[0]
        print(
            f"{first['model']:9} {first['batch_size']:5} {first['sparsity']:8.0%} {first['seed']:4} "
            f"{first['val_accuracy']:7.1%} |" + "".join(f"{row['accuracy']:7.1%}" for row in group)
        )
    print()
    print(f"table    {out / 'results.csv'}")
    for figure in settings.figures:
        print(f"figure   {out / f'figure-{figure}.png'}")
    print(f"done in {seconds / 60:.1f} minutes")


if __name__ == "__main__":
    run_or_exit(main)
