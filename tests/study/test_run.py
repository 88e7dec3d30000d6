"""What names a run, what it is made of, and what of it is refused."""

import dataclasses
import itertools
import json

import numpy as np
import pytest

from minidl import compress
from minidl.study import Adversary, Attack, Figure, Proximal, Pruning, Run, all_work, load_problem, shard
from minidl.study.problem import ranks
from minidl.study.refusals import check

RUN = Run("digits", 16, 16, "resnet18", 64, epochs=3, lr=0.05)
CHANGES = {
    "pixels": 24,
    "crop": 12,
    "model": "fc5",
    "batch_size": 32,
    "epochs": 4,
    "lr": 0.1,
    "weight_decay": 0.0,
    "seed": 1,
    "pruning": Pruning(0.5),
    "low_rank": "LR1",
    "temperature": 20.0,
    "init": "he",
    "device": "gpu",
    "precision": "exact",
    "data": "imagenette",
    "adversary": Adversary(8.0),
    "teacher": RUN,
    "mix": 0.5,
    "proximal": Proximal(0.1),
    "condition": 10.0,
    "scale": (0.35, 1.0),
}


def test_a_name_stands_for_everything_that_a_run_is():
    assert set(CHANGES) == {field.name for field in dataclasses.fields(Run)}
    changed = [dataclasses.replace(RUN, **{name: value}) for name, value in CHANGES.items()]
    changed += [
        dataclasses.replace(RUN, pruning=dataclasses.replace(Pruning(0.5), **{name: value}))
        for name, value in {"sparsity": 0.6, "scope": "global", "between": (0.1, 0.7), "steps": 7}.items()
    ]
    more = {"method": "l0", "strength": 0.5, "part": 0.5, "rewind": 0.1, "control": "random"}
    changed += [
        dataclasses.replace(RUN, pruning=dataclasses.replace(Pruning(0.5), **{name: value}))
        for name, value in more.items()
    ]
    changed += [
        dataclasses.replace(RUN, proximal=dataclasses.replace(Proximal(0.1), **{name: value}))
        for name, value in {"nuclear": 0.2, "l1": 0.1, "every": 2}.items()
    ]
    changed += [
        dataclasses.replace(RUN, adversary=dataclasses.replace(Adversary(8.0), **{name: value}))
        for name, value in {"epsilon": 4.0, "steps": 2, "step": 3.0, "start": "image"}.items()
    ]
    names = {run.name for run in [RUN, *changed]}
    assert len(names) == 1 + len(changed)
    assert dataclasses.replace(RUN).name == RUN.name
    assert len({dataclasses.replace(RUN, temperature=t).name for t in (20, 20.0)}) == 1


def test_a_run_survives_json():
    run = dataclasses.replace(RUN, pruning=Pruning(0.9))
    found = json.loads(json.dumps(dataclasses.asdict(run)))
    pruning = found.pop("pruning")
    again = Run(**found, pruning=Pruning(**pruning | {"between": tuple(pruning["between"])}))
    assert again == run
    assert again.name == run.name


@pytest.mark.parametrize("steps", [10, 21, 100, 1110])
@pytest.mark.parametrize("pruning", [Pruning(0.9), Pruning(0.5, between=(0, 1), steps=7), Pruning(0.5, steps=1)])
def test_pruning_ends_where_it_shall(pruning, steps):
    start, every, count = pruning.schedule(steps)
    assert start >= 0
    assert start + every * count == round(pruning.between[1] * (steps - 1))
    assert 1 <= count <= pruning.steps


def test_a_shared_baseline_is_trained_once_and_attacked_for_each_figure():
    attack = Attack((0.0, 8.0))
    hot = dataclasses.replace(RUN, temperature=20.0)
    figures = [
        Figure("9", "", "sparsity", ((RUN, attack),)),
        Figure("13a", "", "temperature", ((RUN, attack), (hot, attack))),
        Figure("13b", "", "temperature", ((RUN, attack), (hot, dataclasses.replace(attack, temperature=20.0)))),
    ]
    work = all_work(figures)
    assert [piece.run for piece in work] == [RUN, hot]
    assert [len(piece.attacks) for piece in work] == [2, 4]  # each on fresh and on paired images


def test_shards_are_all_of_the_work():
    parts = [shard(range(11), f"{i}/4") for i in (1, 2, 3, 4)]
    assert sorted(itertools.chain(*parts)) == list(range(11))
    for wrong in ("0/4", "5/4", "1", "a/b", "1/0"):
        with pytest.raises(ValueError, match=r"give i/N"):
            shard(range(11), wrong)


def test_fresh_images_differ_from_attack_to_attack_and_paired_ones_do_not():
    problem, attack = load_problem("digits", 16, 16), Attack((0.0, 8.0))
    hot = dataclasses.replace(RUN, temperature=20.0)

    def rows(run, **changes):
        return problem.sample(run, dataclasses.replace(attack, **changes))[0].tolist()

    assert len(rows(RUN)) == 72
    assert len(set(rows(RUN))) == 72
    fresh = [rows(RUN), rows(hot), rows(hot, temperature=20.0), rows(hot, loss="margin")]
    assert len({tuple(r) for r in fresh}) == 4
    assert rows(RUN) == rows(RUN)
    paired = [rows(RUN, images="paired"), rows(hot, images="paired"), rows(hot, images="paired", loss="margin")]
    assert paired[0] == paired[1] == paired[2]
    assert paired[0] != rows(dataclasses.replace(RUN, seed=1), images="paired")


def test_images_come_with_their_labels():
    problem = load_problem("digits", 16, 16)
    indices, images, labels = problem.sample(RUN, Attack((0.0,), part=0.5))
    np.testing.assert_array_equal(labels, problem.val.labels[indices])
    np.testing.assert_array_equal(images, problem.val.images[indices])


def test_seventeen_ranks_within_what_grey_images_allow():
    model = load_problem("digits", 16, 16).model(RUN)
    assert ranks("LR1", "resnet18", model) == [7, *compress.LR1["resnet18"][1:]]  # the stem: 7 = C KH of one channel
    assert ranks("3,-,5", "resnet18", model) == [3, None, 5]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"epochs": 0}, "0 epochs"),
        ({"lr": -0.1}, "lr is -0.1"),
        ({"lr": float("nan")}, "lr is nan"),
        ({"weight_decay": -1.0}, "weight_decay is -1.0"),
        ({"seed": -1}, "seed is -1"),
        ({"model": "alexnet"}, "63 pixels"),
        ({"pruning": Pruning(1.0)}, "sparsity is 1.0"),
        ({"pruning": Pruning(0.5, between=(0.7, 0.2))}, "between 0.7 and 0.2"),
        ({"temperature": 0.0}, "temperature is 0.0"),
        ({"batch_size": 2000}, "2000"),
        ({"low_rank": "8,5"}, r"17 convolutions[^$]*conv1: 1 to 7"),
        ({"low_rank": "9" + ",5" * 16}, "conv1"),
        ({"low_rank": "LR9"}, "LR9"),
        ({"low_rank": "LR1", "model": "fc5"}, "resnet18"),
    ],
)
def test_what_cannot_work_is_refused_before_training(changes, words):
    with pytest.raises(ValueError, match=words):
        check(dataclasses.replace(RUN, **changes), load_problem("digits", 16, 16))
