"""ResNet18 (He et al. 2015), as torchvision has it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..checks import whole_number, whole_numbers
from ..nn import AdaptiveAvgPool2d, BatchNorm2d, Conv2d, Flatten, Linear, MaxPool2d, Module, Sequential
from ..tensor import Tensor
from .standard import standard_normalize, stream


class BasicBlock(Module):
    """Two 3 x 3 convolutions beside a shortcut: relu(bn2(conv2(relu(bn1(conv1(x))))) + shortcut(x)).

    Parameters
    ----------
    channels, out_channels : int
    stride : int
        Of the first convolution. Where the shape changes, a 1 x 1 convolution and a normalisation are the shortcut.
    """

    def __init__(self, channels: int, out_channels: int, stride: int, rng: np.random.Generator | None) -> None:
        self.conv1 = Conv2d(channels, out_channels, 3, stride, padding=1, bias=False, rng=rng)
        self.bn1 = BatchNorm2d(out_channels)
        self.conv2 = Conv2d(out_channels, out_channels, 3, padding=1, bias=False, rng=rng)
        self.bn2 = BatchNorm2d(out_channels)
        self.downsample = None
        if stride != 1 or channels != out_channels:
            shortcut = Conv2d(channels, out_channels, 1, stride, bias=False, rng=rng)
            self.downsample = Sequential(shortcut, BatchNorm2d(out_channels))

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.bn1(self.conv1(x), relu=True)
        return self.bn2(self.conv2(x), residual=shortcut, relu=True)


class ResNet(Module):
    """A stem, four stages of residual blocks, and one linear layer on the mean of each channel; see ``resnet18``.

    Parameters
    ----------
    blocks : four ints
        How many blocks each stage has.
    num_classes, channels : int
    seed : int or None

    Examples
    --------
    >>> import minidl as md
    >>> resnet34 = md.models.ResNet((3, 4, 6, 3), num_classes=10, channels=3, seed=0)
    >>> sum(p.size for p in resnet34.parameters())
    21289802
    """

    def __init__(self, blocks: Sequence[int], num_classes: int, channels: int, seed: int | None) -> None:
        num_classes, channels = whole_numbers("ResNet", 1, num_classes=num_classes, channels=channels)
        blocks = tuple(whole_number(count, f"blocks[{i}]", 1, "ResNet") for i, count in enumerate(blocks))
        rng = stream("init", seed, "ResNet")
        self.normalize = standard_normalize(channels)
        self.conv1 = Conv2d(channels, 64, 7, stride=2, padding=3, bias=False, rng=rng)
        self.bn1 = BatchNorm2d(64)
        self.maxpool = MaxPool2d(3, stride=2, padding=1)
        self.layer1 = _stage(64, 64, blocks[0], 1, rng)
        self.layer2 = _stage(64, 128, blocks[1], 2, rng)
        self.layer3 = _stage(128, 256, blocks[2], 2, rng)
        self.layer4 = _stage(256, 512, blocks[3], 2, rng)
        self.avgpool = AdaptiveAvgPool2d(1)
        self.flatten = Flatten()
        self.fc = Linear(512, num_classes, rng=rng)

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn1(self.conv1(self.normalize(x)), relu=True)  # (B, H / 2, W / 2, 64)
        x = self.maxpool(x)  # (B, H / 4, W / 4, 64)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))  # (B, H / 32, W / 32, 512)
        return self.fc(self.flatten(self.avgpool(x)))


def _stage(channels: int, out_channels: int, blocks: int, stride: int, rng: np.random.Generator | None) -> Sequential:
    """Blocks at one resolution; the first one changes it."""
    first = BasicBlock(channels, out_channels, stride, rng)
    return Sequential(first, *(BasicBlock(out_channels, out_channels, 1, rng) for _ in range(blocks - 1)))


def resnet18(num_classes: int = 10, channels: int = 3, seed: int | None = None) -> ResNet:
    """ResNet18, with torchvision's names and shapes in its ``state_dict``.

    Parameters
    ----------
    num_classes, channels : int
    seed : int, optional
        Of the initial weights; by default the "init" stream that ``md.manual_seed`` resets draws them.

    Returns
    -------
    ResNet
        From images (B, H, W, channels) in [0, 1] of any size to logits (B, num_classes).

    Examples
    --------
    >>> import numpy as np, minidl as md
    >>> md.models.resnet18().eval()(np.zeros((1, 32, 32, 3), np.float32)).shape
    (1, 10)
    """
    return ResNet((2, 2, 2, 2), num_classes, channels, seed)
