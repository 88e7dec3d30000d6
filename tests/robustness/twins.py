"""Networks that are worth attacking, and the same networks in PyTorch: what the reference attacks are given."""

import functools

import numpy as np

import minidl as md
from minidl import nn


@functools.cache
def _trained():
    """A small convolutional network's weights after two epochs on the digits."""
    md.manual_seed(0)
    model = cnn(np.random.default_rng(0))
    train = md.data.digits("train")
    optimizer = md.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    md.fit(model, md.data.Loader(*train, batch_size=32, seed=0), optimizer, epochs=4, progress=False)
    return model.state_dict()


def cnn(rng=None):
    return nn.Sequential(
        nn.Normalize(0.5, 0.25),
        nn.Conv2d(1, 8, 3, padding=1, rng=rng),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1, rng=rng),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(256, 10, rng=rng),
    )


def digits_cnn(count=60, dtype=np.float64):
    """A trained network in evaluation mode, and validation images of it with their labels."""
    model = cnn()
    model.load_state_dict(_trained())
    images, labels = md.data.digits("val")
    return model.astype(dtype).eval(), images[:count].astype(dtype), labels[:count]


def small_resnet(count=3, size=16, dtype=np.float64):
    """ResNet18 as it is initialised, its logits brought to the size of a trained one's, and what it answers."""
    model = md.models.resnet18(seed=0).astype(dtype).eval()
    images = np.random.default_rng(0).random((count, size, size, 3)).astype(dtype)
    return model, images, answers(model, images)


def answers(model, images):
    with md.no_grad():
        return model.eval()(md.Tensor(images)).data.argmax(axis=1)


def torch_cnn(model):
    """The same small network in PyTorch, of images (B, 1, 8, 8)."""
    import torch
    from torch import nn as tnn

    class Last(tnn.Module):  # channels last, as minidl flattens
        def forward(self, x):
            return x.permute(0, 2, 3, 1).flatten(1)

    class Normalize(tnn.Module):
        def forward(self, x):
            return (x - 0.5) / 0.25

    layers = [Normalize(), tnn.Conv2d(1, 8, 3, padding=1), tnn.ReLU(), tnn.MaxPool2d(2)]
    layers += [tnn.Conv2d(8, 16, 3, padding=1), tnn.BatchNorm2d(16), tnn.ReLU(), Last(), tnn.Linear(256, 10)]
    twin = tnn.Sequential(*layers)
    return _with_weights(twin, model, torch)


def torch_resnet(model):
    """The same ResNet18 in PyTorch, of images (B, 3, H, W)."""
    import torch

    from experiments.benchmarks.torch_models import resnet18

    return _with_weights(resnet18(), model, torch)


def _with_weights(twin, model, torch):
    torch.set_num_threads(1)  # small work, which threads that wait for each other make slower
    dtype = torch.float64 if next(model.parameters()).dtype == np.float64 else torch.float32
    ours, theirs = list(model.state_dict().values()), twin.state_dict()
    assert len(ours) == len(theirs)
    twin.load_state_dict({name: torch.from_numpy(a) for name, a in zip(theirs, ours, strict=True)})
    return twin.to(dtype).eval()


def to_torch(images):
    import torch

    return torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))


def from_torch(images):
    return images.detach().numpy().transpose(0, 2, 3, 1)
