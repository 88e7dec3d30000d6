"""DeepFool, FMN and FAB: closed forms on a linear model, the references' distances, and what they promise."""

import copy

import numpy as np
import pytest

import minidl as md
from minidl import nn
from minidl.robustness import ZeroGradientWarning, deepfool, fab, fmn, smallest_epsilon
from minidl.robustness.attacks.fab import to_plane
from tests.robustness.twins import answers, digits_cnn, from_torch, small_resnet, to_torch, torch_cnn, torch_resnet

ATTACKS = {"deepfool": deepfool, "fmn": fmn, "fab": fab}
each_attack = pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
each_norm = pytest.mark.parametrize("norm", ["inf", "2"])
ORDER = {"inf": np.inf, "2": 2}


def lengths(moves, norm):
    return np.linalg.norm(moves.reshape(len(moves), -1), ord=ORDER[norm], axis=1)


def linear_model(classes=4, count=12, seed=0):
    """A linear model, images in the middle of the box so that no bound is met, and its answers."""
    rng = np.random.default_rng(seed)
    model = nn.Sequential(nn.Flatten(), nn.Linear(48, classes)).astype(np.float64)
    model[1].weight.data, model[1].bias.data = rng.standard_normal((48, classes)), rng.standard_normal(classes) / 10
    images = 0.45 + 0.1 * rng.random((count, 4, 4, 3))
    return model, images, answers(model, images)


def to_the_border(model, images, labels, norm):
    """|f| / ||w||_q, for the nearest of the other classes."""
    W = model[1].weight.data
    z = images.reshape(len(images), -1) @ W + model[1].bias.data
    found = []
    for row, y in zip(z, labels, strict=True):
        others = [k for k in range(W.shape[1]) if k != y]
        found.append(
            min((row[y] - row[k]) / np.linalg.norm(W[:, y] - W[:, k], ord={"inf": 1, "2": 2}[norm]) for k in others)
        )
    return np.array(found)


# Closed forms


@each_norm
def test_deepfool_is_exact_on_a_linear_model(norm):
    model, images, labels = linear_model()
    expected = to_the_border(model, images, labels, norm)
    found = deepfool(model, images, labels, norm)
    np.testing.assert_allclose(found.distance, 1.02 * (expected + 1e-4), rtol=1e-7)
    without = deepfool(model, images, labels, norm, overshoot=0)
    np.testing.assert_allclose(without.distance, expected + 1e-4, rtol=1e-7)


@each_norm
@pytest.mark.parametrize(("attack", "part"), [(fmn, 0.005), (fab, 0.01)], ids=["fmn", "fab"])
def test_the_others_come_near_on_a_linear_model(attack, part, norm):
    model, images, labels = linear_model()
    expected = to_the_border(model, images, labels, norm)
    found = attack(model, images, labels, norm).distance
    assert (found >= expected * (1 - 1e-9)).all()
    assert (found <= expected * (1 + part)).all()


@each_norm
def test_the_move_to_a_plane_is_the_smallest_within_the_box(norm):
    """By halving the length of the move, which is what the sorted places tell at once."""
    rng = np.random.default_rng(0)
    x, w = rng.random((200, 3, 2, 2)), rng.standard_normal((200, 3, 2, 2))
    x[:50] = x[:50].round()  # some pixels have no room at all
    w[::7, 0] = 0
    change = 3 * rng.standard_normal(200)
    moved = to_plane(x, w, change, norm)
    assert (x + moved).min() >= -1e-12
    assert (x + moved).max() <= 1 + 1e-12
    flat, weight = x.reshape(200, -1), w.reshape(200, -1)
    side = np.sign(weight) * np.sign(change)[:, None]
    room, speed = np.where(side > 0, 1 - flat, flat), 1 if norm == "inf" else abs(weight)
    low, high = np.zeros((200, 1)), np.full((200, 1), 1e6)
    for _ in range(120):
        middle = (low + high) / 2
        enough = (abs(weight) * np.minimum(middle * speed, room)).sum(axis=1, keepdims=True) >= abs(change)[:, None]
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    expected = side * np.minimum(high * speed, room)
    np.testing.assert_allclose(moved.reshape(200, -1), expected, atol=1e-9)
    reached = (weight * expected).sum(axis=1)
    assert 40 < (abs(reached - change) < 1e-6).sum() < 200  # some planes are out of reach


