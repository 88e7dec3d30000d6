"""The report's three networks in PyTorch, for comparison only: torchvision's architectures, channels first.

They normalise their images themselves, as minidl's do, so that both do the same work, and are attacked in [0, 1].
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn


class Normalize(nn.Module):
    """ImageNet's mean and deviation, in float64 until it is known what images come."""

    def __init__(self) -> None:
        super().__init__()
        for name, numbers in (("mean", [0.485, 0.456, 0.406]), ("std", [0.229, 0.224, 0.225])):
            buffer = torch.tensor(numbers, dtype=torch.float64).view(1, 3, 1, 1)
            self.register_buffer(name, buffer, persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x - self.mean.to(x.dtype)) / self.std.to(x.dtype)


class Block(nn.Module):
    """ResNet's basic block."""

    def __init__(self, channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out_channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.downsample = None
        if stride != 1 or channels != out_channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return F.relu(self.bn2(self.conv2(x)) + shortcut, inplace=True)


def resnet18(num_classes: int = 10) -> nn.Module:
    stages = [(64, 64, 1), (64, 128, 2), (128, 256, 2), (256, 512, 2)]
    blocks = [nn.Sequential(Block(c, n, s), Block(n, n, 1)) for c, n, s in stages]
    stem = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, num_classes)]
    return nn.Sequential(Normalize(), *stem, *blocks, *head)


def alexnet(num_classes: int = 10) -> nn.Module:
    layers: list[nn.Module] = [Normalize()]
    for (c, n, k, s, p), pool in (
        ((3, 64, 11, 4, 2), True),
        ((64, 192, 5, 1, 2), True),
        ((192, 384, 3, 1, 1), False),
        ((384, 256, 3, 1, 1), False),
        ((256, 256, 3, 1, 1), True),
    ):
        layers += [nn.Conv2d(c, n, k, s, p), nn.ReLU(inplace=True)] + [nn.MaxPool2d(3, 2)] * pool
    layers += [nn.AdaptiveAvgPool2d(6), nn.Flatten()]
    for c, n in ((9216, 4096), (4096, 4096)):
        layers += [nn.Dropout(), nn.Linear(c, n), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.Linear(4096, num_classes))


def fc5(num_classes: int = 10, image_size: int = 64) -> nn.Module:
    sizes = (3 * image_size**2, 1344, 672, 588, 294)
    layers: list[nn.Module] = [Normalize(), nn.Flatten()]
    for before, after in itertools.pairwise(sizes):
        layers += [nn.Linear(before, after), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.Linear(sizes[-1], num_classes))


def low_rank(model: nn.Module, ranks: Sequence[int]) -> nn.Module:
    """Each convolution larger than 1 x 1 becomes a vertical one, batch normalisation and a horizontal one."""
    left = list(ranks)
    for parent in list(model.modules()):
        for name, conv in list(parent.named_children()):
            if isinstance(conv, nn.Conv2d) and conv.kernel_size != (1, 1):
                c, n, rank = conv.in_channels, conv.out_channels, left.pop(0)
                k, s, p = conv.kernel_size[0], conv.stride[0], conv.padding[0]
                vertical = nn.Conv2d(c, rank, (k, 1), (s, 1), (p, 0), bias=False)
                pair = (vertical, nn.BatchNorm2d(rank), nn.Conv2d(rank, n, (1, k), (1, s), (0, p), bias=False))
                setattr(parent, name, nn.Sequential(*pair))
    return model
