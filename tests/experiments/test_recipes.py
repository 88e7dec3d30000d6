"""Recipes are tried on a tenth of the training images that is held out, and never on the validation images."""

import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tyro")
sys.path.insert(0, str(Path(__file__).parents[2] / "experiments"))
import recipes

from minidl.report import read_csv
from minidl.study import load_problem

sys.path.remove(str(Path(__file__).parents[2] / "experiments"))
DIGITS = "--data digits --pixels 8 --crop 8 --model fc5 --batch-size 256 --epochs 1".split()


def test_a_tenth_of_each_class_is_held_out_of_the_training_images():
    problem = load_problem("digits", 8, 8)
    tried = recipes.held_out(problem)
    assert len(tried.train) + len(tried.val) == len(problem.train)
    whole = np.bincount(problem.train.labels)
    assert (abs(np.bincount(tried.val.labels) - whole / 10) < 1).all()
    known = {image.tobytes() for image in problem.train.images}
    parts = [{image.tobytes() for image in part.images} for part in (tried.train, tried.val)]
    assert parts[0] | parts[1] == known


def test_each_trial_is_a_row_of_one_table(tmp_path, capsys):
    for more in ([], ["--lr", "0.05"], []):
        recipes.main([*DIGITS, *more, "--out", str(tmp_path)])
    plain, slow = sorted(read_csv(tmp_path / "trials.csv"), key=lambda row: len(row["recipe"]))
    assert "lr 0.05" in slow["recipe"]
    assert "lr" not in plain["recipe"]
    assert 0 <= plain["held out"] <= 1
    assert f"{plain['held out']:.1%} of the held-out images" in capsys.readouterr().out


def test_a_student_is_refused(tmp_path):
    teacher = "teacher:run --teacher.data digits --teacher.pixels 8 --teacher.crop 8 --teacher.model fc5"
    more = "--teacher.batch-size 256 --teacher.epochs 1 --teacher.lr 0.1"
    with pytest.raises(SystemExit, match="learns from another one is no recipe by itself"):
        recipes.main([*DIGITS, "--out", str(tmp_path), *teacher.split(), *more.split()])
    assert not list(tmp_path.iterdir())
