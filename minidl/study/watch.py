"""TensorBoard event files of a training: loss, accuracy, learning rate, sparsity of all and of each layer."""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import time
import warnings
from pathlib import Path
from typing import Any

from ..sparsify.scopes import Pruner
from ..train import Epoch

_parts = itertools.count()  # of this process


class EventFile:
    """Writes what ``tensorboard --logdir runs`` shows; without tensorboardX installed, nothing.

    It writes at once, in this thread: tensorboardX's ``SummaryWriter`` hands events to a thread of its own, which dies
    of a full disk, and whoever adds an event then waits for ever.

    Parameters
    ----------
    folder : Path
    first_epoch : int
        Of a training taken up again: what an earlier process wrote of later epochs is superseded.
    """

    def __init__(self, folder: Path, first_epoch: int = 0) -> None:
        self._writer: Any = None
        try:
            from tensorboardX.proto.event_pb2 import SessionLog
            from tensorboardX.record_writer import RecordWriter
        except ImportError:
            return
        # in TensorBoard's order, and never the name of an earlier part, which would be overwritten
        name = f"events.out.tfevents.{time.time():.6f}.{socket.gethostname()}.{os.getpid()}.{next(_parts):03}"
        try:
            self._writer = RecordWriter(str(folder / name))
            self._write(0, file_version="brain.Event:2")
            # TensorBoard forgets what it read of this step and those after it
            self._write(first_epoch + 1, session_log=SessionLog(status=SessionLog.START))
        except OSError as error:
            self._give_up(error)

    def add(self, epoch: Epoch, pruner: Pruner | None) -> None:
        """The figures of an epoch, under the number of epochs done."""
        if self._writer is None:
            return
        from tensorboardX.summary import scalar

        try:
            for name, value in _figures(epoch, pruner).items():
                if value is not None:
                    self._write(epoch.epoch + 1, summary=scalar(name, value))
            self._writer.flush()
        except OSError as error:
            self._give_up(error)

    def close(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            with contextlib.suppress(OSError):  # what there was to say, `add` has said
                writer.close()

    def _write(self, step: int, **content: Any) -> None:
        from tensorboardX.proto.event_pb2 import Event

        self._writer.write(Event(wall_time=time.time(), step=step, **content).SerializeToString())

    def _give_up(self, error: OSError) -> None:
        self.close()
        warnings.warn(
            f"TensorBoard's file could not be written ({error}): the training goes on without it", stacklevel=3
        )


def _figures(epoch: Epoch, pruner: Pruner | None) -> dict[str, float | None]:
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
    return figures
