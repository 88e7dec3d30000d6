"""One network from beginning to end: train it, prune it on the way, attack it, print what came out and draw it.

    python experiments/one_network.py                             a perceptron on the digits: half a minute
    python experiments/one_network.py --sparsity 0.98 --seed 1
    python experiments/one_network.py --data imagenette           a ResNet18 at 64 pixels: ten minutes on two cores

Nothing here hides elsewhere: these lines are all there is to it. The studies beside this file do the same for many
networks, and lose nothing when they are stopped.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

import minidl as md

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--data", choices=("digits", "imagenette"), default="digits")
parser.add_argument("--sparsity", type=float, default=0.9, help="the part of the weights that become zero")
parser.add_argument("--temperature", type=float, default=1.0, help="T of the loss that is minimised")
parser.add_argument("--epochs", type=int, default=20)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--out", type=Path, default=Path("runs/one-network"))
options = parser.parse_args()
options.out.mkdir(parents=True, exist_ok=True)

# Images (count, height, width, channels) and labels, and a fresh network for them
model: md.nn.Module
augment: dict[str, Any]
if options.data == "digits":
    train, val = md.data.digits("train"), md.data.digits("val")
    augment = {"pad": 1}  # shift each image by up to a pixel
    model, lr = md.models.fc5(image_size=8, channels=1, seed=options.seed), 0.05
else:
    train, val = (md.data.Imagenette(split=split).at(72) for split in ("train", "val"))
    augment = {"crop": 64, "flip": True}  # a random window, mirrored or not
    model, lr = md.models.resnet18(seed=options.seed), 0.1
md.manual_seed(options.seed)

# Train: stochastic gradient descent, whose rate goes up and down once, and pruning between 20 and 70 % of the way
batches = md.data.Loader(train.images, train.labels, 128, drop_last=True, seed=options.seed, **augment)
validation = md.data.Loader(val.images, val.labels, 256, crop=augment.get("crop"), shuffle=False)
steps = options.epochs * len(batches)
optimizer = md.optim.SGD(model.parameters(), lr, momentum=0.9, weight_decay=5e-4, nesterov=True)
pruner = md.compress.MagnitudePruner(model, options.sparsity, start=steps // 5, every=1, count=steps // 2)
md.fit(
    model,
    batches,
    optimizer,
    options.epochs,
    objective=md.objectives.CrossEntropy(options.temperature),
    after_step=[pruner],
    schedule=md.optim.one_cycle(lr, steps),
    validation=validation,
)

# Attack: move every pixel by epsilon, to where the loss rises, and count what is still right
images, labels = (np.concatenate(column) for column in zip(*validation.epoch(0), strict=True))
chosen = np.random.default_rng(options.seed).permutation(len(images))[:785]
epsilons = np.array([0, 1, 2, 4, 8, 16, 32]) / 255
curve = md.robustness.accuracy_curve(model, images[chosen], labels[chosen], epsilons)

print(f"{md.compress.sparsity(model):.1%} of the weights are zero")
for epsilon, accuracy, low, high in zip(epsilons, curve.accuracy, *curve.accuracy_band, strict=True):
    print(f"epsilon {255 * epsilon:2.0f} / 255: {accuracy:6.1%} right, 95 % interval {low:.1%} to {high:.1%}")
md.save(model, options.out / "weights.safetensors")
md.plot.accuracy(curve).savefig(options.out / "accuracy.png", dpi=150)
print(f"weights and picture: {options.out}")
