"""What every attack says to bad input: what was given, what was expected, and what to do; or the right result."""

from functools import partial

import numpy as np
import pytest

import minidl as md
from minidl import nn
from minidl import robustness as R
from tests.robustness.twins import answers

FIXED = {
    "fgsm": R.fgsm,
    "pgd": partial(R.pgd, steps=2),
    "apgd": partial(R.apgd, steps=2),
    "square": partial(R.square, queries=3),
    "auto_attack": partial(R.auto_attack, steps=2, queries=2),
    "diagnose": partial(R.diagnose, steps=2, queries=2),
}
NEAREST = {name: partial(getattr(R, name), steps=2) for name in ("deepfool", "fmn", "fab")}
ALL = FIXED | NEAREST
each = pytest.mark.parametrize("name", ALL)


def network(channels=3, height=4, width=4, classes=5, dtype=np.float32):
    rng = np.random.default_rng(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(height * width * channels, classes, rng=rng))
    return model.astype(dtype)


IMAGES = np.random.default_rng(0).random((6, 4, 4, 3)).astype(np.float32)
LABELS = answers(network(), IMAGES)
BAD = {
    "int64": ({"images": (IMAGES * 255).astype(int)}, TypeError, r"uint8 in 0..255.*got int64"),
    "half": ({"images": IMAGES.astype(np.float16)}, TypeError, "float16.*float32 or float64"),
    "list": ({"images": [1.0]}, TypeError, "list"),
    "one image": ({"images": IMAGES[0]}, ValueError, r"\(4, 4, 3\).*image\[None\]"),
    "empty batch": ({"images": IMAGES[:0], "labels": LABELS[:0]}, ValueError, r"no images.*\(0, 4, 4, 3\)"),
    "0 to 255": ({"images": IMAGES * 255}, ValueError, r"\[0, 1\].*span.*255"),
    "below 0": ({"images": IMAGES - 0.5}, ValueError, r"span \[-0.*normalisation"),
    "nan": ({"images": np.where(IMAGES > 0.9, np.nan, IMAGES)}, ValueError, "NaN"),
    "real labels": ({"labels": LABELS * 1.0}, TypeError, "integers"),
    "too few labels": ({"labels": LABELS[:-1]}, ValueError, r"\(5,\).*\(6,\)"),
    "one-hot": ({"labels": np.eye(5, dtype=int)[LABELS]}, ValueError, "argmax"),
    "class 9": ({"labels": LABELS + 9}, ValueError, "label .* out of range.*0 to 4"),
    "batch size": ({"batch_size": 0}, ValueError, "batch_size is 0"),
    "half a batch": ({"batch_size": 0.5}, TypeError, "batch_size is 0.5"),
    "function": ({"model": lambda x: x}, TypeError, "Module"),
}
BAD_EPSILON = {
    "negative": (-0.1, ValueError, "epsilon is -0.1"),
    "grey levels": (8, ValueError, "epsilon is 8.*8 / 255"),
    "nan": (float("nan"), ValueError, "epsilon is nan"),
    "none": ([], (TypeError, ValueError), r"epsilon is \[\]"),
    "text": ("all", TypeError, "'all'"),
}


def call(name, **change):
    settings = {"model": network(), "images": IMAGES, "labels": LABELS} | change
    if name in FIXED:
        settings.setdefault("epsilon" if name in ("auto_attack", "diagnose") else "epsilons", 0.1)
    return ALL[name](**settings)


@each
@pytest.mark.parametrize(("change", "error", "message"), BAD.values(), ids=BAD)
def test_bad_input_says_what_is_wrong(name, change, error, message):
    with pytest.raises(error, match=message):
        call(name, **change)


@pytest.mark.parametrize("name", FIXED)
@pytest.mark.parametrize(("epsilon", "error", "message"), BAD_EPSILON.values(), ids=BAD_EPSILON)
def test_bad_epsilons_say_what_is_wrong(name, epsilon, error, message):
    key = "epsilon" if name in ("auto_attack", "diagnose") else "epsilons"
    with pytest.raises(error, match=message):
        call(name, **{key: epsilon})


