"""Batches: right pixels, one seed, any prefetch, no thread left behind."""

import gc
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minidl.data import Loader, digits, loader
from minidl.data.windows import cut


def numbered(n, H=6, W=5, C=3):
    """Images whose every pixel tells where it came from, as far as a byte can; labels that name the image."""
    images = np.random.default_rng(0).integers(0, 256, (n, H, W, C), dtype=np.uint8)
    return images, np.arange(n)


def collect(batches):
    xs, ys = zip(*batches, strict=True)
    return np.concatenate(xs), np.concatenate(ys)


def assert_same(a, b):
    for left, right in zip(a, b, strict=True):
        np.testing.assert_array_equal(left, right)


def live_threads():
    return [thread for thread in threading.enumerate() if thread.name == "minidl-batches"]


@pytest.fixture(autouse=True)
def no_thread_left_behind():
    yield
    assert live_threads() == []


# What a batch holds


def test_plain_batches_are_the_images():
    images, labels = numbered(10)
    batches = list(Loader(images, labels, 4, shuffle=False))
    assert [len(y) for _, y in batches] == [4, 4, 2]
    x, y = collect(batches)
    assert (x.dtype, y.dtype) == (np.float32, np.int64)
    np.testing.assert_array_equal(x, images / np.float32(255))
    np.testing.assert_array_equal(y, labels)


def test_range_is_the_unit_interval():
    images = np.array([0, 255], np.uint8).reshape(2, 1, 1, 1)
    x, _ = collect(Loader(images, np.zeros(2, int), 2, shuffle=False))
    assert x.ravel().tolist() == [0, 1]


def test_digits_pass_unchanged():
    images, labels = digits()
    x, y = collect(Loader(images, labels, 100, shuffle=False))
    np.testing.assert_array_equal(x, images)
    np.testing.assert_array_equal(y, labels)


@pytest.mark.parametrize("dtype", [np.int32, np.uint8, np.int64])
def test_labels_come_out_as_int64(dtype):
    images, labels = numbered(3)
    assert next(iter(Loader(images, labels.astype(dtype), 3, prefetch=0)))[1].dtype == np.int64


@settings(deadline=None)
@given(
    n=st.integers(1, 12),
    batch_size=st.integers(1, 14),
    crop=st.tuples(st.integers(1, 6), st.integers(1, 5)),
    pad=st.integers(0, 2),
    flip=st.booleans(),
    seed=st.integers(0, 2**64),
)
def test_every_image_once_as_one_of_its_windows(n, batch_size, crop, pad, flip, seed):
    images, labels = numbered(n)
    loader = Loader(images, labels, batch_size, crop=crop, pad=pad, flip=flip, seed=seed, prefetch=0)
    x, y = collect(loader)
    assert sorted(y) == labels.tolist()
    assert x.shape == (n, *crop, 3)
    h, w = crop
    padded = np.pad(images, ((0, 0), (pad, pad), (pad, pad), (0, 0))) / np.float32(255)
    windows = np.lib.stride_tricks.sliding_window_view(padded, crop, axis=(1, 2)).transpose(0, 1, 2, 4, 5, 3)
    for found, label in zip(x, y, strict=True):
        possible = windows[label].reshape(-1, h, w, 3)
        matches = (possible == found).all((1, 2, 3)).any()
        mirrored = (possible == found[:, ::-1]).all((1, 2, 3)).any()
        assert matches or (flip and mirrored)


def test_all_windows_and_both_sides_come_up():
    images, labels = np.repeat(numbered(1)[0], 2000, axis=0), np.zeros(2000, int)
    x, _ = collect(Loader(images, labels, 500, crop=(5, 4), pad=1, flip=True))
    kinds, counts = np.unique(x.reshape(2000, -1), axis=0, return_counts=True)
    assert len(kinds) == 4 * 4 * 2  # (6 + 2 - 5 + 1) tops, (5 + 2 - 4 + 1) lefts, flipped or not
    assert counts.min() > 2000 / 32 / 2


def test_without_augmentation_the_centre():
    images, labels = numbered(5, H=72, W=72)
    x, _ = collect(Loader(images, labels, 2, crop=64, pad=4, flip=True, shuffle=False))
    np.testing.assert_array_equal(x, images[:, 4:68, 4:68] / np.float32(255))


def test_augment_without_shuffle():
    images, labels = numbered(50)
    x, y = collect(Loader(images, labels, 8, flip=True, shuffle=False, augment=True))
    np.testing.assert_array_equal(y, labels)
    flipped = (x != images / np.float32(255)).any((1, 2, 3))
    assert 10 < flipped.sum() < 40


