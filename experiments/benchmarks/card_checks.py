"""What a session asks of a card (card_session.py), each in a process of its own, a line at a time.

python experiments/benchmarks/card_checks.py machine       which card, libraries, memory and cores
python experiments/benchmarks/card_checks.py training      the CPU's training and the card's, step by step
python experiments/benchmarks/card_checks.py twice         the same training twice: the same bits
python experiments/benchmarks/card_checks.py kernels       each kernel once, on little, for compute-sanitizer
python experiments/benchmarks/card_checks.py torch         nothing but PyTorch's first import
"""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from shutil import which
from typing import Any

import numpy as np

import minidl as md
from minidl import functional as F
from minidl import kernels
from minidl.backend import card, to_device, to_numpy
from minidl.backend.cuda import card_name
from minidl.kernels.gpu import matrix_units
from minidl.kernels.gpu.windows import windows_over
from minidl.kernels.types import activation, add, widened

PACKAGES = ("cupy-cuda13x", "cupy-cuda12x", "torch", "numpy", "numba")


def machine(tiny: bool) -> None:
    """Or the reason why there is no card."""
    try:
        card()
    except RuntimeError as reason:
        raise SystemExit(f"there is no card to learn from: {reason}") from None
    if which("nvidia-smi"):
        subprocess.run(["nvidia-smi"], check=False)
    print(f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}")
    print(", ".join(filter(None, map(installed, PACKAGES))))
    free, total = card().cuda.runtime.memGetInfo()
    print(f"{card_name()}: {free / 2**30:.1f} of {total / 2**30:.1f} GiB free")
    print(f"compute-sanitizer: {which('compute-sanitizer') or 'not installed'}")
    print(f"images: MINIDL_DATA={os.environ.get('MINIDL_DATA') or 'not set'}")


def installed(name: str) -> str:
    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:
        return ""


def small_problem(tiny: bool) -> tuple[Callable[[], md.nn.Module], np.ndarray, np.ndarray, int]:
    """(a function that makes the model, images, labels, steps)."""
    rng, size, batch = np.random.default_rng(0), 8 if tiny else 32, 4 if tiny else 16
    images, labels = rng.random((batch, size, size, 3), dtype=np.float32), rng.integers(10, size=batch)
    if tiny:
        return lambda: md.models.fc5(image_size=size, seed=0), images, labels, 3
    return lambda: md.models.resnet18(seed=0), images, labels, 12


def training(tiny: bool) -> None:
    """On the same batch: where the two begin to differ, and by how much; in full precision, and as trainings are."""
    for precision, bound in (("exact", 2e-2), ("fast", 0.1)):
        print(f"products: {precision}")
        compare_training(tiny, precision, bound)
    print("the card trains as the CPU does, in full precision and in TF32")


def compare_training(tiny: bool, precision: str, bound: float) -> None:
    md.set_precision(precision)
    make, images, labels, steps = small_problem(tiny)
    both = {device: Training(make(), images, labels, device) for device in ("cpu", "gpu")}
    worst = 0.0
    for t in range(steps):
        losses = {device: each.step() for device, each in both.items()}
        pairs = zip(*(each.model.parameters() for each in both.values()), strict=True)
        apart = max(float(abs(to_numpy(there.data) - here.data).max()) for here, there in pairs)
        worst = max(worst, abs(losses["gpu"] - losses["cpu"]) / max(abs(losses["cpu"]), 1e-3))
        print(
            f"step {t}: loss {losses['cpu']:.6f} on the CPU, {losses['gpu']:.6f} on the card; weights {apart:.1e} apart"
        )
    print(f"largest difference of a loss: {worst:.1e} of it")
    if not worst < bound:  # NaN is not
        raise SystemExit(f"the card does not train as the CPU does ({precision})")


class Training:
    """Descent on one batch, whose step the card records."""

    def __init__(self, model: md.nn.Module, images: np.ndarray, labels: np.ndarray, device: str) -> None:
        from minidl.backend.recording import Replayed
        from minidl.train.state import State

        self.model, self.images, self.labels = model.to(device).train(), to_device(images, device), labels
        self.optimizer = md.optim.SGD(model.parameters(), 0.01, momentum=0.9, weight_decay=5e-4, nesterov=True)
        state = State(model, self.optimizer)
        self._down = Replayed(self._go_down, state.reads, writes=state.writes)

    def _go_down(self, images: np.ndarray, labels: np.ndarray) -> list[np.ndarray]:
        self.optimizer.zero_grad()
        with kernels.together():  # as within fit
            loss = F.cross_entropy(self.model(md.Tensor(images)), labels)
        loss.backward()
        self.optimizer.step()
        return [loss.data]

    def step(self) -> float:
        return float(self._down(self.images, self.labels)[0])


def twice(tiny: bool) -> None:
    """In the precision that trainings have."""
    make, images, labels, steps = small_problem(tiny)
    hashes = []
    for _ in range(2):
        training = Training(make(), images, labels, "gpu")
        for _ in range(steps):
            training.step()
        whole = b"".join(np.ascontiguousarray(a).tobytes() for _, a in sorted(training.model.state_dict().items()))
        hashes.append(hashlib.sha256(whole).hexdigest()[:16])
        print(f"{steps} steps: weights {hashes[-1]}")
    if hashes[0] != hashes[1]:
        raise SystemExit("the same training gave other bits")
    print(f"the same training gave the same bits twice: {hashes[0]}")


