"""From the second step on an attack works in the memory of the steps before."""

import importlib
import tracemalloc

import numpy as np
import pytest

from minidl import models, robustness
from minidl.kernels.cpu_runtime import memory

RNG = np.random.default_rng(0)
IMAGES, LABELS = RNG.random((16, 64, 64, 3), dtype=np.float32), RNG.integers(10, size=16)
SUM = 16 * 16 * 16 * 64 * 4  # bytes: the largest gradient that comes by a residual and is added to another's
NETWORKS = {"fc5": (models.fc5, 0), "resnet18": (models.resnet18, SUM)}


@pytest.fixture
def steps(monkeypatch):
    """At the end of each step: (blocks that the pool has ever lent, the most bytes beside those that stayed)."""
    seen, kept, lend = [], {}, memory._block
    attack = importlib.import_module("minidl.robustness.attacks.pgd")
    ascend = attack.ascend

    def noted(size):
        block = lend(size)
        return kept.setdefault(id(block), block)  # held, so that no other block comes to have its id

    def step(*args, **options):
        result = ascend(*args, **options)
        now, most = tracemalloc.get_traced_memory()
        seen.append((len(kept), most - now))
        tracemalloc.reset_peak()
        return result

    monkeypatch.setattr(memory, "_block", noted)
    monkeypatch.setattr(attack, "ascend", step)
    tracemalloc.start()
    yield seen
    tracemalloc.stop()


@pytest.mark.parametrize("name", NETWORKS)
def test_a_step_of_pgd_allocates_nothing(steps, name):
    model, added = NETWORKS[name]
    robustness.pgd(model(seed=0), IMAGES, LABELS, [4 / 255], steps=6)
    assert len(steps) == 6
    blocks, beside = zip(*steps[2:], strict=True)
    assert len(set(blocks)) == 1  # the pool has what the steps need
    assert max(beside) < added + IMAGES.nbytes / 4  # and nobody else takes what is as large as images
