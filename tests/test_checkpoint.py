"""Checkpoints: a training that goes on from one ends with the bits of one that was never stopped."""

import numpy as np
import pytest

import minidl as md
from minidl import checkpoint, nn
from minidl.checkpoint import Checkpoints, CheckpointWarning, DamagedCheckpointError, load_checkpoint, save_checkpoint

EPOCHS = 4


def training(optimizer=md.optim.SGD):
    """A model with all that a checkpoint must remember: buffers, masks, two dropouts on one random stream."""
    rng, drop = np.random.default_rng(3), np.random.default_rng(4)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, rng=rng),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Dropout(0.2, drop),
        nn.Flatten(),
        nn.Dropout(0.2, drop),
        nn.Linear(4 * 6 * 6, 10, rng=rng),
    )
    settings = {"momentum": 0.9, "nesterov": True} if optimizer is md.optim.SGD else {}
    return model, optimizer(model.parameters(), lr=0.01, **settings)


def go_on(model, optimizer, first=0, until=EPOCHS, on_epoch=None):
    images, labels = md.data.digits("val")
    batches = md.data.Loader(images, labels, 90, pad=1, seed=5, prefetch=0)
    batches.next_epoch = first
    steps = EPOCHS * len(batches)
    pruner = md.compress.MagnitudePruner(model, 0.8, start=2, every=2, count=5)
    return md.fit(
        model,
        batches,
        optimizer,
        until,
        schedule=md.optim.one_cycle(0.05, steps),
        pruner=pruner if until == EPOCHS else Unchecked(pruner),
        progress=False,
        on_epoch=on_epoch,
        first_epoch=first,
    )


class Unchecked:
    """A pruner that does not mind a training that will be taken up by another process."""

    def __init__(self, pruner):
        self._pruner = pruner

    def __getattr__(self, name):
        return getattr(self._pruner, name)

    def check(self, total_steps):
        pass


def bits(model, optimizer):
    state = {**model.state_dict(), **{f"mask {n}": p.mask for n, p in model.named_parameters()}}
    memory = {f"memory {i} {j}": a for i, arrays in enumerate(optimizer.state) for j, a in enumerate(arrays)}
    return {name: None if a is None else (a.dtype, a.shape, a.tobytes()) for name, a in (state | memory).items()}


@pytest.mark.parametrize("optimizer", [md.optim.SGD, md.optim.Adam], ids=["SGD", "Adam"])
@pytest.mark.parametrize("stop", [1, 2, 3])
def test_a_training_taken_up_again_ends_with_the_same_bits(tmp_path, optimizer, stop):
    whole = training(optimizer)
    curve = go_on(*whole)
    first = training(optimizer)
    start = go_on(*first, until=stop)
    save_checkpoint(tmp_path / "c", *first, {"epochs": stop})
    second = training(optimizer)
    second[0][3].rng.random(7)  # wherever its random stream is, it is put back
    assert load_checkpoint(tmp_path / "c", *second) == {"epochs": stop}
    rest = go_on(*second, first=stop)
    assert bits(*second) == bits(*whole)
    assert [e.loss for e in start + rest] == [e.loss for e in curve]
    assert [e.epoch for e in rest] == list(range(stop, EPOCHS))


def test_every_single_changed_byte_is_noticed(tmp_path):
    model, optimizer = training()
    go_on(model, optimizer, until=1)
    path = tmp_path / "c"
    save_checkpoint(path, model, optimizer, {"epochs": 1})
    content, before = path.read_bytes(), bits(model, optimizer)
    rng = np.random.default_rng(0)
    places = [0, 3, 8, len(content) - 1, *rng.integers(len(content), size=60).tolist()]
    for i in places:
        path.write_bytes(content[:i] + bytes([content[i] ^ 16]) + content[i + 1 :])
        with pytest.raises(DamagedCheckpointError, match="damaged"):
            load_checkpoint(path, model, optimizer)
    for size in (0, 5, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:size])
        with pytest.raises(DamagedCheckpointError, match="damaged"):
            load_checkpoint(path, model, optimizer)
    assert bits(model, optimizer) == before


def test_a_checkpoint_of_another_model_changes_nothing(tmp_path):
    model, optimizer = training()
    save_checkpoint(tmp_path / "c", model, optimizer, {})
    other = md.models.fc5(image_size=8, channels=1)
    other_optimizer = md.optim.SGD(other.parameters(), lr=0.1)
    before = bits(other, other_optimizer)
    with pytest.raises(ValueError, match=r"c is of another training[^$]*nothing was changed[^$]*missing: fc1.weight"):
        load_checkpoint(tmp_path / "c", other, other_optimizer)
    assert bits(other, other_optimizer) == before


def test_the_two_newest_are_kept_and_a_damaged_one_is_passed_over(tmp_path):
    model, optimizer = training()
    checkpoints = Checkpoints(tmp_path, share=1)
    for epochs in (1, 2, 3):
        assert checkpoints.save(epochs, model, optimizer, {"epochs": epochs})
    assert [path.name for path in checkpoints.files()] == ["epoch-0003.safetensors", "epoch-0002.safetensors"]
    newest = checkpoints.files()[0]
    newest.write_bytes(newest.read_bytes()[:-9])
    with pytest.warns(CheckpointWarning, match=r"epoch-0003.* is damaged.*before it"):
        assert checkpoints.resume(model, optimizer) == {"epochs": 2}
    checkpoints.clear()
    assert checkpoints.resume(model, optimizer) is None


def test_a_full_disk_is_reported_and_the_one_before_kept(tmp_path, monkeypatch):
    model, optimizer = training()
    checkpoints = Checkpoints(tmp_path, share=1)
    checkpoints.save(1, model, optimizer, {"epochs": 1})

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_checkpoint", full)
    with pytest.warns(CheckpointWarning, match="No space left.*Make room"):
        assert not checkpoints.save(2, model, optimizer, {"epochs": 2})
    assert checkpoints.resume(model, optimizer) == {"epochs": 1}


def test_they_take_no_more_than_their_share_of_the_time(tmp_path, monkeypatch):
    model, optimizer = training()
    now = [0.0]
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: now[0])
    save = checkpoint.save_checkpoint

    def slow(*args):
        save(*args)
        now[0] += 3.0

    monkeypatch.setattr(checkpoint, "save_checkpoint", slow)
    checkpoints = Checkpoints(tmp_path, share=0.03)
    written = []
    for epoch in range(1, 41):
        now[0] += 10.0
        written.append(checkpoints.save(epoch, model, optimizer, {}))
    assert written[0]  # so small a model is thought to take no time; then it turns out to take 3 s
    assert sum(written) == 1 + 39 * 10 // 100
