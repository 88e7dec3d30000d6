"""Each objective beside a plain PyTorch loop, and what it must leave alone."""

import copy

import numpy as np
import pytest

import minidl as md
from minidl import functional as F
from minidl import nn
from minidl.objectives import Adversarial, CrossEntropy, Distillation, Penalized
from minidl.objectives.plain import is_minidls_own
from minidl.train import State, StateError
from tests.robustness.twins import cnn, torch_cnn

torch = pytest.importorskip("torch")

STEPS, LR, MOMENTUM = 3, 0.05, 0.9


@pytest.fixture
def batches():
    images, labels = md.data.digits("train")
    images = 0.1 + 0.8 * images[: 16 * STEPS].astype(np.float64)  # a wide start leaves [0, 1]
    return [(images[i::STEPS], labels[: 16 * STEPS][i::STEPS]) for i in range(STEPS)]


def network(seed=0):
    return cnn(np.random.default_rng(seed)).astype(np.float64)


def noise(shape, rng):
    """What is drawn: float32's numbers in [0, 1), brought to -1 ... 1."""
    return torch.from_numpy((2 * rng.random(shape, dtype=np.float32) - 1).astype(np.float64))


def first(images):
    """Channels first."""
    return torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))


def torch_attack(model, x, y, rng, epsilon, steps, step, start, loss):
    """As in locuslab/fast_adversarial, but that running statistics are those of the pass that is trained on."""
    shape = (len(x), x.shape[2], x.shape[3], x.shape[1])
    delta = torch.zeros_like(x)
    if start != "image":
        delta = (2 if start == "wide" else 1) * epsilon * noise(shape, rng).permute(0, 3, 1, 2)
    delta = torch.minimum(torch.maximum(delta, 0 - x), 1 - x)
    kept = copy.deepcopy(model.state_dict())
    for _ in range(steps):
        delta = delta.detach().requires_grad_()
        (slope,) = torch.autograd.grad(loss(model(x + delta), y), delta)
        delta = delta + step * slope.sign()
        if start != "wide":
            delta = delta.clamp(-epsilon, epsilon)
        delta = torch.minimum(torch.maximum(delta, 0 - x), 1 - x)
    model.load_state_dict(kept)
    return (x + delta).detach()


def torch_training(model, batches, loss, moved=lambda model, x, y: x):
    """A plain loop: the parameters and statistics afterwards."""
    model.train()
    descent = torch.optim.SGD(model.parameters(), LR, momentum=MOMENTUM)
    for images, labels in batches:
        x, y = first(images), torch.from_numpy(labels).long()
        x = moved(model, x, y)
        value = loss(model(x), y) if loss.__code__.co_argcount == 2 else loss(model(x), y, x)
        descent.zero_grad()
        value.backward()
        descent.step()
    return [value.numpy() for value in model.state_dict().values()]


def trained(model, batches, objective):
    """The same with minidl."""
    optimizer = md.optim.SGD(model.parameters(), LR, momentum=MOMENTUM)
    md.fit(model, batches, optimizer, 1, objective=objective, progress=False)
    return list(model.state_dict().values())


def assert_equal(ours, theirs):
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


ATTACKS = {
    "FGSM": ({"start": "image"}, 1, 0.1),
    "FGSM-RS": ({}, 1, 0.125),
    "N-FGSM": ({"start": "wide"}, 1, 0.1),
    "PGD": ({"steps": 4}, 4, 0.0625),
    "PGD from the image": ({"steps": 2, "start": "image", "step": 0.07}, 2, 0.07),
}


@pytest.mark.parametrize("T", [1.0, 3.0])
@pytest.mark.parametrize("name", ATTACKS)
def test_adversarial_training_is_pytorchs(name, T, batches):
    settings, steps, step = ATTACKS[name]
    ours = network()
    twin = torch_cnn(ours)
    objective = Adversarial(0.1, loss=CrossEntropy(T), rng=np.random.default_rng(5), **settings)
    assert objective.step == pytest.approx(step)
    rng, start = np.random.default_rng(5), settings.get("start", "random")

    def loss(logits, y):
        return torch.nn.functional.cross_entropy(logits / T, y)

    def moved(model, x, y):
        return torch_attack(model, x, y, rng, 0.1, steps, step, start, loss)

    assert_equal(trained(ours, batches, objective), torch_training(twin, batches, loss, moved))


@pytest.mark.parametrize(("T", "mix"), [(20.0, 1.0), (1.0, 1.0), (4.0, 0.7), (1.0, 0.25)])
def test_distillation_is_pytorchs(T, mix, batches):
    ours, teacher = network(), network(seed=1).eval()
    before = teacher.state_dict()
    twin, torch_teacher = torch_cnn(ours), torch_cnn(teacher)

    def loss(z, y, x):
        with torch.no_grad():
            q = (torch_teacher(x) / T).softmax(1)
        if mix == 1:
            return -(q * (z / T).log_softmax(1)).sum(1).mean()
        divergence = torch.nn.functional.kl_div((z / T).log_softmax(1), q, reduction="batchmean")
        return (1 - mix) * torch.nn.functional.cross_entropy(z, y) + mix * T**2 * divergence

    got = trained(ours, batches, Distillation(teacher.train(), T, mix))
    assert_equal(got, torch_training(twin, batches, loss))
    assert teacher.training  # its mode is its own again
    assert all(parameter.grad is None for parameter in teacher.parameters())
    for name, value in teacher.state_dict().items():
        assert value.tobytes() == before[name].tobytes()


