"""Checkpoints: all that a training needs to go on with the same bits, in files that are checked when they are read."""

from __future__ import annotations

import json
import time
import warnings
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .checks import number, whole_number
from .nn import Module
from .optim import Optimizer
from .tools.files import whole_file
from .train import Snapshot, State, StateError

FORMAT = "2"
KEPT = 2  # the newest, and the one before it in case the newest is damaged
BYTES_PER_SECOND = 3e8  # how fast a disk is taken to be, until the first checkpoint has shown it


class DamagedCheckpointError(ValueError):
    """A checkpoint is not what was written: cut short, changed, or no checkpoint at all."""


class CheckpointWarning(UserWarning):
    """A checkpoint could not be written or read; the training goes on, from the one before it or without."""


def save_checkpoint(
    path: str | Path, model: Module, optimizer: Optimizer, about: Mapping[str, Any], **others: Any
) -> None:
    """Write all that a training is made of to one safetensors file.

    Weights and masks, what the optimiser remembers and its numbers, random streams; and of the others that are given,
    the loader's position, and what the objective and what follows a step have of numbers, arrays and random streams.

    Parameters
    ----------
    path : str or Path
        The file appears whole or not at all.
    model : Module
    optimizer : optim.Optimizer
    about : mapping
        Whatever else the training wants to find again; it must be possible to write it as JSON.
    **others : objects
        ``batches``, ``objective`` and ``after_step``, as ``fit`` was given them.

    Examples
    --------
    >>> import tempfile, minidl as md
    >>> from minidl.checkpoint import load_checkpoint, save_checkpoint
    >>> model = md.models.fc5(image_size=8, channels=1)
    >>> optimizer = md.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_checkpoint(folder + "/c.safetensors", model, optimizer, {"epochs": 3})
    ...     load_checkpoint(folder + "/c.safetensors", model, optimizer)
    {'epochs': 3}
    """
    from safetensors.numpy import save as to_bytes

    snapshot = State(model, optimizer, **others).capture()
    # safetensors writes the memory of an array whatever its strides
    tensors = {name: np.asarray(array, order="C") for name, array in snapshot.arrays.items()}
    metadata = {"format": FORMAT, "rest": json.dumps({**snapshot.rest, "about": dict(about)}, default=_as_json)}
    metadata["checksum"] = _checksum(tensors, metadata["rest"])
    content = to_bytes(tensors, metadata)
    with whole_file(path) as file:
        file.write(content)


def load_checkpoint(path: str | Path, model: Module, optimizer: Optimizer, **others: Any) -> dict[str, Any]:
    """Put a training back to where ``save_checkpoint`` found it; returns ``about``.

    Parameters
    ----------
    path : str or Path
    model : Module
    optimizer : optim.Optimizer
    **others : objects
        ``batches``, ``objective`` and ``after_step``. All must be made as those that were saved.

    Raises
    ------
    DamagedCheckpointError
        When the file's checksum, or its form, is wrong.
    ValueError
        When the file is of another training, or of another version of minidl: with all differences. In both cases
        everything is left as it was.

    Examples
    --------
    >>> import pathlib, tempfile, minidl as md
    >>> from minidl.checkpoint import load_checkpoint, save_checkpoint
    >>> first, second = md.nn.Linear(3, 2), md.nn.Linear(3, 2)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "epoch-0007.safetensors")
    ...     save_checkpoint(path, first, md.optim.SGD(first.parameters(), lr=0.1), {"epoch": 7})
    ...     load_checkpoint(path, second, md.optim.SGD(second.parameters(), lr=0.5))
    {'epoch': 7}
    >>> bool((first.weight.data == second.weight.data).all())
    True
    """
    snapshot = _read(path)
    try:
        State(model, optimizer, **others).restore(snapshot)
    except StateError as error:
        raise ValueError(
            f"the checkpoint {path} is of another training: give what it was made of, or delete it to train from the "
            f"start; {error}"
        ) from error
    return snapshot.rest["about"]


