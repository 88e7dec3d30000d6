"""Attacks beside the libraries that have them: `python experiments/benchmarks/attacks.py [speed|agree|worst] [count]`.

speed   PGD-20 beside torchattacks and foolbox, APGD-100 beside the authors' code, in turn.
agree   In float64: PGD's images, APGD's losses at each of 100 steps, DeepFool's and FMN's distances, beside the
        references', image by image.
worst   AutoAttack beside the authors' own, part by part, on a small convolutional network of the digits.

The first two attack ResNet18 at 64 pixels, the same weights on both sides: trained for two epochs on enlarged digits,
or with ``--weights FILE`` those of a study's run on Imagenette, whose images are where MINIDL_DATA points. Every
reference is the slower one in float64 or with few images: 24 images agree within minutes, 785 take hours. What is
missing on this machine is left out.
"""

from __future__ import annotations

import argparse
import importlib.util
import logging
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn as tnn
from torch_models import resnet18 as torch_resnet18

import minidl as md
from minidl import nn
from minidl import robustness as R
from minidl.robustness.attacks.apgd import Apgd, Ascent
from minidl.robustness.attacks.victim import attacked
from minidl.study import load_problem

EPSILON, ROUNDS = 4 / 255, 3
Problem = tuple[nn.Module, tnn.Module, np.ndarray, np.ndarray]


