"""PGD: FGSM in one step, foolbox's and torchattacks' images in many, and an accuracy that never rises."""

import itertools

import numpy as np
import pytest

import minidl as md
from minidl import kernels, nn
from minidl.robustness import ZeroGradientWarning, fgsm, pgd
from tests.robustness.twins import answers, cnn, digits_cnn, from_torch, small_resnet, to_torch, torch_cnn, torch_resnet

MODELS = {"cnn": (digits_cnn, torch_cnn, 0.1, 10), "resnet18": (small_resnet, torch_resnet, 2 / 255, 4)}
each_model = pytest.mark.parametrize("name", MODELS)


def accuracy(attack):
    return 1 - attack.success.mean(axis=1)


# One step


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("loss", ["cross_entropy", "margin"])
def test_one_step_from_the_image_is_fgsm_bit_for_bit(dtype, loss):
    model, rng = cnn(np.random.default_rng(0)).astype(dtype), np.random.default_rng(1)
    images, labels = rng.random((60, 8, 8, 1)).astype(dtype), rng.integers(0, 10, 60)  # most are wrong from the start
    epsilons = [0.3, 0, 1 / 255, 0.05, 1]
    one = fgsm(model, images, labels, epsilons, loss=loss)
    for e, epsilon in enumerate(epsilons):
        steps = pgd(model, images, labels, epsilons, steps=1, step=epsilon or None, start="image", loss=loss)
        assert steps.adversarial[e].tobytes() == one.adversarial[e].tobytes()
        np.testing.assert_array_equal(steps.success[e], one.success[e])
    by_default = pgd(model, images, labels, epsilons, steps=1, start="image", loss=loss)  # 2.5 epsilon, projected
    assert by_default.adversarial.tobytes() == one.adversarial.tobytes()
    np.testing.assert_array_equal(by_default.zero_gradient, one.zero_gradient)


class Hill(nn.Module):
    """Class 1 where its one pixel lies between 0.2 and 0.5, else class 0: success comes, and goes again."""

    def forward(self, x):
        x = x.reshape(-1, 1)
        return (x - 0.2 - 3 * md.functional.relu(x - 0.4)) * np.array([[0.0, 1.0]])


def test_one_step_keeps_nothing_and_more_keep_what_a_smaller_epsilon_found():
    image, epsilons = np.full((1, 1, 1, 1), 0.1), [0.2, 0.7]
    for attack in (fgsm, lambda *them: pgd(*them, steps=1, start="image")):
        assert attack(Hill(), image, [0], epsilons).success.ravel().tolist() == [True, False]
    attack = pgd(Hill(), image, [0], epsilons, steps=2, step=0.7, start="image")
    np.testing.assert_allclose(attack.adversarial.ravel(), 0.3)
    assert attack.success.all()
    already = pgd(Hill(), np.full((1, 1, 1, 1), 0.3), [0], 0.6, steps=2, step=0.6, start="image")
    assert already.success.all()  # wrong as it is, which is within any epsilon


def test_one_step_towards_a_target_is_targeted_fgsm():
    model, images, labels = digits_cnn()
    targets = (labels + 1) % 10
    one = fgsm(model, images, labels, [0.1, 0.2], targets=targets)
    steps = pgd(model, images, labels, [0.1, 0.2], steps=1, start="image", targets=targets)
    np.testing.assert_array_equal(steps.adversarial, one.adversarial)
    np.testing.assert_array_equal(steps.success, one.success)


# The references


@each_model
@pytest.mark.parametrize("library", ["foolbox", "torchattacks"])
def test_many_steps_are_the_references_images(name, library):
    """Where the last step fails and an earlier one did not, ours is the earlier; elsewhere the images are equal."""
    pytest.importorskip("torch")
    pytest.importorskip(library)
    ours, twin, epsilon, steps = MODELS[name]
    model, images, labels = ours()
    twin, step = twin(model), epsilon / 4
    theirs = reference(library, twin, images, labels, epsilon, steps, step)
    attack = pgd(model, images, labels, epsilon, steps=steps, step=step, start="image")
    assert abs(theirs - images).max() > 0.9 * epsilon
    kept = attack.success[0] & (answers(model, theirs) == labels)
    assert kept.sum() <= len(images) / 20
    np.testing.assert_allclose(attack.adversarial[0][~kept], theirs[~kept], rtol=0, atol=1e-6)


