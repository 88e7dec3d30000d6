"""Does magnitude pruning make networks robust? (report, section 4.1, figures 8 to 11, claims C1 to C5)

Trains a network at each final sparsity, attacks it by FGSM on a random fifth of the validation images, and draws
accuracy and drop of accuracy against epsilon, one line for each sparsity.

    python experiments/pruning.py                        handwritten digits: minutes on two cores, no download
    python experiments/pruning.py --preset laptop        Imagenette at 64 px
    python experiments/pruning.py --preset paper         Imagenette at 128 px, with the report's batch sizes
"""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from common import ModelName, Problem, Recipe, load_problem, run_or_exit, settings_from_command_line

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
    root: Path | None = None
    """Folder that holds Imagenette; by default $MINIDL_DATA, or the user's cache."""
    pixels: int = 16
    """Side to which images are resized."""
    crop: int = 16
    """Side of the window that the model sees."""
    batch_size: int | None = 64
    """Instead of the figures' own batch sizes (None)."""
    sparsities: tuple[float, ...] = (0.0, 0.5, 0.9, 0.98)
    epsilons: tuple[float, ...] = (0, 4, 8, 16, 32, 64)
    """Attack budgets, in 1/255 of the pixel range."""
    seeds: tuple[int, ...] = (0,)
    fc5: Recipe = Recipe(epochs=20, lr=0.1)
    alexnet: Recipe = Recipe(epochs=20, lr=0.02)
    resnet18: Recipe = Recipe(epochs=7, lr=0.05)
    weight_decay: float = 5e-4
    scope: Literal["layer", "global"] = "layer"
    """Rank magnitudes within each layer, or over the whole network."""
    prune_between: tuple[float, float] = (0.2, 0.7)
    """When pruning starts and ends, as parts of the training."""
    prune_steps: int = 20
    """Into how many steps pruning is divided."""
    attack_part: float = 0.2
    """Part of the validation images that is attacked, drawn anew for each attack."""
    device: Literal["cpu", "gpu"] = "cpu"
    out: Path = Path("runs/pruning")
    """Folder for the table, the figures and the training curves."""


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


def check(settings: Settings) -> None:
    """Refuse what cannot work now, rather than after hours of training."""
    for sparsity in settings.sparsities:
        if not 0 <= sparsity < 1:
            raise ValueError(f"--sparsities: {sparsity} is not in [0, 1)")
    for epsilon in settings.epsilons:
        if not 0 <= epsilon <= 255:
            raise ValueError(f"--epsilons: {epsilon} is not in [0, 255]; they are in 1/255 of the pixel range")
    if not 0 < settings.attack_part <= 1:
        raise ValueError(f"--attack-part: {settings.attack_part} is not in (0, 1]")
    first, last = settings.prune_between
    if not 0 <= first < last <= 1 or settings.prune_steps < 1:
        raise ValueError(
            f"--prune-between: {first} {last} with --prune-steps {settings.prune_steps}: pruning needs a step, and two "
            "parts of the training in order, within [0, 1]"
        )
    for figure in settings.figures:
        if FIGURES[figure][0] == "alexnet" and settings.crop < 63:
            raise ValueError(f"--figures {figure}: AlexNet needs --crop 63 or more, and it is {settings.crop}")
    md.backend.check_device(settings.device)


