"""Pruning: the report's schedule, exact counts whatever the ties, and masks that training respects."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minidl as md
from minidl import functional as F
from minidl import nn, optim
from minidl.compress import MagnitudePruner, cubic_sparsity, sparsity


def small_model():
    return nn.Sequential(
        conv=nn.Conv2d(2, 4, 3, padding=1),
        bn=nn.BatchNorm2d(4),
        relu=nn.ReLU(),
        flatten=nn.Flatten(),
        head=nn.Sequential(nn.Linear(64, 10), nn.ReLU(), nn.Linear(10, 3)),
    )


def zeros(parameter):
    return int((parameter.data == 0).sum())


# The schedule


def test_schedule_is_the_reports():
    final, start, every, count = 0.9, 100, 50, 8
    for i in range(count + 1):
        t = start + i * every
        expected = final - final * (1 - (t - start) / (count * every)) ** 3
        assert cubic_sparsity(t, final, start, every, count) == pytest.approx(expected, abs=1e-15)
    assert cubic_sparsity(start + count * every, final, start, every, count) == final


def test_schedule_is_zero_before_and_constant_between_and_after():
    settings = {"final": 0.5, "start": 10, "every": 7, "count": 3}
    assert [cubic_sparsity(t, **settings) for t in (0, 9, 10, 16)] == [0, 0, 0, 0]
    assert cubic_sparsity(23, **settings) == cubic_sparsity(17, **settings) > 0
    assert cubic_sparsity(24, **settings) > cubic_sparsity(23, **settings)
    assert cubic_sparsity(10**9, **settings) == cubic_sparsity(31, **settings) == 0.5


@given(
    st.floats(0, 0.999),
    st.integers(0, 50),
    st.integers(1, 20),
    st.integers(1, 20),
    st.integers(0, 500),
    st.integers(0, 9),
)
def test_schedule_never_falls_and_stays_within_its_target(final, start, every, count, t, later):
    now, then = (cubic_sparsity(step, final, start, every, count) for step in (t, t + later))
    assert 0 <= now <= then <= final


BAD_SCHEDULES = [
    ({"final": 1.0}, ValueError, r"1\.0.*\[0, 1\)"),
    ({"final": -0.1}, ValueError, r"-0\.1.*\[0, 1\)"),
    ({"final": float("nan")}, ValueError, r"nan.*\[0, 1\)"),
    ({"start": -1}, ValueError, "start is -1"),
    ({"every": 0}, ValueError, "every is 0.*at least 1"),
    ({"count": 0}, ValueError, "count is 0.*at least 1"),
    ({"every": 2.5}, TypeError, "every is 2.5.*whole number"),
]


@pytest.mark.parametrize(("change", "error", "message"), BAD_SCHEDULES)
def test_bad_schedules_say_what_is_wrong(change, error, message):
    settings = {"final": 0.5, "start": 0, "every": 1, "count": 1} | change
    with pytest.raises(error, match=message):
        cubic_sparsity(5, **settings)
    settings["final_sparsity"] = settings.pop("final")
    with pytest.raises(error, match=message):
        MagnitudePruner(small_model(), **settings)


def test_negative_step_is_an_error():
    with pytest.raises(ValueError, match="step is -1"):
        cubic_sparsity(-1, 0.5, 0, 1, 1)
    with pytest.raises(ValueError, match="t is -1"):
        MagnitudePruner(small_model(), 0.5, 0, 1, 1).step(-1)


# Which weights


def test_the_smallest_go_and_the_others_stay_as_they_are():
    model = small_model()
    before = {name: p.data.copy() for name, p in model.named_parameters()}
    MagnitudePruner(model, 0.75, start=0, every=1, count=1).step(1)
    for name, p in model.named_parameters():
        if p.ndim == 1:
            assert p.mask is None
            np.testing.assert_array_equal(p.data, before[name])
            continue
        order = np.argsort(abs(before[name]), axis=None)
        expected = before[name].copy()
        expected.ravel()[order[: round(0.75 * p.size)]] = 0
        np.testing.assert_array_equal(p.data, expected)
        np.testing.assert_array_equal(p.mask, expected != 0)


@given(st.integers(2, 200), st.floats(0, 0.999), st.sampled_from(["ties", "zeros", "distinct"]), st.integers(1, 6))
def test_target_is_met_within_one_weight_whatever_the_ties(size, target, kind, count):
    layer = nn.Linear(size, 1)
    if kind != "distinct":
        layer.weight.data[...] = (np.arange(size)[:, None] % 2) * (kind == "ties") * 0.5
    pruner = MagnitudePruner(layer, target, start=3, every=2, count=count)
    for t in range(3 + 2 * count + 1):
        pruner.step(t)
    pruned = int((~layer.weight.mask).sum()) if layer.weight.mask is not None else 0
    assert abs(pruned - target * size) <= 1
    assert pruned < size
    assert pruner.sparsity == pruned / size


def test_global_scope_ranks_all_layers_together():
    model = nn.Sequential(nn.Linear(10, 10), nn.Linear(10, 10))
    model[0].weight.data[...] = np.arange(1, 101).reshape(10, 10)
    model[1].weight.data[...] = -np.arange(51, 151).reshape(10, 10)
    pruner = MagnitudePruner(model, 0.5, start=0, every=1, count=1, scope="global")
    pruner.step(1)
    assert pruner.layer_sparsity() == {"0": 0.75, "1": 0.25}  # magnitudes to 75 and a half: 75 of one, 25 of the other
    assert pruner.sparsity == 0.5
    assert zeros(model[0].weight) == 75
    assert zeros(model[1].weight) == 25


def test_layer_scope_prunes_every_layer_alike():
    model = nn.Sequential(nn.Linear(10, 10), nn.Linear(10, 10))
    model[1].weight.data *= 1000
    pruner = MagnitudePruner(model, 0.6, start=0, every=1, count=1)
    pruner.step(1)
    assert pruner.layer_sparsity() == {"0": 0.6, "1": 0.6}


def test_convolution_of_one_by_one_and_first_and_last_layers_are_pruned_by_default():
    model = md.models.resnet18()
    pruner = MagnitudePruner(model, 0.5, 0, 1, 1)
    pruner.step(1)
    by_layer = pruner.layer_sparsity()
    assert {"conv1", "fc", "layer2.0.downsample.0"} <= by_layer.keys()
    assert len(by_layer) == 21
    assert set(by_layer.values()) == {0.5}
    assert sparsity(model) == pruner.sparsity == 0.5


# Exclusion


def test_excluded_modules_stay_dense_with_all_within():
    model = small_model()
    pruner = MagnitudePruner(model, 0.5, 0, 1, 1, exclude=("head",))
    pruner.step(1)
    assert list(pruner.layer_sparsity()) == ["conv"]
    assert model.head[0].weight.mask is None
    assert zeros(model.head[0].weight) == 0
    assert list(MagnitudePruner(model, 0.5, 0, 1, 1, exclude="head.0").layer_sparsity()) == ["conv", "head.2"]


def test_unknown_exclusions_list_the_choices():
    with pytest.raises(ValueError, match=r"'hed', 'con'.*conv, head\.0, head\.2"):
        MagnitudePruner(small_model(), 0.5, 0, 1, 1, exclude=("hed", "head", "con"))
    with pytest.raises(ValueError, match="nothing to do"):
        MagnitudePruner(small_model(), 0.5, 0, 1, 1, exclude=("head", "conv"))
    with pytest.raises(ValueError, match="nothing to do"):
        MagnitudePruner(nn.ReLU(), 0.5, 0, 1, 1)


def test_unknown_scope_lists_the_choices():
    with pytest.raises(ValueError, match=r"'filter'.*'layer', 'global'"):
        MagnitudePruner(small_model(), 0.5, 0, 1, 1, scope="filter")


# Over time


def test_prunes_at_pruning_steps_only():
    model = small_model()
    pruner = MagnitudePruner(model, 0.9, start=10, every=5, count=4)
    achieved = []
    for t in range(40):
        pruner.step(t)
        achieved.append(pruner.sparsity)
    changes = [t for t in range(1, 40) if achieved[t] != achieved[t - 1]]
    assert changes == [15, 20, 25, 30]
    size = sum(p.size for p in model.parameters() if p.ndim > 1)
    for t, value in enumerate(achieved):
        assert value == pytest.approx(cubic_sparsity(t, 0.9, 10, 5, 4), abs=3 / size)


@pytest.mark.parametrize("times", [[1000], [3, 17, 31], range(0, 100, 7)])
def test_jumped_steps_and_the_last_are_made_up_for(times):
    pruner = MagnitudePruner(small_model(), 0.8, start=10, every=5, count=4)
    for t in times:
        pruner.step(t)
    assert pruner.sparsity == pytest.approx(0.8, abs=0.01)


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_pruned_weights_stay_pruned(scope):
    model = small_model()
    rng = np.random.default_rng(0)
    pruner = MagnitudePruner(model, 0.9, start=0, every=1, count=20, scope=scope)
    before = {name: np.ones(w.shape, bool) for name, w in pruner.weights.items()}
    for t in range(1, 21):
        pruner.step(t)
        for name, weight in pruner.weights.items():
            assert not (weight.mask & ~before[name]).any()
            before[name] = weight.mask
            weight.data[weight.mask] = rng.integers(-1, 2, int(weight.mask.sum()))  # other weights become zero too
    assert pruner.sparsity == pytest.approx(0.9, abs=0.01)


def test_a_pruned_model_is_never_filled_up_again():
    model = small_model()
    MagnitudePruner(model, 0.8, 0, 1, 1).step(1)
    again = MagnitudePruner(model, 0.9, start=0, every=1, count=10)
    assert again.sparsity == pytest.approx(0.8, abs=0.01)
    again.step(1)  # asks for less than there is
    assert again.sparsity == pytest.approx(0.8, abs=0.01)
    again.step(10)
    assert again.sparsity == pytest.approx(0.9, abs=0.01)


def test_training_taken_up_again_gets_its_masks_back():
    model = small_model()
    pruner = MagnitudePruner(model, 0.9, start=0, every=2, count=4)
    pruner.step(5)
    copy = small_model()
    copy.load_state_dict(model.state_dict())
    MagnitudePruner(copy, 0.9, start=0, every=2, count=4).step(5)
    for p, q in zip(model.parameters(), copy.parameters(), strict=True):
        if p.ndim > 1:
            np.testing.assert_array_equal(p.mask, q.mask)


def test_sparsity_zero_sets_no_masks():
    model = small_model()
    pruner = MagnitudePruner(model, 0.0, start=0, every=1, count=2)
    pruner.check(3)
    pruner.step(2)
    assert pruner.sparsity == 0
    assert all(p.mask is None for p in model.parameters())


@pytest.mark.parametrize(
    "make",
    [lambda p: optim.SGD(p, 0.1, momentum=0.9, nesterov=True, weight_decay=0.01), optim.Adam],
    ids=["SGD", "Adam"],
)
def test_training_keeps_pruned_weights_at_exactly_zero(make):
    model, rng = small_model(), np.random.default_rng(0)
    optimizer = make(model.parameters())
    pruner = MagnitudePruner(model, 0.7, start=2, every=2, count=2)
    for t in range(10):
        x, labels = rng.random((6, 4, 4, 2), dtype=np.float32), rng.integers(0, 3, 6)
        optimizer.zero_grad()
        F.cross_entropy(model(md.Tensor(x)), labels).backward()
        optimizer.step()
        pruner.step(t)
    for p in pruner.weights.values():
        assert (p.data[~p.mask] == 0).all()
        assert abs(zeros(p) - 0.7 * p.size) <= 1


def test_a_schedule_that_cannot_reach_its_target_is_an_error():
    pruner = MagnitudePruner(small_model(), 0.9, start=100, every=50, count=4)
    pruner.check(301)  # iterations 0 to 300, and the last pruning step is at 300
    with pytest.raises(ValueError, match=r"100 \+ 4 \* 50 = 300.*0 to 299.*301 iterations"):
        pruner.check(300)


def test_sparsity_counts_zeros_with_or_without_masks():
    model = nn.Sequential(nn.Linear(4, 5), nn.Linear(5, 4))
    model[0].weight.data[:2] = 0
    assert sparsity(model) == 0.25
    assert sparsity(nn.ReLU()) == 0


@pytest.mark.gpu
@pytest.mark.parametrize("scope", ["layer", "global"])
def test_gpu_prunes_the_same_weights(scope):
    models = [small_model(), small_model().to("gpu")]
    models[1].load_state_dict(models[0].state_dict())
    for model in models:
        MagnitudePruner(model, 0.8, 0, 1, 1, scope=scope).step(1)
    for name, array in models[0].state_dict().items():
        np.testing.assert_array_equal(array, models[1].state_dict()[name])
