"""How often a card is asked, and waited for: what is one launch, and what is recorded."""

import sys

import numpy as np
import pytest

import minidl as md
from minidl import functional as F
from minidl import kernels, nn
from minidl.backend import card, is_gpu_array, to_device, to_numpy
from minidl.backend.recording import Replayed
from minidl.data import Loader
from minidl.robustness.attacks.fgsm import rays
from minidl.robustness.attacks.victim import attacked
from minidl.train.evaluate import forward

pytestmark = pytest.mark.gpu


@pytest.fixture
def launches(monkeypatch):
    """The names of the kernels that change arrays in place, in the order of their launches."""
    from minidl.kernels.gpu import steps

    names, launch = [], steps.launch
    monkeypatch.setattr(steps, "launch", lambda file, name, *a, **k: (names.append(name), launch(file, name, *a, **k)))
    return names


@pytest.fixture
def waits(monkeypatch):
    """How often something comes back from the card."""
    count, get = [0], card().ndarray.get

    def counted(self, *args, **kwargs):
        count[0] += 1
        return get(self, *args, **kwargs)

    try:
        monkeypatch.setattr(card().ndarray, "get", counted)
    except TypeError:
        pytest.skip("CuPy's arrays are not to be watched")
    return count


def network(device="gpu", width=6):
    md.manual_seed(0)
    layers = [nn.Conv2d(3, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
    layers += [
        nn.Conv2d(width, width, 3, padding=1),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
    ]
    return nn.Sequential(nn.Normalize(0.4, 0.25), *layers, nn.Linear(4 * width, 3)).to(device)


def images_and_labels(count=24, size=6):
    rng = np.random.default_rng(0)
    return rng.random((count, size, size, 3), np.float32), rng.integers(3, size=count)


METHODS = {
    "sgd": lambda p: md.optim.SGD(p, lr=0.05, momentum=0.9, weight_decay=1e-2, nesterov=True, decay_all=False),
    "plain": lambda p: md.optim.SGD(p, lr=0.05),
    "adam": lambda p: md.optim.Adam(p, lr=0.01, weight_decay=1e-2),
    "adamw": lambda p: md.optim.AdamW(p, lr=0.01),
}


def gradients(parameters, seed):
    rng = np.random.default_rng(seed)
    for parameter in parameters:
        parameter.grad = to_device(rng.standard_normal(parameter.shape).astype(parameter.dtype), parameter.device)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_all_parameters_are_one_launch_of_the_same_bits(method, dtype, launches, monkeypatch):
    """Of many sizes, more than a table holds, some of them masked; beside the same one by one."""
    rng, ends = np.random.default_rng(0), []
    sizes = [(1,), (3, 5), (2047,), (2048,), (2049,), (64, 3, 3, 8), (40, 70, 3)] * 10
    values = [rng.standard_normal(size).astype(dtype) for size in sizes]
    for one_by_one in (False, True):
        parameters = [md.Parameter(to_device(value.copy(), "gpu")) for value in values]
        for parameter in parameters[::3]:
            parameter.mask = np.random.default_rng(parameter.size).random(parameter.shape) < 0.5
        optimizer = METHODS[method](parameters)
        if one_by_one:
            monkeypatch.setattr(optimizer, "is_minidls_own", lambda: False)
        for turn in range(3):
            gradients(parameters, turn)
            launches.clear()
            optimizer.step()
            assert len(launches) == (len(sizes) if one_by_one else 2)  # 70 arrays, 63 in a table
        ends.append(
            [to_numpy(a) for p, state in zip(parameters, optimizer.state, strict=True) for a in (p.data, *state)]
        )
    for ours, theirs in zip(*ends, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_training_step_moves_all_running_statistics_at_once(launches):
    images, labels = images_and_labels()
    ends = {}
    for device in ("gpu", "cpu"):
        model = network(device)
        batches = Loader(to_device(images, device), labels, 8, seed=0)
        md.fit(model, batches, METHODS["sgd"](model.parameters()), 2, progress=False)
        ends[device] = model.state_dict()
    # Python does two ordinary steps, as momentum is made in the first, and a third to compare, and to record
    assert launches == ["track", "sgd_steps"] * 4
    for name, value in ends["cpu"].items():
        np.testing.assert_allclose(ends["gpu"][name], value, rtol=1e-4, atol=1e-5, err_msg=name)


def test_what_waits_is_done_when_the_block_ends_and_once_for_each_batch(launches):
    norm, x = nn.BatchNorm2d(2).to("gpu"), to_device(np.arange(12, dtype=np.float32).reshape(6, 2), "gpu")
    here, y = nn.BatchNorm2d(2), np.arange(12, dtype=np.float32).reshape(6, 2)
    norm(md.Tensor(x))
    here(md.Tensor(y))
    assert launches == ["track"]
    with kernels.together():
        norm(md.Tensor(x + 1))
        norm(md.Tensor(x * 2))  # the same statistics again: those of the first come before
        assert launches == ["track", "track"]
    here(md.Tensor(y + 1))
    here(md.Tensor(y * 2))
    assert launches == ["track"] * 3
    assert int(norm.num_batches_tracked) == int(here.num_batches_tracked) == 3
    for name in ("running_mean", "running_var"):
        np.testing.assert_allclose(to_numpy(getattr(norm, name)), getattr(here, name), rtol=1e-6)


def test_nothing_is_done_where_the_block_fails(launches):
    weight, grad = (to_device(np.ones(3, np.float32), "gpu") for _ in range(2))
    with pytest.raises(ZeroDivisionError), kernels.together():
        kernels.of(weight).sgd_step(weight, grad, None, None, 0.5, 0.0, 0.0, False)
        raise ZeroDivisionError
    assert launches == []
    np.testing.assert_array_equal(to_numpy(weight), 1)


def test_attacks_within_a_training_leave_running_statistics_alone():
    images, labels = images_and_labels(8)
    model = network().train()
    before = {name: to_numpy(getattr(model[2], name)).copy() for name in model[2].buffers}
    with kernels.together():
        md.objectives.Adversarial(0.05, steps=2).attack(model, to_device(images, "gpu"), labels)
    for name, value in before.items():
        np.testing.assert_array_equal(to_numpy(getattr(model[2], name)), value)


# evaluation


def replays_of(monkeypatch):
    from minidl.backend import recording

    count, replay = [0], recording._Graph.replay
    monkeypatch.setattr(recording._Graph, "replay", lambda *a: (count.__setitem__(0, count[0] + 1), replay(*a))[1])
    return count


def test_an_evaluation_is_recorded_and_gives_the_same_bits(monkeypatch):
    images, labels = images_and_labels(44)
    model, replays = network(), replays_of(monkeypatch)
    batches = Loader(to_device(images, "gpu"), labels, 8, shuffle=False)  # five of 8, and one of 4
    recorded = md.evaluate(model, batches, progress=False)
    assert replays[0] == 4
    monkeypatch.setattr(sys.modules["minidl.train.evaluate"], "is_minidls_own", lambda model: False)
    assert md.evaluate(model, batches, progress=False) == recorded
    assert replays[0] == 4


def test_validation_is_recorded_once_and_sees_the_weights_of_its_epoch(monkeypatch):
    images, labels = images_and_labels()
    curves = []
    for record in (None, False):
        model, replays = network(), replays_of(monkeypatch)
        batches, seen = (Loader(to_device(images, "gpu"), labels, 8, seed=0) for _ in range(2))
        optimizer = METHODS["sgd"](model.parameters())
        rows = md.fit(model, batches, optimizer, 5, validation=seen, progress=False, record=record)
        curves.append([(row.loss, row.val_loss, row.val_accuracy) for row in rows])
        # of 15 steps all but two, of 15 batches and 5 looks at the last one all but one
        assert replays[0] == (13 + 19 if record is None else 0)
    assert curves[0] == curves[1]


def test_a_forward_pass_is_recorded_anew_where_the_model_has_changed():
    images, _ = images_and_labels(4)
    model, x = network().eval(), to_device(images, "gpu")
    ahead = forward(model)
    for change in (
        lambda: None,
        lambda: model[1].weight.data.__imul__(2),  # in place: the recording reads it
        lambda: setattr(model[1].weight, "data", model[1].weight.data * 2),
        lambda: setattr(model[2], "eps", 0.5),
        lambda: md.set_precision("bfloat16"),
    ):
        change()
        for _ in range(3):
            got = to_numpy(ahead(x)[0]).copy()
        with md.no_grad():
            np.testing.assert_array_equal(got, to_numpy(model(md.Tensor(x)).data))


@pytest.mark.skipif(
    not hasattr(card(), "arrays") if md.gpu_available() else True, reason="only the emulated card counts"
)
def test_a_first_fit_asks_for_few_kinds_of_kernels():
    """Each is compiled, on a fresh machine, while the training waits: here 18, and 52 before that was looked at."""
    images, labels = images_and_labels()
    pixels = (255 * images).astype(np.uint8)
    asked_for = card().arrays.asked_for
    asked_for.clear()
    batches = Loader(to_device(pixels, "gpu"), labels, 8, crop=5, flip=True, seed=0)
    seen = Loader(to_device(pixels, "gpu"), labels, 8, crop=5, shuffle=False)
    model = network()
    md.fit(model, batches, METHODS["sgd"](model.parameters()), 2, validation=seen, progress=False)
    assert len(asked_for) <= 20, sorted(map(str, asked_for))


# attacks


def test_epsilons_along_a_ray_wait_once(waits):
    images, labels = images_and_labels(16)
    model, sizes = network(), [0, 1 / 255, 0.05, 0.2, np.linspace(0, 0.3, 16)]
    with attacked("test", model, images, labels) as victim:
        for _, ray in rays(victim, "cross_entropy", 1.0, 16):
            for _ in range(6):  # kernel by kernel, recorded, replayed
                start = waits[0]
                together = ray.succeed(sizes)
                there = waits[0] - start
            assert there == 1
            each = [victim.falls_for(ray.at(epsilon), ray.places) for epsilon in sizes]
    np.testing.assert_array_equal(together, each)


def test_a_slope_is_looked_at_once(waits):
    images, labels = images_and_labels(16)
    model = network()
    with attacked("test", model, images, labels) as victim:
        slope = victim.slope(lambda logits, y: F.cross_entropy(logits, y, reduction="none"))
        x, index = to_device(images, "gpu"), np.arange(16)
        for _ in range(4):
            start = waits[0]
            _, loss, gradient = slope(x, index)
            there = waits[0] - start
    assert there == 1
    assert (is_gpu_array(gradient), loss.dtype, loss.shape) == (True, np.float32, (16,))


def test_attacks_are_the_cpus():
    images, labels = images_and_labels(20)
    epsilons = [0, 2 / 255, 0.1, 0.5]
    curves, attacks, smallest = {}, {}, {}
    for device in ("cpu", "gpu"):
        model = network(device)
        curves[device] = md.robustness.accuracy_curve(model, images, labels, epsilons, batch_size=8).right
        attacks[device] = md.robustness.fgsm(model, images, labels, epsilons, batch_size=8)
        smallest[device] = md.robustness.smallest_epsilon(model, images, labels, 0.5, steps=16, batch_size=8)
    np.testing.assert_array_equal(curves["gpu"], curves["cpu"])
    np.testing.assert_array_equal(attacks["gpu"].success, attacks["cpu"].success)
    np.testing.assert_allclose(smallest["gpu"], smallest["cpu"], atol=1e-3)


def test_logits_that_are_no_numbers_are_an_error_of_each():
    images, labels = images_and_labels(8)
    model = network()
    with attacked("test", model, images, labels) as victim:
        (index, ray), *_ = rays(victim, "cross_entropy", 1.0, 8)
        model[-1].weight.data[...] = np.nan
        for ask in (
            lambda: ray.succeed([0.1]),
            lambda: victim.logits(ray.images),
            lambda: victim.falls_for(ray.images, index),
        ):
            for _ in range(5):
                with pytest.raises(ValueError, match="test: the model's logits are NaN or infinite"):
                    ask()


def test_more_ordinary_calls_come_first_where_few_may_come(monkeypatch):
    replays = replays_of(monkeypatch)
    step = Replayed(lambda x: [x + 1], ordinary=3)
    seen = []
    for _ in range(6):
        step(to_device(np.ones(3), "gpu"))
        seen.append(replays[0])
    assert seen == [0, 0, 0, 1, 2, 3]
