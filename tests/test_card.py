"""What is promised of a card: the same training as on the CPU, recorded and replayed, on arrays that stay there.

The table of operations, the kernels and the attacks have their own tests, which ``pytest --device gpu`` runs there.
"""

import warnings

import numpy as np
import pytest

import minidl as md
from minidl import functional as F
from minidl import kernels, nn
from minidl.backend import array_module, card, is_gpu_array, to_device, to_numpy
from minidl.backend.cuda import card_name
from minidl.backend.memory import release_memory
from minidl.backend.recording import Replayed, fresh
from minidl.data import Loader
from minidl.functional.noise import open_uniform
from minidl.train import NonFiniteLossError

pytestmark = pytest.mark.gpu


def images_and_labels(count=40, size=8, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(256, size=(count, size, size, 3), dtype=np.uint8), rng.integers(3, size=count)


def small(dropout=0.0):
    layers = (nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2))
    return nn.Sequential(
        nn.Normalize(0.5, 0.25), *layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Dropout(dropout), nn.Linear(32, 3)
    )


def trained(device, epochs=4, optimizer="sgd", prune=False, dropout=0.0, batch_size=8):
    md.manual_seed(0)
    model = small(dropout).to(device)
    images, labels = images_and_labels()
    batches = Loader(to_device(images, device), labels, batch_size, crop=6, pad=1, flip=True, seed=0)
    steps = epochs * len(batches)
    if optimizer == "sgd":
        descent = md.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-3, nesterov=True)
    else:
        descent = md.optim.Adam(model.parameters(), lr=0.01, weight_decay=1e-3)
    curve = md.fit(
        model,
        batches,
        descent,
        epochs,
        schedule=md.optim.one_cycle(descent.lr, steps),
        validation=Loader(to_device(images, device), labels, 16, crop=6, shuffle=False),
        pruner=md.compress.MagnitudePruner(model, 0.75, 4, 3, 4) if prune else None,
        progress=False,
    )
    return model, curve


def assert_same_training(ours, theirs, tolerance=1e-4):
    (model, curve), (other, expected) = ours, theirs
    for name, value in other.state_dict().items():
        np.testing.assert_allclose(model.state_dict()[name], value, rtol=tolerance, atol=tolerance, err_msg=name)
    for row, wanted in zip(curve, expected, strict=True):
        assert row.loss == pytest.approx(wanted.loss, rel=tolerance)
        assert (row.accuracy, row.val_accuracy, row.sparsity) == (
            pytest.approx(wanted.accuracy),
            pytest.approx(wanted.val_accuracy),
            wanted.sparsity,
        )


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("prune", [False, True])
def test_a_card_trains_as_the_cpu_does(optimizer, prune):
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)  # a step that could not be recorded
        assert_same_training(trained("gpu", optimizer=optimizer, prune=prune), trained("cpu", 4, optimizer, prune))


def test_a_last_batch_that_is_smaller_has_a_recording_of_its_own():
    assert_same_training(trained("gpu", batch_size=12), trained("cpu", batch_size=12))


@pytest.mark.parametrize("precision", ["fast", "bfloat16"])
def test_a_card_trains_on_its_matrix_units(precision):
    expected = trained("cpu")[1]
    md.set_precision(precision)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)  # a step that could not be recorded
        (model, curve), (again, _) = trained("gpu"), trained("gpu")
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(again.state_dict()[name], value, err_msg=name)
    for row, wanted in zip(curve, expected, strict=True):
        assert row.loss == pytest.approx(wanted.loss, rel=0.02 if precision == "fast" else 0.1)


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_the_same_seed_gives_the_same_bits(dropout):
    first, second = trained("gpu", dropout=dropout)[0], trained("gpu", dropout=dropout)[0]
    for name, value in first.state_dict().items():
        np.testing.assert_array_equal(second.state_dict()[name], value, err_msg=name)


def test_dropout_draws_anew_in_each_replay():
    x = to_device(np.ones((64, 64), np.float32), "gpu")
    rng = np.random.default_rng(0)
    drop = Replayed(lambda x: [F.dropout(md.Tensor(x), 0.25, rng=rng).data])
    masks = [to_numpy(drop(x)[0]).copy() for _ in range(5)]
    for mask in masks:
        assert set(np.unique(mask)) == {0, np.float32(1 / 0.75)}
        assert abs((mask == 0).mean() - 0.25) < 0.03
    for i, mask in enumerate(masks):
        assert all(0.5 < (mask == other).mean() < 0.75 for other in masks[:i])  # 0.625 by chance


