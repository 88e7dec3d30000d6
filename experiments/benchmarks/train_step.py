"""Time minidl and, where torch is installed, PyTorch: training step, forward pass and FGSM's input gradient.

Each library works in a process of its own with the same number of threads, and they take turns, so that a machine
that grows slow for a while slows both. PyTorch runs in both memory layouts, and its better time counts. A ratio below
1 means that minidl is faster. What is printed is a table in Markdown, under the processor's or the card's name.

    python experiments/benchmarks/train_step.py
    python experiments/benchmarks/train_step.py --only resnet18 --rounds 9
    python experiments/benchmarks/train_step.py --device gpu --precision bfloat16

On a card a turn is twenty of a task, after which the card is waited for; minidl's training step and input gradient are
replayed, as ``fit`` and the attacks do. PyTorch runs as one writes it (eager), in the same precision: "fast" is TF32
for both, "bfloat16" is autocast there.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

Case = tuple[str, int, int]  # model, pixels, batch size
CASES: tuple[Case, ...] = (
    ("resnet18", 128, 32),
    ("resnet18", 64, 128),
    ("alexnet", 128, 32),
    ("alexnet", 224, 32),
    ("fc5", 64, 128),
    ("resnet18-LR1", 64, 128),  # its convolutions of low rank, as in the report's figure 12
)
CARD_CASES: tuple[Case, ...] = (
    ("resnet18", 128, 128),
    ("resnet18", 128, 512),
    ("alexnet", 128, 128),
    ("fc5", 64, 512),
    ("resnet18-LR1", 128, 128),
)
ON_CARD = 20  # of a task in a turn
TASKS = ("training step", "forward", "input gradient")
Job = Callable[[], None]


@dataclass(frozen=True)
class Options:
    """How both libraries work."""

    rounds: int
    threads: int
    device: str
    precision: str


def random_batch(pixels: int, batch: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.random((batch, pixels, pixels, 3), dtype=np.float32), rng.integers(10, size=batch)


def minidl_jobs(name: str, pixels: int, batch: int, how: Options) -> dict[str, Job]:
    import minidl as md
    from minidl import functional as F
    from minidl.backend import to_device
    from minidl.backend.recording import Replayed
    from minidl.train.state import State

    md.set_num_threads(how.threads)
    md.set_precision(how.precision)
    images, labels = random_batch(pixels, batch)
    images = to_device(images, how.device)
    model = md.models.fc5(image_size=pixels) if name == "fc5" else getattr(md.models, name.partition("-")[0])()
    if name.endswith("LR1"):
        md.compress.low_rank(model, md.compress.LR1["resnet18"])
    model.to(how.device)
    optimizer = md.optim.SGD(model.parameters(), 0.01, momentum=0.9, weight_decay=5e-4, nesterov=True)

    def go_down(images: Any, labels: Any) -> list[Any]:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(md.Tensor(images)), labels)
        loss.backward()
        optimizer.step()
        return [loss.data]

    def climb(images: Any, labels: Any) -> list[Any]:
        x = md.Tensor(images, requires_grad=True)
        F.cross_entropy(model(x), labels, reduction="sum").backward(inputs=[x])
        return [x.grad]

    state = State(model, optimizer)
    down, up = Replayed(go_down, state.reads, writes=state.writes), Replayed(climb)

    def training_step() -> None:
        model.train()
        down(images, labels)

    def forward() -> None:
        model.eval()
        with md.no_grad():
            model(md.Tensor(images))

    def input_gradient() -> None:
        model.eval()
        up(images, labels)

    return dict(zip(TASKS, (training_step, forward, input_gradient), strict=True))


def torch_jobs(name: str, pixels: int, batch: int, how: Options, channels_last: bool) -> dict[str, Job]:
    import torch
    import torch.nn.functional as F
    import torch_models

    torch.set_num_threads(how.threads)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = how.precision == "fast"
    torch.backends.cudnn.benchmark = True
    place = "cuda" if how.device == "gpu" else "cpu"
    half = torch.autocast(place, torch.bfloat16, enabled=how.precision == "bfloat16" and how.device == "gpu")
    layout = torch.channels_last if channels_last else torch.contiguous_format
    images, labels = random_batch(pixels, batch)
    x = torch.from_numpy(images).permute(0, 3, 1, 2).to(place).contiguous(memory_format=layout)
    y = torch.from_numpy(labels).to(place)
    model = torch_models.fc5(image_size=pixels) if name == "fc5" else getattr(torch_models, name.partition("-")[0])()
    if name.endswith("LR1"):
        import minidl as md

        torch_models.low_rank(model, md.compress.LR1["resnet18"])
    model = model.to(place, memory_format=layout)
    optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9, weight_decay=5e-4, nesterov=True)

    def training_step() -> None:
        model.train()
        optimizer.zero_grad()
        with half:
            loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()

    def forward() -> None:
        model.eval()
        with torch.no_grad(), half:
            model(x)

    def input_gradient() -> None:
        model.eval()
        images = x.detach().requires_grad_()
        with half:
            loss = F.cross_entropy(model(images), y, reduction="sum")
        torch.autograd.grad(loss, images)

    return dict(zip(TASKS, (training_step, forward, input_gradient), strict=True))


def work(pipe: Connection, library: str, case: Case, how: Options) -> None:
    """In a process of its own: do the task that the pipe names and answer with its seconds, until told None."""
    if library == "minidl":
        jobs = minidl_jobs(*case, how)
    else:
        jobs = torch_jobs(*case, how, channels_last=library == "torch channels_last")
    times = ON_CARD if how.device == "gpu" else 1
    while (task := pipe.recv()) is not None:
        if task == "peak memory":
            pipe.send(peak_memory(library, how.device))
            continue
        started = time.perf_counter()
        for _ in range(times):
            jobs[task]()
        wait_for(library, how.device)
        pipe.send((time.perf_counter() - started) / times)


def wait_for(library: str, device: str) -> None:
    """Until the card has done what it was told."""
    if device == "gpu" and library == "minidl":
        from minidl.backend import card

        card().cuda.Device().synchronize()
    elif device == "gpu":
        import torch

        torch.cuda.synchronize()


def peak_memory(library: str, device: str) -> float:
    """The most memory that this process has had so far, in MB: on a card, what it has taken of the card's."""
    if device == "cpu":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if library == "minidl":
        from minidl.backend.memory import card_memory

        return card_memory() / 2**20
    import torch

    return torch.cuda.max_memory_reserved() / 2**20


