"""All that is to be learnt on a card, in few minutes: one command, whose steps cannot cost each other anything.

    python experiments/benchmarks/card_session.py --minutes 9 --out runs/card-session
    PYTHONPATH=tests/emulated python experiments/benchmarks/card_session.py --tiny --minutes 5 --out runs/emulated

Each step is a process with a time limit of its own, and writes a file as it goes: what was seen before a step hangs, or
the machine is taken away, is there. A step that fails or hangs costs its limit and no more, and no step begins, or goes
on, after the minutes. The last lines, which ``learnt.txt`` has too, say what was learnt, each from its step's file.

What is most wanted comes first. PyTorch, whose first import takes half a minute on a fresh machine, is imported beside
the first steps, by a process that does nothing else. The last step trains networks of the paper preset, with all time
that is left; it needs Imagenette where MINIDL_DATA points (pack_imagenette.py makes it small enough to travel), and
goes on where it was when the command is given again with the same --out.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import which

import card_lessons as lessons

HERE, ROOT = Path(__file__).parent, Path(__file__).parents[2]
GRACE = 4  # seconds that a step has to end by itself once it is told to
WORKERS = 14  # of the tests
FIGURES = "11 9 12b 12c 13a 13b 13c 8 10a 10b 12a 14 16".split()  # of the study: those first that decide claims


@dataclass(frozen=True)
class Step:
    """A command, the most seconds that it may take, and what its output teaches. ``needed``: by all that follow."""

    name: str
    command: Sequence[str]
    limit: float
    learn: lessons.Lesson
    needed: bool = False


def python(script: str | Path, *arguments: str) -> list[str]:
    return [sys.executable, "-u", str(script), *arguments]


def check(*arguments: str) -> list[str]:
    return python(HERE / "card_checks.py", *arguments)


def tests(workers: int, *files: str) -> list[str]:
    where = [str(ROOT / "tests" / file) for file in files]
    options = ["--device", "gpu", "-n", str(workers), "-v", "--tb=short", "-p", "no:cacheprovider"]
    return [sys.executable, "-u", "-m", "pytest", *where, *options]


def sanitized(tool: str) -> list[str]:
    return [which("compute-sanitizer") or "compute-sanitizer", "--tool", tool, *check("kernels")]


def steps(out: Path) -> list[Step]:
    """In the order in which what they teach is wanted."""
    table = (
        "kernels/test_kernels.py",
        "kernels/test_bfloat16.py",
        "test_gradients.py",
        "test_recording.py",
        "test_nn.py",
        "test_tensor.py",
    )
    workers, study = min(WORKERS, os.cpu_count() or 1), ROOT / "experiments" / "study.py"
    paper = ["--preset", "paper", "--device", "gpu", "--seeds", "0", "--workers", "2", "--figures", *FIGURES]
    imagenette = "--data imagenette --epochs 8 --precisions fast bfloat16".split()  # one seed after the other
    return [
        Step("machine", check("machine"), 40, lessons.last_lines(6), needed=True),
        Step("tests-card", tests(workers, "test_card.py"), 60, lessons.failures),
        Step("tests-operations", tests(workers, *table), 100, lessons.failures),
        Step("training", check("training"), 40, lessons.last_lines(2)),
        Step("beside-pytorch", python(HERE / "train_step.py", "--device", "gpu", "--rounds", "5"), 120, lessons.table),
        Step("kernels", python(HERE / "card_kernels.py", "--rounds", "5", "--beside"), 70, lessons.slow_kernels),
        Step("same-bits", check("twice"), 30, lessons.last_lines(1)),
        Step("racecheck", sanitized("racecheck"), 45, lessons.hazards),
        Step("memcheck", sanitized("memcheck"), 45, lessons.hazards),
        Step("precisions", python(HERE / "card_precisions.py"), 40, lessons.last_lines(4)),
        Step("precisions-imagenette", python(HERE / "card_precisions.py", *imagenette), 150, lessons.last_lines(6)),
        Step("paper", python(study, *paper, "--out", str(out / "study")), 3600, lessons.last_lines(3)),
    ]


def tiny_steps(out: Path) -> list[Step]:
    """The same, each as small as it gets: to try this script where there is time for nothing else."""
    few = ["--only", "fc5", "--rounds", "1", "--times", "1", "--pixels", "8", "--batch", "4"]
    small = ["--rounds", "1", "--calls", "1", "--batch", "1", "--size", "16", "--only", "sgd"]
    study = python(ROOT / "experiments" / "study.py", "--device", "gpu", "--seeds", "0", "--out", str(out / "study"))
    study += "--figures 11 --sparsities 0 0.9 --epsilons 0 8 --fc5.epochs 1 --attack-part 0.05 --prune-steps 2".split()
    study += "--pixels 8 --crop 8 --batch-sizes 512 512".split()
    one_training = "--epochs 1 --seeds 0 --precisions bfloat16".split()
    one = f"{ROOT / 'tests' / 'test_card.py'}::test_labels_that_are_no_classes_are_refused_at_every_step"
    return [
        Step("machine", check("machine"), 60, lessons.last_lines(6), needed=True),
        Step("tests-card", tests(0, one), 60, lessons.failures),
        Step("training", check("training", "--tiny"), 90, lessons.last_lines(2)),
        Step("beside-pytorch", python(HERE / "train_step.py", "--device", "gpu", *few), 60, lessons.table),
        Step("kernels", python(HERE / "card_kernels.py", *small), 60, lessons.slow_kernels),
        Step("same-bits", check("twice", "--tiny"), 60, lessons.last_lines(1)),
        Step("hangs", check("hang"), 1, lessons.last_lines(1)),
        Step("fails", check("fail"), 30, lessons.last_lines(1)),
        Step("racecheck", check("kernels"), 90, lessons.hazards),
        Step("precisions", python(HERE / "card_precisions.py", *one_training), 120, lessons.last_lines(2)),
        Step("paper", study, 120, lessons.last_lines(3)),
    ]


class Session:
    """Steps one after the other until the time is up; what each was about, in a file of its own in ``out``."""

    def __init__(self, out: Path, minutes: float) -> None:
        self.out, self.end = out, time.monotonic() + 60 * minutes
        out.mkdir(parents=True, exist_ok=True)
        (out / "learnt.txt").write_text("", encoding="utf-8")

    def say(self, *lines: str) -> None:
        """To the terminal and to ``learnt.txt``, at once."""
        print(*lines, sep="\n", flush=True)
        with (self.out / "learnt.txt").open("a", encoding="utf-8") as file:
            print(*lines, sep="\n", file=file)

    def do(self, number: int, step: Step) -> bool:
        """Whether the step came to its end; what it taught is said either way."""
        limit = min(step.limit, self.end - time.monotonic() - GRACE)
        if limit <= 0:
            self.say(f"\n## {step.name}: not begun, the minutes are over")
            return False
        path, began = self.out / f"{number:02}-{step.name}.txt", time.monotonic()
        with path.open("w", encoding="utf-8") as file:
            ending = run(step.command, file, limit)
        text = path.read_text(encoding="utf-8", errors="replace")
        self.say(f"\n## {step.name}: {ending} after {time.monotonic() - began:.0f} s ({path.name})", *step.learn(text))
        return ending == "done"


def run(command: Sequence[str], file, limit: float) -> str:
    """How a command ended, whose output goes to a file as it comes: all its processes are gone then."""
    try:
        process = begin(command, file)
    except OSError as error:
        return f"could not begin ({command[0]}: {error.strerror})"
    try:
        code = process.wait(limit)
        return "done" if code == 0 else f"failed (exit status {code})"
    except subprocess.TimeoutExpired:
        return f"stopped at its limit of {limit:.0f} s"
    finally:
        stop(process)


def begin(command: Sequence[str], file) -> subprocess.Popen:
    """In a session of its own, so that all that it starts can be stopped with it."""
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, cwd=ROOT, start_new_session=True
    )


def stop(process: subprocess.Popen) -> None:
    """The process and all that it has started: told to end, and after a few seconds made to."""
    with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(GRACE - 1)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=9, help="after which all is over (default: 9)")
    parser.add_argument("--out", type=Path, default=Path("runs/card-session"), help="a folder for the files")
    parser.add_argument("--tiny", action="store_true", help="each step as small as it gets, to try this script")
    options = parser.parse_args()
    out = options.out.absolute()
    session = Session(out, options.minutes)
    with (out / "00-pytorch-import.txt").open("w", encoding="utf-8") as file:
        beside = begin(check("torch"), file)
        try:
            for number, step in enumerate((tiny_steps if options.tiny else steps)(out), start=1):
                if not session.do(number, step) and step.needed:
                    session.say(f"\nnothing else can be learnt without: {step.name}")
                    raise SystemExit(1)
        finally:
            stop(beside)
    session.say("", *lessons.last_lines(1)((out / "00-pytorch-import.txt").read_text(encoding="utf-8")))


if __name__ == "__main__":
    main()
