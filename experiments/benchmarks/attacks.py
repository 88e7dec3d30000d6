"""Attacks beside the libraries that have them: `python experiments/benchmarks/attacks.py [speed|agree|worst] [count]`.

speed   PGD-20 beside torchattacks and foolbox, APGD-100 beside the authors' code, in turn, on two threads: ResNet18 at
        64 pixels, trained for two epochs on enlarged digits, the same weights on both sides.
agree   PGD's images, DeepFool's and FMN's distances on that network and those images, beside the references'.
worst   AutoAttack beside the authors' own, part by part, on a small convolutional network of the digits.

What is missing on this machine is left out.
"""

from __future__ import annotations

import importlib.util
import logging
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn as tnn
from torch_models import resnet18 as torch_resnet18

import minidl as md
from minidl import nn
from minidl import robustness as R

EPSILON, THREADS, ROUNDS = 4 / 255, 2, 3


def problem(count: int, size: int = 64) -> tuple[nn.Module, tnn.Module, np.ndarray, np.ndarray]:
    """ResNet18, trained a little, in minidl and in PyTorch, and validation images (count, size, size, 3)."""
    train, val = md.data.digits("train"), md.data.digits("val")
    enlarged = [np.repeat(np.repeat(part.images, size // 8, 1), size // 8, 2).repeat(3, 3) for part in (train, val)]
    model = md.models.resnet18(num_classes=10, seed=0)
    optimizer = md.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    md.fit(model, md.data.Loader(enlarged[0], train.labels, batch_size=64, seed=0), optimizer, epochs=2, progress=False)
    twin = tnn.Sequential(Normalize(), torch_resnet18())
    with_weights(twin, model)
    return model.eval(), twin, np.resize(enlarged[1], (count, size, size, 3)), np.resize(val.labels, count)


class Normalize(tnn.Module):
    """ImageNet's mean and deviation, as minidl's models have them."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mean, std = x.new_tensor([0.485, 0.456, 0.406]), x.new_tensor([0.229, 0.224, 0.225])
        return (x - mean.view(3, 1, 1)) / std.view(3, 1, 1)


def with_weights(twin: tnn.Module, model: nn.Module) -> None:
    ours = model.state_dict().values()
    state = {name: torch.from_numpy(a) for name, a in zip(twin.state_dict(), ours, strict=True)}
    twin.load_state_dict(state)
    twin.eval()


def small_problem(count: int) -> tuple[nn.Module, tnn.Module, np.ndarray, np.ndarray]:
    """A small convolutional network of the digits, trained for four epochs."""
    train, val, rng = md.data.digits("train"), md.data.digits("val"), np.random.default_rng(0)
    first, second, last = nn.Conv2d(1, 8, 3, padding=1, rng=rng), nn.Conv2d(8, 16, 3, padding=1, rng=rng), nn.Linear
    model = nn.Sequential(
        first, nn.ReLU(), nn.MaxPool2d(2), second, nn.ReLU(), nn.Flatten(True), last(256, 10, rng=rng)
    )
    optimizer = md.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    md.fit(model, md.data.Loader(*train, batch_size=32, seed=0), optimizer, epochs=4, progress=False)
    layers = [tnn.Conv2d(1, 8, 3, padding=1), tnn.ReLU(), tnn.MaxPool2d(2), tnn.Conv2d(8, 16, 3, padding=1), tnn.ReLU()]
    twin = tnn.Sequential(*layers, tnn.Flatten(), tnn.Linear(256, 10))
    with_weights(twin, model)
    return model.eval(), twin, val.images[:count], val.labels[:count]


def to_torch(images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))


def from_torch(images: torch.Tensor) -> np.ndarray:
    return images.detach().numpy().transpose(0, 2, 3, 1)


def in_batches(attack: Callable[..., Any], x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """As minidl does it, 64 images at a time."""
    return torch.cat([attack(x[i : i + 64], y[i : i + 64]) for i in range(0, len(x), 64)])


def has(library: str) -> bool:
    found = importlib.util.find_spec(library) is not None
    if not found:
        print(f"{library} is not installed: left out")
    return found


def foolbox_attack(twin: tnn.Module, attack: Any, **settings: Any) -> Callable[..., torch.Tensor]:
    import foolbox

    model = foolbox.PyTorchModel(twin, bounds=(0, 1), device="cpu")
    return lambda x, y: attack.run(model, x, y, **settings)


# Speed


def in_turn(ours: dict[str, Callable[[], object]], name: str, theirs: Callable[[], object]) -> None:
    """The ratio of the times, of runs that take turns."""
    times: dict[str, list[float]] = {key: [] for key in (*ours, name)}
    for _ in range(ROUNDS):
        for key, run in (ours | {name: theirs}).items():
            started = time.perf_counter()
            run()
            times[key].append(time.perf_counter() - started)
    for key in ours:
        ratios = [a / b for a, b in zip(times[key], times[name], strict=True)]
        print(
            f"{key}: {statistics.median(times[key]):.2f} s; {name}: {statistics.median(times[name]):.2f} s; ratio "
            f"{statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})",
            flush=True,
        )


def speed(count: int) -> None:
    model, twin, images, labels = problem(count)
    x, y = to_torch(images), torch.from_numpy(labels)
    pgd = partial(R.pgd, model, images, labels, EPSILON, start="image")
    settings = {"minidl pgd": pgd, "minidl pgd, stop_early": partial(pgd, stop_early=True)}
    pgd(steps=1)  # compiles
    if has("torchattacks"):
        import torchattacks

        theirs = torchattacks.PGD(twin, EPSILON, 2.5 * EPSILON / 20, 20, random_start=False)
        in_turn(settings, "torchattacks", partial(in_batches, theirs, x, y))
    if has("foolbox"):
        from foolbox.attacks import LinfPGD

        attack = foolbox_attack(twin, LinfPGD(rel_stepsize=2.5 / 20, steps=20, random_start=False), epsilon=EPSILON)
        in_turn(settings, "foolbox", partial(in_batches, attack, x, y))
    if has("pyautoattack"):
        from pyautoattack.autopgd_base import APGDAttack

        apgd = partial(R.apgd, model, images, labels, EPSILON)
        ours = {"minidl apgd": apgd, "minidl apgd, stop_early": partial(apgd, stop_early=True)}
        theirs = APGDAttack(twin, n_iter=100, eps=EPSILON, loss="ce", device="cpu")
        in_turn(ours, "authors' apgd", partial(in_batches, theirs.perturb, x, y))


# Agreement


def agree(count: int) -> None:
    """In float64, where a sign is a sign."""
    model, twin, images, labels = problem(count, 32)
    model, twin, images = model.astype(np.float64), twin.double(), images.astype(np.float64)
    x, y = to_torch(images), torch.from_numpy(labels)
    right = model(md.Tensor(images)).data.argmax(axis=1) == labels
    if has("torchattacks"):
        import torchattacks

        theirs = from_torch(torchattacks.PGD(twin, EPSILON, EPSILON / 4, 20, random_start=False)(x, y))
        ours = R.pgd(model, images, labels, EPSILON, steps=20, step=EPSILON / 4, start="image")
        worst = abs(ours.adversarial[0] - theirs).max(axis=(1, 2, 3))
        print(f"PGD-20: {(worst < 1e-6).mean():.1%} of {count} images within 1e-6 of torchattacks'", flush=True)
    if has("foolbox"):
        from foolbox.attacks import LinfDeepFoolAttack, LInfFMNAttack

        for name, attack, ours in (
            ("DeepFool", LinfDeepFoolAttack(), R.deepfool(model, images, labels)),
            ("FMN", LInfFMNAttack(), R.fmn(model, images, labels)),
        ):
            theirs = abs(from_torch(foolbox_attack(twin, attack)(x, y)) - images).max(axis=(1, 2, 3))
            close = abs(ours.distance - theirs)[right] <= 0.01 * theirs[right]
            print(
                f"{name}: {close.mean():.1%} of the distances within 1 % of foolbox's; medians "
                f"{np.median(ours.distance[right]):.6f} and {np.median(theirs[right]):.6f}",
                flush=True,
            )


def worst(count: int, epsilon: float = 0.1) -> None:
    """The robust accuracy after each part."""
    if not has("pyautoattack"):
        return
    from pyautoattack import AutoAttack

    model, twin, images, labels = small_problem(count)
    lines: list[str] = []
    logger = logging.getLogger("auto-attack")
    logger.setLevel(logging.DEBUG)
    logger.addHandler(handler := logging.Handler())
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    attack = AutoAttack(twin, eps=epsilon, seed=0)
    found, _ = attack.run_standard_evaluation(to_torch(images), torch.from_numpy(labels), batch_size=100)
    ours = R.auto_attack(model, images, labels, epsilon)
    print("authors:", "; ".join(line for line in lines if "accuracy" in line))
    print("minidl:", ours)
    broken = model(md.Tensor(from_torch(found))).data.argmax(axis=1) != labels
    print(f"of {count}, {(broken & ~ours.success).sum()} fell to them alone, {(~broken & ours.success).sum()} to us")


def main() -> None:
    what = sys.argv[1] if len(sys.argv) > 1 else "speed"
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 785
    torch.set_num_threads(THREADS)
    md.set_num_threads(THREADS)
    {"speed": speed, "agree": agree, "worst": worst}[what](count)


if __name__ == "__main__":
    main()