def test_reads_a_memory_map(tmp_path):
    images, labels = numbered(9)
    np.save(tmp_path / "images.npy", images)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    assert_same(collect(Loader(mapped, labels, 4)), collect(Loader(images, labels, 4)))


# Counting


@settings(deadline=None)
@given(n=st.integers(1, 20), batch_size=st.integers(1, 20), drop_last=st.booleans())
def test_length(n, batch_size, drop_last):
    if drop_last and batch_size > n:
        return
    loader = Loader(*numbered(n), batch_size, drop_last=drop_last, prefetch=0)
    sizes = [len(y) for _, y in loader]
    assert len(sizes) == len(loader)
    assert sum(sizes) == (n - n % batch_size if drop_last else n)


# Randomness


@pytest.mark.parametrize("prefetch", [0, 1, 2, 50])
def test_same_bits_whatever_the_prefetch(prefetch):
    options = {"crop": 4, "flip": True, "seed": 5}
    reference = Loader(*numbered(20), 3, **options, prefetch=0)
    loader = Loader(*numbered(20), 3, **options, prefetch=prefetch)
    for _ in range(3):
        assert_same(collect(loader), collect(reference))


def test_resuming_gives_the_same_epochs():
    straight, resumed = (Loader(*numbered(20), 3, crop=4, flip=True, seed=5) for _ in range(2))
    epochs = [collect(straight) for _ in range(4)]
    assert_same(collect(resumed.epoch(2)), epochs[2])
    resumed.next_epoch = 3
    assert_same(collect(resumed), epochs[3])
    assert not np.array_equal(epochs[0][1], epochs[1][1])


def test_an_abandoned_epoch_leaves_the_next_alone():
    straight, broken = (Loader(*numbered(20), 3, seed=5) for _ in range(2))
    for _ in broken:
        break
    collect(straight)
    assert_same(collect(broken), collect(straight))


def test_augmentation_leaves_the_order_alone():
    plain, augmented = Loader(*numbered(20), 3), Loader(*numbered(20), 3, crop=2, flip=True)
    np.testing.assert_array_equal(collect(plain)[1], collect(augmented)[1])


def test_seeds():
    def order(seed):
        return collect(Loader(*numbered(20), 20, seed=seed))[1].tolist()

    assert order(1) == order(1) != order(2)
    assert order(np.random.SeedSequence(1)) == order(np.random.default_rng(1)) == order(1)
    rng = np.random.default_rng(1)
    assert order(rng) != order(rng)  # each loader takes a stream of its own...
    assert rng.random() == np.random.default_rng(1).random()  # ...and none of the generator's numbers


# The thread


def test_thread_stops_at_a_break():
    for _ in Loader(*numbered(100), 1):
        assert len(live_threads()) == 1
        break
    assert live_threads() == []


def test_thread_stops_when_the_consumer_raises():
    with pytest.raises(KeyError):
        for _ in Loader(*numbered(100), 1):
            raise KeyError
    assert live_threads() == []


def test_thread_stops_when_the_iterator_is_dropped():
    loader = Loader(*numbered(100), 1)
    batches = iter(loader)
    next(batches)
    del loader
    assert len(live_threads()) == 1
    del batches
    assert live_threads() == []


def test_thread_stops_when_a_cycle_is_collected():
    batches = iter(Loader(*numbered(100), 1))
    next(batches)
    cycle = [batches]
    cycle.append(cycle)
    del batches, cycle
    gc.collect()
    assert live_threads() == []


def test_many_abandoned_loops():
    loader = Loader(*numbered(30), 1, prefetch=3)
    for stop_at in range(40):
        for i, _ in enumerate(loader):
            if i == stop_at:
                break
    assert live_threads() == []


def test_no_thread_without_prefetch():
    batches = iter(Loader(*numbered(10), 2, prefetch=0))
    next(batches)
    assert live_threads() == []


def test_no_thread_in_the_browser(monkeypatch):
    monkeypatch.setattr(sys, "platform", "emscripten")
    assert Loader(*numbered(10), 2, prefetch=2).prefetch == 0


def test_an_exit_in_mid_loop_is_clean():
    lesson = "from minidl.data import *; batches = iter(Loader(*digits(), 1)); next(batches)"
    done = subprocess.run([sys.executable, "-c", lesson], capture_output=True, text=True, encoding="utf-8", timeout=30)
    assert (done.returncode, done.stderr) == (0, "")


