"""One small network of each kind that can be proved, with weights that leave many activations undecided."""

import numpy as np

from minidl import nn

SHAPE = (6, 6, 1)
IMAGES = np.random.default_rng(1).random((2, *SHAPE)).astype(np.float32)


class Block(nn.Module):
    """A residual block, with its sum and ReLU in the normalisation's pass as in ResNet, or between its layers."""

    def __init__(self, fused):
        self.fused = fused
        self.conv1, self.norm1 = nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.conv2, self.norm2 = nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.relu = nn.ReLU()

    def forward(self, x):
        if self.fused:
            return self.norm2(self.conv2(self.norm1(self.conv1(x), relu=True)), residual=x, relu=True)
        return self.relu(self.norm2(self.conv2(self.relu(self.norm1(self.conv1(x))))) + x)


class Between(nn.Module):
    """What a model may do between its layers."""

    def __init__(self):
        self.first, self.second, self.third = nn.Linear(36, 12), nn.Linear(12, 12), nn.Linear(12, 4)

    def forward(self, x):
        from minidl import functional as F

        x = F.relu(self.first(x.reshape(len(x), -1)))
        return self.third(F.tanh(self.second(x)) + x)


def networks():
    """{name: network in evaluation mode}, from images of SHAPE to four classes."""
    start = (nn.Normalize(0.5, 0.25), nn.Flatten(), nn.Linear(36, 16))
    made = {
        "perceptron": nn.Sequential(*start, nn.ReLU(), nn.Linear(16, 12), nn.ReLU(), nn.Linear(12, 4)),
        "sigmoid": nn.Sequential(*start, nn.Sigmoid(), nn.Linear(16, 12), nn.Tanh(), nn.Linear(12, 4)),
        "between": Between(),
        "pooling": nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(3, stride=2, padding=1),
            nn.Conv2d(4, 6, 3, stride=2, padding=1), nn.ReLU(), nn.AvgPool2d(2, stride=1),
            nn.Flatten(channels_first=True), nn.Linear(6, 4),
        ),
        "first pooling": nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(1, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(12, 4)),
        "residual": nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), Block(True), Block(False), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
            nn.Linear(16, 4),
        ),
        "low rank": nn.Sequential(
            nn.LowRankConv2d(1, 4, 3, rank=2, padding=1), nn.ReLU(), nn.Dropout(0.5), nn.MaxPool2d(2), nn.Flatten(),
            nn.Linear(36, 4),
        ),
    }  # fmt: skip
    rng = np.random.default_rng(0)
    for model in made.values():
        for parameter in model.parameters():
            fan_in = parameter.size // (parameter.shape[-1] if parameter.ndim == 2 else parameter.shape[0])
            parameter.data[...] = rng.standard_normal(parameter.shape) * np.sqrt(1.5 / max(fan_in, 1))
        for layer in model.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.running_mean[...] = 0.3 * rng.standard_normal(layer.running_mean.shape)
                layer.running_var[...] = 0.5 + rng.random(layer.running_var.shape)
        model.eval()
    return made