def test_the_loss_of_a_mix_is_zero_where_the_student_is_its_teacher(batches):
    teacher = network().eval()
    student = copy.deepcopy(teacher)
    loss, _ = Distillation(teacher, 4.0, 0.999)(student, md.Tensor(batches[0][0]), batches[0][1])
    plain = F.cross_entropy(student(md.Tensor(batches[0][0])), batches[0][1]).item()
    assert loss.item() == pytest.approx(0.001 * plain, rel=1e-9)


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_changes_nothing_but_the_images(name, batches):
    images, labels = batches[0]
    model = network().train()
    model(md.Tensor(images)).sum().backward()
    gradients, state = [p.grad.copy() for p in model.parameters()], model.state_dict()
    given = images.copy()
    x = Adversarial(0.1, **ATTACKS[name][0]).attack(model, images, labels)
    for parameter, gradient in zip(model.parameters(), gradients, strict=True):
        np.testing.assert_array_equal(parameter.grad, gradient)
    for key, value in model.state_dict().items():
        np.testing.assert_array_equal(value, state[key], err_msg=key)
    np.testing.assert_array_equal(images, given)
    assert model.training
    assert (x.min(), x.max()) >= (0, 0)
    assert x.max() <= 1
    reach = abs(x - images).max()
    assert 0.1 - 1e-12 < reach <= (0.3 if "N-" in name else 0.1) + 1e-12
    assert (reach > 0.11) == ("N-" in name)


def test_running_statistics_move_once_a_step(batches):
    model = network()
    trained(model, batches, Adversarial(0.1, steps=5))
    assert model[5].num_batches_tracked == STEPS


def test_the_loss_grows_with_steps(batches):
    model = network()
    images, labels = batches[0]
    losses = [
        F.cross_entropy(model(Adversarial(0.1, steps, start="image").attack(model, images, labels)), labels).item()
        for steps in (1, 10)
    ]
    assert F.cross_entropy(model(images), labels).item() < losses[0] < losses[1]