def reference(library, twin, images, labels, epsilon, steps, step):
    import torch

    x, y = to_torch(images), torch.from_numpy(labels)
    if library == "torchattacks":
        import torchattacks

        return from_torch(torchattacks.PGD(twin, epsilon, step, steps, random_start=False)(x, y))
    import foolbox

    attack = foolbox.attacks.LinfPGD(abs_stepsize=step, steps=steps, random_start=False)
    return from_torch(attack(foolbox.PyTorchModel(twin, bounds=(0, 1)), x, y, epsilons=epsilon)[1])


def test_targeted_steps_are_torchattacks_images():
    torch, torchattacks = pytest.importorskip("torch"), pytest.importorskip("torchattacks")
    model, images, labels = digits_cnn(20)
    targets = (labels + 3) % 10
    attack = torchattacks.PGD(torch_cnn(model), 0.2, 0.05, 10, random_start=False)
    attack.set_mode_targeted_by_label(quiet=True)
    theirs = from_torch(attack(to_torch(images), torch.from_numpy(targets)))
    ours = pgd(model, images, labels, 0.2, steps=10, step=0.05, start="image", targets=targets)
    kept = ours.success[0] & (answers(model, theirs) != targets)
    np.testing.assert_allclose(ours.adversarial[0][~kept], theirs[~kept], rtol=0, atol=1e-6)
    np.testing.assert_array_equal(ours.success[0], answers(model, ours.adversarial[0]) == targets)
    assert ours.success.any()


# What it promises


def test_accuracy_never_rises():
    model, images, labels = digits_cnn(80, np.float32)
    by_epsilon = accuracy(pgd(model, images, labels, np.linspace(0, 0.2, 9), steps=5))
    assert (np.diff(by_epsilon) <= 0).all()
    assert by_epsilon[0] > 0.9 > 0.1 > by_epsilon[-1]
    by_steps = [pgd(model, images, labels, 0.1, steps=n, step=0.03).success for n in range(1, 12, 2)]
    by_restarts = [pgd(model, images, labels, 0.1, steps=3, restarts=n).success for n in range(1, 6)]
    for successes in (by_steps, by_restarts):
        for fewer, more in itertools.pairwise(successes):
            assert (more >= fewer).all()
        assert successes[-1].sum() > successes[0].sum()


def test_the_claimed_success_is_the_models_answer():
    model, images, labels = digits_cnn(100, np.float32)
    for settings in ({}, {"stop_early": True}, {"restarts": 2}, {"loss": "margin", "temperature": 1.0}):
        attack = pgd(model, images, labels, [0, 0.05, 0.12], steps=6, **settings)
        for moved, success, epsilon in zip(attack.adversarial, attack.success, attack.epsilons, strict=True):
            np.testing.assert_array_equal(answers(model, moved) != labels, success)
            assert abs(moved - images).max() <= epsilon + 1e-7
            assert moved.min() >= 0
            assert moved.max() <= 1
        assert attack.adversarial[0].tobytes() == images.tobytes()


def test_stopping_early_changes_no_success():
    model, images, labels = digits_cnn()
    whole, short = (pgd(model, images, labels, [0.05, 0.1], stop_early=stop) for stop in (False, True))
    np.testing.assert_array_equal(short.success, whole.success)
    assert (short.adversarial != whole.adversarial).any()


