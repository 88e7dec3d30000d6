"""One meaning of an image, wherever one is taken: uint8 from 0 to 255 and floats in [0, 1] are the same images."""

import re
import warnings

import numpy as np
import pytest

import minidl as md
from minidl import compress, nn, robustness

GREY = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)
REAL = GREY.astype(np.float32) / 255
LABELS = np.array([0, 1, 2, 0, 1, 2])


def model():
    rng = np.random.default_rng(1)
    body = nn.Conv2d(3, 4, 3, rng=rng), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3, rng=rng)
    return nn.Sequential(nn.Normalize(0.5, 0.25), *body).eval()


def trained(images):
    network = model()
    md.fit(network, [(images, LABELS)], md.optim.SGD(network.parameters(), 0.1), 2, progress=False)
    return network.state_dict()


def loaded(images):
    return [x for x, _ in md.data.Loader(images, LABELS, 4, seed=1, prefetch=0)]


def decomposed(images):
    network = model()
    compress.decompose(network, [2], "jaderberg", images)
    return network.state_dict()


def guarded(images):
    guard = md.train.Guard(model(), images, LABELS, epsilon=0.1)
    return guard.images


R = robustness
TAKE_IMAGES = {
    "fit": trained,
    "evaluate": lambda x: md.evaluate(model(), [(x, LABELS)], progress=False),
    "Loader": loaded,
    "Guard": guarded,
    "decompose": decomposed,
    "fgsm": lambda x: R.fgsm(model(), x, LABELS, [0.1]).adversarial,
    "pgd": lambda x: R.pgd(model(), x, LABELS, [0.1], steps=2).adversarial,
    "apgd": lambda x: R.apgd(model(), x, LABELS, [0.1], steps=2).adversarial,
    "square": lambda x: R.square(model(), x, LABELS, [0.1], queries=3).adversarial,
    "deepfool": lambda x: R.deepfool(model(), x, LABELS, steps=2).adversarial,
    "fmn": lambda x: R.fmn(model(), x, LABELS, steps=2).adversarial,
    "fab": lambda x: R.fab(model(), x, LABELS, steps=2).adversarial,
    "jsma": lambda x: R.jsma(model(), x, (LABELS + 1) % 3).adversarial,
    "auto_attack": lambda x: R.auto_attack(model(), x, LABELS, 0.1, parts=("apgd_ce",), queries=3).adversarial,
    "accuracy_curve": lambda x: R.accuracy_curve(model(), x, LABELS, [0, 0.1]).accuracy,
    "smallest_epsilon": lambda x: R.smallest_epsilon(model(), x, LABELS),
    "transfer": lambda x: R.transfer({"a": model(), "b": model()}, x, LABELS, 0.1).rate,
    "diagnose": lambda x: R.diagnose(model(), x, LABELS, 0.1).accuracy,
    "linear_bounds": lambda x: R.linear_bounds(model(), x, 0.01),
    "interval_bounds": lambda x: R.interval_bounds(model(), x, 0.01),
    "certified": lambda x: R.certified(model(), x, LABELS, [0.01]).verified,
    "certified_epsilon": lambda x: R.certified_epsilon(model(), x[:2], LABELS[:2], tolerance=0.05),
    "certify_smoothed": lambda x: R.certify_smoothed(model(), x[:2], 0.25, n0=2, n=3).classes,
}


def arrays(result):
    if isinstance(result, dict):
        result = tuple(result.values())
    return [np.asarray(part) for part in result] if isinstance(result, tuple | list) else [np.asarray(result)]


@pytest.mark.parametrize("name", TAKE_IMAGES)
def test_both_kinds_are_the_same_images(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", robustness.ZeroGradientWarning)
        results = [arrays(TAKE_IMAGES[name](images)) for images in (GREY, REAL)]
    for a, b in zip(*results, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", ["fit", "evaluate", "Loader", "fgsm", "linear_bounds", "decompose"])
def test_images_that_were_scaled_twice_are_told_of(name):
    for images, said in (
        (REAL / 255, "0.0039, and real numbers .* divided by 255 twice"),
        ((GREY > 128).astype(np.uint8), "1, and uint8 goes .*astype.np.float32"),
    ):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            TAKE_IMAGES[name](images)
        assert any(re.match(f"{name}: the largest of these pixels is {said}", str(w.message)) for w in caught)


@pytest.mark.parametrize("images", [0 * REAL, 0 * GREY, np.full_like(REAL, 2 / 255), np.full_like(GREY, 2)])
def test_dark_images_are_no_mistake(images):
    """Black ones say nothing; of larger ones than 1 of 255 some may be meant. Warnings are errors here."""
    loaded(images)
    md.evaluate(model(), [(images, LABELS)], progress=False)


def test_one_bright_image_among_many_is_enough():
    images = np.zeros((200, 4, 4, 1), np.uint8)
    images[150] = 1
    with pytest.warns(UserWarning, match="uint8 goes from 0 to 255"):
        md.data.Loader(images, np.zeros(200, int), 50)
    images[199] = 255
    md.data.Loader(images, np.zeros(200, int), 50)


@pytest.mark.parametrize("name", ["fgsm", "Loader", "evaluate", "certified"])
@pytest.mark.parametrize("kind", [np.int64, np.int8, bool, complex])
def test_other_kinds_are_refused(name, kind):
    with pytest.raises(
        TypeError, match=rf"{name}: images must be uint8 in 0..255 or float32 in .0, 1., got {np.dtype(kind)}"
    ):
        TAKE_IMAGES[name](GREY.astype(kind))


def test_pictures_take_both():
    pytest.importorskip("matplotlib")
    drawn = [md.plot.adversary(model(), x[0], x[1]).axes[0].images[0].get_array() for x in (GREY, REAL)]
    np.testing.assert_array_equal(*drawn)
