"""What the studies can be told: their settings, their options, and the presets these start from."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from attacks import Strength
from methods import Hardening, Sparsifying

from minidl.records.run import OWN, DataName, Method, ModelName
from minidl.report.reported import BATCHES, LEVELS, MODELS
from minidl.study import Attack, Figure, Pruning, Run

FigureName = Literal["8", "9", "10a", "10b", "11", "12a", "12b", "12c", "13a", "13b", "13c", "14", "16", "17"]
LowRank = Literal["none", "LR1", "LR2"]
HARDENING, SPARSIFYING, OWN_STRENGTH = Hardening(), Sparsifying(), Strength()
WEAKER = Strength(steps=10, queries=100, every=3)  # for a demonstration


@dataclass(frozen=True)
class Recipe:
    """How one kind of model is trained."""

    epochs: int
    lr: float
    """Peak learning rate of the one-cycle schedule."""
    pixels: int | None = None
    """Side of its images, if other than the study's; its window is then all of them."""
    init: Literal["default", "he"] = "default"
    """PyTorch's initial weights; or He's, with which AlexNet starts to learn at once, at a lower rate."""
    scale: tuple[float, float] | None = None
    """Train on random windows of between these parts of an image's area, resized; if not, on windows of one size."""


@dataclass(frozen=True)
class Settings:
    """All that the results depend on; the defaults shown are those of the preset."""

    preset: Literal["quick", "laptop", "whole", "paper"] = "quick"
    """Where the other settings start from."""
    figures: tuple[FigureName, ...] = (
        "8", "9", "10a", "10b", "11", "12a", "12b", "12c", "13a", "13b", "13c", "14", "16", "17"
    )  # fmt: skip
    """Which of the report's figures to make. Ours are 12c, low rank that is kept well conditioned; 13c, figure 13 under
    an attack that cannot saturate; 14, whether what fools one network fools another; 16, defences; and 17, five ways of
    pruning."""
    seeds: tuple[int, ...] = (0,)
    """Everything is done once for each; with --until decided, at most."""
    looks: int = 1
    """How often the claims are looked at before the study ends: their intervals are widened for as many chances of a
    wrong verdict. --until decided looks after each seed from the third on, and counts by itself."""
    data: DataName = "digits"
    """Handwritten digits (shipped, 8 x 8, enlarged), or ten classes of ImageNet."""
    pixels: int = 16
    """Side to which images are resized."""
    crop: int = 16
    """Side of the window that the model sees."""
    batch_sizes: tuple[int, int] = (64, 64)
    """In place of the report's batches of 128 and of 512 images. If they are the same, so are figures 8 and 9, and
    10a and 10b."""
    sparsities: tuple[float, ...] = (0.0, 0.5, 0.9, 0.98)
    """Final parts of the weights that are pruned (figures 8 to 11)."""
    low_ranks: tuple[LowRank, ...] = ("none", "LR1", "LR2")
    """The report's schedules of ranks (figure 12)."""
    condition: float = 2
    """The most by which singular values of V, and of H, may differ in figure 12c, as a ratio."""
    temperatures: tuple[float, ...] = (1, 20, 90)
    """At which networks are trained (figure 13)."""
    epsilons: tuple[float, ...] = (0, 4, 8, 16, 32, 64)
    """Attack budgets, in 1/255 of the pixel range; 0 is always among them."""
    attack_part: float = 0.2
    """Part of the validation images that is attacked."""
    attacks: tuple[Method, ...] = ("fgsm",)
    """How: by the report's one step; and, in twins of its figures, by many steps (pgd, apgd), or by the worst of
    several attacks for each image (auto), which takes hours where the others take minutes."""
    certify: tuple[ModelName, ...] = ()
    """Which networks to prove robust, too: figure 15, what no attack breaks below and what PGD breaks above."""
    band_epsilons: tuple[float, ...] = (0, 1, 2, 4, 8, 16)
    """Where, in 1/255."""
    band_every: int = 1
    """Of the attacked images only every so many-th is proved."""
    hardening: Hardening = HARDENING
    sparsifying: Sparsifying = SPARSIFYING
    pgd: Strength = OWN_STRENGTH
    apgd: Strength = OWN_STRENGTH
    auto: Strength = WEAKER
    fc5: Recipe = Recipe(epochs=20, lr=0.05)
    alexnet: Recipe = Recipe(epochs=7, lr=0.004, pixels=64, init="he")
    resnet18: Recipe = Recipe(epochs=7, lr=0.05)
    weight_decay: float = 5e-4
    """Pull of every weight towards zero."""
    scope: Literal["layer", "global"] = "layer"
    """Rank magnitudes within each layer, or over the whole network."""
    prune_between: tuple[float, float] = (0.2, 0.7)
    """When pruning starts and ends, as parts of the training."""
    prune_steps: int = 10
    """Into how many steps pruning is divided."""
    device: Literal["cpu", "gpu"] = "cpu"
    """Where to compute."""
    precision: Literal["fast", "exact", "bfloat16"] = "fast"
    """Of products: a card's "fast" is TF32, "exact" is all of float32."""

    def run(self, model: ModelName, batch_size: Literal[128, 512], seed: int) -> Run:
        """The plain network of a figure: dense, at temperature 1."""
        recipe: Recipe = getattr(self, model)
        return Run(
            data=self.data,
            pixels=recipe.pixels or self.pixels,
            crop=recipe.pixels or self.crop,
            model=model,
            batch_size=self.batch_sizes[batch_size == 512],
            epochs=recipe.epochs,
            lr=recipe.lr,
            weight_decay=self.weight_decay,
            seed=seed,
            init=recipe.init,
            scale=recipe.scale,
            device=self.device,
            precision=self.precision,
        )

    def pruning(self, sparsity: float) -> Pruning | None:
        return Pruning(sparsity, self.scope, self.prune_between, self.prune_steps) if sparsity else None

    def attack(self, **changes: Any) -> Attack:
        """The attack of the report, or one that differs from it."""
        return Attack(tuple(sorted({0.0, *map(float, self.epsilons)})), part=self.attack_part, **changes)

    def each_attacked(self, networks: Callable[[Settings, int], Sequence[Run]]) -> list[tuple[Run, Attack]]:
        """The networks of all seeds, the seeds of one line next to each other, and the report's attack on each."""
        seeds = [networks(self, seed) for seed in self.seeds]
        return [(run, self.attack()) for line in zip(*seeds, strict=True) for run in line]

    def figure(self, name: FigureName, varied: Any, attacked: Sequence[tuple[Run, Attack]]) -> Figure:
        attacked = tuple(dict.fromkeys(attacked))  # who asks for a network twice gets it once
        first = attacked[0][0]
        data = {"digits": "digits", "imagenette": "Imagenette"}[self.data]
        title = f"{MODELS[first.model]}, batch {first.batch_size}, {data}, {first.crop} px"
        return Figure(name, title, varied, attacked)


