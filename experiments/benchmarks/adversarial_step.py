"""What an adversarial training step costs, in plain ones: `python experiments/benchmarks/adversarial_step.py [rounds]`.

A plain step, and one with each attack, in turn: ResNet18 at 64 pixels, and FC5 on the digits. What is compared is the
processor's time, the median over the rounds of each pair's ratio, so that other work on the machine matters little; an
adversarial step with one step of FGSM is to cost at most 2.1 plain ones.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

import numpy as np

import minidl as md
from minidl.objectives import Adversarial, CrossEntropy, Objective

ATTACKS: dict[str, Objective] = {
    "FGSM": Adversarial(4 / 255, start="image"),
    "FGSM-RS": Adversarial(4 / 255),
    "N-FGSM": Adversarial(4 / 255, start="wide"),
    "PGD-7": Adversarial(4 / 255, steps=7),
}
CASES: dict[str, tuple[Callable[[], md.nn.Module], tuple[int, ...]]] = {
    "ResNet18, 64 pixels, 64 images": (lambda: md.models.resnet18(seed=0), (64, 64, 64, 3)),
    "FC5, digits, 128 images": (lambda: md.models.fc5(image_size=8, channels=1, seed=0), (128, 8, 8, 1)),
}


def stepper(model: md.nn.Module, shape: tuple[int, ...]) -> Callable[[Objective], float]:
    """A function that takes one step with an objective, and says what it took of the processor, in seconds."""
    rng = np.random.default_rng(0)
    images, labels = rng.random(shape, dtype=np.float32), rng.integers(10, size=shape[0])
    optimizer = md.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9)

    def step(objective: Objective) -> float:
        started = time.process_time()
        loss, _ = objective(model, md.Tensor(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return time.process_time() - started

    return step


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    print("| network | attack | plain steps | lowest | highest |\n| --- | --- | --- | --- | --- |")
    for name, (make, shape) in CASES.items():
        step = stepper(make().train(), shape)
        for objective in (CrossEntropy(), *ATTACKS.values()):
            step(objective)  # compiles
        for attack, objective in ATTACKS.items():
            ratios = [step(objective) / step(CrossEntropy()) for _ in range(rounds)]
            print(f"| {name} | {attack} | {statistics.median(ratios):.2f} | {min(ratios):.2f} | {max(ratios):.2f} |")


if __name__ == "__main__":
    main()
