"""Attacks of a study that are stronger than one step: what is kept of them, and that only what is missing is done."""

import dataclasses

import numpy as np
import pytest

from minidl import robustness
from minidl.records import read_attack
from minidl.settings import settings
from minidl.study import Attack, Figure, Folder, Place, Run, all_work, finish, load_problem, work
from minidl.weights import load

RUN = Run("digits", 8, 8, "fc5", 128, epochs=2, lr=0.05)
FGSM = Attack((0, 16, 48), images="paired")
PGD = Attack((0, 16, 48), images="paired", method="pgd", steps=12)
APGD = Attack((0, 16, 48), images="paired", method="apgd", loss="margin", steps=10, every=2)
AUTO = Attack((0, 16, 48), images="paired", method="auto", steps=5, queries=20, every=3)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = Place(tmp_path_factory.mktemp("out"), threads=1, progress=False)
    finish(RUN, [FGSM, PGD, APGD, AUTO], place)
    return place


def outcome(place, attack):
    folder = Folder(place.out)
    return read_attack(folder.layout, folder.record(RUN), attack.name)[0]


def test_the_images_are_the_same_ones(place):
    assert outcome(place, PGD).indices.tolist() == outcome(place, FGSM).indices.tolist()
    assert outcome(place, AUTO).indices.tolist() == outcome(place, FGSM).indices[::3].tolist()


def test_a_stronger_attack_leaves_no_more(place):
    fgsm, pgd, auto = (outcome(place, attack).right for attack in (FGSM, PGD, AUTO))
    assert pgd.mean() < fgsm.mean()
    assert auto.mean() <= pgd[:, ::3].mean() + 0.05
    for right in (pgd, auto):
        assert not (right[1:] & ~right[:-1]).any()  # what a smaller epsilon breaks stays broken


@pytest.mark.parametrize("attack", [PGD, AUTO])
def test_it_is_what_robustness_says(place, attack):
    found, problem = outcome(place, attack), load_problem(RUN.data, RUN.pixels, RUN.crop)
    model = problem.model(RUN).eval()
    load(model, Folder(place.out).layout.weights(RUN.name))
    _, images, labels = problem.sample(RUN, attack)
    with settings(precision="exact", threads=1):
        if attack is PGD:
            curve = robustness.pgd(model, images, labels, np.array(attack.epsilons) / 255, steps=12)
            np.testing.assert_array_equal(found.right, ~curve.success)
        else:
            at = found.right[1]  # the worst case is asked about what stands alone
            worst = robustness.auto_attack(model, images[at], labels[at], 48 / 255, steps=5, queries=20)
            np.testing.assert_array_equal(found.broken_by[2][at], worst.broken_by)


def test_which_part_broke_each_image_is_kept(place):
    found = outcome(place, AUTO)
    assert set(found.broken_by[0]) <= {"clean", ""}
    assert set(found.broken_by[-1]) - {"clean", ""}
    assert outcome(place, PGD).broken_by is None


def test_the_doctor_speaks_of_the_attack_that_was_done(place, tmp_path):
    """A network that is far too sure of itself: its gradients vanish, and so the flags are kept with its numbers."""
    problem = load_problem(RUN.data, RUN.pixels, RUN.crop)
    model = problem.model(RUN).eval()
    load(model, Folder(place.out).layout.weights(RUN.name))
    last = [parameter for parameter in model.parameters() if parameter.ndim == 2][-1]
    last.data *= 1e4
    work.measure(RUN, PGD, model, problem, tmp_path / "runs" / RUN.name / "attacks" / f"{PGD.name}.npz", "0" * 64)
    record = {"name": RUN.name, "weights": "0" * 64}
    found, _ = read_attack(Folder(tmp_path).layout, record, PGD.name)
    said = {name: evidence for name, evidence, _ in found.flags}
    assert "I1" in said
    assert "(of 64 images, at 48/255)" in said["I1"]
    assert found.vanished_gradient.mean() > 0.5


def test_only_what_is_missing_is_done(place, tmp_path):
    folder, more = Folder(place.out), dataclasses.replace(PGD, steps=2)
    before = {path: path.stat().st_mtime_ns for path in folder.run(RUN).rglob("*.npz")}
    trained = folder.layout.record(RUN.name).stat().st_mtime_ns
    finish(RUN, [FGSM, PGD, more], place)
    assert folder.is_attacked(RUN, more)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert folder.layout.record(RUN.name).stat().st_mtime_ns == trained


def test_twins_need_no_other_network():
    figure = Figure("11", "FC5", "sparsity", ((RUN, FGSM),))
    twin = Figure("11-pgd", "FC5", "sparsity", ((RUN, PGD),), of=("11",))
    (piece,) = all_work([figure, twin])
    assert [attack.images for attack in piece.attacks] == ["fresh", "paired", "paired"]
    assert "method" not in figure.record()
    assert (twin.record()["method"], twin.record()["of"], set(twin.record()["attacks"])) == ("pgd", ["11"], {"paired"})
