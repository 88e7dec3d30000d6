"""What a training step moves through memory besides its products, task by task, beside the speed of a copy.

A task's bytes are those of all arrays that it reads or writes, once, or twice what it changes in place: activations
larger than a core's caches come from memory, and go there. The copy is one of 64 MB, on the same threads, which reads
as much as it writes.

    python experiments/benchmarks/memory_bound.py
    python experiments/benchmarks/memory_bound.py --model fc5 --batch 128 --threads 1
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

import minidl as md
from minidl import functional as F
from minidl.kernels.cpu_runtime.tasks import Task, at, task
from minidl.study.folder import origin

WHAT = {  # of tasks whose work is memory's, by name
    ("normalization", "_sum", False): "batch normalisation: moments",
    ("normalization", "_sum", True): "batch normalisation's gradient: sums",
    ("normalization", "_map", False): "batch normalisation, residual, ReLU",
    ("normalization", "_map", True): "batch normalisation's gradient: by the image",
    ("pooling", "_max", False): "max pooling",
    ("pooling", "_max_grad", True): "max pooling's gradient",
    ("elementwise", "_where_positive", False): "ReLU",
    ("elementwise", "_where_positive", True): "ReLU's gradient",
    ("elementwise", "_sgd", True): "SGD with momentum",
}
IN_PLACE = {"_sgd": (0, 2)}  # arguments that are read and written: weights and their momentum
PART = 1 << 14  # numbers
PRODUCTS, WHOLE = "products and what they pack", "the whole step"
Notes = list[tuple[Task, int, float]]  # of each call of a task: what, bytes, seconds


@task
def _copy(start, stop, x, y):
    of_x, of_y = at(x, 0), at(y, 0)
    for i in range(start * PART, stop * PART):
        of_y[i] = of_x[i]


def copy_speed() -> float:
    """GB/s, read and written, of the best of ten copies of 64 MB."""
    x = np.ones(1 << 24, np.float32)
    y, times = np.zeros_like(x), []
    for _ in range(10):
        started = time.perf_counter()
        _copy.run(x.size // PART, x, y)
        times.append(time.perf_counter() - started)
    return (x.nbytes + y.nbytes) / min(times[1:]) / 1e9


@contextmanager
def watched(seen: Notes) -> Iterator[None]:
    """Note (task, bytes, seconds) of all that tasks do meanwhile."""
    run = Task.run

    def noted(self: Task, size: int, *arguments: Any) -> None:
        started = time.perf_counter()
        run(self, size, *arguments)
        took, arrays = time.perf_counter() - started, dict[int, int]()
        for a in arguments:
            if isinstance(a, np.ndarray):  # a view of its first row is no array of its own
                place = a.__array_interface__["data"][0]
                arrays[place] = max(a.nbytes, arrays.get(place, 0))
        again = sum(arguments[i].nbytes for i in IN_PLACE.get(self.function.__name__, ()) if arguments[i] is not None)
        seen.append((self, sum(arrays.values()) + again, took))

    Task.run = noted  # type: ignore[method-assign]
    try:
        yield
    finally:
        Task.run = run  # type: ignore[method-assign]


def stepper(name: str, pixels: int, batch: int) -> Callable[[], tuple[Notes, Notes]]:
    """A function that takes one training step, and gives what was noted on the way there, and on the way back."""
    net = md.models.fc5(image_size=pixels) if name == "fc5" else getattr(md.models, name)()
    optimizer = md.optim.SGD(net.parameters(), 0.01, momentum=0.9, weight_decay=5e-4, nesterov=True)
    rng = np.random.default_rng(0)
    images = rng.random((batch, pixels, pixels, 3), dtype=np.float32)
    labels = rng.integers(10, size=batch)

    def step() -> tuple[Notes, Notes]:
        forward, backward = Notes(), Notes()
        optimizer.zero_grad()
        with watched(forward):
            loss = F.cross_entropy(net(md.Tensor(images)), labels)
        with watched(backward):
            loss.backward()
            optimizer.step()
        return forward, backward

    return step


def name_of(done: Task, backward: bool) -> str:
    place = (done.function.__module__.rpartition(".")[2], done.function.__name__, backward)
    return WHAT.get(place, PRODUCTS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=("resnet18", "alexnet", "fc5"), default="resnet18")
    parser.add_argument("--pixels", type=int, default=64)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=7, help="steps, of which each task's median counts (default: 7)")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    md.set_num_threads(options.threads)
    step = stepper(options.model, options.pixels, options.batch)
    calls, moved, seconds = defaultdict[str, int](int), defaultdict[str, int](int), defaultdict[str, list[float]](list)
    for i in range(options.rounds + 2):  # two warm up
        started = time.perf_counter()
        forward, backward = step()
        took = defaultdict(float, {WHOLE: time.perf_counter() - started})
        calls.clear()
        moved.clear()
        for part in (forward, backward):
            for done, size, so_long in part:
                name = name_of(done, part is backward)
                calls[name] += 1
                moved[name] += size
                took[name] += so_long
        for name, time_taken in took.items() if i >= 2 else ():
            seconds[name].append(time_taken)
    show(
        calls, moved, {name: float(np.median(times)) for name, times in seconds.items()}, copy_speed(), options.threads
    )


def show(calls: dict[str, int], moved: dict[str, int], seconds: dict[str, float], copy: float, threads: int) -> None:
    """A row for each kind of task."""
    whole = seconds[WHOLE]
    print(f"{origin()['processor']}, {threads} threads; a copy moves {copy:.1f} GB/s\n")
    print("| | calls | MB | ms | part of the step | GB/s | part of a copy's |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for name in [*dict.fromkeys(WHAT.values()), PRODUCTS]:
        if name in calls:
            took = seconds[name]
            cells = [f"{calls[name]}", f"{moved[name] / 1e6:.0f}", f"{1e3 * took:.1f}", f"{took / whole:.0%}"]
            speed = moved[name] / took / 1e9
            rates = [f"{speed:.1f}", f"{speed / copy:.0%}"] if name in WHAT.values() else ["", ""]
            print(f"| {name} | {' | '.join(cells + rates)} |")
    print(f"| the whole step | | | {1e3 * whole:.1f} | 100% | | |")


if __name__ == "__main__":
    main()
