"""Time minidl and, where torch is installed, PyTorch: training step, forward pass and FGSM's input gradient.

Each library works in a process of its own with the same number of threads, and they take turns, so that a machine
that grows slow for a while slows both. PyTorch runs in both memory layouts, and its better time counts. A ratio below
1 means that minidl is faster.

    python experiments/benchmarks/train_step.py
    python experiments/benchmarks/train_step.py --only resnet18 --rounds 9
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable
from importlib.util import find_spec
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

CASES = (  # model, pixels, batch size
    ("resnet18", 128, 32),
    ("resnet18", 64, 128),
    ("alexnet", 128, 32),
    ("alexnet", 224, 32),
    ("fc5", 64, 128),
    ("resnet18-LR1", 64, 128),  # its convolutions of low rank, as in the report's figure 12
)
TASKS = ("training step", "forward", "input gradient")
Job = Callable[[], None]


def random_batch(pixels: int, batch: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.random((batch, pixels, pixels, 3), dtype=np.float32), rng.integers(10, size=batch)


def minidl_jobs(name: str, pixels: int, batch: int, threads: int) -> dict[str, Job]:
    import minidl as md
    from minidl import functional as F

    md.set_num_threads(threads)
    images, labels = random_batch(pixels, batch)
    model = md.models.fc5(image_size=pixels) if name == "fc5" else getattr(md.models, name.partition("-")[0])()
    if name.endswith("LR1"):
        md.compress.low_rank(model, md.compress.LR1["resnet18"])
    optimizer = md.optim.SGD(model.parameters(), 0.01, momentum=0.9, weight_decay=5e-4, nesterov=True)

    def training_step() -> None:
        model.train()
        optimizer.zero_grad()
        F.cross_entropy(model(md.Tensor(images)), labels).backward()
        optimizer.step()

    def forward() -> None:
        model.eval()
        with md.no_grad():
            model(md.Tensor(images))

    def input_gradient() -> None:
        model.eval()
        x = md.Tensor(images, requires_grad=True)
        F.cross_entropy(model(x), labels, reduction="sum").backward(inputs=[x])

    return dict(zip(TASKS, (training_step, forward, input_gradient), strict=True))


def torch_jobs(name: str, pixels: int, batch: int, threads: int, channels_last: bool) -> dict[str, Job]:
    import torch
    import torch.nn.functional as F
    import torch_models

    torch.set_num_threads(threads)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    images, labels = random_batch(pixels, batch)
    x = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(memory_format=layout)
    y = torch.from_numpy(labels)
    model = torch_models.fc5(image_size=pixels) if name == "fc5" else getattr(torch_models, name.partition("-")[0])()
    if name.endswith("LR1"):
        import minidl as md

        torch_models.low_rank(model, md.compress.LR1["resnet18"])
    model = model.to(memory_format=layout)
    optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9, weight_decay=5e-4, nesterov=True)

    def training_step() -> None:
        model.train()
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()

    def forward() -> None:
        model.eval()
        with torch.no_grad():
            model(x)

    def input_gradient() -> None:
        model.eval()
        images = x.detach().requires_grad_()
        torch.autograd.grad(F.cross_entropy(model(images), y, reduction="sum"), images)

    return dict(zip(TASKS, (training_step, forward, input_gradient), strict=True))


def work(pipe: Connection, library: str, case: tuple[str, int, int], threads: int) -> None:
    """In a process of its own: do the task that the pipe names and answer with its seconds, until told None."""
    if library == "minidl":
        jobs = minidl_jobs(*case, threads)
    else:
        jobs = torch_jobs(*case, threads, channels_last=library == "torch channels_last")
    while (task := pipe.recv()) is not None:
        if task == "peak memory":
            pipe.send(peak_memory())
            continue
        started = time.perf_counter()
        jobs[task]()
        pipe.send(time.perf_counter() - started)


def peak_memory() -> float:
    """The largest resident memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


class Worker:
    """A process that runs one library on one case."""

    def __init__(self, library: str, case: tuple[str, int, int], threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=work, args=(theirs, library, case, threads), daemon=True)
        self.process.start()
        theirs.close()

    def ask(self, task: str) -> Any:
        self.pipe.send(task)
        return self.pipe.recv()

    def stop(self) -> None:
        self.pipe.send(None)
        self.process.join()


def measure(case: tuple[str, int, int], libraries: list[str], rounds: int, threads: int) -> dict[str, dict[str, float]]:
    """For each library: median seconds of each task, and peak memory in MB."""
    workers = {library: Worker(library, case, threads) for library in libraries}
    results: dict[str, dict[str, float]] = {library: {} for library in libraries}
    for task in TASKS:
        times: dict[str, list[float]] = {library: [] for library in libraries}
        for i in range(rounds + 2):  # the first two warm up: compilation, buffers
            for library, worker in workers.items():
                seconds = worker.ask(task)
                if i >= 2:
                    times[library].append(seconds)
        for library in libraries:
            results[library][task] = statistics.median(times[library])
        if task == TASKS[0]:  # of training alone
            for library, worker in workers.items():
                results[library]["peak memory"] = worker.ask("peak memory")
    for worker in workers.values():
        worker.stop()
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="only models whose name contains this")
    parser.add_argument("--rounds", type=int, default=7, help="how often each library has its turn (default: 7)")
    parser.add_argument("--threads", type=int, default=2, help="of each library (default: 2)")
    options = parser.parse_args()
    libraries = ["minidl"]
    if find_spec("torch"):
        libraries += ["torch channels_last", "torch channels_first"]
    else:
        print("torch is not installed: timing minidl alone")
    print(f"{'model':28} {'task':15} {'minidl':>10} {'PyTorch':>10} {'ratio':>6}")
    for case in CASES:
        if options.only not in case[0]:
            continue
        name = f"{case[0]} {case[1]} px batch {case[2]}"
        results = measure(case, libraries, options.rounds, options.threads)
        for task in (*TASKS, "peak memory"):
            unit, scale = ("MB", 1) if task == "peak memory" else ("ms", 1000)
            mine = scale * results["minidl"][task]
            line = f"{name:28} {task:15} {mine:7.1f} {unit}"
            if len(libraries) > 1:
                theirs = scale * min(results[library][task] for library in libraries[1:])
                line += f" {theirs:7.1f} {unit} {mine / theirs:6.2f}"
            print(line, flush=True)


if __name__ == "__main__":
    main()
