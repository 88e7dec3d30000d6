"""A researcher's afternoon, as a script: a block, arrays and an attack of one's own, and what minidl does with them.

Warnings are errors here, as in all tests: what is told below is told without one.
"""

import io

import numpy as np
import pytest

import minidl as md
from minidl import functional as F
from minidl import nn


class Residual(nn.Module):
    """Two convolutions with GroupNorm beside a shortcut, which an Identity is where nothing changes."""

    def __init__(self, channels, out_channels, stride=1):
        self.convolutions = nn.ModuleList(
            [
                nn.Conv2d(channels, out_channels, 3, stride=stride, padding=1, bias=False),
                nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
            ]
        )
        self.norms = nn.ModuleList(nn.GroupNorm(4, out_channels) for _ in range(2))
        self.act = nn.LeakyReLU(0.1)
        same = stride == 1 and channels == out_channels
        self.shortcut = nn.Identity() if same else nn.Conv2d(channels, out_channels, 1, stride=stride)

    def forward(self, x):
        y = self.act(self.norms[0](self.convolutions[0](x)))
        y = self.norms[1](self.convolutions[1](y))
        return self.act(y + self.shortcut(x))


class Network(nn.Module):
    """It looks at an image and at its mirror image, and keeps the larger of what it finds."""

    def __init__(self, classes):
        self.normalize = nn.Normalize(0.5, 0.25)
        self.stem = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.GELU())
        self.blocks = nn.ModuleList([Residual(8, 8), Residual(8, 16, stride=2)])
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.LayerNorm(64), nn.Linear(64, classes))

    def features(self, x):
        x = self.stem(self.normalize(x))
        for block in self.blocks:
            x = block(x)
        return x

    def forward(self, x):
        x = x if isinstance(x, md.Tensor) else md.Tensor(x)
        return self.head(F.maximum(self.features(x), self.features(x[:, :, ::-1])))


def strokes(count, seed):
    """Grey images (n, 8, 8, 1) of uint8, of lines that lie, stand or lean, and what they are called."""
    rng = np.random.default_rng(seed)
    names = rng.choice(["lying", "standing", "leaning"], count)
    images = rng.integers(0, 60, (count, 8, 8, 1))
    for image, name in zip(images, names, strict=True):
        at = rng.integers(1, 7)
        for k in range(8):
            row, column = {"lying": (at, k), "standing": (k, at), "leaning": (k, k)}[name]
            image[row, column] = rng.integers(150, 256)
    return images.astype(np.uint8), names


def own_attack(model, images, labels, epsilon, steps=5):
    """Signs of the gradient, within a box: as one writes it with PyTorch."""
    start = images.astype(np.float32) / 255
    x = start.copy()
    for _ in range(steps):
        leaf = md.Tensor(x, requires_grad=True)
        F.cross_entropy(model(leaf), labels).backward(inputs=[leaf])
        x = np.clip(x + epsilon / 3 * np.sign(leaf.grad), start - epsilon, start + epsilon).clip(0, 1)
    return x


@pytest.fixture(scope="module")
def data():
    images, names = strokes(400, seed=0)
    return [md.data.arrays(images, names, split) for split in ("train", "val")]


def test_a_researchers_afternoon(data, tmp_path):
    train, val = data
    assert train.classes == ("leaning", "lying", "standing")
    md.manual_seed(0)
    model = Network(len(train.classes))
    assert "GroupNorm" in str(md.summary(model, (8, 8, 1)))

    # train, and look at the curve
    batches = md.data.Loader(*train, batch_size=32, pad=1, seed=0)
    validation = md.data.Loader(*val, batch_size=40, shuffle=False)
    optimizer, live = md.optim.AdamW(model.parameters(), lr=5e-3), md.plot.training()
    optimizer.max_norm = 1.0
    md.fit(model, batches, optimizer, 6, validation=validation, on_epoch=live, progress=False)
    assert live.curve[-1].val_accuracy > 0.95

    # low rank, then prune while it recovers
    before = md.compress.cost(model, (8, 8, 1)).multiply_adds
    md.compress.low_rank(model, [3, 4, 4, 6, 8], init="svd")
    assert md.compress.cost(model, (8, 8, 1)).multiply_adds < before
    optimizer = md.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    pruner = md.compress.MagnitudePruner(model, 0.5, start=5, every=3, count=5)
    after = md.fit(model, batches, optimizer, 4, after_step=[pruner], validation=validation, progress=False)
    assert md.compress.sparsity(model) == pytest.approx(0.5, abs=0.01)
    assert after[-1].val_accuracy > 0.9

    # attack, by hand and by minidl, with the very images that were loaded
    by_hand = own_attack(model, val.images, val.labels, 0.2)
    attack = md.robustness.pgd(model, val.images, val.labels, [0.2], steps=5)
    right = [(model(x).argmax(axis=1) == val.labels).mean() for x in (by_hand, attack.adversarial[0])]
    assert max(right) < after[-1].val_accuracy
    assert md.robustness.lipschitz_bound(model.blocks[0].act, (8, 8, 1)).bound == 1
    curve = md.robustness.accuracy_curve(model, val.images, val.labels, [0, 0.1, 0.2])

    # what the attack changed within
    with nn.watch(model, "blocks.*") as seen:
        x = md.Tensor(by_hand[:4], requires_grad=True)
        F.cross_entropy(model(x), val.labels[:4]).backward(inputs=[x])
    assert seen["blocks.1"].value.shape == seen["blocks.1"].gradient.shape == (4, 4, 4, 16)

    # save, and get it back
    md.save(model, tmp_path / "own.safetensors")
    again = Network(len(train.classes))
    md.compress.low_rank(again, [3, 4, 4, 6, 8], init="svd")
    md.load(again, tmp_path / "own.safetensors")
    images = val.images[:8].astype(np.float32) / 255
    np.testing.assert_array_equal(again.eval()(images).data, model(images).data)

    # pictures
    pictures = [
        live,
        md.plot.training(after),
        md.plot.accuracy(curve),
        md.plot.confusion(model, *val, classes=val.classes),
        md.plot.confusion(model, *val, attack.adversarial[0], classes=val.classes),
        md.plot.feature_maps(seen["blocks.1"].value[:1]),
        md.plot.adversary(model, val.images[0], by_hand[0], classes=val.classes),
    ]
    for picture in pictures:
        file = io.BytesIO()
        picture.savefig(file, format="png")
        assert file.tell() > 1000
