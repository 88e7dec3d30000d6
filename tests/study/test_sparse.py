"""A run that comes to few weights, or to low rank, in each way: trained, resumed and kept as a plain network."""

import dataclasses

import numpy as np
import pytest

import minidl as md
from minidl import compress
from minidl.compress import largest_ranks
from minidl.study import Adversary, Place, Proximal, Pruning, Run, finish, load_problem
from minidl.study.refusals import check
from minidl.study.training import train

RUN = Run("digits", 8, 8, "fc5", 64, epochs=2, lr=0.05)
PRUNED = Pruning(0.75, scope="global", steps=4, part=0.5)


@pytest.mark.parametrize("method", ["magnitude", "random", "variational", "l0", "lottery"])
def test_each_way_ends_at_its_sparsity_in_a_plain_network(tmp_path, method):
    run = dataclasses.replace(RUN, pruning=dataclasses.replace(PRUNED, method=method, strength=0.03))
    problem = load_problem("digits", 8, 8)
    trained = train(run, problem, tmp_path, progress=False)
    assert compress.sparsity(trained.model) == pytest.approx(0.75, abs=1e-6)
    assert len(trained.curve) == run.all_epochs == (6 if method == "lottery" else 2)
    assert trained.curve[-1]["sparsity"] == pytest.approx(0.75, abs=1e-6)
    again = problem.model(run)
    again.load_state_dict(trained.model.state_dict())  # of plain layers, and nothing more
    images = problem.val.images[:20]
    np.testing.assert_array_equal(again.eval()(images).data, trained.model(images).data)


@pytest.mark.parametrize("method", ["variational", "lottery"])
def test_a_stopped_run_goes_on_to_the_same_bits(tmp_path, method):
    run = dataclasses.replace(RUN, pruning=dataclasses.replace(PRUNED, method=method, strength=0.03))
    problem = load_problem("digits", 8, 8)
    for name in ("whole", "stopped"):
        (tmp_path / name).mkdir()
    whole = train(run, problem, tmp_path / "whole", checkpoint_share=1, progress=False).model.state_dict()

    class StoppedError(Exception):
        pass

    class Stopping(type(problem)):
        def validation(self, run):
            loader, seen = super().validation(run), []

            class Once:
                def __len__(self):
                    return len(loader)

                def __iter__(self):
                    seen.append(1)
                    if len(seen) == 2:
                        raise StoppedError
                    return iter(loader)

            return Once()

    stopping = Stopping(**{field.name: getattr(problem, field.name) for field in dataclasses.fields(problem)})
    with pytest.raises(StoppedError):
        train(run, stopping, tmp_path / "stopped", checkpoint_share=1, progress=False)
    again = train(run, problem, tmp_path / "stopped", checkpoint_share=1, progress=False).model.state_dict()
    for name, value in whole.items():
        np.testing.assert_array_equal(again[name], value, err_msg=name)


def test_a_finished_run_is_read_back(tmp_path):
    run = dataclasses.replace(RUN, epochs=1, pruning=dataclasses.replace(PRUNED, method="lottery", sparsity=0.5))
    finish(run, [], Place(tmp_path, progress=False))
    finish(run, [], Place(tmp_path, progress=False))  # whose curve has as many rows as there are epochs in all rounds


def test_norms_lower_the_rank_and_go_with_an_adversary(tmp_path):
    problem, ranks = load_problem("digits", 8, 8), []
    for nuclear in (0.0, 0.3):
        run = dataclasses.replace(RUN, proximal=Proximal(nuclear, every=10), adversary=Adversary(8))
        folder = tmp_path / str(nuclear)
        folder.mkdir()
        model = train(run, problem, folder, progress=False).model
        ranks.append(md.robustness.spectrum(model, (8, 8, 1)).effective_rank)
    assert ranks[1] < 0.8 * ranks[0]


def test_a_condition_is_kept():
    run = Run("digits", 16, 16, "resnet18", 64, epochs=1, lr=0.05, low_rank="LR1", condition=3.0)
    model = load_problem("digits", 16, 16).model(run)
    assert largest_ranks(model) == {}
    weight = model.conv1.vertical.weight.data.astype(float).reshape(len(model.conv1.vertical.weight), -1)
    values = np.linalg.svd(weight, compute_uv=False)
    assert values[0] / values[-1] <= 3 + 1e-5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pruning": dataclasses.replace(PRUNED, part=1.0)}, "part is 1.0"),
        ({"pruning": dataclasses.replace(PRUNED, rewind=1.0)}, "rewind 1.0"),
        ({"pruning": dataclasses.replace(PRUNED, strength=-1.0)}, "strength -1.0"),
        ({"proximal": Proximal(-1.0)}, "neither norm's weight may be negative"),
        ({"condition": 10.0}, "condition is 10.0"),
        ({"condition": 0.5, "low_rank": "LR1", "model": "resnet18"}, "condition is 0.5"),
    ],
)
def test_what_cannot_work_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        check(dataclasses.replace(RUN, **changes), load_problem("digits", 8, 8))