def problem(count: int, weights: Path | None, size: int = 64) -> Problem:
    """A trained ResNet18 in minidl and in PyTorch, and validation images (count, size, size, 3), with labels."""
    model = md.models.resnet18(num_classes=10, seed=0)
    if weights is None:
        train, val = md.data.digits("train"), md.data.digits("val")
        enlarged = [np.repeat(np.repeat(part.images, size // 8, 1), size // 8, 2).repeat(3, 3) for part in (train, val)]
        batches = md.data.Loader(enlarged[0], train.labels, batch_size=64, seed=0)
        md.fit(model, batches, md.optim.SGD(model.parameters(), lr=0.02, momentum=0.9), epochs=2, progress=False)
        images, labels = np.resize(enlarged[1], (count, size, size, 3)), np.resize(val.labels, count)
    else:
        md.load(model, weights)
        val = load_problem("imagenette", size + size // 8, size).val
        rows = np.sort(np.random.default_rng(0).choice(len(val), count, replace=False))
        some = md.data.Loader(val.images[rows], val.labels[rows], count, crop=size, shuffle=False, prefetch=0)
        images, labels = next(iter(some))
    twin = torch_resnet18()
    with_weights(twin, model)
    return model.eval(), twin, images, labels


def with_weights(twin: tnn.Module, model: nn.Module) -> None:
    ours = model.state_dict().values()
    state = {name: torch.from_numpy(a) for name, a in zip(twin.state_dict(), ours, strict=True)}
    twin.load_state_dict(state)
    twin.eval()


def small_problem(count: int) -> Problem:
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


def in_turn(ours: Mapping[str, Callable[[], object]], name: str, theirs: Callable[[], object]) -> None:
    """The ratio of the times, of runs that take turns."""
    times: dict[str, list[float]] = {key: [] for key in (*ours, name)}
    for _ in range(ROUNDS):
        for key, run in {**ours, name: theirs}.items():
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


def speed(count: int, weights: Path | None) -> None:
    model, twin, images, labels = problem(count, weights)
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


def agree(count: int, weights: Path | None) -> None:
    """In float64, where a sign is a sign."""
    model, twin, images, labels = problem(count, weights)
    model, twin, images = model.astype(np.float64), twin.double(), images.astype(np.float64)
    torch.set_default_dtype(torch.float64)  # the authors' APGD keeps its losses in the default precision
    right = model(md.Tensor(images)).data.argmax(axis=1) == labels
    print(f"{right.mean():.1%} of {count} images are right as they are", flush=True)
    same_pgd(model, twin, images, labels)
    if has("pyautoattack"):
        same_apgd(model, twin, images, labels)
    if has("foolbox"):
        same_distances(model, twin, images, labels, right)


def same_pgd(model: nn.Module, twin: tnn.Module, images: np.ndarray, labels: np.ndarray, steps: int = 20) -> None:
    """Where the last step fails and an earlier one did not, minidl's image is the earlier: these are counted apart."""
    x, y = to_torch(images), torch.from_numpy(labels)
    ours = R.pgd(model, images, labels, EPSILON, steps=steps, step=EPSILON / 4, start="image")
    theirs = {}
    if has("torchattacks"):
        import torchattacks

        theirs["torchattacks"] = torchattacks.PGD(twin, EPSILON, EPSILON / 4, steps, random_start=False)(x, y)
    if has("foolbox"):
        from foolbox.attacks import LinfPGD

        attack = LinfPGD(abs_stepsize=EPSILON / 4, steps=steps, random_start=False)
        theirs["foolbox"] = foolbox_attack(twin, attack, epsilon=EPSILON)(x, y)
    for name, found in theirs.items():
        moved = from_torch(found)
        kept = ours.success[0] & (model(md.Tensor(moved)).data.argmax(axis=1) == labels)
        apart = abs(ours.adversarial[0] - moved).max(axis=(1, 2, 3))[~kept]
        print(
            f"PGD-{steps}: {(apart < 1e-6).sum()} of {len(apart)} images within 1e-6 of those of {name}, the farthest "
            f"{apart.max():.1e}; {kept.sum()} more are lost on the way and right again at its end",
            flush=True,
        )


def same_apgd(model: nn.Module, twin: tnn.Module, images: np.ndarray, labels: np.ndarray, steps: int = 100) -> None:
    """From one start: the loss of each image at each step, which no other step size would give."""
    from pyautoattack.autopgd_base import APGDAttack

    with attacked("apgd", model, images, labels) as victim:
        climb, index = Apgd(victim, "cross_entropy", steps, 1, 0, False), np.arange(len(images))
        start = climb.start(images, index, EPSILON, 0)
        ascent, ours = Ascent(climb, images, index, [labels], start, EPSILON), []
        while ascent.step():
            ours.append(ascent.loss)
    x, y, theirs = to_torch(images), torch.from_numpy(labels), []

    def watched(points: torch.Tensor) -> torch.Tensor:
        logits = twin(points)
        theirs.append(torch.nn.functional.cross_entropy(logits.detach(), y, reduction="none").numpy())
        return logits

    attack = APGDAttack(watched, n_iter=steps, eps=EPSILON, loss="ce", device="cpu")
    attack.init_hyperparam(x)
    attack.y_target = None
    attack.attack_single_run(x, y, to_torch(start))
    apart = abs(np.array(ours) - theirs[1:]) / np.maximum(1e-9, np.abs(theirs[1:]))  # (steps, B)
    same = (apart < 1e-6).all(axis=0)
    print(
        f"APGD-{steps}: the losses of {same.sum()} of {len(same)} images within 1e-6 of the authors' at every step, "
        f"the farthest {apart.max():.1e}",
        flush=True,
    )


def same_distances(
    model: nn.Module, twin: tnn.Module, images: np.ndarray, labels: np.ndarray, right: np.ndarray
) -> None:
    from foolbox.attacks import LinfDeepFoolAttack, LInfFMNAttack

    x, y = to_torch(images), torch.from_numpy(labels)
    for name, attack, search in (("DeepFool", LinfDeepFoolAttack(), R.deepfool), ("FMN", LInfFMNAttack(), R.fmn)):
        ours = search(model, images, labels).distance[right]
        theirs = abs(from_torch(foolbox_attack(twin, attack)(x, y)) - images).max(axis=(1, 2, 3))[right]
        print(
            f"{name}: {(abs(ours - theirs) <= 0.01 * theirs).sum()} of {len(ours)} distances within 1 % of foolbox's; "
            f"medians {np.median(ours):.6f} and {np.median(theirs):.6f}",
            flush=True,
        )


def worst(count: int, _: Path | None, epsilon: float = 0.1) -> None:
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


def processor() -> str:
    """The processor's name, where the system tells."""
    told = Path("/proc/cpuinfo")
    lines = told.read_text(encoding="utf-8").splitlines() if told.exists() else []
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.processor())


def main() -> None:
    parts: dict[str, Callable[[int, Path | None], None]] = {"speed": speed, "agree": agree, "worst": worst}
    parser = argparse.ArgumentParser(description="minidl's attacks beside other libraries'.")
    parser.add_argument("part", nargs="?", choices=parts, default="speed")
    parser.add_argument("count", nargs="?", type=int, help="images; by default 785 for speed, 24 and 60 for the others")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--weights", type=Path, help="weights.safetensors of ResNet18, trained on Imagenette at 64 px")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    md.set_num_threads(options.threads)
    libraries = [name for name in ("numpy", "numba", "torch", "foolbox", "torchattacks", "pyautoattack") if has(name)]
    print(f"{processor()}, {options.threads} threads;", ", ".join(f"{name} {version(name)}" for name in libraries))
    count = options.count or {"speed": 785, "agree": 24, "worst": 60}[options.part]
    parts[options.part](count, options.weights)


if __name__ == "__main__":
    main()
