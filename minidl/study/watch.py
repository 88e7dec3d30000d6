"""TensorBoard event files of a training: loss, accuracy, learning rate, sparsity of all and of each layer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..compress import MagnitudePruner
from ..train import Epoch


class EventFile:
    """Writes what ``tensorboard --logdir runs`` shows; without tensorboardX installed, nothing.

    Parameters
    ----------
    folder : Path
    first_epoch : int
        Of a training taken up again: what an earlier process wrote from there on is superseded.
    """

    def __init__(self, folder: Path, first_epoch: int = 0) -> None:
        self._writer: Any = None
        try:
            from tensorboardX import SummaryWriter
        except ImportError:
            return
        self._writer = SummaryWriter(str(folder), purge_step=first_epoch or None)

    def add(self, epoch: Epoch, pruner: MagnitudePruner | None) -> None:
        """The figures of an epoch, under the number of epochs done."""
        if self._writer is None:
            return
        figures = {
            "loss/training": epoch.loss,
            "loss/validation": epoch.val_loss,
            "accuracy/training": epoch.accuracy,
            "accuracy/validation": epoch.val_accuracy,
            "learning_rate": epoch.lr,
            "images_per_second": epoch.images_per_second,
        }
        if pruner is not None:
            figures |= {"sparsity/all": pruner.sparsity}
            figures |= {f"sparsity_by_layer/{name}": part for name, part in pruner.layer_sparsity().items()}
        for name, value in figures.items():
            if value is not None:
                self._writer.add_scalar(name, value, epoch.epoch + 1)
        self._writer.flush()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