def test_an_epsilon_does_not_depend_on_the_others():
    model, images, labels = digits_cnn()
    together = pgd(model, images, labels, [0.12, 0.06], steps=5)
    for e, epsilon in enumerate((0.12, 0.06)):
        alone = pgd(model, images, labels, epsilon, steps=5)
        np.testing.assert_array_equal(together.success[e], alone.success[0])
        np.testing.assert_array_equal(together.adversarial[e], alone.adversarial[0])


def test_neither_the_batch_nor_the_neighbours_change_an_image():
    model, images, labels = digits_cnn(30)
    expected = pgd(model, images, labels, 0.1, steps=4, restarts=2, seed=3)
    for batch_size in (1, 7, 30):
        attack = pgd(model, images, labels, 0.1, steps=4, restarts=2, seed=3, batch_size=batch_size)
        np.testing.assert_allclose(attack.adversarial, expected.adversarial, rtol=0, atol=1e-12)
        np.testing.assert_array_equal(attack.success, expected.success)
    some = pgd(model, images[10:20], labels[10:20], 0.1, steps=4, restarts=2, seed=3)
    np.testing.assert_allclose(some.adversarial, expected.adversarial[:, 10:20], rtol=0, atol=1e-12)


def test_the_seed_decides():
    model, images, labels = digits_cnn(10)
    first, again, other = (pgd(model, images, labels, 0.05, steps=2, seed=s).adversarial for s in (0, 0, 1))
    assert first.tobytes() == again.tobytes()
    assert (first != other).any()


def test_a_random_start_fills_the_box():
    """On a model without a slope, nothing moves after the start."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
    model[1].weight.data[...] = 0
    images = np.full((50, 8, 8, 1), 0.05, np.float32) + np.arange(50, dtype=np.float32)[:, None, None, None] / 100
    with pytest.warns(ZeroGradientWarning, match="pgd: the gradient is exactly zero for 50 of 50") as caught:
        attack = pgd(model, images, answers(model, images), 0.1, steps=2)
    assert caught[0].filename == __file__
    assert attack.zero_gradient.all()
    moves = (attack.adversarial[0] - images)[10:]  # those that no bound cuts off
    assert abs(moves).max() <= 0.1 + 1e-6
    assert abs(moves.mean()) < 0.002
    assert moves.std() == pytest.approx(0.1 / np.sqrt(3), rel=0.02)


def test_nothing_of_the_callers_is_touched():
    model, images, labels = digits_cnn(8, np.float32)
    model.train()
    state, modes = model.state_dict(), [m.training for m in model.modules()]
    images.setflags(write=False)
    before = images.copy()
    pgd(model, images, labels, [0, 0.1], steps=3)
    np.testing.assert_array_equal(images, before)
    assert [m.training for m in model.modules()] == modes
    assert all(p.grad is None for p in model.parameters())
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, state[name])


def test_a_rectangle_of_one_channel():
    model = md.models.fc5(num_classes=3, image_size=(5, 7), channels=1)
    images = np.random.default_rng(0).random((6, 5, 7, 1)).astype(np.float32)
    attack = pgd(model, images, answers(model, images), 0.3)
    assert attack.adversarial.shape == (1, 6, 5, 7, 1)
    assert attack.success.all()


def test_a_layer_of_ones_own_may_change_its_weights():
    """What is made of weights once for all steps is made of those alone that nobody changes meanwhile."""

    class Alternating(nn.Conv2d):
        def forward(self, x):
            self.weight.data *= -1
            return super().forward(x)

    def attacked(layer):
        rng = np.random.default_rng(0)
        net = nn.Sequential(layer(1, 4, 3, rng=rng), nn.Flatten(), nn.Linear(144, 10, rng=rng))
        return pgd(net, *(part[:8] for part in md.data.digits("val")), [0.1], steps=3).adversarial

    with kernels.using("portable"):
        expected = attacked(Alternating)
    np.testing.assert_allclose(attacked(Alternating), expected, atol=1e-6)
    assert not np.allclose(attacked(nn.Conv2d), expected, atol=1e-2)
