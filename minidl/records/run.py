"""What one trained network of a study is: a frozen dataclass whose hash is its name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from ..sparsify.lottery import rounds_to
from .recipe import Adversary, Proximal, Pruning
from .setting import settle, short_hash

ModelName = Literal["fc5", "alexnet", "resnet18"]
DataName = Literal["digits", "imagenette"]
Method = Literal["fgsm", "pgd", "apgd", "auto", "certify"]

# What each method has settings of, and what they are unless said
OWN: dict[Method, dict[str, int]] = {
    "fgsm": {},
    "pgd": {"steps": 20, "restarts": 1},
    "apgd": {"steps": 100, "restarts": 1},
    "auto": {"steps": 100, "queries": 5000},
    "certify": {},
}
NO_TEMPERATURE = ("apgd", "auto", "certify")


@dataclass(frozen=True)
class Run:
    """One network to train: everything that its weights depend on.

    Attributes
    ----------
    data, pixels, crop
        Which images, resized to ``pixels``; the network sees windows of ``crop`` pixels.
    model, batch_size, epochs, lr, weight_decay
        The recipe: SGD with Nesterov momentum 0.9 along one cycle that peaks at ``lr``.
    seed : int
        Of the initial weights, the shuffling, the augmentation, dropout and the attacks: a stream each.
    pruning : Pruning, optional
    low_rank : str
        "none", the report's "LR1" or "LR2", or ranks divided by commas ("8,5,24", "-" for a dense layer).
    temperature : float > 0
        T of the loss (report, eqs. 22-24), and of what a teacher answers.
    init : {"default", "he"}
        PyTorch's initial weights, or He's (``nn.init.he_uniform``).
    device : {"cpu", "gpu"}
        Whose rounding the weights have.
    precision : {"fast", "exact", "bfloat16"}
        Of the products; see ``set_precision``. A card's "fast" is TF32.
    adversary : Adversary, optional
        Whose attack moves the images that are trained on.
    teacher : Run, optional
        The network whose answers this one learns, which is trained first (``objectives.Distillation``).
    mix : float in [0, 1]
        The teacher's part of the loss.
    proximal : Proximal, optional
    condition : float >= 1, optional
        The bound on the singular values of a low-rank network's V and H.
    scale : two floats in (0, 1], optional
        Training sees windows of between these parts of an image's area, resized to ``crop`` (``data.Loader``).

    Examples
    --------
    >>> from minidl.study import Run
    >>> run = Run("digits", 8, 8, "fc5", 64, epochs=20, lr=0.1)
    >>> run.name
    'fc5-b64-digits8-seed0-e256c73b34'
    """

    data: DataName
    pixels: int
    crop: int
    model: ModelName
    batch_size: int
    epochs: int
    lr: float
    weight_decay: float = 5e-4
    seed: int = 0
    pruning: Pruning | None = None
    low_rank: str = "none"
    temperature: float = 1.0
    init: Literal["default", "he"] = "default"
    device: Literal["cpu", "gpu"] = "cpu"
    precision: Literal["fast", "exact", "bfloat16"] = "fast"
    adversary: Adversary | None = None
    teacher: Run | None = None
    mix: float = 1.0
    proximal: Proximal | None = None
    condition: float | None = None
    scale: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        settle(self)

    @property
    def all_epochs(self) -> int:
        """How many epochs its training has: a lottery ticket's rounds have ``epochs`` each."""
        if self.pruning is None or self.pruning.method != "lottery":
            return self.epochs
        return self.epochs * (rounds_to(self.pruning.sparsity, self.pruning.part) + 1)

    @property
    def sparsity(self) -> float:
        """The part of the weights to be pruned."""
        return self.pruning.sparsity if self.pruning else 0.0

    @property
    def ranks(self) -> str:
        """The schedule of ranks, and the bound that is kept on singular values: "none", "LR1", "LR1, condition 2"."""
        return self.low_rank if self.condition is None else f"{self.low_rank}, condition {self.condition:g}"

    @property
    def pruned(self) -> str:
        """By which method, and how many of the weights: "none", "magnitude 90 %", "variational 50 %"."""
        return f"{self.pruning.method} {100 * self.sparsity:g} %" if self.pruning else "none"

    @property
    def defence(self) -> str:
        """What is done against attacks: "none", "FGSM-RS", "T = 20", "nuclear + l1" ..."""
        parts = [self.adversary.kind] if self.adversary else []
        parts += ["nuclear + l1"] if self.proximal else []
        if self.teacher:
            parts.append(f"distilled, T = {self.temperature:g}")
        elif self.temperature != 1:
            parts.append(f"T = {self.temperature:g}")
        return ", ".join(parts) or "none"

    @property
    def name(self) -> str:
        """What one reads of a run, and a hash of all that it is."""
        by = f"{self.pruning.method}-" if self.pruning and self.pruning.method != "magnitude" else "sparsity"
        ranks = self.low_rank if self.low_rank.startswith("LR") else "ranks"
        bound = "" if self.condition is None else f"c{self.condition:g}"  # short: Windows counts the letters of a path
        parts: list[Any] = [
            f"{self.model}-b{self.batch_size}-{self.data}{self.crop}",
            self.pruning and f"{by}{100 * self.sparsity:g}",
            self.proximal and f"nuclear{self.proximal.nuclear:g}",
            self.low_rank != "none" and ranks + bound,
            (self.teacher or self.temperature != 1) and f"{'distilled' if self.teacher else 'T'}{self.temperature:g}",
            self.adversary and f"{self.adversary.kind}e{self.adversary.epsilon:g}",
            f"seed{self.seed}-{short_hash(self)}",
        ]
        return "-".join(filter(None, parts))

    def __str__(self) -> str:
        by = f" by {self.pruning.method}" if self.pruning and self.pruning.method != "magnitude" else ""
        told: list[Any] = [
            f"{self.model}, batch {self.batch_size}",
            self.pruning and f"sparsity {self.sparsity:.0%}{by}",
            self.proximal and f"nuclear norm {self.proximal.nuclear:g}, l1 {self.proximal.l1:g}",
            self.low_rank != "none" and f"low rank {self.ranks}",
            self.temperature != 1 and f"T = {self.temperature:g}",
            self.teacher and "distilled",
            self.adversary and f"{self.adversary.kind} training at {self.adversary.epsilon:g}/255",
            self.device == "gpu" and "on a card" + ("" if self.precision == "fast" else f", {self.precision}"),
            f"seed {self.seed}",
        ]
        return ", ".join(filter(None, told))


