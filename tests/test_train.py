"""fit and evaluate: the curve, the modes, the schedule, the pruner, and a loss that is not finite."""

import dataclasses
import pickle

import numpy as np
import pytest

import minidl as md
from minidl import nn, optim
from minidl.train import NonFiniteLossError


def two_blobs(n=64, seed=0):
    """Images (n, 4, 4, 1) that are bright at the left or at the right, and which."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(2, size=n)
    images = rng.random((n, 4, 4, 1), dtype=np.float32) / 2
    images[labels == 0, :, :2] += 0.5
    images[labels == 1, :, 2:] += 0.5
    return images, labels


def small_model():
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(16, 8, rng=np.random.default_rng(1)),
        nn.ReLU(),
        nn.Linear(8, 2, rng=np.random.default_rng(2)),
    )


def train(epochs=4, lr=0.5, batches=None, **settings):
    model = small_model()
    batches = batches or md.data.Loader(*two_blobs(), 16)
    optimizer = optim.SGD(model.parameters(), lr, momentum=0.9)
    return model, md.fit(model, batches, optimizer, epochs, progress=False, **settings)


def test_training_learns_and_tells_its_curve():
    model, curve = train(validation=md.data.Loader(*two_blobs(seed=1), 32, shuffle=False))
    assert [row.epoch for row in curve] == [0, 1, 2, 3]
    assert curve[-1].loss < curve[0].loss / 4
    assert curve[-1].val_accuracy == 1
    assert curve[-1].images_per_second > 0
    assert curve[-1].lr == 0.5
    assert not model.training


def test_the_curve_holds_the_mean_loss_of_its_epoch():
    """One batch, learning rate 0: the loss of the epoch is evaluate's loss."""
    images, labels = two_blobs()
    model, curve = train(1, lr=0.0, batches=md.data.Loader(images, labels, 64))
    score = md.evaluate(model, [(images, labels)], progress=False)
    assert curve[0].loss == pytest.approx(score.loss, rel=1e-6)
    assert curve[0].accuracy == score.accuracy


def test_same_seed_same_bits():
    (first, curve1), (second, curve2) = train(2), train(2)
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        np.testing.assert_array_equal(a.data, b.data)
    assert [row.loss for row in curve1] == [row.loss for row in curve2]


def test_the_schedule_sets_the_rate_of_every_step():
    seen = []

    def schedule(step):
        seen.append(step)
        return 0.01 * (step + 1)

    _, curve = train(2, schedule=schedule)
    assert seen == list(range(8))
    assert curve[-1].lr == pytest.approx(0.08)


def test_on_epoch_is_called_with_each_row():
    rows = []
    _, curve = train(3, on_epoch=rows.append)
    assert rows == curve


def test_the_temperature_reaches_the_loss():
    _, cold = train(1, lr=0.0)
    _, hot = train(1, lr=0.0, temperature=1e4)
    assert hot[0].loss == pytest.approx(np.log(2), abs=1e-4)
    assert cold[0].loss != pytest.approx(hot[0].loss, abs=1e-3)


class CountingPruner:
    sparsity = 0.25

    def __init__(self):
        self.steps, self.total = [], None

    def check(self, total_steps):
        self.total = total_steps

    def step(self, t):
        self.steps.append(t)


def test_the_pruner_follows_every_step():
    pruner = CountingPruner()
    _, curve = train(2, pruner=pruner)
    assert pruner.total == 8
    assert pruner.steps == list(range(8))
    assert curve[-1].sparsity == 0.25


def test_pruned_weights_are_zero_after_training():
    model = small_model()
    pruner = md.compress.MagnitudePruner(model, 0.75, start=0, every=1, count=5)
    md.fit(
        model,
        md.data.Loader(*two_blobs(), 16),
        optim.SGD(model.parameters(), 0.1, momentum=0.9),
        4,
        pruner=pruner,
        progress=False,
    )
    for _, parameter in model.named_parameters():
        if parameter.ndim == 2:
            assert (parameter.data == 0).mean() == 0.75


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_state():
    images, labels = two_blobs()
    poisoned = images.copy()
    poisoned[0] = np.nan
    states = []
    model = small_model()

    class Batches:
        """One whole epoch, then an epoch whose second batch is poisoned."""

        epoch = 0

        def __len__(self):
            return 2

        def __iter__(self):
            self.epoch += 1
            yield images, labels
            yield (images if self.epoch == 1 else poisoned), labels

    optimizer = optim.SGD(model.parameters(), 0.1, momentum=0.9)
    momenta = []

    def keep(row):
        states.append(model.state_dict())
        momenta.append([velocity.copy() for (velocity,) in optimizer.state])

    with pytest.raises(NonFiniteLossError, match=r"nan at step 3 \(learning rate 0.1\).*put back") as caught:
        md.fit(model, Batches(), optimizer, 2, progress=False, on_epoch=keep)
    assert caught.value.step == 3
    assert not model.training
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, states[0][name])
    for (velocity,), before in zip(optimizer.state, momenta[0], strict=True):
        np.testing.assert_array_equal(velocity, before)


