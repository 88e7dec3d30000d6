"""From images to a network that has learnt them, in seconds: everything together, by hand, as in the README."""

import numpy as np
import pytest

import minidl as md
from minidl import functional as F
from minidl import nn, optim


def bars(count=48, size=8, seed=0):
    """Images of one horizontal bar (class 0), one vertical bar (1) or a cross (2), each somewhere, with noise."""
    rng = np.random.default_rng(seed)
    images = rng.uniform(0, 0.3, (count, size, size, 1)).astype(np.float32)
    labels = np.arange(count) % 3
    for image, label in zip(images, labels, strict=True):
        row, column = rng.integers(1, size - 1, 2)
        if label in (0, 2):
            image[row] = 1
        if label in (1, 2):
            image[:, column] = 1
    return images, labels


def small_network(seed=0):
    rng = np.random.default_rng(seed)
    return nn.Sequential(
        nn.Normalize(0.5, 0.25),
        nn.Conv2d(1, 8, 3, padding=1, rng=rng),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1, bias=False, rng=rng),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.1, rng=rng),
        nn.Linear(64, 3, rng=rng),
    )


def train(model, images, labels, epochs=30, batch=16, seed=0):
    optimizer = optim.SGD(model.parameters(), lr=0.02, momentum=0.9, nesterov=True, weight_decay=1e-4, decay_all=False)
    steps = epochs * len(images) // batch
    rate, rng, losses = optim.one_cycle(0.02, steps), np.random.default_rng(seed), []
    for _ in range(epochs):
        order = rng.permutation(len(images))
        for chosen in order.reshape(-1, batch):
            optimizer.lr = rate(len(losses))
            optimizer.zero_grad()
            loss = F.cross_entropy(model(images[chosen]), labels[chosen])
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return losses


def test_a_small_network_learns():
    images, labels = bars()
    model = small_network()
    losses = train(model, images, labels)
    assert losses[0] > 0.8  # log 3 = 1.1 is guessing
    assert np.mean(losses[-5:]) < 0.1
    model.eval()
    with md.no_grad():
        assert (model(images).data.argmax(axis=1) == labels).all()
        unseen, their_labels = bars(seed=1)
        assert (model(unseen).data.argmax(axis=1) == their_labels).mean() > 0.9


@pytest.mark.parametrize("how", ["temperature", "pruned", "adam"])
def test_variations_learn_too(how):
    images, labels = bars(24)
    model = small_network()
    T = 2.0 if how == "temperature" else 1.0
    if how == "pruned":
        for p in model.parameters():
            if p.ndim > 1:
                p.mask = np.abs(p.data) > np.quantile(np.abs(p.data), 0.5)
    optimizer = optim.Adam(model.parameters(), 0.01) if how == "adam" else optim.SGD(model.parameters(), 0.02 * T, 0.9)
    for _ in range(80):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(images), labels, temperature=T)
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.2
    if how == "pruned":
        weights = [p for p in model.parameters() if p.mask is not None]
        assert all((p.data[~p.mask] == 0).all() for p in weights)
        assert sum((p.data == 0).sum() for p in weights) == pytest.approx(sum(p.size for p in weights) / 2, rel=0.01)


def test_the_same_seed_gives_the_same_bits():
    images, labels = bars()
    first, again, other = small_network(0), small_network(0), small_network(1)
    losses = [train(model, images, labels, epochs=3) for model in (first, again, other)]
    assert losses[0] == losses[1] != losses[2]
    state = again.state_dict()
    for name, array in first.state_dict().items():
        np.testing.assert_array_equal(array, state[name], err_msg=name)


def test_an_adversarial_step_raises_the_loss():
    """FGSM by hand: epsilon times the sign of the gradient by the images, which is had without the weights'."""
    images, labels = bars()
    model = small_network()
    train(model, images, labels, epochs=10)
    model.eval()
    x = md.Tensor(images, requires_grad=True)
    loss = F.cross_entropy(model(x), labels)
    loss.backward(inputs=[x])
    with md.no_grad():
        attacked = np.clip(images + 0.1 * np.sign(x.grad), 0, 1)
        assert F.cross_entropy(model(attacked), labels).item() > loss.item() + 0.1
