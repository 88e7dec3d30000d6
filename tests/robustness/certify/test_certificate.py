"""What is certified stands, whatever the attack; and robustness from both sides."""

import functools
import itertools

import numpy as np
import pytest

import minidl as md
from minidl import nn
from minidl import robustness as R

from ..twins import digits_cnn
from .exact import margins, nearby
from .networks import IMAGES, networks

EPSILONS = np.array([0, 2, 4, 8, 16, 32]) / 255


@functools.cache
def perceptron():
    """A small perceptron, trained on the digits."""
    md.manual_seed(0)
    model = nn.Sequential(
        nn.Normalize(0.5, 0.25), nn.Flatten(), nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 32), nn.ReLU(),
        nn.Linear(32, 10),
    )  # fmt: skip
    batches = md.data.Loader(*md.data.digits("train"), batch_size=64, seed=0)
    optimizer = md.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    md.fit(model, batches, optimizer, epochs=8, progress=False)
    return model.eval()


@functools.cache
def case(name):
    """(model, 40 images, labels, what is certified): a perceptron, and a network with pooling and normalisation."""
    if name == "perceptron":
        images, labels = md.data.digits("val")
        model, images, labels = perceptron(), images[:40], np.asarray(labels[:40])
    else:
        model, images, labels = digits_cnn(40, np.float32)
    return model, images, labels, R.certified(model, images, labels, EPSILONS)


each = pytest.mark.parametrize("name", ["perceptron", "cnn"])
ATTACKS = {
    "fgsm": lambda *a: R.fgsm(*a, loss="margin"),
    "pgd": lambda *a: R.pgd(*a, steps=50, restarts=2, loss="margin"),
    "apgd": lambda *a: R.apgd(*a, steps=50),
    "square": lambda *a: R.square(*a, queries=300),
}


@each
@pytest.mark.parametrize("attack", ATTACKS)
def test_no_attack_breaks_a_certified_image(name, attack):
    model, images, labels, certificate = case(name)
    both = R.TwoSided(certificate, ATTACKS[attack](model, images, labels, EPSILONS))  # else it is an error
    assert 0.5 < both.lower[1] <= both.upper[1]
    assert both.upper[-1] < 1
    assert both.undecided[0] == 0
    assert both.undecided == pytest.approx(both.upper - both.lower)


@each
def test_the_worst_case_of_all_attacks_breaks_no_certified_image(name):
    model, images, labels, certificate = case(name)
    part, e = slice(24), 3
    attack = R.auto_attack(model, images[part], labels[part], float(EPSILONS[e]))
    assert not (np.asarray(attack.success) & certificate.verified[e, part]).any()


@each
def test_10000_points_break_no_certified_image(name):
    model, images, labels, certificate = case(name)
    rng = np.random.default_rng(0)
    for e, b in [(2, 0), (2, 3), (3, 0), (3, 5)]:
        if not certificate.verified[e, b]:
            continue
        others = np.delete(np.arange(10), labels[b])
        found = margins(model, nearby(images[b], EPSILONS[e], 10_000, rng), labels[b], others)
        assert (found > 0).all()


@each
def test_what_is_certified_is_what_the_bounds_prove(name):
    model, images, labels, certificate = case(name)
    for e, epsilon in enumerate(EPSILONS):
        bounds = R.linear_bounds(model, images, float(epsilon), labels=labels)
        assert np.array_equal(certificate.verified[e], (bounds.lower > 0).all(axis=1))
    assert certificate.part == pytest.approx(certificate.verified.mean(axis=1))
    assert certificate.part_band == pytest.approx(R.wilson_interval(certificate.verified.sum(axis=1), 40))


@each
def test_fewer_images_are_certified_at_larger_epsilons_and_in_any_order(name):
    model, images, labels, certificate = case(name)
    assert all((after <= before).all() for before, after in itertools.pairwise(certificate.verified))
    turned = R.certified(model, images, labels, EPSILONS[[3, 0, 3, 5]])
    assert np.array_equal(turned.verified, certificate.verified[[3, 0, 3, 5]])


@each
def test_better_slopes_certify_no_fewer(name):
    model, images, labels, certificate = case(name)
    better = R.certified(model, images, labels, EPSILONS, steps=20)
    assert (better.verified >= certificate.verified).all()
    R.TwoSided(better, R.pgd(model, images, labels, EPSILONS, steps=20))


