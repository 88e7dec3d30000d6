"""A session on a card, on the emulated one: it comes to its end whatever its steps do, and says what they taught."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BENCHMARKS = ROOT / "experiments" / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))
import card_lessons  # noqa: E402
import card_session  # noqa: E402


def session(tmp_path, *args, card=True):
    paths = [str(ROOT / "tests" / "emulated")] * card + [str(ROOT)]
    command = [sys.executable, str(BENCHMARKS / "card_session.py"), "--out", str(tmp_path), *args]
    env = dict(os.environ, PYTHONPATH=os.pathsep.join(paths))
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=900, env=env)


@pytest.mark.skipif(not shutil.which("g++"), reason="the emulated card compiles kernels with g++")
def test_it_comes_to_its_end_and_says_what_was_learnt(tmp_path):
    done = session(tmp_path, "--tiny", "--minutes", "12")
    assert done.returncode == 0, done.stdout + done.stderr
    said = dict(part.split(": ", 1) for part in done.stdout.split("\n## ")[1:])
    assert list(said) == [step.name for step in card_session.tiny_steps(tmp_path)]
    for name, what in said.items():
        ending = {"hangs": "stopped at its limit of 1 s", "fails": "failed (exit status 1)"}.get(name, "done")
        assert what.startswith(ending), (name, what)
    for name, lesson in {
        "machine": "emulated, CUDA 13.0",
        "tests-card": "1 tests passed, 0 did not",
        "training": "the card trains as the CPU does",
        "beside-pytorch": "| fc5 8 px batch 4 | training step |",
        "kernels": "1 kernels timed",
        "same-bits": "the same training gave the same bits twice",
        "racecheck": "all kernels ran",
        "precisions": "| bfloat16 |",
        "paper": "results.csv",
    }.items():
        assert lesson in said[name]
    assert (tmp_path / "learnt.txt").read_text(encoding="utf-8") == done.stdout
    assert "first import" in done.stdout.splitlines()[-1] or "not installed" in done.stdout.splitlines()[-1]


def test_without_a_card_it_says_what_is_missing(tmp_path):
    try:
        import cupy  # noqa: F401
    except ImportError:
        done = session(tmp_path, "--tiny", card=False)
        assert done.returncode == 1
        assert "there is no card to learn from: device 'gpu' was asked for, but CuPy is not installed" in done.stdout
        assert done.stdout.rstrip().splitlines()[-1] == "nothing else can be learnt without: machine"


def stubborn(seconds):
    """A process that begins another, and that neither wants to end."""
    child = f"import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep({seconds})"
    return [
        sys.executable,
        "-c",
        f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {child!r}]); {child}",
    ]


def test_no_step_goes_on_after_the_minutes(tmp_path):
    began = time.monotonic()
    hour = card_session.Session(tmp_path, (card_session.GRACE + 2) / 60)
    step = card_session.Step("stubborn", stubborn(600), 3600, card_lessons.last_lines(1))
    assert not hour.do(1, step)
    assert time.monotonic() - began < card_session.GRACE + 4
    assert not hour.do(2, step)
    said = (tmp_path / "learnt.txt").read_text(encoding="utf-8")
    assert "stubborn: stopped at its limit of 2 s" in said
    assert "stubborn: not begun, the minutes are over" in said


def test_what_cannot_begin_costs_nothing(tmp_path):
    hour = card_session.Session(tmp_path, 1)
    assert not hour.do(1, card_session.Step("missing", ["no-such-program"], 9, card_lessons.last_lines(1)))
    assert "could not begin (no-such-program: No such file or directory)" in (tmp_path / "learnt.txt").read_text(
        encoding="utf-8"
    )


def test_failures_have_names_also_where_the_tests_were_stopped():
    spread = "[gw0] [ 50%] PASSED tests/test_a.py::test_b\n[gw1] [ 99%] FAILED tests/test_a.py::test_c[x]\n"
    assert card_lessons.failures(spread) == ["1 tests passed, 1 did not", "  tests/test_a.py::test_c[x]"]
    plain = "tests/test_a.py::test_b PASSED [ 50%]\ntests/test_a.py::test_c FAILED [100%]\n"
    assert card_lessons.failures(plain) == ["1 tests passed, 1 did not", "  tests/test_a.py::test_c"]
    assert len(card_lessons.failures("".join(f"FAILED tests/a.py::t{i}\n" for i in range(99)))) == 42


def test_kernels_far_from_the_limit_are_named():
    text = "limits: 2.40 TB/s copied\nmoments  64 px   23.0  0.5   0.0   20%\nrelu   10.0  2.2  0.0   91%   12.0\n"
    limits, count, *slow = card_lessons.slow_kernels(text)
    assert (limits, count) == ("limits: 2.40 TB/s copied", "2 kernels timed, 1 of them below 60 % of the card's limit:")
    assert [line.split()[0] for line in slow] == ["moments"]
