"""What a process that was killed left behind is cleared up by the one that goes on."""

import shutil

import pytest

from minidl.study import Attack, Folder, Place, Run, finish

RUN = Run("digits", 8, 8, "fc5", 256, epochs=2, lr=0.05)
ATTACK = Attack((0.0, 16.0))


@pytest.fixture
def left(tmp_path):
    """A run that was killed between its run.json and its attack, with two checkpoints and half a file still there."""
    place = Place(tmp_path, threads=1, progress=False)
    finish(RUN, [ATTACK], place)
    folder = Folder(tmp_path)
    folder.attack(RUN, ATTACK).unlink()
    for name in ("epoch-0001.safetensors", "epoch-0002.safetensors", ".epoch-0002.safetensors.x7_a.partial"):
        shutil.copy(folder.run(RUN) / "weights.safetensors", folder.run(RUN) / name)
    (folder.run(RUN) / "attacks" / ".fresh.npz.k2.partial").touch()
    return place


def test_nothing_that_was_only_for_the_training_stays(left):
    folder = Folder(left.out)
    trained = (folder.run(RUN) / "run.json").stat().st_mtime_ns
    finish(RUN, [ATTACK], left)
    assert folder.is_attacked(RUN, ATTACK)
    assert (folder.run(RUN) / "run.json").stat().st_mtime_ns == trained
    assert not [*left.out.rglob("epoch-*"), *left.out.rglob("*.partial")]


def test_a_file_that_another_process_is_writing_is_left_alone(left):
    folder = Folder(left.out)
    before = sorted(left.out.rglob("*.partial"))
    assert len(before) == 2
    finish(Run("digits", 8, 8, "fc5", 256, epochs=1, lr=0.05), [ATTACK], left)
    assert sorted(left.out.rglob("*.partial")) == before
    assert folder.is_trained(RUN)


def test_attacks_are_exact_whatever_the_run_was_trained_in(tmp_path, monkeypatch):
    """FGSM takes signs: what rounds a gradient near zero is no part of the model."""
    from minidl import kernels
    from minidl.study import work

    seen, train, measure = [], work.train, work.measure

    def noting(name, function):
        def noted(*arguments):
            seen.append((name, kernels.precision(), kernels.num_threads()))
            return function(*arguments)

        return noted

    monkeypatch.setattr(work, "train", noting("train", train))
    monkeypatch.setattr(work, "measure", noting("attack", measure))
    before = kernels.precision(), kernels.num_threads()
    run = Run("digits", 8, 8, "fc5", 64, epochs=1, lr=0.05)
    finish(run, [Attack((0.0, 8.0))], Place(tmp_path, threads=1, progress=False))
    assert seen == [("train", "fast", 1), ("attack", "exact", 1)]
    assert (kernels.precision(), kernels.num_threads()) == before