class Checkpoints:
    """The checkpoints of one training: the two newest, written when they are worth their time.

    Parameters
    ----------
    folder : str or Path
        Of this training alone.
    share : float
        The part of the training's time that writing may take; 1 writes whenever asked.

    Examples
    --------
    >>> import tempfile, minidl as md
    >>> from minidl.checkpoint import Checkpoints
    >>> model = md.nn.Linear(3, 2)
    >>> optimizer = md.optim.SGD(model.parameters(), lr=0.1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     checkpoints = Checkpoints(folder, share=1)
    ...     for epoch in (1, 2, 3):
    ...         _ = checkpoints.save(epoch, model, optimizer, {"epoch": epoch})
    ...     len(checkpoints.files()), checkpoints.resume(model, optimizer)
    (2, {'epoch': 3})
    """

    def __init__(self, folder: str | Path, share: float = 0.03) -> None:
        self.folder, self.share = Path(folder), number(share, "share", "(0, 1]", "Checkpoints")
        self._last, self._cost = time.monotonic(), 0.0

    def files(self) -> list[Path]:
        """The checkpoints there are, the newest first."""
        found = {path: path.stem.removeprefix("epoch-") for path in self.folder.glob("epoch-*.safetensors")}
        return sorted((path for path, epoch in found.items() if epoch.isdecimal()), key=_epoch_of, reverse=True)

    def resume(self, model: Module, optimizer: Optimizer, **others: Any) -> dict[str, Any] | None:
        """Put everything back to the newest checkpoint that is whole, and return its ``about``; None without one."""
        for path in self.files():
            try:
                return load_checkpoint(path, model, optimizer, **others)
            except (DamagedCheckpointError, OSError) as error:
                warnings.warn(f"{error}; going back to the checkpoint before it", CheckpointWarning, stacklevel=2)
        return None

    def save(self, epochs: int, model: Module, optimizer: Optimizer, about: Mapping[str, Any], **others: Any) -> bool:
        """Write a checkpoint after so many epochs, if its time has come; whether one was written.

        A disk that is full, or refuses, is reported, and the training goes on.
        """
        epochs = whole_number(epochs, "epochs", 0, "Checkpoints.save")
        now = time.monotonic()
        cost = self._cost or _size(model, optimizer) / BYTES_PER_SECOND
        if self.share < 1 and (now - self._last) * self.share < cost:
            return False
        try:
            save_checkpoint(self.folder / f"epoch-{epochs:04d}.safetensors", model, optimizer, about, **others)
        except OSError as error:
            warnings.warn(
                f"no checkpoint could be written after {epochs} epochs ({error}): the training goes on, and a stop now "
                "would lose what came after the last checkpoint. Make room on the disk",
                CheckpointWarning,
                stacklevel=2,
            )
            return False
        self._last = time.monotonic()
        self._cost = self._last - now
        for path in self.files()[KEPT:]:
            path.unlink(missing_ok=True)
        return True

    def clear(self) -> None:
        """Delete them all: the training is finished."""
        for path in self.files():
            path.unlink(missing_ok=True)


def _epoch_of(path: Path) -> int:
    return int(path.stem.removeprefix("epoch-"))


def _as_json(value: Any) -> Any:
    """Arrays within the state of a random generator as lists, which it takes back."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise TypeError(f"a checkpoint's about holds {value!r}, which cannot be written as JSON")


def _size(model: Module, optimizer: Optimizer) -> int:
    """Bytes of a checkpoint, nearly."""
    return sum(p.data.nbytes for p in model.parameters()) + sum(a.nbytes for s in optimizer.state for a in s)


def _checksum(tensors: Mapping[str, np.ndarray], rest: str) -> str:
    total = zlib.crc32(rest.encode())
    for name in sorted(tensors):
        total = zlib.crc32(np.ascontiguousarray(tensors[name]).data, zlib.crc32(name.encode(), total))
    return f"{total:08x}"


def _read(path: str | Path) -> Snapshot:
    """What was written, when that is what the file holds."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise DamagedCheckpointError(f"the checkpoint {path} is damaged ({error})") from error
    if metadata.get("checksum") != _checksum(tensors, metadata.get("rest", "")):
        raise DamagedCheckpointError(f"the checkpoint {path} is damaged: its checksum is wrong")
    if metadata.get("format") != FORMAT:
        raise ValueError(
            f"the checkpoint {path} was written by another version of minidl, whose trainings had other parts: "
            "go on with that version, or delete the file to train from the start"
        )
    return Snapshot(tensors, json.loads(metadata["rest"]))
