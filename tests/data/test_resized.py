"""Random resized windows: of the right sizes, resized as PyTorch does it, the same bits in any order."""

import numpy as np
import pytest

from minidl.data import Loader, digits
from minidl.data.resized import draw_sizes, resized

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (40, 18, 23, 3), dtype=np.uint8)


def windows(n=40, size=(18, 23), scale=(0.2, 1.0)):
    heights, widths = draw_sizes(RNG, n, size, scale)
    tops, lefts = (RNG.integers(most - side, endpoint=True) for most, side in zip(size, (heights, widths), strict=True))
    return (tops, heights), (lefts, widths), RNG.random(n) < 0.5


@pytest.mark.parametrize("size", [(64, 64), (48, 80)])
def test_sizes_are_drawn_as_said(size):
    heights, widths = draw_sizes(np.random.default_rng(1), 20_000, size, (0.35, 0.8))
    part, shape = heights * widths / (size[0] * size[1]), widths / heights
    assert heights.max() <= size[0]
    assert widths.max() <= size[1]
    assert part.min() == pytest.approx(0.35, abs=0.02)
    assert part.max() == pytest.approx(0.8, abs=0.03)
    assert shape.min() == pytest.approx(3 / 4, abs=0.03)
    assert shape.max() == pytest.approx(4 / 3, abs=0.03)
    if size == (64, 64):  # both are drawn evenly, but for the large windows that do not fit
        assert np.median(part) == pytest.approx(0.575, abs=0.02)
        assert np.median(shape) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize(("size", "largest"), [((3, 40), (3, 4)), ((40, 3), (4, 3)), ((1, 1), (1, 1))])
def test_where_nothing_fits_the_largest_is_taken(size, largest):
    heights, widths = draw_sizes(np.random.default_rng(0), 50, size, (0.9, 1.0))
    assert (set(heights), set(widths)) == ({largest[0]}, {largest[1]})


@pytest.mark.parametrize("size", [(16, 16), (9, 5), (30, 41)])
def test_resizing_agrees_with_pytorch(size):
    torch = pytest.importorskip("torch")
    rows, columns, flips = windows()
    found = resized(IMAGES, rows, columns, flips, size)
    assert found.dtype == np.float32
    for b, (top, height, left, width) in enumerate(zip(*rows, *columns, strict=True)):
        window = IMAGES[b, top : top + height, left : left + width].transpose(2, 0, 1)[None] / 255
        how = {"size": size, "mode": "bilinear", "antialias": True}
        there = torch.nn.functional.interpolate(torch.tensor(window), **how)[0].numpy().transpose(1, 2, 0)
        np.testing.assert_allclose(found[b], there[:, ::-1] if flips[b] else there, atol=5e-5)


def test_floats_are_resized_as_bytes_are():
    rows, columns, flips = windows()
    both = [resized(images, rows, columns, flips, (16, 16)) for images in (IMAGES, IMAGES / np.float32(255))]
    np.testing.assert_array_equal(*both)


def test_a_plain_surface_stays_as_it_is():
    rows, columns, flips = windows()
    for value in (0, 1, 128, 255):
        x = resized(np.full_like(IMAGES, value), rows, columns, flips, (13, 7))
        np.testing.assert_array_equal(x, np.float32(value << 7) / np.float32(255 << 7))


def test_a_window_of_the_right_size_is_cut():
    every = np.zeros(40, int)
    x = resized(IMAGES, (every + 2, every + 11), (every + 5, every + 8), np.arange(40) % 2 == 1, (11, 8))
    window = IMAGES[:, 2:13, 5:13].astype(np.float32)
    window[1::2] = window[1::2, :, ::-1]
    np.testing.assert_allclose(x, window / 255, atol=1e-7)


def test_a_loader_draws_other_windows_each_epoch():
    train = digits("train")
    batches = Loader(*train, 100, crop=6, scale=(0.35, 1.0), flip=True, seed=3)
    first, again, second = (next(batches.epoch(epoch))[0] for epoch in (0, 0, 1))
    assert first.shape == (100, 6, 6, 1)
    np.testing.assert_array_equal(first, again)
    assert (first != second).any()


def test_validation_is_the_central_window():
    with_scale, without = (
        next(iter(Loader(IMAGES, np.arange(40), 40, crop=12, shuffle=False, scale=scale))) for scale in ((0.3, 1), None)
    )
    np.testing.assert_array_equal(with_scale[0], without[0])


@pytest.mark.parametrize("count", [1, 7, 40])
def test_how_many_are_resized_at_once_changes_no_bit(count, monkeypatch):
    whole = next(iter(Loader(IMAGES, np.arange(40), 40, scale=(0.3, 1))))[0]
    monkeypatch.setattr("minidl.data.windows.AT_ONCE", count)
    np.testing.assert_array_equal(next(iter(Loader(IMAGES, np.arange(40), 40, scale=(0.3, 1))))[0], whole)


@pytest.mark.parametrize(
    ("scale", "message"),
    [
        (0.5, "scale is 0.5: two parts of the image's area"),
        ((0.2, 0.5, 1), "two parts of the image's area"),
        ((0, 1), r"scale is 0.*\(0, 1\]"),
        ((0.5, 1.5), r"scale is 1.5.*\(0, 1\]"),
        ((0.8, 0.5), r"the smaller part comes first, scale=\(0.5, 0.8\)"),
    ],
)
def test_bad_scales(scale, message):
    with pytest.raises(ValueError, match=f"Loader: .*{message}"):
        Loader(IMAGES, np.arange(40), 8, scale=scale)


def test_scale_and_pad_are_one_too_many():
    with pytest.raises(ValueError, match="cuts windows within the image, and pad=2 around it: choose one"):
        Loader(IMAGES, np.arange(40), 8, scale=(0.5, 1), pad=2)