# The references


@pytest.mark.parametrize(("name", "norm"), [("cnn", "inf"), ("cnn", "2"), ("resnet18", "inf")])
def test_deepfool_goes_as_far_as_foolboxs(name, norm):
    torch, foolbox = pytest.importorskip("torch"), pytest.importorskip("foolbox")
    model, images, labels = digits_cnn(40) if name == "cnn" else small_resnet(2)
    twin = torch_cnn(model) if name == "cnn" else torch_resnet(model)
    kind = {"inf": foolbox.attacks.LinfDeepFoolAttack, "2": foolbox.attacks.L2DeepFoolAttack}[norm]
    candidates = 10 if name == "cnn" else 3
    attack, twin = kind(steps=20, candidates=candidates), foolbox.PyTorchModel(twin, bounds=(0, 1))
    theirs = attack.run(twin, to_torch(images), torch.from_numpy(labels))
    found = deepfool(model, images, labels, norm, steps=20, candidates=candidates)
    expected = lengths(from_torch(theirs) - images, norm)
    assert found.success.all()
    close = abs(found.distance - expected) <= 0.01 * expected
    assert close.mean() >= 0.95


@each_norm
def test_fmn_is_no_farther_than_foolboxs(norm):
    torch, foolbox = pytest.importorskip("torch"), pytest.importorskip("foolbox")
    model, images, labels = digits_cnn(40)
    attack = {"inf": foolbox.attacks.LInfFMNAttack, "2": foolbox.attacks.L2FMNAttack}[norm]()
    if norm == "2":
        attack.project = _into_the_ball  # that of foolbox 3.3.4 divides a norm by itself, and moves no point
    theirs = attack.run(foolbox.PyTorchModel(torch_cnn(model), bounds=(0, 1)), to_torch(images), torch.tensor(labels))
    found = fmn(model, images, labels, norm)
    assert found.success.all()
    theirs = from_torch(theirs)
    lost = answers(model, theirs) != labels  # theirs stops at the border, and may never cross it
    ours, expected = found.distance[lost], lengths(theirs - images, norm)[lost]
    assert lost.sum() >= 20
    assert np.median(ours) <= 1.01 * np.median(expected)
    assert (abs(ours - expected) <= 0.01 * expected).mean() >= 0.9


def _into_the_ball(x, x0, epsilon):
    """As the authors' own code has it, with eagerpy's tensors."""
    length = (x - x0).square().sum(axis=(1, 2, 3)).sqrt()
    return x0 + (x - x0) * (epsilon / length.maximum(epsilon).maximum(1e-12)).reshape((-1, 1, 1, 1))


@each_norm
def test_fab_goes_as_far_as_the_authors_code(norm):
    torch, theirs = pytest.importorskip("torch"), pytest.importorskip("pyautoattack.fab_pt")
    model, images, labels = digits_cnn(20, np.float32)
    attack = theirs.FABAttack_PT(torch_cnn(model), norm={"inf": "Linf", "2": "L2"}[norm], n_iter=20, device="cpu")
    expected = np.full(20, np.inf)
    with torch.no_grad():
        for attack.target_class in (2, 3):
            run = attack.attack_single_run(to_torch(images), torch.from_numpy(labels), is_targeted=True)
            moved = from_torch(run)
            fell = answers(model, moved) != labels
            expected = np.minimum(expected, np.where(fell, lengths(moved - images, norm), np.inf))
    found = fab(model, images, labels, norm, steps=20, targets=2).distance
    right = answers(model, images) == labels
    np.testing.assert_allclose(found[right], expected[right], rtol=1e-3)


# What they promise


