"""What watching and checkpoints cost a training: `python experiments/benchmarks/study_overhead.py`.

ResNet18 on digits enlarged to 64 pixels is trained with and without them, in turn, and the ratio of the times is shown.
The checkpoints take the share of the time that they do by default.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from unittest import mock

from minidl.study import Run, load_problem, train, training

RUN = Run("digits", 64, 64, "resnet18", 128, epochs=6, lr=0.05)


class Nothing:
    """In place of checkpoints and event files."""

    def __init__(self, *_: object) -> None: ...

    def resume(self, *_: object) -> None: ...

    def save(self, *_: object) -> None: ...

    def add(self, *_: object) -> None: ...

    def close(self) -> None: ...


def seconds(plain: bool) -> float:
    """Of one training."""
    problem = load_problem(RUN.data, RUN.pixels, RUN.crop)
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        if plain:
            with mock.patch.multiple(training, Checkpoints=Nothing, EventFile=Nothing):
                train(RUN, problem, Path(folder), progress=False)
        else:
            train(RUN, problem, Path(folder), progress=False)
        return time.perf_counter() - started


def main() -> None:
    seconds(plain=True)  # compiles
    ratios = []
    for _ in range(3):
        without, with_them = seconds(plain=True), seconds(plain=False)
        ratios.append(with_them / without)
        print(f"{without:.1f} s without, {with_them:.1f} s with: {100 * (ratios[-1] - 1):+.1f} %", flush=True)
    print(f"median overhead: {100 * (statistics.median(ratios) - 1):+.1f} % of the training's time")


if __name__ == "__main__":
    main()
