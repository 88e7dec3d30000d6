"""A finished study of which one file is damaged: the same tables to the bit, or a message that names the file.

A hundred damages here; MINIDL_DAMAGES=5000 draws so many.
"""

import os

import pytest

from tests.adversity.damage import draw

COUNT = int(os.environ.get("MINIDL_DAMAGES", "100"))


@pytest.mark.parametrize("first", range(0, COUNT, 10))
def test_no_wrong_table_and_no_traceback(study, first):
    for seed in range(first, min(first + 10, COUNT)):
        name, damage, rng = draw(study, seed)
        try:
            study.suffer(name, damage, rng)
        except Exception as error:
            pytest.fail(f"case {seed}, {name}, {damage.__name__}: {type(error).__name__}: {error}")
        finally:
            study.restore()