@each_attack
@each_norm
def test_the_claimed_distance_is_the_images(attack, norm):
    model, images, labels = digits_cnn(30, np.float32)
    labels = np.where(np.arange(30) < 3, (labels + 1) % 10, labels)
    found = attack(model, images, labels, norm, steps=15)
    assert found.adversarial.shape == images.shape
    assert found.adversarial.dtype == np.float32
    assert found.adversarial.min() >= 0
    assert found.adversarial.max() <= 1
    np.testing.assert_array_equal(found.distance[:3], 0)
    np.testing.assert_array_equal(found.adversarial[:3], images[:3])
    assert found.success.mean() > 0.9
    np.testing.assert_array_equal(found.success, np.isfinite(found.distance))
    moved = lengths(found.adversarial - images, norm)
    np.testing.assert_allclose(np.where(found.success, moved, 0), np.where(found.success, found.distance, 0), rtol=1e-5)
    np.testing.assert_array_equal(answers(model, found.adversarial) != labels, found.success)


@each_attack
def test_a_batch_changes_nothing(attack):
    model, images, labels = digits_cnn(12)
    whole, parts = (attack(model, images, labels, steps=8, batch_size=n) for n in (12, 5))
    np.testing.assert_allclose(parts.distance, whole.distance, rtol=1e-6)


@each_attack
@each_norm
@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_a_scale_of_all_logits_changes_no_distance(attack, norm, scale):
    """DeepFool found nothing at all where gradients were far below 1e-8, which was added to their length."""
    model, images, labels = digits_cnn(8, np.float32)
    scaled = copy.deepcopy(model)
    for parameter in (scaled[8].weight, scaled[8].bias):
        parameter.data *= np.float32(scale)
    expected, found = (attack(m, images, labels, norm, steps=15) for m in (model, scaled))
    assert expected.success.all()
    np.testing.assert_allclose(found.distance, expected.distance, rtol=1e-3)


@each_attack
def test_where_nothing_helps_the_distance_is_infinite(attack):
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    model[1].weight.data[...], model[1].bias.data[...] = 0, [1, 0, 0]
    images = np.full((3, 2, 2, 1), 0.5, np.float32)
    with pytest.warns(ZeroGradientWarning, match="zero for 2 of 3 images") as caught:
        found = attack(model, images, [0, 1, 0], steps=5)
    assert caught[0].filename == __file__
    assert found.distance.tolist() == [np.inf, 0, np.inf]
    assert found.success.tolist() == [False, True, False]
    np.testing.assert_array_equal(found.adversarial, images)


def test_the_searches_find_less_than_the_ray():
    model, images, labels = digits_cnn(60, np.float32)
    ray = smallest_epsilon(model, images, labels, max_epsilon=0.5)
    for method, attack in ATTACKS.items():
        if method == "fab":
            continue  # the same, more slowly
        found = smallest_epsilon(model, images, labels, max_epsilon=0.5, method=method)
        np.testing.assert_array_equal(found, attack(model, images, labels).distance)
        assert (found <= ray + 0.05 / 255).mean() >= 0.9
    assert (deepfool(model, images, labels, steps=1).distance > 0).any()


def test_the_budget_holds_for_every_method():
    model, images, labels = linear_model()
    exact = to_the_border(model, images, labels, "inf")
    for method in ATTACKS:
        found = smallest_epsilon(model, images, labels, max_epsilon=float(np.median(exact)), method=method)
        assert 2 < np.isinf(found).sum() < 10


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "guess"}, "unknown method 'guess': choose 'ray', 'deepfool', 'fmn' or 'fab'"),
        ({"method": "fmn", "steps": 10}, "method='fmn' does not know steps.*robustness.fmn"),
        ({"method": "fab", "loss": "margin", "tolerance": 1e-3}, "does not know tolerance, loss"),
    ],
)
def test_settings_that_a_method_does_not_know(settings, message):
    model, images, labels = linear_model()
    with pytest.raises(ValueError, match=message):
        smallest_epsilon(model, images, labels, **settings)


@each_attack
def test_modes_come_back(attack):
    model, images, labels = digits_cnn(2, np.float32)
    model.train()
    attack(model, images, labels, steps=2)
    assert all(m.training for m in model.modules())
    assert all(p.grad is None for p in md.nn.Sequential(model).parameters())
