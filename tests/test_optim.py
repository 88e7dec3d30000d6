"""Optimisers against their formulas and against PyTorch, step by step; schedules against their values."""

import math

import numpy as np
import pytest

import minidl as md
from minidl import Parameter, optim

SHAPES = {"matrix": (4, 3), "kernels": (2, 3, 3, 2), "bias": (5,)}


def parameters(dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    return [Parameter(rng.standard_normal(shape).astype(dtype)) for shape in SHAPES.values()]


def gradients(steps=6, seed=1):
    """For each step, the gradients by all parameters."""
    rng = np.random.default_rng(seed)
    return [[rng.standard_normal(shape) for shape in SHAPES.values()] for _ in range(steps)]


def run(optimizer, all_gradients):
    """Step with given gradients; the weights after each step."""
    history = []
    for now in all_gradients:
        for p, g in zip(optimizer.parameters, now, strict=True):
            p.grad = g.astype(p.dtype)
        optimizer.step()
        history.append([p.data.copy() for p in optimizer.parameters])
    return history


def assert_same_history(a, b, rtol):
    for step, (left, right) in enumerate(zip(a, b, strict=True)):
        for x, y in zip(left, right, strict=True):
            np.testing.assert_allclose(x, y, rtol=rtol, atol=rtol, err_msg=f"step {step}")


SGD = {
    "plain": {},
    "decay": {"weight_decay": 0.1},
    "momentum": {"momentum": 0.9},
    "nesterov": {"momentum": 0.9, "nesterov": True},
    "momentum and decay": {"momentum": 0.8, "weight_decay": 0.05},
    "nesterov and decay": {"momentum": 0.8, "weight_decay": 0.05, "nesterov": True},
}
ADAM = {"plain": {}, "decay": {"weight_decay": 0.1}, "settings": {"betas": (0.7, 0.9), "eps": 1e-3}}


# Against the formulas


@pytest.mark.parametrize("decay_all", [True, False])
@pytest.mark.parametrize("settings", SGD.values(), ids=SGD)
def test_sgd_by_its_formula(settings, decay_all):
    mu, decay = settings.get("momentum", 0), settings.get("weight_decay", 0)
    w = [p.data.copy() for p in parameters()]
    v = [np.zeros_like(x) for x in w]
    expected = []
    for now in gradients():
        for i, g in enumerate(now):
            g = g + (decay if decay_all or w[i].ndim > 1 else 0) * w[i]
            v[i] = mu * v[i] + g
            w[i] = w[i] - 0.1 * (g + mu * v[i] if settings.get("nesterov") else v[i])
        expected.append([x.copy() for x in w])
    optimizer = optim.SGD(parameters(), lr=0.1, decay_all=decay_all, **settings)
    assert_same_history(run(optimizer, gradients()), expected, rtol=1e-12)


@pytest.mark.parametrize("decay_all", [True, False])
@pytest.mark.parametrize("settings", ADAM.values(), ids=ADAM)
def test_adam_by_its_formula(settings, decay_all):
    """Kingma and Ba 2015, algorithm 1."""
    (b1, b2), eps = settings.get("betas", (0.9, 0.999)), settings.get("eps", 1e-8)
    w = [p.data.copy() for p in parameters()]
    m, v = ([np.zeros_like(x) for x in w] for _ in range(2))
    expected = []
    for t, now in enumerate(gradients(), start=1):
        for i, g in enumerate(now):
            g = g + (settings.get("weight_decay", 0) if decay_all or w[i].ndim > 1 else 0) * w[i]
            m[i] = b1 * m[i] + (1 - b1) * g
            v[i] = b2 * v[i] + (1 - b2) * g**2
            w[i] = w[i] - 0.1 * (m[i] / (1 - b1**t)) / (np.sqrt(v[i] / (1 - b2**t)) + eps)
        expected.append([x.copy() for x in w])
    optimizer = optim.Adam(parameters(), lr=0.1, decay_all=decay_all, **settings)
    assert_same_history(run(optimizer, gradients()), expected, rtol=1e-12)


# Against PyTorch

EACH = (("SGD", SGD), ("Adam", ADAM), ("AdamW", ADAM))
BOTH = [(name, s) for name, settings in EACH for s in settings.values()]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(("name", "settings"), BOTH, ids=[f"{n} {i}" for n, s in EACH for i in s])
def test_steps_are_pytorchs(name, settings, dtype):
    torch = pytest.importorskip("torch")
    theirs = [torch.nn.Parameter(torch.tensor(p.data)) for p in parameters(dtype)]
    torch_optimizer = getattr(torch.optim, name)(theirs, lr=0.1, **settings)
    expected = []
    for step, now in enumerate(gradients()):
        torch_optimizer.param_groups[0]["lr"] = 0.1 / (step + 1)  # as a schedule does
        for p, g in zip(theirs, now, strict=True):
            p.grad = torch.tensor(g.astype(dtype))
        torch_optimizer.step()
        expected.append([p.detach().numpy().copy() for p in theirs])
    optimizer = getattr(optim, name)(parameters(dtype), lr=0.1, **settings)
    history = []
    for step, now in enumerate(gradients()):
        optimizer.lr = 0.1 / (step + 1)
        history += run(optimizer, [now])
    assert {x.dtype for x in history[-1]} == {np.dtype(dtype)}
    assert_same_history(history, expected, rtol=1e-12 if dtype == np.float64 else 1e-5)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("most", [0.5, 1e3])
def test_gradients_are_clipped_as_by_pytorch(most, dtype):
    """All together, and before the step; one that is short enough stays as it is, to the bit."""
    torch = pytest.importorskip("torch")
    (now,) = gradients(1)
    theirs = [torch.nn.Parameter(torch.tensor(p.data)) for p in parameters(dtype)]
    for p, g in zip(theirs, now, strict=True):
        p.grad = torch.tensor(g.astype(dtype))
    norm = float(torch.nn.utils.clip_grad_norm_(theirs, most))
    optimizer = optim.SGD(parameters(dtype), lr=0.1)
    optimizer.max_norm = most
    run(optimizer, [now])
    for p, q, g in zip(optimizer.parameters, theirs, now, strict=True):
        np.testing.assert_allclose(p.grad, q.grad.numpy(), rtol=1e-5)  # PyTorch adds 1e-6 to the norm
        assert p.grad.dtype == dtype
        assert norm > most or (p.grad == g.astype(dtype)).all()
    total = sum(float((p.grad.astype(np.float64) ** 2).sum()) for p in optimizer.parameters) ** 0.5
    assert total == pytest.approx(min(norm, most), rel=1e-6)


def test_a_norm_to_clip_to_is_a_number_above_0():
    optimizer = optim.Adam(parameters())
    for bad, error in ((0, ValueError), ("1", TypeError), (np.nan, ValueError)):
        optimizer.max_norm = bad
        with pytest.raises(error, match="Adam: max_norm is"):
            run(optimizer, gradients(1))


def test_gradients_of_masked_weights_do_not_count_where_gradients_are_clipped():
    p = Parameter(np.array([1.0, 1.0]))
    p.mask, optimizer = np.array([True, False]), optim.SGD([p], lr=1.0)
    optimizer.max_norm, p.grad = 1.0, np.array([0.5, 100.0])
    optimizer.step()
    assert p.data.tolist() == [0.5, 0.0]


# Masks


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(("name", "settings"), BOTH, ids=[f"{n} {i}" for n, s in EACH for i in s])
def test_masked_weights_are_exactly_zero(name, settings, dtype):
    """Even where momentum from before the mask, or its decay, would move them."""
    optimizer = getattr(optim, name)(parameters(dtype), lr=0.1, **settings)
    free = getattr(optim, name)(parameters(dtype), lr=0.1, **settings)
    run(optimizer, gradients(3))
    run(free, gradients(3))
    for p in optimizer.parameters[:2]:
        p.mask = np.random.default_rng(2).random(p.shape) < 0.5
    for now in gradients(5, seed=3):
        (weights,), (expected,) = run(optimizer, [now]), run(free, [now])
        for p, w, e in zip(optimizer.parameters, weights, expected, strict=True):
            mask = np.ones(p.shape, bool) if p.mask is None else p.mask
            assert (w[~mask] == 0).all()
            np.testing.assert_array_equal(w[mask], e[mask])  # the others go their way


def test_a_weight_that_is_freed_starts_without_old_momentum():
    w = Parameter(np.ones(2))
    optimizer = optim.SGD([w], lr=0.1, momentum=0.9)
    w.grad = np.ones(2)
    optimizer.step()
    w.mask = np.array([True, False])
    w.grad = np.ones(2)
    optimizer.step()
    w.mask, w.grad = None, np.zeros(2)
    optimizer.step()
    assert w.data[1] == 0
    assert w.data[0] < 1


# What all optimisers do


def test_without_a_gradient_nothing_moves():
    used, unused = Parameter(np.ones(2)), Parameter(np.ones(2))
    for optimizer in (optim.SGD([used, unused], 0.1, 0.9, 0.1), optim.Adam([used, unused], 0.1, weight_decay=0.1)):
        (used * used).sum().backward()
        optimizer.step()
        assert (unused.data == 1).all()
        assert (used.data < 1).all()
        optimizer.zero_grad()
        assert used.grad is None
        before = used.data.copy()
        with pytest.raises(RuntimeError, match=r"no parameter has a gradient: call loss.backward\(\) before step"):
            optimizer.step()
        np.testing.assert_array_equal(used.data, before)


def test_the_arrays_stay_where_they_are():
    """A model and its optimiser share them."""
    for make in (optim.SGD, optim.Adam):
        optimizer = make(parameters(np.float32), lr=0.1)
        arrays = [p.data for p in optimizer.parameters]
        run(optimizer, gradients())
        assert all(p.data is a for p, a in zip(optimizer.parameters, arrays, strict=True))


def test_gradients_are_left_as_they_are():
    for make, settings in ((optim.SGD, {"momentum": 0.9, "nesterov": True}), (optim.Adam, {})):
        for dtype in (np.float32, np.float64):
            optimizer = make(parameters(dtype), lr=0.1, weight_decay=0.1, **settings)
            run(optimizer, gradients(1))
            for p, g in zip(optimizer.parameters, gradients(1)[0], strict=True):
                np.testing.assert_array_equal(p.grad, g.astype(dtype))


def test_parameters_may_come_from_a_generator():
    model = md.nn.Linear(2, 3)
    assert len(optim.SGD(model.parameters(), 0.1).parameters) == 2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: optim.SGD([], 0.1), "SGD: there are no parameters"),
        (lambda: optim.SGD(parameters(), -0.1), "SGD: lr is -0.1, and must be finite and not negative"),
        (lambda: optim.SGD(parameters(), math.nan), "SGD: lr is nan, and must be finite"),
        (lambda: optim.SGD(parameters(), math.inf), "SGD: lr is inf"),
        (lambda: optim.Adam(parameters(), weight_decay=-1), "Adam: weight_decay is -1"),
        (lambda: optim.Adam(parameters(), eps=-1e-8), "Adam: eps is -1e-08"),
        (lambda: optim.SGD(parameters(), 0.1, momentum=1), "SGD: momentum is 1"),
        (lambda: optim.SGD(parameters(), 0.1, momentum=-0.5), "SGD: momentum is -0.5"),
        (lambda: optim.SGD(parameters(), 0.1, nesterov=True), "nesterov=True needs a momentum"),
        (lambda: optim.Adam(parameters(), betas=(0.9, 1)), "Adam: betas is 1, and must be in"),
        (lambda: optim.Adam(parameters(), betas=(0.9,)), r"Adam: betas are \(0.9,\), and must be two numbers"),
        (lambda: optim.Adam(parameters(), betas=0.9), r"Adam: betas are \(0.9,\)"),
        (lambda: optim.Adam(parameters(), betas=(0.9, math.nan)), "Adam: betas is nan"),
        (lambda: optim.step_decay(0.1, every=0), "step_decay: every is 0"),
        (lambda: optim.step_decay(0.1, every=2, warmup=-1), "step_decay: warmup is -1"),
        (lambda: optim.constant(0.1, warmup=-1), "constant: warmup is -1, and must be at least 0"),
        (lambda: optim.constant(-0.1), "constant: lr is -0.1"),
        (lambda: optim.cosine(0.1, 0), "cosine: steps is 0"),
        (lambda: optim.cosine(0.1, 10, warmup=-1), "cosine: warmup is -1"),
        (lambda: optim.cosine(0.1, 10, warmup=10), "cosine: warmup is 10 of 10 steps, and must be fewer"),
        (lambda: optim.cosine(math.nan, 10), "cosine: lr is nan"),
        (lambda: optim.one_cycle(0.1, 100, pct_start=2), "one_cycle: pct_start is 2"),
        (lambda: optim.one_cycle(0.1, 100, pct_start=-0.5), "one_cycle: pct_start is -0.5"),
        (lambda: optim.one_cycle(0.1, 0), "one_cycle: steps is 0, and must be at least 1"),
    ],
)
def test_bad_settings(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: optim.SGD(md.nn.Linear(2, 3).named_parameters(), 0.1), "SGD: parameter 0 is a tuple, and must be a "),
        (lambda: optim.Adam(md.nn.Linear(2, 3)), r"Adam: wants model\.parameters\(\), and got a Linear"),
        (lambda: optim.Adam(md.nn.Sequential(md.nn.Linear(2, 3))), r"Adam: parameter 0 is a Linear.*\.parameters\(\)"),
        (lambda: optim.SGD(parameters()[0], 0.1), r"SGD: wants model\.parameters\(\), and got a Parameter"),
        (lambda: optim.SGD(parameters(), "0.1"), "SGD: lr is '0.1', and must be a number"),
        (lambda: optim.cosine(0.1, 10, warmup=0.5), "cosine: warmup is 0.5, and must be a whole number of steps"),
        (lambda: optim.one_cycle(0.1, 10.5), "one_cycle: steps is 10.5, and must be a whole number"),
    ],
)
def test_bad_types(make, message):
    with pytest.raises(TypeError, match=message):
        make()


