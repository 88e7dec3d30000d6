"""How far each kernel is from what the card can do: its memory's speed, or that of its matrix units.

Both limits are measured first: a copy of a large array, and a product of large matrices in the precision at hand. For
each kernel the least time is that of the bytes it has to move (each array once), or of the operations it has to do,
whichever is longer; what it took is measured with the card's own events.

    python experiments/benchmarks/card_kernels.py
    python experiments/benchmarks/card_kernels.py --precision bfloat16 --batch 512
    python experiments/benchmarks/card_kernels.py --beside          # cuDNN's time for each convolution, through PyTorch
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from typing import Any

import numpy as np

import minidl as md
from minidl import kernels
from minidl.backend import Array, card
from minidl.backend.cuda import card_name
from minidl.backend.recording import Replayed
from minidl.kernels.gpu import multiply
from minidl.kernels.types import activation

LAYERS = (  # H = W, C, N, kernel, stride, padding: ResNet18 at 128 pixels
    (128, 3, 64, 7, 2, 3),
    (32, 64, 64, 3, 1, 1),
    (32, 64, 128, 3, 2, 1),
    (32, 64, 128, 1, 2, 0),
    (16, 128, 128, 3, 1, 1),
    (16, 128, 256, 3, 2, 1),
    (8, 256, 256, 3, 1, 1),
    (8, 256, 512, 3, 2, 1),
    (4, 512, 512, 3, 1, 1),
)
IMAGES = ((64, 64), (32, 64), (16, 128), (8, 256), (4, 512))  # H = W, C
Kernel = tuple[str, Callable[[], Any], int, float]  # name, call, bytes, operations


def normal(*shape: int) -> Array:
    return card().asarray(np.random.default_rng(0).standard_normal(shape, dtype=np.float32))


def seconds(call: Callable[[], Any], rounds: int, calls: int = 10) -> float:
    """The median of ``rounds`` recordings of some calls: what Python takes to start them does not count."""
    cuda, times, some = card().cuda, [], card().zeros(1)
    some_calls = Replayed(lambda _: [call() for _ in range(calls)])
    for i in range(rounds + 3):  # called, recorded, and once to warm up
        start, end = cuda.Event(), cuda.Event()
        start.record()
        some_calls(some)
        end.record()
        end.synchronize()
        if i >= 3:
            times.append(cuda.get_elapsed_time(start, end) / 1000 / calls)
    return statistics.median(times)


def limits(size: int, rounds: int) -> tuple[float, float]:
    """(bytes, operations) a second: of a copy, and of a product of two square matrices."""
    source, target = card().empty(size**2 * 4, np.float32), card().empty(size**2 * 4, np.float32)
    source.fill(1)
    copied = 2 * source.nbytes / seconds(lambda: card().copyto(target, source), rounds)
    a, b = normal(size, size), normal(size, size)
    factors, out = (multiply.as_factor(a), multiply.as_factor(b)), card().empty((size, size), np.float32)
    return copied, 2 * size**3 / seconds(lambda: multiply.multiply(*factors, out), rounds)


def cudnns(shape: tuple[int, int, int, int, int, int], batch: int) -> list[Callable[[], Any]]:
    """The three products of a convolution by cuDNN, channels last."""
    import torch

    size, c, n, kernel, stride, padding = shape
    mode = kernels.precision()
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = mode != "exact"
    torch.backends.cudnn.benchmark = True
    kind = {"device": "cuda", "dtype": torch.bfloat16 if mode == "bfloat16" else torch.float32}

    def normal(*shape: int) -> Any:
        return torch.randn(*shape, **kind).contiguous(memory_format=torch.channels_last)

    x, w = normal(batch, c, size, size), normal(n, c, kernel, kernel)
    dy = torch.nn.functional.conv2d(x, w, None, stride, padding)
    fixed = ((stride,) * 2, (padding,) * 2, (1, 1), False, (0, 0), 1)
    by_input, by_weight = (
        partial(torch.ops.aten.convolution_backward, dy, x, w, None, *fixed, wanted)
        for wanted in ((True, False, False), (False, True, False))
    )
    return [lambda: torch.nn.functional.conv2d(x, w, None, stride, padding), by_input, by_weight]


def torchs_seconds(call: Callable[[], Any], rounds: int, calls: int) -> float:
    """As ``seconds``, of PyTorch's recordings."""
    import torch

    with torch.cuda.stream(torch.cuda.Stream()):
        for _ in range(3):
            call()
    torch.cuda.synchronize()
    graph, times = torch.cuda.CUDAGraph(), []
    with torch.cuda.graph(graph):
        for _ in range(calls):
            call()
    for _ in range(rounds):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        graph.replay()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end) / 1000 / calls)
    return statistics.median(times)


