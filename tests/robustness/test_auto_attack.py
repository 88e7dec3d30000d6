"""AutoAttack: the authors' robust accuracy part by part, who broke what, and the flags beside the number."""

import numpy as np
import pytest

import minidl as md
from minidl import nn
from minidl.robustness import apgd, auto_attack
from tests.robustness.twins import answers, digits_cnn, from_torch, to_torch, torch_cnn


def test_parts_break_what_the_authors_parts_break():
    """Each part by itself but square, whose squares reach farther than theirs; one image in 100 is up to chance."""
    torch, theirs = pytest.importorskip("torch"), pytest.importorskip("pyautoattack")
    model, images, labels = digits_cnn(100, np.float32)
    attack = theirs.AutoAttack(torch_cnn(model), eps=0.1, version="custom", attacks=["apgd-ce", "apgd-t"], seed=0)
    attack.apgd_targeted.n_target_classes, attack.apgd.n_restarts = 9, 1
    attack.apgd.n_iter_2 = attack.apgd_targeted.n_iter_2 = 6  # their checkpoints for 30 steps
    for part in (attack.apgd, attack.apgd_targeted):
        part.n_iter, part.n_iter_2, part.n_iter_min, part.size_decr = 30, 6, 1, 1
    found = attack.run_standard_evaluation(to_torch(images), torch.from_numpy(labels))[0]
    worst = auto_attack(model, images, labels, 0.1, parts=("apgd_ce", "apgd_t"), steps=30)
    assert abs(worst.success.sum() - (answers(model, from_torch(found)) != labels).sum()) <= 1
    assert 0.3 < worst.accuracy < 0.7


def test_each_part_is_tried_on_what_survived():
    model, images, labels = digits_cnn(40, np.float32)
    labels = np.where(np.arange(40) < 3, (labels + 1) % 10, labels)
    worst = auto_attack(model, images, labels, 0.1, queries=30, steps=10)
    assert (worst.broken_by[:3] == "clean").all()
    np.testing.assert_array_equal(worst.broken_by != "", worst.success)
    np.testing.assert_array_equal(answers(model, worst.adversarial) != labels, worst.success)
    untouched = np.isin(worst.broken_by, ("clean", ""))
    np.testing.assert_array_equal(worst.adversarial[untouched], images[untouched])
    assert abs(worst.adversarial - images).max() <= 0.1 + 1e-7
    first = apgd(model, images, labels, 0.1, steps=10, stop_early=True).success[0]
    np.testing.assert_array_equal(np.isin(worst.broken_by, ("clean", "apgd_ce")), first)
    text = str(worst)
    assert text.startswith(f"{worst.accuracy:.1%} of 40 images stand at 25.5/255 (95 % interval")
    assert "after clean 92.5%, apgd_ce" in text


def test_the_order_is_the_callers():
    model, images, labels = digits_cnn(30, np.float32)
    worst = auto_attack(model, images, labels, 0.15, parts=("square", "fab_t", "apgd_dlr"), queries=40, steps=5)
    assert worst.parts == ("square", "fab_t", "apgd_dlr")
    assert (worst.broken_by == "square").sum() > (worst.broken_by == "apgd_dlr").sum()


def test_epsilon_zero_is_the_clean_accuracy():
    model, images, labels = digits_cnn(10, np.float32)
    worst = auto_attack(model, images, (labels + (np.arange(10) < 2)) % 10, 0.0)
    assert worst.broken_by.tolist() == ["clean"] * 2 + [""] * 8
    assert worst.accuracy == 0.8


class Wrapped(nn.Module):
    """A network with something before it and after it, whatever its mode."""

    def __init__(self, net, before=lambda x: x, after=lambda z: z):
        self.net, self.before, self.after = net, before, after

    def forward(self, x):
        return self.after(self.net(self.before(x)))


def rounded(x):
    return md.Tensor((4 * x.data).round() / 4)


RNG = np.random.default_rng(0)


def dropped(x):
    """Dropout, whatever the mode."""
    return x * RNG.integers(0, 2, x.shape)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"before": rounded}, "gradients are zero"),
        ({"before": dropped}, "random"),
        ({"after": md.functional.softmax}, "not logits"),
    ],
)
def test_flags_stand_beside_the_number(change, expected):
    model, images, labels = digits_cnn(20, np.float32)
    worst = auto_attack(Wrapped(model, **change), images, labels, 0.1, queries=5, steps=3)
    assert expected in [flag.name for flag in worst.flags]
    assert f"\n{expected}: " in str(worst)
    plain = auto_attack(model, images, labels, 0.1, parts=("apgd_ce", "square"), queries=5, steps=20)
    assert plain.flags == ()


def test_a_search_that_finds_more_is_a_flag():
    model, images, labels = digits_cnn(20, np.float32)
    worst = auto_attack(Wrapped(model, rounded), images, labels, 0.25, parts=("apgd_ce", "square"), queries=60, steps=2)
    assert {"gradients are zero", "square"} <= {flag.name for flag in worst.flags}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"parts": ("apgd", "square")}, r"parts are \('apgd', 'square'\): choose from 'apgd_ce'"),
        ({"parts": ()}, "at least one"),
        ({"queries": 0}, "queries is 0"),
        ({"steps": 0}, "steps is 0"),
    ],
)
def test_bad_settings_say_what_is_wrong(settings, message):
    model, images, labels = digits_cnn(2, np.float32)
    with pytest.raises(ValueError, match=message):
        auto_attack(**{"model": model, "images": images, "labels": labels, "epsilon": 0.1} | settings)


def test_three_classes_have_no_dlr():
    model = md.models.fc5(num_classes=3, image_size=4, channels=1)
    images = np.random.default_rng(0).random((4, 4, 4, 1), dtype=np.float32)
    labels = answers(model, images)
    with pytest.raises(ValueError, match=r"the model has 3 classes.*parts=\('apgd_ce', 'fab_t', 'square'\)"):
        auto_attack(model, images, labels, 0.1)
    worst = auto_attack(model, images, labels, 0.5, parts=("apgd_ce", "fab_t"), steps=5)
    assert worst.success.any()
    assert [flag.name for flag in worst.flags] == ["few classes"]