def test_noise_draws_anew_in_each_replay():
    mean = to_device(np.zeros((64, 64), np.float32), "gpu")
    rng = np.random.default_rng(0)
    draw = Replayed(lambda m: [F.gaussian(md.Tensor(m), md.Tensor(m + 4), rng).data, open_uniform(m, rng)])
    drawn = [[to_numpy(a).copy() for a in draw(mean)] for _ in range(5)]
    for normal, uniform in drawn:
        assert abs(normal.mean()) < 0.15
        assert abs(normal.std() - 2) < 0.1
        assert abs(uniform.mean() - 0.5) < 0.02
        assert 0 < uniform.min() < uniform.max() < 1
    for i, (normal, _) in enumerate(drawn):
        assert all(abs(np.corrcoef(normal.ravel(), other.ravel())[0, 1]) < 0.06 for other, _ in drawn[:i])


def test_a_recording_follows_what_it_is_given_and_fresh_numbers():
    calls, drawn = [], iter(range(100))

    def step(x):
        calls.append(1)
        return [x * fresh(lambda: next(drawn), np.float64, x)]

    replayed = Replayed(step)
    for i in range(6):
        (y,) = replayed(to_device(np.full(3, i + 1.0), "gpu"))
        np.testing.assert_array_equal(to_numpy(y), np.full(3, (i + 1.0) * i))
    assert len(calls) == 3  # twice as it is, and once to be recorded


def test_a_step_is_recorded_anew_when_its_weights_move():
    weight = [to_device(np.ones(3), "gpu")]
    replayed = Replayed(lambda x: [x * weight[0]], lambda: weight[0].data.ptr)
    x = to_device(np.arange(3.0), "gpu")
    for factor in (1.0, 2.0, 3.0):
        weight[0] = to_device(np.full(3, factor), "gpu")
        for _ in range(3):
            np.testing.assert_array_equal(to_numpy(replayed(x)[0]), factor * np.arange(3.0))


def test_a_step_that_waits_for_the_card_is_not_recorded_but_done():
    replayed = Replayed(lambda x: [x * float(x.sum())])
    x = to_device(np.arange(3.0), "gpu")
    replayed(x)
    with pytest.warns(RuntimeWarning, match="could not be recorded"):
        replayed(x)
    np.testing.assert_array_equal(to_numpy(replayed(x)[0]), 3 * np.arange(3.0))


def test_an_optimiser_of_ones_own_follows_the_schedule():
    class SignDescent(md.optim.Optimizer):
        def _update(self, parameter, state, weight_decay):
            parameter.data -= self.lr * array_module(parameter.data).sign(parameter.grad)

    ends = []
    for device in ("cpu", "gpu"):
        md.manual_seed(0)
        model = small().to(device)
        images, labels = images_and_labels()
        optimizer = SignDescent(model.parameters(), lr=1.0, weight_decay=0.0, decay_all=True)
        batches = Loader(to_device(images, device), labels, 40, seed=0)
        md.fit(model, batches, optimizer, 4, schedule=[0.5, 0.25, 0.125, 0.0625].__getitem__, progress=False)
        ends.append(model.state_dict()["8.bias"])
    np.testing.assert_allclose(*ends, rtol=1e-6)


def changed_while_training(device, change, optimizer=None):
    """A training in which something is changed after the second of six epochs."""
    md.manual_seed(0)
    model = small().to(device)
    images, labels = images_and_labels()
    descent = (optimizer or md.optim.SGD)(model.parameters(), lr=0.1)
    batches = Loader(to_device(images, device), labels, 8, seed=0)

    def on_epoch(epoch):
        if epoch.epoch == 1:
            change(model, descent)

    md.fit(model, batches, descent, 6, progress=False, on_epoch=on_epoch)
    return model.state_dict()