def small_kernels(tiny: bool) -> None:
    """With channels that are taken one by one and four by four, and rows that are more than a block's."""
    k, xp, rng = kernels.module("gpu"), card(), np.random.default_rng(0)

    def normal(*shape: int) -> np.ndarray:
        return xp.asarray(rng.standard_normal(shape, dtype=np.float32))

    for precision in kernels.PRECISIONS:
        md.set_precision(precision)
        for c, n, kernel, stride in ((3, 5, 3, 1), (32, 64, 3, 1), (32, 64, 3, 2), (32, 64, 1, 2), (3, 64, 7, 2)):
            x, w, bias, s, p = (
                activation(normal(2, 9, 9, c)),
                normal(n, kernel, kernel, c),
                normal(n),
                (stride,) * 2,
                (kernel // 2,) * 2,
            )
            y = k.conv2d(x, w, bias, s, p)
            k.conv2d_grad_input(y, w, x.shape, s, p)
            k.conv2d_grad_weight(y, x, w.shape, s, p)
        if precision != "exact":
            on_the_units(normal)
        print(f"convolutions, {precision}")
        other_kernels(normal, rng)
    layers = md.nn.Conv2d(3, 8, 3, padding=1), md.nn.BatchNorm2d(8), md.nn.ReLU(), md.nn.Flatten()
    model = md.nn.Sequential(*layers, md.nn.Linear(128, 10)).to("gpu")
    for method in (md.optim.SGD(model.parameters(), 0.1, momentum=0.9), md.optim.AdamW(model.parameters())):
        method.zero_grad()
        F.cross_entropy(model(md.Tensor(normal(2, 4, 4, 3))), np.array([0, 1])).backward()
        method.step()
    xp.cuda.Device().synchronize()
    print("all kernels ran")


def other_kernels(normal: Callable[..., Any], rng: np.random.Generator) -> None:
    """Of one channel at a time, and of four."""
    k = kernels.module("gpu")
    for c in (3, 32):
        x, gamma, dy = activation(normal(5, 9, 9, c)), abs(normal(c)), activation(normal(5, 9, 9, c))
        mean, var = k.moments(x)
        y = k.batch_norm(x, mean, var, gamma, gamma, 1e-5, x, True)
        k.batch_norm_grad(dy, x, y, mean, var, gamma, 1e-5, True, True)
        k.batch_norm_grad_fixed(dy, y, var, gamma, 1e-5, True, True)
        pooled, where = k.max_pool2d(x, (3, 3), (2, 2), (1, 1))
        k.max_pool2d_grad(pooled, where, x.shape, (3, 3), (2, 2), (1, 1))
        whole = ((0, 4), (4, 9))
        k.avg_pool2d_grad(k.avg_pool2d(x, whole, whole), x.shape, whole, whole)
        add(k.relu_grad(dy, k.relu(x)), widened(x))
        add(x, x)
        k.dropout_scale(x, 0.5, rng)
        print(f"batch normalisation, pooling, ReLU: {c} channels")


def on_the_units(normal: Callable[..., Any]) -> None:
    """Tiles of both widths, phases, and sums that are split, whatever the rule would choose."""
    for c, n, kernel, stride in ((64, 128, 3, 1), (64, 128, 3, 2), (3, 64, 7, 2)):
        x, w = activation(normal(8, 12, 12, c)), normal(n, kernel, kernel, c)
        s, p = (stride,) * 2, (kernel // 2,) * 2
        windows = windows_over(x.shape, w.shape, s, p)
        y = matrix_units.conv2d(x, w, normal(n), windows)
        matrix_units.conv2d_grad_input(y, w, x.shape, windows)
        matrix_units.conv2d_grad_weight(y, x, w.shape, windows)


def import_torch(tiny: bool) -> None:
    """What it reads from the disk is in the computer's memory afterwards, for those who measure with it."""
    began = time.perf_counter()
    try:
        import torch
    except ImportError:
        raise SystemExit("PyTorch is not installed: nothing is compared with it") from None
    there = torch.cuda.is_available() and torch.zeros(1, device="cuda").sum().item() == 0
    took = time.perf_counter() - began
    print(f"PyTorch {torch.__version__}: {took:.1f} s for its first import, and it {'has' if there else 'has no'} card")


def hang(tiny: bool) -> None:
    print("this step hangs, and is stopped", flush=True)
    time.sleep(3600)


def fail(tiny: bool) -> None:
    raise SystemExit("this step fails, and the next is done")


CHECKS = {"machine": machine, "training": training, "twice": twice, "kernels": small_kernels, "torch": import_torch}
CHECKS |= {"hang": hang, "fail": fail}  # to try the session with

if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("check", choices=CHECKS)
    parser.add_argument("--tiny", action="store_true", help="as small as it gets")
    options = parser.parse_args()
    CHECKS[options.check](options.tiny)