@pytest.mark.filterwarnings("ignore:overflow|invalid:RuntimeWarning")
@pytest.mark.parametrize("epochs", [1, 2])
def test_a_step_too_far_is_noticed_even_when_it_is_the_last(epochs):
    """One batch an epoch: weights that the last step of an epoch destroyed are never taken for good."""
    model = small_model()
    start = model.state_dict()
    with pytest.raises(NonFiniteLossError, match="at step 0"):
        md.fit(model, [two_blobs()], optim.SGD(model.parameters(), 1e30), epochs, progress=False)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, start[name])


def test_a_bad_loss_after_the_only_step_of_an_epoch_goes_back_to_that_epoch():
    """One batch an epoch: the step's own loss was finite, so that the weights it began with are good."""
    model, ends, rates = small_model(), [], [0.1, 0.1, 0.1, 1e39]
    optimizer = optim.SGD(model.parameters(), 0.1)
    with pytest.raises(NonFiniteLossError, match=r"at step 3 \(learning rate 1e\+39\)"), np.errstate(all="ignore"):
        md.fit(
            model,
            md.data.Loader(*two_blobs(), 64),
            optimizer,
            4,
            schedule=rates.__getitem__,
            progress=False,
            on_epoch=lambda _: ends.append(model.state_dict()),
        )
    assert len(ends) == 3
    for name, value in ends[-1].items():
        np.testing.assert_array_equal(model.state_dict()[name], value)


def test_masks_are_put_back_with_the_weights():
    images, labels = two_blobs()
    model = small_model()
    pruner = md.compress.MagnitudePruner(model, 0.9, start=0, every=1, count=1)
    batches = [(images, labels), (images, labels), (np.full_like(images, np.nan), labels)]
    with pytest.raises(NonFiniteLossError):
        md.fit(model, batches, optim.SGD(model.parameters(), 0.1), 1, pruner=pruner, progress=False)
    assert md.compress.sparsity(model) == 0
    assert all(parameter.mask is None for parameter in model.parameters())


def test_the_error_travels_between_processes():
    error = pickle.loads(pickle.dumps(NonFiniteLossError("lost", 7)))
    assert (str(error), error.step) == ("lost", 7)


@pytest.mark.parametrize("images", [np.zeros((2, 4, 4, 1), int), [[0.5]]])
def test_images_that_are_no_real_numbers_are_refused(images):
    with pytest.raises(TypeError, match=r"evaluate: images must be .*\[0, 1\].*255"):
        md.evaluate(small_model(), [(images, np.array([0, 1]))], progress=False)


def test_evaluate_restores_every_mode():
    model = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(16, 2))
    model.train()
    model[1].training = False
    md.evaluate(model, [two_blobs()], progress=False)
    assert [module.training for module in model.modules()] == [True, True, False, True]


def test_evaluate_counts_images_not_batches():
    images, labels = two_blobs(10)
    model = small_model()
    whole = md.evaluate(model, [(images, labels)], progress=False)
    parts = md.evaluate(model, [(images[:7], labels[:7]), (images[7:], labels[7:])], progress=False)
    assert parts.accuracy == whole.accuracy
    assert parts.loss == pytest.approx(whole.loss, rel=1e-5)


def test_nothing_to_do_is_an_error():
    with pytest.raises(ValueError, match="0 epochs of 4 batches"):
        train(0)
    with pytest.raises(ValueError, match="no batches"):
        md.evaluate(small_model(), [], progress=False)


def test_without_a_terminal_an_epoch_is_a_line(capsys):
    model = small_model()
    md.fit(model, md.data.Loader(*two_blobs(), 16), optim.SGD(model.parameters(), 0.1), 2, name="blobs:")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert lines[1].startswith("blobs: epoch 2/2: loss=")
    for figure in ("accuracy=", "lr=0.1", "images/s="):
        assert figure in lines[1]


def test_evaluate_without_a_terminal_says_one_line(capsys):
    md.evaluate(small_model(), [two_blobs()])
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("evaluate: loss=")
    assert "accuracy=" in line


def test_progress_off_is_silent(capsys):
    train(1)
    out, err = capsys.readouterr()
    assert out == err == ""


def test_epochs_are_records():
    _, curve = train(1)
    assert set(dataclasses.asdict(curve[0])) >= {"epoch", "loss", "accuracy", "lr", "sparsity", "images_per_second"}


def test_an_optimiser_of_another_model_is_noticed():
    optimizer = optim.SGD(small_model().parameters(), 0.1)
    with pytest.raises(ValueError, match="4 are not this model's"):
        md.fit(small_model(), md.data.Loader(*two_blobs(), 16), optimizer, 1, progress=False)


def test_images_and_labels_are_not_batches():
    model = small_model()
    with pytest.raises(TypeError, match="Loader"):
        md.fit(model, two_blobs(), optim.SGD(model.parameters(), 0.1), 1, progress=False)
    with pytest.raises(TypeError, match="Loader"):
        md.evaluate(model, md.data.digits("val"), progress=False)


def test_batches_that_come_to_an_end():
    class Once(list):
        def __iter__(self):
            yield from [self.pop()] if list.__len__(self) else []

        def __len__(self):
            return 1

    model = small_model()
    with pytest.raises(ValueError, match="begins anew"):
        md.fit(model, Once([two_blobs()]), optim.SGD(model.parameters(), 0.1), 2, progress=False)