def train(settings: Settings, problem: Problem, figure: Figure, sparsity: float, seed: int) -> md.nn.Module:
    """A network of the figure's kind, trained and pruned on the way; its curve is written beside the results."""
    name, batch_size = FIGURES[figure]
    recipe: Recipe = getattr(settings, name)
    batches = problem.batches(settings.batch_size or batch_size, seed)
    model = problem.model(name, seed).to(settings.device)
    steps = recipe.epochs * len(batches)
    pruner = None
    if sparsity > 0:
        start, end = (round(part * (steps - 1)) for part in settings.prune_between)
        every = max(1, (end - start) // settings.prune_steps)
        pruner = md.compress.MagnitudePruner(model, sparsity, start, every, (end - start) // every, settings.scope)
    curve = md.fit(
        model,
        batches,
        md.optim.SGD(model.parameters(), recipe.lr, momentum=0.9, weight_decay=settings.weight_decay, nesterov=True),
        recipe.epochs,
        schedule=md.optim.one_cycle(recipe.lr, steps),
        validation=problem.validation(),
        pruner=pruner,
        name=f"figure {figure}, {name}, sparsity {sparsity:.0%}, seed {seed}:",
    )
    run = f"figure-{figure}-sparsity-{100 * sparsity:g}-seed-{seed}"
    report.write_csv(settings.out / "curves" / f"{run}.csv", [dataclasses.asdict(epoch) for epoch in curve])
    return model


def attack(settings: Settings, problem: Problem, model: md.nn.Module, rng: np.random.Generator) -> list[dict]:
    """A row of results for each epsilon."""
    images, labels = problem.sample(round(settings.attack_part * len(problem.val)), rng)
    curve = md.robustness.accuracy_curve(model, images, labels, np.array(settings.epsilons) / 255)
    clean = md.evaluate(model, problem.validation()).accuracy
    measured = {
        "epsilon": curve.epsilons,
        "accuracy": curve.accuracy,
        "accuracy_low": curve.accuracy_band[0],
        "accuracy_high": curve.accuracy_band[1],
        "drop": curve.drop,
        "drop_low": curve.drop_band[0],
        "drop_high": curve.drop_band[1],
    }
    whole = {"images": curve.count, "zero_gradients": curve.zero_gradients, "val_accuracy": clean}
    return [{name: float(values[i]) for name, values in measured.items()} | whole for i in range(len(curve.epsilons))]


def main() -> None:
    settings = settings_from_command_line(Settings, PRESETS, __doc__ or "")
    check(settings)
    started = time.perf_counter()
    problem = load_problem(settings.data, settings.pixels, settings.crop, settings.root)
    rows: list[dict] = []
    for figure in settings.figures:
        name, batch_size = FIGURES[figure]
        batch_size = settings.batch_size or batch_size
        for seed in settings.seeds:
            attacks = np.random.default_rng([seed, *figure.encode()])  # a stream of its own for each figure
            for sparsity in settings.sparsities:
                model = train(settings, problem, figure, sparsity, seed)
                found = {"figure": figure, "model": name, "batch_size": batch_size, "seed": seed, "sparsity": sparsity}
                found["achieved_sparsity"] = md.compress.sparsity(model)
                rows += [found | row for row in attack(settings, problem, model, attacks)]
                report.write_csv(settings.out / "results.csv", rows)  # after each model: nothing finished is lost
        mine = [row for row in rows if row["figure"] == figure]
        title = f"Figure {figure}: {TITLES[name]}, batch {batch_size}, {settings.data} at {settings.crop} px"
        path = settings.out / f"figure-{figure}"
        report.accuracy_and_drop(mine, path, line="sparsity", label="sparsity {:.0%}", title=title)
    print_summary(settings, rows, time.perf_counter() - started)


def print_summary(settings: Settings, rows: list[dict], seconds: float) -> None:
    """Accuracy under attack of every model, and where the files are."""
    print(f"{'model':9} {'sparsity':>8} {'seed':>4} {'val':>7}   accuracy under FGSM at epsilon =")
    print(" " * 33 + "".join(f"{e:>5g}/255" for e in settings.epsilons))
    for i in range(0, len(rows), len(settings.epsilons)):
        group = rows[i : i + len(settings.epsilons)]
        first = group[0]
        print(
            f"{first['model']:9} {first['sparsity']:8.0%} {first['seed']:4} {first['val_accuracy']:7.1%}  "
            + "".join(f"{row['accuracy']:9.1%}" for row in group)
        )
    print(f"table    {settings.out / 'results.csv'}")
    for figure in settings.figures:
        print(f"figure   {settings.out / f'figure-{figure}.png'}")
    print(f"done in {seconds / 60:.1f} minutes")


if __name__ == "__main__":
    run_or_exit(main)