@each
def test_the_largest_certified_epsilon_lies_between_what_is_certified(name):
    model, images, labels, certificate = case(name)
    found = R.certified_epsilon(model, images[:12], labels[:12], tolerance=0.1 / 255)
    for e, epsilon in enumerate(EPSILONS[1:], start=1):
        assert (found[certificate.verified[e, :12]] >= epsilon - 0.1 / 255).all()
        assert (found[~certificate.verified[e, :12]] < epsilon).all()
    proved = found > 0
    again = [
        R.certified(model, images[b : b + 1], labels[b : b + 1], float(found[b])).verified
        for b in np.flatnonzero(proved)
    ]
    assert np.all(again)
    smallest = R.smallest_epsilon(model, images[:12], labels[:12], max_epsilon=64 / 255)
    assert (found <= smallest + 1e-7).all()


def test_wrong_images_are_never_certified():
    model, images, labels, _ = case("perceptron")
    wrong = (labels + 1) % 10
    assert not R.certified(model, images, wrong, [0, 0.01]).verified.any()
    assert (R.certified_epsilon(model, images[:3], wrong[:3]) == 0).all()


def test_the_ball_of_the_euclidean_norm():
    model, images, labels, _ = case("perceptron")
    certificate = R.certified(model, images, labels, [0.05, 0.2, 0.5], norm="2")
    assert certificate.part[0] > certificate.part[2]
    box = R.certified(model, images, labels, [0.05])
    assert (certificate.verified[0] >= box.verified[0]).all()  # the ball lies within the box
    with pytest.raises(ValueError, match="norm '2'"):
        R.TwoSided(certificate, np.ones((3, 40), bool))


def test_one_certificate_whatever_the_temperature():
    """Logits divided by T have the same largest one: what rises with T under an attack is not robustness."""
    model = networks()["perceptron"]
    labels = R.linear_bounds(model, IMAGES, 0).classes
    before = R.certified_epsilon(model, IMAGES, labels, tolerance=1e-4)
    for parameter in (model[6].weight, model[6].bias):
        parameter.data /= 20
    assert R.certified_epsilon(model, IMAGES, labels, tolerance=1e-4) == pytest.approx(before, abs=1e-4)


def certificate_of(*verified, epsilons=(0.1, 0.2)):
    verified = np.array(verified, bool)
    band = R.wilson_interval(verified.sum(axis=1), verified.shape[1])
    return R.Certificate(np.array(epsilons), verified, verified.mean(axis=1), band, "inf", 0.95)


def test_an_attack_that_breaks_what_is_certified_is_an_error():
    certificate = certificate_of([1, 1, 0], [1, 0, 0])
    both = R.TwoSided(certificate, np.array([[1, 1, 1], [1, 1, 0]], bool))
    assert both.lower.tolist() == pytest.approx([2 / 3, 1 / 3])
    assert both.upper.tolist() == pytest.approx([1, 2 / 3])
    with pytest.raises(R.BrokenCertificateError, match=r"image 1 at epsilon 0.1.*1 such"):
        R.TwoSided(certificate, np.array([[1, 0, 1], [1, 1, 0]], bool))
    with pytest.raises(R.BrokenCertificateError, match=r"image 0 at epsilon 0.1, and it is proved up to 0.2"):
        R.TwoSided(certificate_of([0, 0], [1, 0]), np.array([[0, 1], [1, 0]], bool))


def test_both_sides_must_be_of_the_same_images_and_epsilons():
    certificate = certificate_of([1, 1, 0], [1, 0, 0])
    with pytest.raises(ValueError, match="same images"):
        R.TwoSided(certificate, np.ones((2, 4), bool))
    model = networks()["perceptron"]
    labels = R.linear_bounds(model, IMAGES, 0).classes
    with pytest.raises(ValueError, match="attacked at"):
        R.TwoSided(R.certified(model, IMAGES, labels, [0.01]), R.fgsm(model, IMAGES, labels, [0.02]))


def test_an_accuracy_curve_is_an_upper_side_too():
    model, images, labels, certificate = case("perceptron")
    curve = R.accuracy_curve(model, images, labels, EPSILONS)
    both = R.TwoSided(certificate, curve)
    assert np.array_equal(both.standing, curve.right)
    assert both.upper_band == pytest.approx(curve.accuracy_band)


def test_verdicts_from_both_sides():
    many = 200
    strong = R.TwoSided(certificate_of([1] * many, [1] * many), np.ones((2, many), bool))
    half = np.arange(many) < many // 2
    weak = R.TwoSided(certificate_of([0] * many, [0] * many), np.stack([half, np.ones(many, bool)]))
    assert strong.verdicts(weak) == ("proved on these images", "undecided")
    assert weak.verdicts(strong) == ("refuted on these images", "undecided")
    assert strong.verdicts(strong) == ("undecided", "undecided")
    with pytest.raises(ValueError, match="same images"):
        strong.verdicts(R.TwoSided(certificate_of([1], [1]), np.ones((2, 1), bool)))