def convolutions(batch: int) -> Iterator[Kernel]:
    k = kernels.module("gpu")
    for size, c, n, kernel, stride, padding in LAYERS:
        out = (size + 2 * padding - kernel) // stride + 1
        x, dy = activation(normal(batch, size, size, c)), activation(normal(batch, out, out, n))
        w = normal(n, kernel, kernel, c)
        s, p = (stride, stride), (padding, padding)
        moved, done = x.nbytes + w.nbytes + dy.nbytes, 2.0 * dy.size * kernel * kernel * c
        name = f"{size:3} px {c:3} -> {n:3}, {kernel} x {kernel} / {stride}"
        yield f"conv {name}", lambda x=x, w=w, s=s, p=p: k.conv2d(x, w, None, s, p), moved, done
        yield (
            "  by input",
            lambda x=x, w=w, dy=dy, s=s, p=p: k.conv2d_grad_input(dy, w, x.shape, s, p),
            moved,
            done,
        )
        yield (
            "  by weight",
            lambda x=x, w=w, dy=dy, s=s, p=p: k.conv2d_grad_weight(dy, x, w.shape, s, p),
            moved,
            done,
        )


def passes(batch: int) -> Iterator[Kernel]:
    """What is bound by memory: arrays read and written once each."""
    k = kernels.module("gpu")
    for size, c in IMAGES:
        x, y, dy = (activation(normal(batch, size, size, c)) for _ in range(3))
        mean, var, gamma = normal(c), abs(normal(c)), normal(c)
        one = x.nbytes
        yield f"moments {size:3} px {c:3}", lambda x=x: k.moments(x), one, 0.0
        yield (
            "  normalize, residual, ReLU",
            lambda x=x, y=y, m=mean, v=var, g=gamma: k.batch_norm(x, m, v, g, g, 1e-5, y, True),
            3 * one,
            0.0,
        )
        yield (
            "  its gradient",
            lambda dy=dy, x=x, y=y, m=mean, v=var, g=gamma: k.batch_norm_grad(dy, x, y, m, v, g, 1e-5, True, True),
            7 * one,
            0.0,
        )
        yield (
            "  its gradient, fixed",
            lambda dy=dy, y=y, v=var, g=gamma: k.batch_norm_grad_fixed(dy, y, v, g, 1e-5, True, False),
            3 * one,
            0.0,
        )
    x, dy = activation(normal(batch, 64, 64, 64)), activation(normal(batch, 32, 32, 64))
    _, where = k.max_pool2d(x, (3, 3), (2, 2), (1, 1))
    moved = x.nbytes + dy.nbytes + where.nbytes
    yield "max_pool  64 px  64, 3 x 3 / 2", lambda: k.max_pool2d(x, (3, 3), (2, 2), (1, 1)), moved, 0.0
    yield "  its gradient", lambda: k.max_pool2d_grad(dy, where, x.shape, (3, 3), (2, 2), (1, 1)), moved, 0.0
    yield "relu  64 px  64", lambda: k.relu(x), 2 * x.nbytes, 0.0
    weight, grad, velocity = normal(2359296), normal(2359296), normal(2359296)
    step = (None, 0.0, 0.9, 5e-4, True)
    yield "sgd_step, 2.36 million", lambda: k.sgd_step(weight, grad, velocity, *step), 5 * weight.nbytes, 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--precision", choices=kernels.PRECISIONS, default="fast")
    parser.add_argument("--batch", type=int, default=128, help="images (default: 128)")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--size", type=int, default=8192, help="of the matrices that show the limit (default: 8192)")
    parser.add_argument("--calls", type=int, default=10, help="in a recording (default: 10)")
    parser.add_argument("--only", default="", help="only kernels whose name contains this")
    parser.add_argument("--beside", action="store_true", help="cuDNN's time for each convolution, through PyTorch")
    options = parser.parse_args()
    md.set_precision(options.precision)
    bandwidth, rate = limits(options.size, options.rounds)
    print(f"{card_name()}, products: {options.precision}, batch {options.batch}")
    print(f"limits: {bandwidth / 1e12:.2f} TB/s copied, {rate / 1e12:.0f} TFLOP/s multiplied")
    print(f"{'kernel':40} {'microseconds':>12} {'TB/s':>6} {'TFLOP/s':>8} {'of the limit':>13} {'cuDNN':>8}")
    theirs = chain.from_iterable(cudnns(layer, options.batch) for layer in LAYERS)
    for each in (convolutions, passes):
        for name, call, moved, done in each(options.batch):
            other = next(theirs) if options.beside and done else None
            if options.only not in name:
                continue
            beside = f"{torchs_seconds(other, options.rounds, options.calls) * 1e6:8.1f}" if other else ""
            took = seconds(call, options.rounds, options.calls)
            least = max(moved / bandwidth, done / rate)
            speeds = f"{moved / took / 1e12:6.2f} {done / took / 1e12:8.1f}"
            print(f"{name:40} {took * 1e6:12.1f} {speeds} {least / took:13.0%} {beside}".rstrip(), flush=True)


if __name__ == "__main__":
    main()