@pytest.mark.parametrize("name", [n for n in ALL if n not in ("fgsm", "square")])
@pytest.mark.parametrize(("steps", "error"), [(0, ValueError), (2.5, TypeError)])
def test_steps_are_counted_from_one(name, steps, error):
    with pytest.raises(error, match=f"{name}: steps is {steps}"):
        call(name, steps=steps)


PARTICULAR = {
    "no restarts": ("pgd", {"restarts": 0}, "restarts is 0"),
    "no step": ("pgd", {"step": 0.0}, "step is 0.0"),
    "start": ("pgd", {"start": "corner"}, "unknown start 'corner': choose 'random' or 'image'"),
    "loss": ("pgd", {"loss": "dlr"}, "unknown loss 'dlr': choose 'cross_entropy' or 'margin'"),
    "apgd's loss": ("apgd", {"loss": "hinge"}, "unknown loss 'hinge': choose 'cross_entropy', 'dlr', 'targeted_dlr'"),
    "margin's temperature": ("pgd", {"loss": "margin", "temperature": 20}, "pgd: temperature is 20.*margin"),
    "temperature": ("pgd", {"temperature": 0}, "temperature is 0"),
    "seed": ("square", {"seed": -1}, "seed is -1"),
    "queries": ("square", {"queries": 0}, "queries is 0"),
    "norm": ("deepfool", {"norm": "1"}, "unknown norm '1': choose 'inf'"),
    "overshoot": ("deepfool", {"overshoot": -1.0}, "overshoot is -1"),
    "candidates": ("deepfool", {"candidates": 1}, "candidates is 1"),
    "no targets": ("fab", {"targets": 0}, "targets is 0"),
    "target is label": (
        "pgd",
        {"targets": LABELS},
        r"pgd: the target of image 0 is its own.*\(labels \+ 1\) % 5",
    ),
    "FGSM's targets": ("fgsm", {"targets": LABELS}, "fgsm: the target of image 0 is its own label"),
    "target 9": ("fgsm", {"targets": LABELS + 9}, "fgsm: targets: label .* out of range"),
}


@pytest.mark.parametrize(("name", "change", "message"), PARTICULAR.values(), ids=PARTICULAR)
def test_what_only_some_of_them_are_asked(name, change, message):
    with pytest.raises(ValueError, match=message):
        call(name, **change)


@each
def test_a_model_that_answers_nan_is_an_error_and_no_success(name):
    model = network()
    model[1].weight.data[0, 0] = np.nan
    with pytest.raises(ValueError, match=f"^{name}: the model's logits are NaN"):
        call(name, model=model)


@each
def test_modes_come_back_after_an_error(name):
    model = network().train()
    model[0].eval()
    with pytest.raises(ValueError, match="label"):
        call(name, model=model, labels=LABELS + 9)
    assert [m.training for m in model.modules()] == [True, False, True]


@each
@pytest.mark.parametrize(("channels", "height", "width"), [(1, 4, 4), (3, 2, 7), (1, 1, 1)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_any_shape_and_both_precisions(name, channels, height, width, dtype):
    model = network(channels, height, width, dtype=dtype)
    images = np.random.default_rng(1).random((3, height, width, channels)).astype(dtype)
    result = call(name, model=model, images=images, labels=answers(model, images))
    if name != "diagnose":
        assert result.adversarial.dtype == dtype
        assert result.adversarial.shape[-4:] == images.shape


@pytest.mark.parametrize("name", [n for n in FIXED if n not in ("auto_attack", "diagnose")])
def test_epsilon_zero_is_the_image_bit_for_bit(name):
    attack = call(name, epsilons=[0, 0.2], labels=(LABELS + (np.arange(6) < 2)) % 5)
    assert attack.adversarial[0].tobytes() == IMAGES.tobytes()
    assert attack.success[0].tolist() == [True] * 2 + [False] * 4


@each
def test_images_and_weights_stay_as_they_are(name):
    images, model = IMAGES.copy(), network()
    images.setflags(write=False)
    state = model.state_dict()
    call(name, model=model, images=md.Tensor(images), labels=LABELS.tolist())
    np.testing.assert_array_equal(images, IMAGES)
    assert all(p.grad is None for p in model.parameters())
    for key, array in model.state_dict().items():
        np.testing.assert_array_equal(array, state[key])
