"""What the studies share: their settings on the command line, their data, and their models' recipes."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import tyro

import minidl as md
from minidl.files import whole_file

ModelName = Literal["fc5", "alexnet", "resnet18"]
Settings = TypeVar("Settings")


@dataclass(frozen=True)
class Recipe:
    """How one kind of model is trained."""

    epochs: int
    lr: float
    """Peak learning rate of the one-cycle schedule."""


@dataclass(frozen=True)
class Problem:
    """Images to train on, images to attack, and how large they are."""

    train: md.data.ImageSet
    val: md.data.ImageSet
    crop: int
    """Side of the windows that the model sees, in pixels: cut at random while training, from the centre otherwise."""
    flip: bool

    @property
    def channels(self) -> int:
        return self.train.images.shape[3]

    def model(self, name: ModelName, seed: int) -> md.nn.Module:
        """A fresh model for these images."""
        classes = len(self.train.classes)
        if name == "fc5":
            return md.models.fc5(classes, image_size=self.crop, channels=self.channels, seed=seed)
        return getattr(md.models, name)(classes, channels=self.channels, seed=seed)

    def batches(self, batch_size: int, seed: int) -> md.data.Loader:
        """Training batches, shuffled and augmented."""
        images, labels = self.train
        return md.data.Loader(images, labels, batch_size, crop=self.crop, flip=self.flip, drop_last=True, seed=seed)

    def validation(self) -> md.data.Loader:
        """All validation images, from their centres."""
        return md.data.Loader(self.val.images, self.val.labels, 256, crop=self.crop, shuffle=False)

    def sample(self, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """``count`` random validation images, float32 (count, crop, crop, C) in [0, 1], and their labels."""
        rows = np.sort(rng.choice(len(self.val), size=count, replace=False))
        some = md.data.Loader(self.val.images[rows], self.val.labels[rows], count, crop=self.crop, shuffle=False)
        return next(iter(some))


def load_problem(
    data: Literal["digits", "imagenette"], pixels: int, crop: int, root: Path | None, download: bool
) -> Problem:
    """Digits enlarged to ``pixels``, or Imagenette decoded to ``pixels``."""
    if data == "digits":
        times, rest = divmod(pixels, 8)
        if rest or times < 1:
            raise SystemExit(f"--pixels {pixels}: the digits have 8 x 8 pixels and are enlarged by whole factors")
        train, val = (
            md.data.ImageSet(part.images.repeat(times, 1).repeat(times, 2), part.labels, part.classes)
            for part in (md.data.digits("train"), md.data.digits("val"))
        )
        return Problem(train, val, crop, flip=False)
    train, val = (md.data.Imagenette(root, split=split, download=download).at(pixels) for split in ("train", "val"))
    return Problem(train, val, crop, flip=True)


def settings_from_command_line(
    kind: type[Settings], presets: Mapping[str, Settings], doc: str, args: Sequence[str] | None = None
) -> Settings:
    """The preset that ``--preset`` names (the first by default), changed by the other options."""
    chooser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    chooser.add_argument("--preset", choices=list(presets), default=next(iter(presets)))
    chosen, _ = chooser.parse_known_args(args)
    return tyro.cli(kind, default=presets[chosen.preset], args=args, description=doc)


def write_settings(folder: Path, settings: Any) -> None:
    """All settings of a study, and the versions that ran it, beside its results; other settings' results are kept."""
    path = folder / "settings.json"
    record = json.loads(json.dumps(dataclasses.asdict(settings), default=str))
    if path.exists() and (folder / "results.csv").exists():
        found = json.loads(path.read_text(encoding="utf-8"))["settings"]
        other = [
            f"{name} was {found.get(name)}, now {record[name]}" for name in record if found.get(name) != record[name]
        ]
        if other:
            raise ValueError(
                f"{folder} holds the results of other settings ({'; '.join(other)}): choose another --out, or delete it"
            )
    versions = {"minidl": md.__version__, "numpy": np.__version__}
    with whole_file(path) as file:
        file.write(json.dumps({"versions": versions, "settings": record}, indent=2).encode() + b"\n")


def run_or_exit(main: Callable[[], Any]) -> None:
    """Run a study; what the user can mend ends it with the message alone, not with a traceback."""
    try:
        main()
    except (ValueError, FileNotFoundError, ArithmeticError, RuntimeError) as error:
        raise SystemExit(f"error: {error}") from error
    except KeyboardInterrupt:
        raise SystemExit("stopped: the networks that were finished are in the table") from None