# Schedules


def values(schedule, steps):
    return [schedule(step) for step in range(steps)]


def test_constant():
    assert values(optim.constant(0.3), 5) == [0.3] * 5
    assert values(optim.constant(1.0, warmup=4), 6) == [0.25, 0.5, 0.75, 1, 1, 1]


def test_step():
    np.testing.assert_allclose(values(optim.step_decay(1.0, every=2), 6), [1, 1, 0.1, 0.1, 0.01, 0.01])
    np.testing.assert_allclose(values(optim.step_decay(8.0, every=1, factor=0.5), 4), [8, 4, 2, 1])
    np.testing.assert_allclose(values(optim.step_decay(1.0, 2, 0.5, warmup=2), 6), [0.5, 1, 0.5, 0.5, 0.25, 0.25])


def test_cosine():
    expected = [0.1 + 0.9 * (1 + math.cos(math.pi * i / 10)) / 2 for i in range(11)]
    np.testing.assert_allclose(values(optim.cosine(1.0, 11, final=0.1), 11), expected, rtol=1e-14)
    warm = values(optim.cosine(1.0, 15, final=0.1, warmup=4), 15)
    np.testing.assert_allclose(warm[:4], [0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(warm[4:], expected, rtol=1e-14)


@pytest.mark.parametrize(("steps", "pct_start"), [(100, 0.25), (37, 0.3), (10, 0.5), (20, 1 / 3), (1000, 0.01)])
def test_one_cycle_is_pytorchs(steps, pct_start):
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1)
    settings = {"total_steps": steps, "pct_start": pct_start, "cycle_momentum": False}
    theirs = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.4, **settings)
    expected = []
    for _ in range(steps):
        expected.append(theirs.get_last_lr()[0])
        optimizer.step()
        if len(expected) < steps:
            theirs.step()
    np.testing.assert_allclose(values(optim.one_cycle(0.4, steps, pct_start), steps), expected, rtol=1e-9)