CHANGES = {
    "weight_decay": lambda model, optimizer: setattr(optimizer, "weight_decay", 0.5),
    "momentum": lambda model, optimizer: setattr(optimizer, "momentum", 0.9),
    "lr": lambda model, optimizer: setattr(optimizer, "lr", 0.01),
    "a frozen layer": lambda model, optimizer: setattr(model[8].weight, "requires_grad", False),
    "a mask": lambda model, optimizer: setattr(model[8].weight, "mask", np.arange(96).reshape(32, 3) % 2 == 0),
    "running statistics": lambda model, optimizer: model.load_state_dict(model.state_dict()),
    "another layer's setting": lambda model, optimizer: setattr(model[2], "eps", 10.0),
    "dropout": lambda model, optimizer: setattr(model[7], "p", 1.0),
    "NumPy's number": lambda model, optimizer: setattr(optimizer, "momentum", np.float32(0.9)),
    "nothing": lambda model, optimizer: None,
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_changed_while_training_counts(change):
    here, there = (changed_while_training(device, CHANGES[change]) for device in ("cpu", "gpu"))
    for name, value in here.items():
        np.testing.assert_allclose(there[name], value, rtol=1e-4, atol=1e-4, err_msg=name)


def test_an_optimiser_that_counts_for_itself_is_not_recorded():
    class Slower(md.optim.Optimizer):
        def __init__(self, parameters, lr):
            super().__init__(parameters, lr, 0.0, True)
            self.count = 0

        def step(self):
            self.count += 1
            super().step()

        def _update(self, parameter, state, weight_decay):
            parameter.data -= self.lr / self.count * parameter.grad

    here, there = (changed_while_training(device, CHANGES["nothing"], Slower) for device in ("cpu", "gpu"))
    for name, value in here.items():
        np.testing.assert_allclose(there[name], value, rtol=1e-4, atol=1e-4, err_msg=name)


def test_an_optimiser_of_some_of_the_parameters():
    ends = []
    for device in ("cpu", "gpu"):
        md.manual_seed(0)
        model = small().to(device)
        images, labels = images_and_labels()
        optimizer = md.optim.SGD(list(model.parameters())[-2:], lr=0.1, momentum=0.9)
        md.fit(model, Loader(to_device(images, device), labels, 8, seed=0), optimizer, 3, progress=False)
        ends.append(model.state_dict())
    for name, value in ends[0].items():
        np.testing.assert_allclose(ends[1][name], value, rtol=1e-4, atol=1e-4, err_msg=name)


def test_a_second_training_goes_on_with_the_optimiser_of_the_first():
    ends = []
    for device in ("cpu", "gpu"):
        md.manual_seed(0)
        model = small().to(device)
        images, labels = images_and_labels()
        batches = Loader(to_device(images, device), labels.tolist(), 8, seed=0)
        optimizer = md.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        for _ in range(2):
            md.fit(model, batches, optimizer, 2, progress=False)
            assert all(np.isfinite(to_numpy(p.grad)).all() for p in model.parameters())  # they outlive the recording
        ends.append(model.state_dict())
    for name, value in ends[0].items():
        np.testing.assert_allclose(ends[1][name], value, rtol=1e-4, atol=1e-4, err_msg=name)


def test_labels_may_be_lists():
    images, labels = images_and_labels(16)
    batches = [(to_device(images[i : i + 8] / np.float32(255), "gpu"), labels[i : i + 8].tolist()) for i in (0, 8)]
    model = small().to("gpu")
    curve = md.fit(model, batches, md.optim.SGD(model.parameters(), lr=0.1), 3, progress=False)
    assert np.isfinite(curve[-1].loss)


def test_what_lies_on_two_devices_is_told():
    layer, images = nn.Conv2d(3, 4, 3), images_and_labels()[0].astype(np.float32) / 255
    with pytest.raises(
        ValueError, match=r"conv2d: x on the gpu and weight on the cpu and bias on the cpu: all must be"
    ):
        layer(to_device(images, "gpu"))
    with pytest.raises(ValueError, match=r"conv2d: x on the cpu and weight on the gpu"):
        layer.to("gpu")(images)
    with pytest.raises(ValueError, match=r"add: x on the gpu and y on the cpu"):
        md.Tensor(to_device(images, "gpu")) + images


def test_images_on_a_card_stay_there_and_are_cut_to_the_bit():
    images, labels = images_and_labels()
    ways = (
        {"crop": 6, "pad": 2, "flip": True},
        {"crop": (5, 7), "shuffle": False},
        {"augment": False},
        {"scale": (0.4, 1), "flip": True},
    )
    for settings in ways:
        for kind in (np.uint8, np.float32):
            pixels = images if kind == np.uint8 else images.astype(np.float32) / 255
            there = Loader(to_device(pixels, "gpu"), labels, 16, seed=3, **settings)
            here = Loader(pixels, labels, 16, seed=3, **settings)
            for (x, y), (expected, same) in zip(there, here, strict=True):
                assert is_gpu_array(x)
                np.testing.assert_array_equal(to_numpy(x), expected)
                np.testing.assert_array_equal(y, same)


def test_a_loss_that_is_not_finite_puts_everything_back():
    md.manual_seed(0)
    model = small().to("gpu")
    images, labels = images_and_labels()
    before = model.state_dict()
    optimizer = md.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    batches = Loader(to_device(images, "gpu"), labels, 8, seed=0)
    rates = [0.0] * 5 + [1e30] * 20
    with pytest.raises(NonFiniteLossError) as error:
        md.fit(model, batches, optimizer, 4, schedule=rates.__getitem__, progress=False)
    assert error.value.step in (6, 7)
    for name in ("1.weight", "8.weight"):
        np.testing.assert_array_equal(model.state_dict()[name], before[name])


def test_labels_that_are_no_classes_are_refused_at_every_step():
    images, labels = images_and_labels(32)
    for wrong in (0, 31):  # in the first batch, and in one that is replayed
        bad = labels.copy()
        bad[wrong] = 3
        model = small().to("gpu")
        batches = Loader(to_device(images, "gpu"), bad, 8, shuffle=False)
        with pytest.raises(ValueError, match="label 3 of image . is out of range"):
            md.fit(model, batches, md.optim.SGD(model.parameters(), lr=0.1), 2, progress=False)
        with pytest.raises(ValueError, match="is out of range"):
            F.cross_entropy(to_device(np.zeros((8, 3)), "gpu"), to_device(np.full(8, 3), "gpu"))


def test_what_does_not_fit_says_what_would():
    images, labels = images_and_labels(64, size=64)
    there, model = to_device(images, "gpu"), small().to("gpu")

    def fit(batch_size):
        batches = Loader(there, labels, batch_size, seed=0, drop_last=True)
        md.fit(model, batches, md.optim.SGD(model.parameters(), lr=0.1), 1, progress=False)

    fit(2)  # from now on cuBLAS has its memory
    pool = card().get_default_memory_pool()
    pool.free_all_blocks()
    limit, before = pool.get_limit(), model.state_dict()
    pool.set_limit(size=pool.used_bytes() + 30_000_000)
    try:
        with pytest.raises(
            MemoryError, match=r"fit: a batch of 64 images does not fit .* a batch of \d+ would"
        ) as error:
            fit(64)
        for name, value in model.state_dict().items():
            np.testing.assert_array_equal(value, before[name])
        fits = int(str(error.value).split("a batch of ")[2].split()[0])
        assert 8 <= fits < 64
        fit(fits)  # and it does
    finally:
        pool.set_limit(size=limit)


def test_recordings_of_two_shapes_are_counted_too():
    """An epoch of batches of 48 and of 16 images, on a card with room for little more than one recording."""
    images, labels = images_and_labels(64, size=64)
    there, model = to_device(images, "gpu"), small().to("gpu")

    def fit(batch_size):
        batches = Loader(there, labels, batch_size, seed=0)
        md.fit(model, batches, md.optim.SGD(model.parameters(), lr=0.1), 3, progress=False)

    fit(2)
    pool = card().get_default_memory_pool()
    limit = pool.get_limit()
    for room in (20_000_000, 40_000_000, 60_000_000):
        release_memory()
        pool.set_limit(size=pool.used_bytes() + room)
        try:
            try:
                fit(48)
            except MemoryError as error:
                fits = int(str(error).split("a batch of ")[2].split()[0])
                assert fits < 48
                fit(fits)
        finally:
            pool.set_limit(size=limit)


@pytest.mark.parametrize("truncates", [False, True])
@pytest.mark.parametrize("mode", ["exact", "fast", "bfloat16"])
def test_each_precision_has_the_error_that_it_promises(mode, truncates, monkeypatch):
    """The largest error of a product, relative to the largest number that it could be.

    Whether TF32's factors lose their last bits to the nearest or to nothing is the card's secret: it holds for both.
    """
    if hasattr(card().cuda.cublas, "TF32_TRUNCATES"):
        monkeypatch.setattr(card().cuda.cublas, "TF32_TRUNCATES", truncates)
    md.set_precision(mode)
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((4, 9, 9, 16)), rng.standard_normal((24, 3, 3, 16))
    k = kernels.module("gpu")
    there = [to_device(a.astype(np.float32), "gpu") for a in (x, w)]
    y = k.conv2d(*there, None, (1, 1), (1, 1))
    expected = kernels.module("portable").conv2d(x, w, None, (1, 1), (1, 1))
    assert y.dtype == np.float32
    dx = k.conv2d_grad_input(y, there[1], x.shape, (1, 1), (1, 1))
    dw = k.conv2d_grad_weight(y, there[0], w.shape, (1, 1), (1, 1))
    portable = kernels.module("portable")
    wanted = (
        (y, expected),
        (dx, portable.conv2d_grad_input(to_numpy(y).astype(float), w, x.shape, (1, 1), (1, 1))),
        (dw, portable.conv2d_grad_weight(to_numpy(y).astype(float), x, w.shape, (1, 1), (1, 1))),
    )
    least, most = {"exact": (0, 1e-6), "fast": (1e-5, 2e-3), "bfloat16": (2e-4, 8e-3)}[mode]
    for got, right in wanted:
        error = abs(to_numpy(got) - right).max() / abs(right).max()
        assert least <= error <= most


def test_what_is_missing_is_told(monkeypatch):
    """CUDA raises where there is no card, rather than answering 0."""
    runtime = card().cuda.runtime

    def raises(status):
        def count():
            raise runtime.CUDARuntimeError(status)

        return count

    for status, reason in ((100, "this machine has no NVIDIA card"), (35, "driver does not answer .*: install")):
        monkeypatch.setattr(runtime, "getDeviceCount", raises(status))
        card.cache_clear()
        with pytest.raises(RuntimeError, match=reason):
            card()
        assert not md.gpu_available()
    monkeypatch.undo()
    card.cache_clear()
    assert md.gpu_available()


def test_large_batches_are_done_in_pieces(monkeypatch):
    from minidl.kernels.gpu import windows

    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((7, 6, 5, 4)), rng.standard_normal((3, 3, 3, 4))
    k = kernels.module("gpu")

    def all_three():
        there = [to_device(a, "gpu") for a in (x, w)]
        y = k.conv2d(*there, None, (2, 1), (1, 0))
        settings = ((2, 1), (1, 0))
        return [
            y,
            k.conv2d_grad_input(y, there[1], x.shape, *settings),
            k.conv2d_grad_weight(y, there[0], w.shape, *settings),
        ]

    whole = all_three()
    monkeypatch.setattr(windows, "WORKSPACE", 5000)  # two images at a time
    for piecewise, at_once in zip(all_three(), whole, strict=True):
        np.testing.assert_allclose(to_numpy(piecewise), to_numpy(at_once), rtol=1e-12, atol=1e-12)


def test_attacks_and_measures_on_a_card_are_the_cpus():
    md.manual_seed(0)
    images, labels = images_and_labels()
    images = images.astype(np.float32) / 255
    model = small()
    epsilons = [0, 4 / 255, 32 / 255]
    expected = md.robustness.accuracy_curve(model, images, labels, epsilons, batch_size=10)
    curve = md.robustness.accuracy_curve(model.to("gpu"), images, labels, epsilons, batch_size=10)
    assert abs(curve.accuracy - expected.accuracy).max() <= 1 / 40
    assert md.robustness.lipschitz_bound(model, (8, 8, 3)).bound > 0


ATTACKS = {
    "fgsm": lambda model, x, y: md.robustness.fgsm(model, x, y, [8 / 255]).adversarial[0],
    "pgd": lambda model, x, y: md.robustness.pgd(model, x, y, [8 / 255], steps=6, restarts=2).adversarial[0],
    "apgd": lambda model, x, y: md.robustness.apgd(model, x, y, [8 / 255], steps=8).adversarial[0],
    "deepfool": lambda model, x, y: md.robustness.deepfool(model, x, y, steps=8).adversarial,
    "jsma": lambda model, x, y: md.robustness.jsma(model, x, (y + 1) % 3, gamma=0.05).adversarial,
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_each_attack_on_a_card_goes_where_the_cpus_goes(attack):
    md.manual_seed(0)
    images, labels = images_and_labels(12)
    images = images.astype(np.float32) / 255
    model = small().eval()
    expected = ATTACKS[attack](model, images, labels)
    found = to_numpy(ATTACKS[attack](model.to("gpu"), images, labels))
    apart = abs(found - to_numpy(expected)).max(axis=(1, 2, 3))
    assert np.mean(apart < 1e-4) >= 0.75  # a sign of a number near 0 may be another, and lead elsewhere
    assert abs(found - images).max() > 0


def test_a_study_on_a_card(tmp_path):
    import json

    from minidl.study import Attack, Figure, Place, Pruning, Run, run_study

    runs = [
        Run("digits", 8, 8, "fc5", 256, epochs=3, lr=0.05, device="gpu", precision="exact", pruning=p)
        for p in (None, Pruning(0.5))
    ]
    figure = Figure("11", "FC5", "sparsity", tuple((run, Attack((0.0, 8.0))) for run in runs))
    run_study([figure], Place(tmp_path, progress=False), {"command": "", "preset": "", "settings": {}})
    for run in runs:
        record = json.loads((tmp_path / "runs" / run.name / "run.json").read_text(encoding="utf-8"))
        assert (record["device"], record["card"], record["run"]["precision"]) == ("gpu", card_name(), "exact")
        assert record["sparsity"] == pytest.approx(run.sparsity, abs=1e-3)
