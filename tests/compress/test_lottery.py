"""Lottery tickets: how many rounds, what is rewound, and the two controls."""

import numpy as np
import pytest

import minidl as md
from minidl import nn
from minidl.compress import MagnitudePruner, RandomPruner, l0, lottery_ticket, plain, sparsity

IMAGES, LABELS = np.random.default_rng(0).random((32, 4, 4, 1)).astype(np.float32), np.arange(32) % 3
BATCHES = [(IMAGES[:16], LABELS[:16]), (IMAGES[16:], LABELS[16:])]


def network():
    rng = np.random.default_rng(1)
    layers = (nn.Conv2d(1, 4, 3, padding=1, rng=rng), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten())
    return nn.Sequential(*layers, nn.Linear(64, 3, rng=rng))


class Look:
    """The state after each step."""

    def __init__(self, model, optimizer):
        self.model, self.optimizer, self.seen = model, optimizer, []

    def step(self, t):
        momentum = [array.copy() for arrays in self.optimizer.state for array in arrays]
        masks = [p.mask is None or p.mask.copy() for p in self.model.parameters()]
        self.seen.append((self.model.state_dict(), momentum, masks))


def trained(**settings):
    model = network()
    optimizer = md.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    ticket = lottery_ticket(model, optimizer, **{"sparsity": 0.75, "steps": 6, "part": 0.5} | settings)
    before, after = Look(model, optimizer), Look(model, optimizer)
    followers = [before, ticket, after]
    md.fit(model, BATCHES, optimizer, 3 * (ticket.rounds + 1), after_step=followers, progress=False)
    return model, ticket, before.seen, after.seen


