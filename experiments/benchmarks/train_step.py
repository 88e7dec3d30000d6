"""Time minidl and, where torch is installed, PyTorch: training step, forward pass and FGSM's input gradient.

Each library works in a process of its own with the same number of threads, and they take turns, so that a machine
that grows slow for a while slows both; each turn begins with a rest, in which the other's threads come to rest too, and
with the task once untimed. PyTorch runs in both memory layouts, and its better time counts. A ratio below 1 means that
minidl is faster. What is printed is a table in Markdown, under the processor's or the card's name.

    python experiments/benchmarks/train_step.py
    python experiments/benchmarks/train_step.py --only resnet18 --rounds 9
    python experiments/benchmarks/train_step.py --device gpu --precision bfloat16

On a card a turn is twenty of a task, after which the card is waited for; minidl's steps are replayed, as ``fit``,
``evaluate`` and the attacks do. PyTorch runs as one writes it (eager), in the same precision: "fast" is TF32 for both,
"bfloat16" is autocast there. There each library does all cases in one process, whose beginning takes longer than they.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import time
from importlib.util import find_spec
from multiprocessing.connection import Connection
from typing import Any

from train_jobs import REST, TASKS, Case, Job, Options, forget, jobs_of, peak_memory, wait_for, what_is_missing

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


def work(pipe: Connection, library: str, how: Options) -> None:
    """In a process of its own: do the task of a case so many times and answer with its seconds, until told None."""
    pipe.send(what_is_missing(library, how.device))
    jobs: dict[str, Job] = {}
    current = None
    while (order := pipe.recv()) is not None:
        case, task, times = order
        if task == "peak memory":
            pipe.send(peak_memory(library, how.device))
            continue
        if case != current:
            jobs.clear()
            forget(library, how.device)
            jobs.update(jobs_of(library, case, how))
            current = case
        jobs[task]()  # untimed, as processors that have rested begin slowly
        wait_for(library, how.device)
        started = time.perf_counter()
        for _ in range(times):
            jobs[task]()
        wait_for(library, how.device)
        pipe.send((time.perf_counter() - started) / times)


class Worker:
    """A process that runs one library."""

    def __init__(self, library: str, how: Options) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=work, args=(theirs, library, how), daemon=True)
        self.process.start()
        theirs.close()

    def ask(self, case: Case, task: str, times: int = 1) -> Any:
        time.sleep(REST)
        self.pipe.send((case, task, times))
        return self.pipe.recv()

    def stop(self) -> None:
        self.pipe.send(None)
        self.process.join()


def measure(case: Case, workers: dict[str, Worker], how: Options) -> dict[str, dict[str, float]]:
    """For each library: median seconds of each task, and peak memory in MB."""
    results: dict[str, dict[str, float]] = {library: {} for library in workers}
    for task in TASKS:
        times: dict[str, list[float]] = {library: [] for library in workers}
        for i in range(how.rounds + 3):  # the first three warm up: compilation, buffers, recording
            for library, worker in workers.items():
                seconds = worker.ask(case, task, how.times if i >= 3 else 1)
                if i >= 3:
                    times[library].append(seconds)
        for library in workers:
            results[library][task] = statistics.median(times[library])
        if task == TASKS[0]:  # of training alone
            for library, worker in workers.items():
                results[library]["peak memory"] = worker.ask(case, "peak memory")
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="only models whose name contains this")
    parser.add_argument("--rounds", type=int, default=7, help="how often each library has its turn (default: 7)")
    parser.add_argument("--threads", type=int, default=2, help="of each library (default: 2)")
    parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu")
    parser.add_argument("--precision", choices=("fast", "exact", "bfloat16"), default="fast", help="of products")
    parser.add_argument("--times", type=int, help="of a task in a turn (default: 20 on a card, else 1)")
    parser.add_argument("--pixels", type=int, help="of all cases, in place of their own")
    parser.add_argument("--batch", type=int, help="of all cases, in place of their own")
    given = vars(parser.parse_args())
    only, pixels, batch = given.pop("only"), given.pop("pixels"), given.pop("batch")
    on_card = given["device"] == "gpu"
    options = Options(**given | {"times": given["times"] or (20 if on_card else 1)})
    if on_card:
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
    workers: dict[str, Worker] = {}
    titled = False
    for name, side, count in CARD_CASES if on_card else CASES:
        if only not in name:
            continue
        if not on_card:  # memory's peak is then a process's
            stop(workers)
        if not workers:
            workers = begun(libraries, options)
            libraries = list(workers)
        if not titled:
            print("| network | task | minidl | PyTorch | ratio |\n| --- | --- | ---: | ---: | ---: |")
        case, titled = (name, pixels or side, batch or count), True
        show(case, measure(case, workers, options), on_card)
    stop(workers)


def begun(libraries: list[str], how: Options) -> dict[str, Worker]:
    """All of them at once; those that can be timed here."""
    workers = {library: Worker(library, how) for library in libraries}
    for library in libraries:
        if reason := workers[library].pipe.recv():
            print(f"{reason}: it is not timed", flush=True)
            workers.pop(library).stop()
    return workers


def stop(workers: dict[str, Worker]) -> None:
    for worker in workers.values():
        worker.stop()
    workers.clear()


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
