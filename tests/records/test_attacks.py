"""What an attack is called, what its file keeps, and what of both is refused."""

import json
from pathlib import Path

import numpy as np
import pytest

from minidl.records import Attack, DamagedError, Layout, Outcome, read_attack, write_attack
from minidl.records.archive import pack, unpack
from minidl.records.attacks import ALWAYS
from minidl.records.setting import from_record

RESULTS = Path(__file__).parents[2] / "docs" / "results"
RECORD = {"name": "a-run", "weights": "0" * 64}
ATTACK = Attack((0, 8, 16), images="paired", method="auto", steps=3, queries=7)
FLAG = ("square", "a random search leaves 1.0% right", "Use more queries.")


def outcome(**changes):
    broken_by = np.array([["", "", "clean"], ["", "apgd_ce", "clean"], ["square", "apgd_ce", "clean"]])
    fields = {
        "epsilons": np.array(ATTACK.epsilons) / 255,
        "indices": np.array([1, 5, 7]),
        "labels": np.array([0, 1, 2]),
        "right": broken_by == "",
        "zero_gradient": np.zeros(3, bool),
        "vanished_gradient": np.array([True, False, False]),
        "broken_by": broken_by,
        "flags": (FLAG,),
    }
    return Outcome(**fields | changes)


def test_no_name_that_was_given_has_changed():
    """Each file in docs/results is called as today's code calls what it holds."""
    files = [path for path in RESULTS.rglob("attacks/*.npz") if "pgd" not in path.name and "auto" not in path.name]
    assert len(files) > 50
    for path in files:
        with np.load(path) as file:
            attack = from_record(Attack, json.loads(str(file["attack"])), "attack")
        assert attack.method == "fgsm"
        assert attack.name == path.stem


def test_what_is_left_out_is_the_method_s_own():
    assert Attack((0, 8), method="pgd") == Attack((0, 8), method="pgd", steps=20, restarts=1)
    assert Attack((0, 8), method="auto") == Attack((0, 8), method="auto", steps=100, queries=5000)
    names = {
        Attack((0, 8), **settings).name
        for settings in (
            {}, {"method": "pgd"}, {"method": "pgd", "steps": 5}, {"method": "pgd", "restarts": 2},
            {"every": 2}, {"method": "apgd"}, {"method": "auto"}, {"method": "auto", "queries": 9},
            {"method": "pgd", "loss": "margin"},
        )
    }  # fmt: skip
    assert len(names) == 9
    assert Attack((0, 8), method="pgd", temperature=20).name.startswith("fresh-pgd-cross_entropy-T20-")
    assert Attack((0, 8), method="auto").name.startswith("fresh-auto-")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"steps": 3}, "steps is 3, and fgsm has none"),
        ({"method": "pgd", "steps": 0}, "at least 1"),
        ({"method": "pgd", "queries": 9}, "pgd has none"),
        ({"method": "auto", "restarts": 2}, "auto has none"),
        ({"method": "auto", "loss": "margin"}, "auto chooses its own"),
        ({"method": "apgd", "temperature": 20}, "apgd knows only T = 1"),
        ({"method": "cw"}, "must be one of 'fgsm', 'pgd', 'apgd', 'auto'"),
        ({"every": 0}, "every is 0"),
    ],
)
def test_settings_that_a_method_does_not_have(settings, words):
    with pytest.raises(ValueError, match=words):
        Attack((0, 8), **settings)


def kept(tmp_path, **changes):
    layout = Layout(tmp_path)
    write_attack(layout.attack("a-run", ATTACK.name), outcome(**changes), ATTACK, "a-run", "0" * 64)
    return layout


def test_what_is_kept_is_read_back(tmp_path):
    found, how = read_attack(kept(tmp_path), RECORD, ATTACK.name)
    assert how == ATTACK
    for name, value in vars(outcome()).items():
        np.testing.assert_array_equal(getattr(found, name), value)
    assert found.flags == (FLAG,)
    assert read_attack(Layout(tmp_path), RECORD | {"weights": "1" * 64}, ATTACK.name) is None


def test_what_breaks_an_image_and_whether_it_is_right_agree():
    with pytest.raises(ValueError, match="the name of an attack for each image that is not right"):
        outcome(right=np.ones((3, 3), bool))
    with pytest.raises(ValueError, match="broken_by has shape"):
        outcome(broken_by=np.array([""]))


@pytest.mark.parametrize("flags", ["{}", "[1]", '[{"name": "I1"}]', '[{"name": 1, "evidence": "", "advice": ""}]', "["])
def test_damaged_flags_are_named(tmp_path, flags):
    layout = kept(tmp_path)
    path = layout.attack("a-run", ATTACK.name)
    with np.load(path) as file:
        arrays = dict(file) | {"flags": np.array(flags)}
    path.write_bytes(pack(**arrays))
    with pytest.raises(DamagedError, match=rf"{ATTACK.name}\.npz is damaged"):
        read_attack(layout, RECORD, ATTACK.name)


def test_the_same_arrays_are_the_same_bytes():
    arrays = {"a": np.arange(5), "b": np.array("text")}
    assert pack(**arrays) == pack(**arrays)
    assert list(unpack(pack(**arrays), ["b"], ["c"])) == ["b"]
    with pytest.raises(ValueError, match="it has no c, d"):
        unpack(pack(**arrays), ["b", "c", "d"])


@pytest.mark.parametrize("name", [*ALWAYS, "attack", "broken_by", "flags", "run", "name", "weights"])
def test_nothing_is_missing_without_a_word(tmp_path, name):
    """Files of format 1 and 2 have no flags; one whose attack says its method is younger, and has all."""
    layout = kept(tmp_path)
    path = layout.attack("a-run", ATTACK.name)
    with np.load(path) as file:
        arrays = {other: array for other, array in file.items() if other != name}
    path.write_bytes(pack(**arrays))
    with pytest.raises(DamagedError, match=f"it has no {name}"):
        read_attack(layout, RECORD, ATTACK.name)