@pytest.mark.parametrize(("target", "rounds"), [(0.2, 1), (0.5, 4), (0.8, 8), (0.9, 11), (0.98, 18)])
def test_rounds_of_a_fifth(target, rounds):
    model = network()
    ticket = lottery_ticket(model, md.optim.SGD(model.parameters(), 0.1), target, 10)
    assert ticket.rounds == rounds
    for t in range(10 * (rounds + 1)):
        ticket.step(t)
        done = min((t + 1) // 10, rounds)
        assert ticket.sparsity == pytest.approx(1 - (1 - target) ** (done / rounds), abs=1 / 228)
    assert ticket.sparsity == pytest.approx(target, abs=1 / 228)


@pytest.mark.parametrize("rewind", [0, 4])
def test_what_is_left_is_where_it_was_and_momentum_begins_anew(rewind):
    model, ticket, before, after = trained(rewind=rewind)
    start = network().state_dict() if rewind == 0 else before[rewind - 1][0]
    for end in (5, 11):  # the last steps of the two rounds
        state, momentum, masks = after[end]
        masks = dict(zip([name for name, _ in model.named_parameters()], masks, strict=True))
        for name, value in state.items():
            mask = masks.get(name, True)
            if mask is not True and value.ndim == 4:
                mask = mask.transpose(0, 3, 1, 2)
            elif mask is not True:
                mask = mask.T
            np.testing.assert_array_equal(value, start[name] * mask if mask is not True else start[name], err_msg=name)
        assert all((array == 0).all() for array in momentum)
    assert any((array != 0).any() for array in after[12][1])
    assert sparsity(model) == pytest.approx(0.75, abs=1 / 228)
    assert ticket.sparsity == pytest.approx(0.75, abs=1 / 228)


def test_the_largest_at_the_end_of_a_round_stay():
    _, _, before, after = trained()
    weight = np.concatenate([before[5][0]["0.weight"].ravel(), before[5][0]["4.weight"].ravel()])
    left = np.concatenate([after[5][0]["0.weight"].ravel(), after[5][0]["4.weight"].ravel()]) != 0
    assert np.abs(weight[left]).min() >= np.abs(weight[~left]).max()


def test_controls_differ_in_one_thing_each():
    winner, random, fresh = (trained(control=control)[3] for control in ("winner", "random", "reinitialised"))
    for before in range(11):  # until the last round all is the same
        for name, value in winner[before][0].items():
            np.testing.assert_array_equal(random[before][0][name], value)
            np.testing.assert_array_equal(fresh[before][0][name], value)
    start = network().state_dict()
    for name in ("0.weight", "4.weight"):
        w, r, f = (each[11][0][name] for each in (winner, random, fresh))
        assert (r != 0).sum() == (w != 0).sum() == (f != 0).sum()
        assert ((r != 0) != (w != 0)).any()
        np.testing.assert_array_equal(r[r != 0], start[name][r != 0])
        np.testing.assert_array_equal(f != 0, w != 0)
        assert (f[f != 0] != start[name][f != 0]).any()
        assert set(f[f != 0]) <= set(start[name].ravel())


def test_it_is_part_of_the_state():
    model, ticket, *_ = trained(rewind=2)
    snapshot = md.train.State(model, md.optim.SGD(model.parameters(), 0.1), None, [ticket]).capture()
    assert snapshot.arrays["after_step/0/start"].size == sum(v.size for v in model.state_dict().values())


def test_the_schedule_begins_anew():
    model = network()
    ticket = lottery_ticket(model, md.optim.SGD(model.parameters(), 0.1), 0.5, 10)
    schedule = ticket.schedule(md.optim.one_cycle(0.1, 10))
    assert [schedule(t) for t in range(20, 30)] == [schedule(t) for t in range(10)]


@pytest.mark.parametrize("scope", ["layer", "global", "erk"])
def test_random_pruning_keeps_to_the_schedule_and_takes_anything(scope):
    model = network()
    pruner = RandomPruner(model, 0.5, start=0, every=1, count=2, scope=scope, rng=np.random.default_rng(0))
    masks = []
    for t in range(4):
        pruner.step(t)
        masks.append({name: None if w.mask is None else w.mask.copy() for name, w in pruner.weights.items()})
    assert pruner.sparsity == pytest.approx(0.5, abs=2 / 228)
    for name, mask in masks[1].items():  # what is pruned stays pruned
        assert mask is None or not (masks[2][name] & ~mask).any()
    weight = model[4].weight
    kept = np.abs(network()[4].weight.data[weight.mask]).mean() / np.abs(network()[4].weight.data).mean()
    assert 0.85 < kept < 1.15  # of any size
    if scope == "erk":
        sparsities = pruner.layer_sparsity()  # densities go as 11 / 36 and 67 / 192
        assert (1 - sparsities["0"]) / (1 - sparsities["4"]) == pytest.approx(11 / 36 * 192 / 67, rel=0.05)


@pytest.mark.parametrize("scope", ["layer", "global", "erk"])
def test_weights_that_are_nan_are_named_and_nothing_is_pruned(scope):
    """By whichever pruner: NaN is neither smaller nor larger than other weights."""
    model = network()
    model[4].weight.data[0, 0] = np.nan
    ticket = lottery_ticket(model, md.optim.SGD(model.parameters(), 0.1), sparsity=0.5, steps=1, part=0.5, scope=scope)
    for pruner in (ticket, RandomPruner(model, 0.5, start=0, every=1, count=1, scope=scope)):
        with pytest.raises(ValueError, match="weights of 4 are NaN, or their noise is, and cannot be ordered by size"):
            pruner.step(0 if pruner is ticket else 1)
        assert sparsity(model) == 0
        assert model[4].weight.mask is None


def test_adam_begins_anew_in_each_round():
    model = nn.Linear(4, 4, bias=False)
    optimizer = md.optim.Adam(model.parameters(), 1e-3)
    ticket = lottery_ticket(model, optimizer, 0.5, steps=50, part=0.5)
    for t in range(50):
        model.weight.grad = np.ones((4, 4), np.float32)
        optimizer.step()
        ticket.step(t)
    at = model.weight.data.copy()
    model.weight.grad = np.ones((4, 4), np.float32)
    optimizer.step()
    np.testing.assert_allclose((at - model.weight.data)[model.weight.mask], 1e-3, rtol=1e-3)  # Adam's first step


def test_the_first_weights_are_not_the_ones_to_go_back_to():
    """They are two arrays of the state, as a resumed ticket needs both."""
    model, ticket, _, _ = trained(rewind=4, control="reinitialised")
    assert not np.array_equal(ticket.initial, ticket.start)
    optimizer = md.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    there = md.train.State(model, optimizer, None, [ticket]).capture()
    new = network()
    optimizer = md.optim.SGD(new.parameters(), 0.1, momentum=0.9)
    again = lottery_ticket(new, optimizer, 0.75, steps=6, part=0.5, rewind=4, control="reinitialised")
    md.train.State(new, optimizer, None, [again]).restore(there)
    np.testing.assert_array_equal(again.initial, ticket.initial)
    np.testing.assert_array_equal(again.start, ticket.start)


@pytest.mark.parametrize("control", ["random", "reinitialised"])
def test_controls_want_a_dense_model(control):
    model = network()
    model[4].weight.mask = np.arange(192).reshape(64, 3) % 2 == 0
    optimizer = md.optim.SGD(model.parameters(), 0.1)
    assert lottery_ticket(model, optimizer, 0.75, 10).rounds > 0
    with pytest.raises(ValueError, match=f"has masks already, and control='{control}'"):
        lottery_ticket(model, optimizer, 0.75, 10, control=control)


def test_gates_are_not_opened_by_a_mask():
    model = l0(network())
    optimizer = md.optim.SGD(model.parameters(), 0.1)
    for make in (
        lambda: lottery_ticket(model, optimizer, 0.5, 10),
        lambda: MagnitudePruner(model, 0.5, 0, 1, 1),
        lambda: RandomPruner(model, 0.5, 0, 1, 1),
    ):
        with pytest.raises(ValueError, match=r"layer '0' \(GatedConv2d\) has gates that a mask would open"):
            make()
    plain(model)
    assert RandomPruner(model, 0.5, 0, 1, 1).final_sparsity == 0.5


def test_bad_input():
    model = network()
    optimizer = md.optim.SGD(model.parameters(), 0.1)
    for settings, message in (
        ({"sparsity": 1}, "lottery_ticket: sparsity is 1, and must be in (0, 1)"),
        ({"part": 0}, "lottery_ticket: part is 0"),
        ({"steps": 0}, "lottery_ticket: steps is 0"),
        ({"rewind": 10}, "lottery_ticket: rewind is 10, and must be an iteration of the first round, 0 to 9"),
        ({"control": "loser"}, "lottery_ticket: unknown control 'loser': choose from 'winner', 'random', 'reinit"),
        ({"scope": "all"}, "lottery_ticket: unknown scope 'all'"),
    ):
        with pytest.raises((TypeError, ValueError)) as caught:
            lottery_ticket(model, optimizer, **{"sparsity": 0.5, "steps": 10} | settings)
        assert message in str(caught.value)
    with pytest.raises(ValueError, match="4 rounds and one more for the ticket, of 10 steps each, take 50 steps"):
        lottery_ticket(model, optimizer, 0.5, 10).check(49)
