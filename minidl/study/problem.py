"""The images of a study, and fresh networks for them."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import compress, models
from ..backend import Array, streams, to_device
from ..data import Imagenette, ImageSet, Loader, digits
from ..nn import Module
from ..nn.init import he_uniform
from ..records.run import Attack, DataName, Run
from ..records.setting import short_hash

MOST_TIMES = 64  # the digits at 512 pixels are 2 GB
SCHEDULES = {"LR1": compress.LR1, "LR2": compress.LR2}


@dataclass(frozen=True, eq=False)
class Problem:
    """Images to train on, images to attack, and how large they are.

    Attributes
    ----------
    train, val : data.ImageSet
    crop : int
        Side of the windows that the network sees, in pixels: cut at random while training, from the centre otherwise.
    flip : bool
        Whether training mirrors images.
    """

    train: ImageSet
    val: ImageSet
    crop: int
    flip: bool

    def model(self, run: Run) -> Module:
        """The run's network, before it is trained."""
        classes, channels = len(self.train.classes), self.train.images.shape[3]
        if run.model == "fc5":
            model = models.fc5(classes, image_size=self.crop, channels=channels, seed=run.seed)
        else:
            model = getattr(models, run.model)(classes, channels=channels, seed=run.seed)
        if run.init == "he":
            he_uniform(model)
        if run.low_rank != "none":  # its pairs of convolutions have He's variance of their own accord
            rng = streams(run.seed)["init"].spawn(1)[0]
            compress.low_rank(model, ranks(run.low_rank, run.model, model), rng=rng, condition=run.condition)
        return model.to(run.device)

    def batches(self, run: Run) -> Loader:
        """Training batches, shuffled and augmented, on the run's device."""
        images = self._on_card[0] if run.device == "gpu" else self.train.images
        settings: dict[str, Any] = {"crop": self.crop, "flip": self.flip, "drop_last": True, "seed": run.seed}
        return Loader(images, self.train.labels, run.batch_size, scale=run.scale, **settings)

    def validation(self, run: Run) -> Loader:
        """All validation images, from their centres, on the run's device."""
        images = self._on_card[1] if run.device == "gpu" else self.val.images
        return Loader(images, self.val.labels, 256, crop=self.crop, shuffle=False)

    @functools.cached_property
    def _on_card(self) -> tuple[Array, Array]:
        """The images, training and validation, moved to the card once for all runs."""
        return to_device(np.asarray(self.train.images), "gpu"), to_device(np.asarray(self.val.images), "gpu")

    def sample(self, run: Run, attack: Attack) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The validation images to attack: their rows (B,), float32 (B, crop, crop, C) in [0, 1], and labels (B,)."""
        rng = streams(run.seed)["attack"]
        if attack.images == "fresh":  # a stream of each attack's own
            rng = np.random.default_rng([run.seed, int(short_hash(run), 16), int(short_hash(attack), 16)])
        count = max(1, math.floor(attack.part * len(self.val)))
        rows = np.sort(rng.choice(len(self.val), size=count, replace=False))[:: attack.every]
        some = Loader(
            self.val.images[rows], self.val.labels[rows], len(rows), crop=self.crop, shuffle=False, prefetch=0
        )
        return rows, *next(iter(some))


@functools.lru_cache(maxsize=1)
def load_problem(data: DataName, pixels: int, crop: int, root: Path | None = None, download: bool = False) -> Problem:
    """Digits enlarged to ``pixels``, or Imagenette resized to them.

    Raises
    ------
    ValueError
        When the digits, of 8 x 8 pixels, cannot be enlarged to this by a whole factor.
    FileNotFoundError
        When Imagenette is not there, with how to get it.
    """
    if data == "digits":
        times, rest = divmod(pixels, 8)
        if rest or not 1 <= times <= MOST_TIMES:
            raise ValueError(
                f"pixels is {pixels}: the digits have 8 x 8 pixels and are enlarged by whole factors, to at most "
                f"{8 * MOST_TIMES}"
            )
        train, val = (
            ImageSet(part.images.repeat(times, 1).repeat(times, 2), part.labels, part.classes)
            for part in (digits("train"), digits("val"))
        )
        return Problem(train, val, crop, flip=False)
    train, val = (Imagenette(root, split=split, download=download).at(pixels) for split in ("train", "val"))
    return Problem(train, val, crop, flip=True)


def ranks(name: str, model_name: str, model: Module) -> list[int | None]:
    """The ranks that ``Run.low_rank`` names, for ``compress.low_rank``.

    A rank of the report's schedules that a layer is too small for (the first one, on grey images) is brought down to
    the layer's largest; ranks of one's own are taken as they are.
    """
    if name in SCHEDULES:
        if model_name not in SCHEDULES[name]:
            raise ValueError(f"low rank {name}: the report gives ranks for {', '.join(compress.LR1)}, not {model_name}")
        largest = compress.largest_ranks(model).values()
        return [min(rank, most) for rank, most in zip(SCHEDULES[name][model_name], largest, strict=True)]
    try:
        return [None if rank.strip() == "-" else int(rank) for rank in name.split(",")]
    except ValueError:
        raise ValueError(
            f"low rank {name!r}: choose none, {', '.join(SCHEDULES)}, or ranks divided by commas, such as 8,5,24 (- "
            "leaves a layer dense)"
        ) from None
