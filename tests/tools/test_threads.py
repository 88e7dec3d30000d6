"""How many cores there are for this process, wherever that is said, and a stack that is deep enough."""

import os
import threading

import pytest

from minidl.study import Workers
from minidl.tools import threads
from minidl.tools.threads import cores, deep


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Sixty-four cores; files of the control groups, and variables of the environment."""
    if hasattr(os, "sched_getaffinity"):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(64))
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(threads, "CGROUPS", (tmp_path / "table", tmp_path / "cgroup"))
    for name in threads.SLURM:
        monkeypatch.delenv(name, raising=False)

    def write(files, **environment):
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text + "\n", encoding="utf-8")
        for name, text in environment.items():
            monkeypatch.setenv(name, text)

    return write


@pytest.mark.parametrize(
    ("files", "environment", "expected"),
    [
        ({}, {}, 64),
        ({"table": "0::/", "cgroup/cpu.max": "200000 100000"}, {}, 2),
        ({"table": "0::/", "cgroup/cpu.max": "150000 100000"}, {}, 2),  # a part of a core is one
        ({"table": "0::/", "cgroup/cpu.max": "5000 100000"}, {}, 1),
        ({"table": "0::/", "cgroup/cpu.max": "max 100000"}, {}, 64),
        ({"table": "0::/a/b", "cgroup/a/cpu.max": "300000 100000", "cgroup/a/b/cpu.max": "max 100000"}, {}, 3),
        ({"table": "0::/a/b", "cgroup/a/cpu.max": "300000 100000", "cgroup/a/b/cpu.max": "100000 50000"}, {}, 2),
        ({"table": "0::/x/y", "cgroup/cpu.max": "400000 100000"}, {}, 4),  # as a container sees itself
        (
            {
                "table": "5:memory:/job\n4:cpu,cpuacct:/job",
                "cgroup/cpu,cpuacct/job/cpu.cfs_quota_us": "250000",
                "cgroup/cpu,cpuacct/job/cpu.cfs_period_us": "100000",
            },
            {},
            3,
        ),
        (
            {
                "table": "4:cpu:/",
                "cgroup/cpu/cpu.cfs_quota_us": "-1",
                "cgroup/cpu/cpu.cfs_period_us": "100000",
            },
            {},
            64,
        ),
        ({"table": "0::/", "cgroup/cpu.max": "nonsense"}, {}, 64),
        ({}, {"SLURM_CPUS_PER_TASK": "4", "SLURM_CPUS_ON_NODE": "16"}, 4),
        ({}, {"SLURM_CPUS_ON_NODE": "16"}, 16),
        ({}, {"SLURM_CPUS_PER_TASK": "128"}, 64),
        ({}, {"SLURM_CPUS_PER_TASK": "many"}, 64),
        ({"table": "0::/", "cgroup/cpu.max": "200000 100000"}, {"SLURM_CPUS_PER_TASK": "4"}, 2),
    ],
)
def test_cores(machine, files, environment, expected):
    machine(files, **environment)
    assert cores() == expected
    assert Workers(2).threads == max(1, expected // 2)


def test_the_system_says_which_cores_may_be_used(machine, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {5, 9, 11}, raising=False)
    assert cores() == 3


def test_a_deep_stack_gives_what_is_given_and_raises_what_is_raised():
    outcome = []

    def work():
        outcome.append(deep(threading.get_ident) != threading.get_ident())
        with pytest.raises(ZeroDivisionError):
            deep(lambda: 1 / 0)
        outcome.append(deep(pow, 2, 10))

    before = threading.stack_size()
    threading.stack_size(before)  # to ask is to set it to the system's
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert outcome == [True, 1024]
    assert threading.stack_size(before) == before
    assert deep(threading.get_ident) == threading.get_ident()  # the main thread's is deep


def test_without_a_new_thread_it_is_done_in_this_one(monkeypatch):
    def refuse(self):
        raise RuntimeError("can't start new thread")

    outcome = []
    thread = threading.Thread(target=lambda: outcome.append(deep(threading.get_ident) == threading.get_ident()))
    real = threading.Thread.start
    monkeypatch.setattr(threading.Thread, "start", lambda self: refuse(self) if self is not thread else real(self))
    thread.start()
    thread.join()
    assert outcome == [True]