@dataclass(frozen=True)
class Attack:
    """How a run is attacked (report, section 3).

    Attributes
    ----------
    epsilons : floats, ascending, from 0
        In 1/255 of the pixel range.
    loss : {"cross_entropy", "margin"}
        What the attacker climbs; the logit margin cannot saturate.
    temperature : float > 0
        The attacker's T, for cross-entropy.
    images : {"fresh", "paired"}
        A random part of the validation images, drawn anew for each attack as in the report, or the same for all runs
        of one seed.
    part : float in (0, 1]
        How large a part.
    every : int, at least 1
        Of these images only every so many-th: what takes hours is done on fewer of the same images.
    method : {"fgsm", "pgd", "apgd", "auto", "certify"}
        One step, as the report does; many (``robustness.pgd``, ``robustness.apgd``); or the worst of several attacks
        for each image (``robustness.auto_attack``), which climbs several losses, at T = 1. "certify" is the other side
        of all of them, and no attack: which images are right whatever the attack (``robustness.certified``).
    steps, restarts : int, optional
        Of the methods that have them. Left out they are the method's own, and the same attack.
    queries : int, optional
        Of the search without gradients in "auto".

    Examples
    --------
    >>> from minidl.study import Attack
    >>> Attack((0, 8), method="pgd").steps, Attack((0, 8)).name
    (20, 'fresh-cross_entropy-T1-47259c44')
    """

    epsilons: tuple[float, ...]
    loss: Literal["cross_entropy", "margin"] = "cross_entropy"
    temperature: float = 1.0
    images: Literal["fresh", "paired"] = "fresh"
    part: float = 0.2
    every: int = 1
    method: Method = "fgsm"
    steps: int | None = None
    restarts: int | None = None
    queries: int | None = None

    def __post_init__(self) -> None:
        settle(self)
        if self.every < 1:
            raise ValueError(f"Attack: every is {self.every}, and must be at least 1")
        own = OWN[self.method]
        for name in ("steps", "restarts", "queries"):
            value = getattr(self, name)
            if value is not None and (name not in own or value < 1):
                what = "must be at least 1" if name in own else f"{self.method} has none"
                raise ValueError(f"Attack: {name} is {value}, and {what}")
            object.__setattr__(self, name, own.get(name) if value is None else value)
        if self.method in NO_TEMPERATURE and self.temperature != 1:
            raise ValueError(f"Attack: the temperature is {self.temperature:g}, and {self.method} knows only T = 1")
        if self.method in ("auto", "certify") and self.loss != "cross_entropy":
            raise ValueError(f"Attack: the loss is {self.loss!r}, and {self.method} chooses its own: leave it out")

    @property
    def name(self) -> str:
        loss = "margin" if self.loss == "margin" else f"{self.loss}-T{self.temperature:g}"
        what = {"fgsm": loss, "auto": "auto", "certify": "certificate"}.get(self.method, f"{self.method}-{loss}")
        return f"{self.images}-{what}-{short_hash(self, 8)}"
