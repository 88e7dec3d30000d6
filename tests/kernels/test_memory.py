"""The memory that arrays are lent: never two owners at a time, back when the last view is gone."""

import gc
from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

if not find_spec("numba"):
    pytest.skip("Numba is not installed", allow_module_level=True)

from minidl.kernels.cpu_runtime import memory

LARGE = memory.SMALL  # bytes from which memory is lent


def address(array):
    return array.__array_interface__["data"][0]


def test_arrays_are_ordinary():
    x = memory.empty((100, 200))
    x[...] = 1
    assert type(x) is np.ndarray
    assert x.dtype == np.float32
    assert x.flags.writeable
    assert x.flags.c_contiguous
    assert address(x) % memory.ALIGNMENT == 0
    assert memory.empty(3).shape == (3,)
    assert memory.empty((0, 5)).shape == (0, 5)
    assert memory.empty((LARGE,), np.uint8).dtype == np.uint8


def test_memory_comes_back():
    x = memory.empty(1_234_567)
    first = address(x)
    del x
    assert address(memory.empty(1_234_567)) == first


def test_a_view_keeps_its_memory():
    x = memory.empty((1000, 1234))
    x[...] = 7
    view = x.reshape(-1)[5:].view(np.int32)[::3].T
    first = address(x)
    del x
    gc.collect()
    other = memory.empty((1000, 1234))
    other[...] = 0
    assert address(other) != first
    assert (view.view(np.float32) == 7).all()


def test_a_cycle_keeps_its_memory_until_it_is_collected():
    x = memory.empty(999_999)
    x[:] = 3
    cycle = [x]
    cycle.append(cycle)
    view = x[1:]
    del x, cycle
    gc.collect()
    memory.empty(999_999)[:] = 0
    assert (view == 3).all()


@given(st.lists(st.tuples(st.integers(LARGE // 4, LARGE), st.integers(0, 9)), max_size=60))
def test_no_two_arrays_share_memory(requests):
    """Take arrays and drop old ones in any order: each that is left keeps what was written into it."""
    held = []
    for number, (size, drop) in enumerate(requests):
        x = memory.empty(size)
        x[:] = number
        held.append((number, x[size // 2 :]))
        del x
        if len(held) > drop:
            held.pop(drop)
        assert all((x == n).all() for n, x in held)


def test_idle_memory_is_bounded():
    arrays = [memory.empty(memory.IDLE // 16 + i * 10_000_000) for i in range(4)]
    del arrays
    memory.empty(100_000_000)
    assert sum(size * len(blocks) for size, blocks in memory._idle.items()) <= memory.IDLE + 400_000_100