def test_one_cycle_by_hand():
    rate = optim.one_cycle(2.0, steps=101, pct_start=21 / 101, start=0.1, final=0.01)
    assert (rate(0), rate(20), rate(100)) == (pytest.approx(0.2), 2.0, pytest.approx(0.02))
    assert rate(10) == pytest.approx((0.2 + 2) / 2)
    assert rate(60) == pytest.approx((2 + 0.02) / 2)
    assert optim.one_cycle(1.0, steps=10, pct_start=0)(0) == 1.0


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_short_runs(steps):
    """Not a division by zero in sight."""
    for pct_start in (0, 0.25, 0.5, 1):
        assert all(0 <= rate <= 1 for rate in values(optim.one_cycle(1.0, steps, pct_start), steps + 2))
    for warmup in range(steps):
        assert all(0 <= rate <= 1 for rate in values(optim.cosine(1.0, steps, warmup=warmup), steps + 2))


def test_schedules_stay_at_their_end():
    assert optim.cosine(1.0, 10, final=0.1)(50) == pytest.approx(0.1)
    assert optim.one_cycle(1.0, 10, final=0.1)(50) == pytest.approx(0.1)


def test_a_parameter_that_is_there_twice_is_refused():
    w = md.Parameter(np.ones(2))
    with pytest.raises(ValueError, match="twice"):
        optim.SGD([w, w], 0.1)
