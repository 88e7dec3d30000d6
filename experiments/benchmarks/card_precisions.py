"""What a network has learnt in each precision of a card, from the same weights and batches: its accuracy, seed by seed.

    python experiments/benchmarks/card_precisions.py                            a small residual network on the digits
    python experiments/benchmarks/card_precisions.py --data imagenette          ResNet18 at 64 pixels; needs MINIDL_DATA
    PYTHONPATH=tests/emulated python experiments/benchmarks/card_precisions.py --epochs 1 --seeds 0

"exact" is float32, "fast" TF32, "bfloat16" that, in products and between them. A line for each training as it ends, and
a table at the end. One seed gives all precisions the same weights, batches and shifts: what is different is what the
precision does, and that two trainings which differ in one bit soon differ in all.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np

import minidl as md
from minidl import nn
from minidl.backend import to_device
from minidl.models.resnet import BasicBlock


class SmallResNet(nn.Module):
    """Two residual blocks, of 32 and 64 channels, for images of 8 pixels."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.normalize = nn.Normalize(0.3, 0.38)
        self.conv1, self.bn1 = nn.Conv2d(1, 32, 3, padding=1, bias=False, rng=rng), nn.BatchNorm2d(32)
        self.block1, self.block2 = BasicBlock(32, 32, 1, rng), BasicBlock(32, 64, 2, rng)
        self.pool, self.flatten, self.fc = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10, rng=rng)

    def forward(self, x: md.Tensor) -> md.Tensor:
        x = self.bn1(self.conv1(self.normalize(x)), relu=True)
        return self.fc(self.flatten(self.pool(self.block2(self.block1(x)))))


def trained(make: Callable[[int], nn.Module], sets: tuple, augment: dict, lr: float, epochs: int, seed: int) -> float:
    """The accuracy on the validation images of a network that is trained on the card."""
    md.manual_seed(seed)
    (images, labels), (val_images, val_labels) = sets
    model = make(seed).to("gpu")
    batches = md.data.Loader(images, labels, 128, drop_last=True, seed=seed, **augment)
    steps = epochs * len(batches)
    optimizer = md.optim.SGD(model.parameters(), lr, momentum=0.9, weight_decay=5e-4, nesterov=True)
    md.fit(model, batches, optimizer, epochs, schedule=md.optim.one_cycle(lr, steps), progress=False)
    validation = md.data.Loader(val_images, val_labels, 256, crop=augment.get("crop"), shuffle=False)
    return float(md.evaluate(model, validation).accuracy)


def problem(data: str) -> tuple[Callable[[int], nn.Module], tuple, dict, float]:
    """(makes the network from a seed, images and labels twice, what the loader does to images, the largest rate)."""
    if data == "digits":
        train, val = md.data.digits("train"), md.data.digits("val")
        make, augment, lr = SmallResNet, {"pad": 1}, 0.1
    else:
        train, val = (md.data.Imagenette(split=split).at(72) for split in ("train", "val"))
        make, augment, lr = lambda seed: md.models.resnet18(seed=seed), {"crop": 64, "flip": True}, 0.1
    sets = tuple((to_device(part.images, "gpu"), part.labels) for part in (train, val))
    return make, sets, augment, lr


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", choices=("digits", "imagenette"), default="digits")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--precisions", choices=md.kernels.PRECISIONS, nargs="+", default=md.kernels.PRECISIONS)
    options = parser.parse_args()
    make, sets, augment, lr = problem(options.data)
    found: dict[str, list[float]] = {precision: [] for precision in options.precisions}
    for seed in options.seeds:
        for precision, accuracies in found.items():
            began = time.monotonic()
            with md.settings(precision=precision):
                accuracies.append(trained(make, sets, augment, lr, options.epochs, seed))
            print(f"seed {seed}, {precision}: {accuracies[-1]:.2%} ({time.monotonic() - began:.0f} s)", flush=True)
    seeds = " | ".join(f"seed {seed}" for seed in options.seeds)
    print(f"| {options.data}, {options.epochs} epochs | {seeds} | mean |")
    for precision, accuracies in found.items():
        print(f"| {precision} | " + " | ".join(f"{a:.2%}" for a in (*accuracies, np.mean(accuracies))) + " |")


if __name__ == "__main__":
    main()
