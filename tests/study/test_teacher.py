"""Runs that are trained against attacks, or by another run: named by what they are, taught once, refused in time."""

import dataclasses
import json

import numpy as np
import pytest

from minidl.objectives import Adversarial, CrossEntropy, Distillation
from minidl.records.setting import from_record
from minidl.study import Adversary, Attack, Figure, Folder, Place, Run, all_work, finish, load_problem
from minidl.study.refusals import check
from minidl.study.training import objective
from minidl.weights import load

RUN = Run("digits", 8, 8, "fc5", 256, epochs=1, lr=0.05)
HOT = dataclasses.replace(RUN, temperature=20)
STUDENT = dataclasses.replace(HOT, teacher=HOT)
HARD = dataclasses.replace(RUN, adversary=Adversary(32))
ATTACK = Attack((0.0, 16.0))


def test_names_say_what_a_run_is():
    assert STUDENT.name.startswith("fc5-b256-digits8-distilled20-seed0-")
    assert HARD.name.startswith("fc5-b256-digits8-FGSM-RSe32-seed0-")
    assert str(STUDENT) == "fc5, batch 256, T = 20, distilled, seed 0"
    assert str(HARD) == "fc5, batch 256, FGSM-RS training at 32/255, seed 0"
    other = dataclasses.replace(STUDENT, teacher=dataclasses.replace(HOT, seed=1))
    pgd = dataclasses.replace(RUN, adversary=Adversary(32, 7))
    wide = dataclasses.replace(RUN, adversary=Adversary(32, start="wide"))
    mixed = dataclasses.replace(STUDENT, mix=0.5)
    runs = [RUN, HOT, STUDENT, HARD, other, pgd, wide, mixed]
    assert len({run.name for run in runs}) == len(runs)
    defences = ["none", "T = 20", "distilled, T = 20", "FGSM-RS", "distilled, T = 20", "PGD-7", "N-FGSM"]
    assert [run.defence for run in runs[:-1]] == defences


def test_a_run_survives_json():
    for run in (STUDENT, HARD, dataclasses.replace(STUDENT, adversary=Adversary(8, 3, 2.0), mix=0.5)):
        again = from_record(Run, json.loads(json.dumps(dataclasses.asdict(run))), "run")
        assert again == run
        assert again.name == run.name


def test_who_teaches_comes_first_and_once():
    figures = [Figure("16", "", "defence", ((STUDENT, ATTACK), (RUN, ATTACK), (HOT, ATTACK)))]
    work = all_work(figures)
    assert [piece.run for piece in work] == [HOT, STUDENT, RUN]
    assert all(len(piece.attacks) == 2 for piece in work)
    assert all_work([Figure("16", "", "defence", ((STUDENT, ATTACK),))])[0].attacks == ()


def test_what_is_minimised():
    assert objective(HOT) == CrossEntropy(20)
    model = load_problem("digits", 8, 8).model(HOT)
    taught = objective(dataclasses.replace(STUDENT, mix=0.5), model)
    assert isinstance(taught, Distillation)
    assert (taught.teacher, taught.temperature, taught.mix) == (model, 20, 0.5)
    both = objective(dataclasses.replace(STUDENT, adversary=Adversary(51, 2, 5.1)), model)
    assert isinstance(both, Adversarial)
    assert isinstance(both.loss, Distillation)
    assert (both.epsilon, both.steps, both.step) == (pytest.approx(0.2), 2, pytest.approx(0.02))


def test_starts_are_the_seeds_and_not_those_of_the_images_to_attack():
    draw = [objective(dataclasses.replace(HARD, seed=seed)).rng.random() for seed in (0, 0, 1)]
    assert draw[0] == draw[1] != draw[2]


def test_a_student_has_its_teacher_trained_and_learns_from_it(tmp_path):
    place, folder = Place(tmp_path, threads=1, progress=False), Folder(tmp_path)
    finish(STUDENT, [ATTACK], place)
    assert folder.is_trained(HOT)
    assert folder.is_attacked(STUDENT, ATTACK)
    assert not [*tmp_path.rglob("epoch-*")]
    once = (folder.layout.record(HOT.name)).stat().st_mtime_ns
    weights = folder.layout.weights(STUDENT.name).read_bytes()
    folder.layout.record(STUDENT.name).unlink()
    finish(STUDENT, [ATTACK], place)
    assert folder.layout.record(HOT.name).stat().st_mtime_ns == once
    assert folder.layout.weights(STUDENT.name).read_bytes() == weights
    teacher = load_problem("digits", 8, 8).model(HOT)
    load(teacher, folder.layout.weights(HOT.name))
    folder.layout.weights(HOT.name).unlink()  # whose weights are lost, and made again, to the same bits
    folder.layout.record(STUDENT.name).unlink()
    finish(STUDENT, [ATTACK], place)
    assert folder.layout.weights(STUDENT.name).read_bytes() == weights
    again = load_problem("digits", 8, 8).model(HOT)
    load(again, folder.layout.weights(HOT.name))
    for a, b in zip(again.parameters(), teacher.parameters(), strict=True):
        np.testing.assert_array_equal(a.data, b.data)


BAD = {
    "mix": (dataclasses.replace(STUDENT, mix=2), "mix is 2"),
    "nobody": (dataclasses.replace(RUN, mix=0.5), "mix is 0.5, .* and 1 without a teacher"),
    "images": (dataclasses.replace(STUDENT, teacher=dataclasses.replace(HOT, pixels=16)), "must see the same images"),
    "epsilon": (dataclasses.replace(RUN, adversary=Adversary(400)), r"epsilon is 1\.568"),
    "steps": (dataclasses.replace(RUN, adversary=Adversary(4, 0)), "steps is 0"),
    "wide": (dataclasses.replace(RUN, adversary=Adversary(4, 2, start="wide")), "start='wide' is of one step"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_trained_is_refused_before_it_is(name):
    run, message = BAD[name]
    with pytest.raises(ValueError, match=message):
        check(run, load_problem("digits", 8, 8))
