"""Settings that hold within a block, and not a line longer."""

import numpy as np
import pytest

import minidl as md
from minidl import kernels


def state():
    return md.precision(), md.num_threads(), kernels.of(np.ones(1, np.float32)).__name__


def test_what_is_set_holds_within_the_block_only():
    before = state()
    with md.settings(precision="bfloat16", threads=3, kernels="loops"):
        assert state() == ("bfloat16", 3, "minidl.kernels.loops")
        with md.settings(threads=2):  # the others stay
            assert state() == ("bfloat16", 2, "minidl.kernels.loops")
        assert md.num_threads() == 3
    assert state() == before


def test_an_error_puts_them_back():
    before = state()
    with pytest.raises(ZeroDivisionError), md.settings(precision="bfloat16", threads=3):
        raise ZeroDivisionError
    assert state() == before


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"precision": "half"}, "'half'"),
        ({"threads": 0}, "count is 0, and must be at least 1"),
        ({"kernels": "fast"}, "unknown kernels"),
    ],
)
def test_a_wrong_setting_changes_nothing(wrong, message):
    before = state()
    settings = {"precision": "bfloat16", "threads": 5} | wrong
    with pytest.raises(ValueError, match=message), md.settings(**settings):
        pass
    assert state() == before