@dataclass(frozen=True)
class Options(Settings):
    """Settings, and where and how to work; the defaults shown are those of the preset."""

    out: Path | None = None
    """Folder for all results; by default runs/STUDY-PRESET. A study that was stopped goes on where it was."""
    root: Path | None = None
    """Folder that holds Imagenette; by default $MINIDL_DATA, or the user's cache."""
    download: bool = False
    """Download Imagenette (99 MB) if it is not there."""
    workers: int = 1
    """Processes that train side by side and share out the cores."""
    dask: str | None = None
    """Address of a Dask scheduler that does the runs instead, such as tcp://host:8786."""
    shard: str | None = None
    """i/N: do only the i-th of N parts of the runs. All parts may write to one folder."""
    only: tuple[str, ...] = ()
    """Do only the runs whose names begin with one of these."""
    until: Literal["finished", "decided"] = "finished"
    """Do all runs of all seeds; or seed after seed, and from the third on only what an undecided claim needs, that
    first which is nearest to a decision."""
    hours: float | None = None
    """Begin no run after so many hours, and say what would be done next."""
    checkpoint_share: float = 0.03
    """Part of the time that checkpoints may take; 1 writes one after each epoch."""
    patience: float = 30
    """Seconds to wait at the end for runs that other processes are working on."""
    check: bool = False
    """Train nothing: compare all files of the folder, and say what is whole, what will be made again, what is lost."""


LAPTOP = Options(
    preset="laptop",
    figures=("9", "11", "12b", "12c", "13a", "13b", "13c", "16", "17"),
    data="imagenette",
    pixels=72,
    crop=64,
    batch_sizes=(128, 128),
    epsilons=(0, 1, 2, 4, 8, 16),
    band_epsilons=(0, 0.25, 0.5, 1, 2, 4),
    hardening=Hardening("resnet18", epsilon=4, steps=3),  # of PGD as many as ImageNet's robust networks, 2007.08489
    sparsifying=Sparsifying("resnet18", sparsities=(0.9,)),
    fc5=Recipe(epochs=20, lr=0.02),
    alexnet=Recipe(epochs=20, lr=0.02),
    apgd=Strength(every=4),
    auto=Strength(steps=25, queries=250, every=8),  # AutoAttack's own: 100 and 5000
    resnet18=Recipe(epochs=15, lr=0.1),
    prune_steps=100,
)
REPORTS: dict[str, Any] = {  # what of the report any image size can have
    "batch_sizes": BATCHES,
    "sparsities": LEVELS["sparsity"],
    "temperatures": LEVELS["temperature"],
}
WHOLE = dataclasses.replace(
    LAPTOP,
    preset="whole",
    figures=tuple(figure for figure in Settings.figures if figure not in ("16", "17")),  # of other networks
    seeds=(0, 1, 2, 3, 4),
    attacks=("fgsm", "pgd", "auto"),
    apgd=OWN_STRENGTH,
    auto=Strength(queries=1000, every=4),
    # AlexNet: by PyTorch's plain recipe, one for both batches. It was not found by recipes.py, on held-out training
    # images, as it is to be; until then a verdict on AlexNet says whether its networks have learnt (report/learnt.py).
    alexnet=LAPTOP.alexnet,
    **REPORTS,
)
PAPER = dataclasses.replace(
    LAPTOP,
    preset="paper",
    figures=Settings.figures,
    seeds=(0, 1, 2),
    pixels=144,
    crop=128,
    apgd=OWN_STRENGTH,
    auto=Strength(every=4),
    resnet18=Recipe(epochs=20, lr=0.1),
    **REPORTS,
)
PRESETS = {"quick": Options(), "laptop": LAPTOP, "whole": WHOLE, "paper": PAPER}


def recorded(options: Settings, models: Collection[str]) -> dict[str, Any]:
    """The settings as JSON has them: all that the results of these models depend on."""
    unused: set[str] = {method for method in OWN if method not in options.attacks}
    unused |= set() if options.certify else {"band_epsilons", "band_every"}
    unused |= set() if options.looks > 1 else {"looks"}
    unused |= MODELS.keys() - models
    unused |= {name for name, figure in (("hardening", "16"), ("sparsifying", "17")) if figure not in options.figures}
    values = dataclasses.asdict(options)
    names = [field.name for field in dataclasses.fields(Settings) if field.name not in unused]
    return json.loads(json.dumps({name: values[name] for name in names}))