class Worker:
    """A process that runs one library on one case."""

    def __init__(self, library: str, case: Case, how: Options) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=work, args=(theirs, library, case, how), daemon=True)
        self.process.start()
        theirs.close()

    def ask(self, task: str) -> Any:
        self.pipe.send(task)
        return self.pipe.recv()

    def stop(self) -> None:
        self.pipe.send(None)
        self.process.join()


def measure(case: Case, libraries: list[str], how: Options) -> dict[str, dict[str, float]]:
    """For each library: median seconds of each task, and peak memory in MB."""
    workers = {library: Worker(library, case, how) for library in libraries}
    results: dict[str, dict[str, float]] = {library: {} for library in libraries}
    for task in TASKS:
        times: dict[str, list[float]] = {library: [] for library in libraries}
        for i in range(how.rounds + 3):  # the first three warm up: compilation, buffers, recording
            for library, worker in workers.items():
                seconds = worker.ask(task)
                if i >= 3:
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
    parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu")
    parser.add_argument("--precision", choices=("fast", "exact", "bfloat16"), default="fast", help="of products")
    given = vars(parser.parse_args())
    only, options = given.pop("only"), Options(**given)
    if options.device == "gpu":
        from minidl.backend.cuda import card_name

        print(f"{card_name()}, products: {options.precision}\n")
    else:
        from minidl.study.folder import origin

        print(f"{origin()['processor']}, {options.threads} threads, products: {options.precision}\n")
    libraries = ["minidl"]
    if find_spec("torch"):
        libraries += ["torch channels_last", "torch channels_first"]
    else:
        print("torch is not installed: timing minidl alone")
    print("| network | task | minidl | PyTorch | ratio |\n| --- | --- | ---: | ---: | ---: |")
    for case in CARD_CASES if options.device == "gpu" else CASES:
        if only in case[0]:
            show(case, measure(case, libraries, options), on_card=options.device == "gpu")


def show(case: Case, results: dict[str, dict[str, float]], on_card: bool) -> None:
    """A row for each task; on a card with images a second."""
    mine, *others = results.values()
    for task in mine:
        unit, scale = ("MB", 1) if task == "peak memory" else ("ms", 1000)
        ours, theirs = scale * mine[task], scale * min((other[task] for other in others), default=float("nan"))
        speeds = [f", {case[2] / ms * 1000:.0f} images/s" if unit == "ms" and on_card else "" for ms in (ours, theirs)]
        cells = [f"{amount:.1f} {unit}{speed}" for amount, speed in zip((ours, theirs), speeds, strict=True)]
        cells = [f"{case[0]} {case[1]} px batch {case[2]}", task, *cells, f"{ours / theirs:.2f}"]
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