def test_a_sure_network_is_attacked_all_the_same():
    """Where the slope of a mean over the batch would have underflowed."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    model[1].weight.data[...] = 50 * np.array([[1, -1]] * 4)
    model[1].bias.data[...] = 0
    images = np.full((2**12, 2, 2, 1), 0.25, np.float32)  # of a margin of 100, and p = 1 - 4e-44
    x = Adversarial(0.01, start="image").attack(model, images, np.zeros(2**12, int))
    np.testing.assert_allclose(images - x, 0.01, rtol=1e-4)
    at = md.Tensor(images, requires_grad=True)
    F.cross_entropy(model(at), np.zeros(2**12, int)).backward(inputs=[at])
    assert not at.grad.any()


# the state


def test_random_starts_are_of_the_trainings_state(batches):
    """Taken down and put back, a training goes on with the same starts."""
    md.manual_seed(3)
    model = network()
    objective = Adversarial(0.1)
    state = State(model, md.optim.SGD(model.parameters(), LR), objective)
    images, labels = batches[0]
    before, draw = state.capture(), lambda: objective.attack(model, images, labels).tobytes()
    drawn = [draw(), draw()]
    assert drawn[0] != drawn[1]
    state.restore(before)
    assert [draw(), draw()] == drawn
    assert objective.rng is None  # its draws are the stream's, whose generator manual_seed replaces


def test_an_objective_within_another_is_of_the_state_too():
    class Counting:
        def __init__(self):
            self.count, self.centre = 0, np.zeros(3)

        def __call__(self, model, images, labels):
            raise NotImplementedError

    model, inner = network(), Counting()
    state = State(model, md.optim.SGD(model.parameters(), LR), Adversarial(0.1, loss=inner))
    before = state.capture()
    inner.count, inner.centre[:] = 5, 7
    assert "objective.loss/centre" in state.writes()
    state.restore(before)
    assert (inner.count, inner.centre.tolist()) == (0, [0, 0, 0])


def test_a_training_goes_on_with_its_own_teacher_alone():
    model, teacher = network(), network(1)
    objective = Distillation(teacher, 20)
    state = State(model, md.optim.SGD(model.parameters(), LR), objective)
    before, read = state.capture(), state.reads()
    assert not any("teacher" in name for name in before.arrays)
    assert len(before.rest["objective"]["state"]["teacher"]) == 64
    state.restore(before)
    teacher[0].std = np.array([0.5])  # not of its weights, and yet what a recorded step has read
    assert state.reads() != read
    teacher[1].weight.data[0, 0, 0, 0] += 1
    with pytest.raises(StateError, match="objective: teacher: '.*' there, '.*' here"):
        state.restore(before)
    other = State(model, md.optim.SGD(model.parameters(), LR), Distillation(network(1), 10))
    with pytest.raises(StateError, match=r"objective: temperature: 20\.0 there, 10\.0 here"):
        other.restore(before)


def test_only_what_does_the_same_each_time_is_recorded():
    class Mine(nn.Linear):
        def forward(self, x):
            return super().forward(x)

    def mine(model, images, labels):
        raise NotImplementedError

    assert all(map(is_minidls_own, (CrossEntropy(), Adversarial(0.1), Distillation(network(), 2))))
    assert is_minidls_own(Adversarial(0.1, loss=Distillation(network(), 2)))
    assert not is_minidls_own(mine)
    assert not is_minidls_own(Adversarial(0.1, loss=mine))
    assert not is_minidls_own(Adversarial(0.1, loss=Distillation(Mine(2, 2), 2)))


def test_validation_is_at_the_temperature_of_the_loss():
    assert Adversarial(0.1, loss=CrossEntropy(20.0)).temperature == 20
    assert Adversarial(0.1).temperature == 1
    assert Distillation(network(), 20).temperature == 20


def test_adversarial_distillation(batches):
    """One within the other: both see the images after the attack."""
    model, teacher = network(), network(1).eval()
    seen = []
    spy = copy.deepcopy(teacher)
    spy.forward = lambda x: seen.append(x.data) or teacher(x)
    Adversarial(0.1, start="image", loss=Distillation(spy, 5))(model, md.Tensor(batches[0][0]), batches[0][1])
    assert [abs(x - batches[0][0]).max().round(6) for x in seen] == [0, 0.1]


# bad input

BAD = {
    "epsilon": (lambda: Adversarial(8), r"Adversarial: epsilon is 8, and must be in \[0, 1\], the range of the pixels"),
    "steps": (lambda: Adversarial(0.1, steps=0), "Adversarial: steps is 0"),
    "step": (lambda: Adversarial(0.1, step=0), r"Adversarial: step is 0, and must be .*epsilon / 4, say"),
    "start": (lambda: Adversarial(0.1, start="here"), "Adversarial: unknown start 'here': choose 'random', 'image' or"),
    "wide": (lambda: Adversarial(0.1, 7, start="wide"), "start='wide' is of one step, .* and steps is 7: use"),
    "loss": (
        lambda: Adversarial(0.1, loss="margin"),
        r"loss is 'margin', and must be an objective, such as .*Entropy\(",
    ),
    "a class": (lambda: Adversarial(0.1, loss=CrossEntropy), "and must be an objective"),
    "temperature": (
        lambda: Distillation(network(), 0),
        "temperature is 0, and must be above 0 and finite",
    ),
    "mix": (lambda: Distillation(network(), 1, 2), r"Distillation: mix is 2, and must be in \[0, 1\]"),
    "teacher": (lambda: Distillation("resnet", 1), r"the teacher must be a minidl\.nn\.Module, and is a str"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_settings(name):
    call, message = BAD[name]
    with pytest.raises((TypeError, ValueError), match=message):
        call()


def test_a_teacher_that_cannot_teach(batches):
    model, x = network(), md.Tensor(batches[0][0])
    with pytest.raises(ValueError, match=r"the teacher is the model itself: use copy\.deepcopy\(model\)"):
        Distillation(model, 1)(model, x, batches[0][1])
    other = nn.Sequential(nn.Flatten(), nn.Linear(64, 7)).astype(np.float64)
    with pytest.raises(ValueError, match=r"the teacher answers \(16, 7\) and the model \(16, 10\)"):
        Distillation(other, 1)(model, x, batches[0][1])


def test_manual_seed_sets_the_random_starts_of_an_objective_that_is_there():
    model, objective = network(), Adversarial(0.1)
    images, labels = md.data.digits("val")
    seen = []
    for _ in range(2):
        md.manual_seed(0)
        seen.append(objective.attack(model, images[:4], labels[:4]))
    np.testing.assert_array_equal(*seen)


def test_a_ramp_within_an_attack_is_refused():
    with pytest.raises(ValueError, match=r"a ramp, which would count the attack's steps too.*loss=objectives.Advers"):
        Adversarial(0.1, loss=Penalized(1e-3, ramp=(0, 10)))
    assert Adversarial(0.1, loss=Penalized(1e-3)).steps == 1


def test_buffers_that_a_layer_replaces_are_put_back_too():
    class Counting(nn.Module):
        buffers = ("count",)

        def __init__(self):
            self.count, self.last = np.zeros((), np.float32), nn.Linear(64, 10)

        def forward(self, x):
            self.count = self.count + 1
            return self.last(x.reshape(len(x), 64))

    model, (images, labels) = Counting(), md.data.digits("val")
    there = model.count
    Adversarial(0.1, steps=3)(model, md.Tensor(images[:4]), labels[:4])
    assert model.count == 1  # the pass that is trained on
    assert there == 0
