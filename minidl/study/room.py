"""Room on the disk for what a run writes, looked for before hours of training."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from ..nn import Module
from ..records import CannotWriteError
from ..records.seal import megabytes

PLENTY = 4 * 10**9  # bytes with which no run is short of room: AlexNet's weights and checkpoints are 1.6 GB
CHECKPOINTS = 3  # two are kept, and a third one is being written
REST = 5 * 10**6  # table, attacks, event file, page and figures


def check_room(folder: Path, model: Callable[[], Module]) -> None:
    """A CannotWriteError unless the disk has room for a run's weights, checkpoints and attacks.

    ``model`` makes the network, and is asked for it only where room is short.
    """
    free = shutil.disk_usage(folder).free
    if free >= PLENTY:
        return
    weights = sum(parameter.data.nbytes for parameter in model().parameters())
    checkpoint = weights * 2 + weights // 4  # with the optimiser's memory, and masks of a byte for each weight
    needed = weights + CHECKPOINTS * checkpoint + REST
    if free < needed:
        raise CannotWriteError(
            f"{folder} needs {megabytes(needed)} for weights, checkpoints and attacks, and its disk has "
            f"{megabytes(free)} free: make room, or choose another --out; nothing was trained"
        )