def test_batches_are_ready_ahead(monkeypatch):
    seen = []

    def watched(images, plan, *window):
        seen.append(len(plan.rows))
        return cut(images, plan, *window)

    monkeypatch.setattr(loader, "cut", watched)
    batches = iter(Loader(*numbered(20), 1, prefetch=4))
    next(batches)
    deadline = time.monotonic() + 5
    while len(seen) < 6 and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(0.02)
    assert len(seen) == 6  # one consumed, four in the queue, one waiting for room: and no more


@pytest.mark.parametrize("prefetch", [0, 2])
def test_an_error_reaches_the_consumer(prefetch, monkeypatch):
    def broken(images, plan, *window):
        if 7 in plan.rows:
            raise OSError("the disk went away")
        return cut(images, plan, *window)

    monkeypatch.setattr(loader, "cut", broken)
    batches = iter(Loader(*numbered(10), 2, shuffle=False, prefetch=prefetch))
    assert [next(batches)[1].tolist() for _ in range(3)] == [[0, 1], [2, 3], [4, 5]]
    with pytest.raises(OSError, match="the disk went away"):
        next(batches)
    assert next(batches, None) is None


# Bad input


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "Loader: batch_size is 0, and must be at least 1"),
        ({"crop": 7}, "crop 7x7 is larger than the images, 6x5"),
        ({"crop": (6, 6)}, "crop 6x6 is larger"),
        ({"crop": 0}, "Loader: crop is 0, and must be an int or a pair of ints, at least 1"),
        ({"crop": (1, 2, 3)}, r"crop is \(1, 2, 3\), and must be an int or a pair"),
        ({"pad": -1}, "pad is -1, and must be at least 0"),
        ({"prefetch": -1}, "prefetch is -1"),
        ({"batch_size": 11, "drop_last": True}, "drop_last leaves nothing: 10 images"),
        ({"labels": np.zeros(9, int)}, r"labels have shape \(9,\), the images ask for \(10,\)"),
        ({"labels": np.zeros((10, 10), int)}, r"labels have shape \(10, 10\)"),
        ({"labels": np.full(10, 2**63, np.uint64)}, "label 9223372036854775808 of image 0 is out of range"),
        ({"labels": np.arange(-1, 9)}, "label -1 of image 0 is out of range: labels go from 0"),
        ({"images": np.zeros((10, 6, 5), np.uint8)}, r"\(n, H, W, C\), got \(10, 6, 5\)"),
        ({"images": np.zeros((0, 6, 5, 3), np.uint8), "labels": np.zeros(0, int)}, "no images to load"),
        ({"images": np.full((10, 6, 5, 3), 255.0)}, "they span .255, 255.. Divide pixels from 0 to 255 by 255"),
        ({"images": np.full((10, 6, 5, 3), np.nan)}, "900 of their values are NaN"),
    ],
)
def test_bad_input(options, message):
    images, labels = numbered(10)
    with pytest.raises(ValueError, match=message):
        Loader(**{"images": images, "labels": labels, "batch_size": 2} | options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"images": np.zeros((10, 6, 5, 3), int)}, "images must be uint8 in 0..255 or float32 in .0, 1., got int64"),
        ({"batch_size": 2.5}, "batch_size is 2.5, and must be a whole number"),
        ({"labels": np.zeros(10)}, "labels must be integers .class numbers., and are float64"),
    ],
)
def test_bad_kinds(options, message):
    images, labels = numbered(10)
    with pytest.raises(TypeError, match=f"Loader: {message}"):
        Loader(**{"images": images, "labels": labels, "batch_size": 2} | options)


def test_bad_epoch():
    with pytest.raises(ValueError, match="epoch is -1, and must be at least 0"):
        Loader(*numbered(4), 2).epoch(-1)


def test_a_generator_without_a_seed_sequence_is_refused():
    old = np.random.Generator(np.random.RandomState(5)._bit_generator)
    with pytest.raises(TypeError, match=r"Loader: the generator has no seed sequence"):
        Loader(*numbered(4), 2, seed=old)


def test_it_draws_from_the_streams_that_are_called_so():
    """Shuffling and augmentation each from their own, and neither from the one that initial weights come from."""
    from minidl.backend import streams

    keys = Loader(*numbered(20), 3, seed=5)._keys
    drawn = streams(5)
    assert keys == {name: int(drawn[name].integers(2**63)) for name in ("shuffle", "augmentation")}
    assert int(streams(5)["init"].integers(2**63)) not in keys.values()
    plain, cropped = (Loader(*numbered(20), 20, seed=5, crop=crop, prefetch=0) for crop in (None, 2))
    np.testing.assert_array_equal(next(iter(plain))[1], next(iter(cropped))[1])  # one order, augmented or not
