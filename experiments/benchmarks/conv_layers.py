"""GFLOP/s of each convolution of ResNet18 and AlexNet, forward and both gradients, beside PyTorch's and the peak.

The peak is measured first: multiply-adds between registers, on all threads at once. A convolution counts as
2 * B * OH * OW * N * KH * KW * C operations however it is computed, so Winograd's, which multiplies a quarter as often,
may come out above the peak. minidl and PyTorch (channels_last) take turns, and the best of their times counts.

    python experiments/benchmarks/conv_layers.py
    python experiments/benchmarks/conv_layers.py --only resnet18 --precision exact --threads 1
"""

import argparse
import time
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np

import minidl as md
from minidl import kernels
from minidl.kernels.cpu.tile import COLUMNS, ROWS, multiply_whole
from minidl.kernels.cpu_runtime.tasks import at, task

LAYERS = (  # network, image size and batch; H = W, C, N, kernel, stride, padding
    ("resnet18 128 px batch 32", 128, 3, 64, 7, 2, 3),
    ("resnet18 128 px batch 32", 32, 64, 64, 3, 1, 1),
    ("resnet18 128 px batch 32", 32, 64, 128, 3, 2, 1),
    ("resnet18 128 px batch 32", 32, 64, 128, 1, 2, 0),
    ("resnet18 128 px batch 32", 16, 128, 128, 3, 1, 1),
    ("resnet18 128 px batch 32", 16, 128, 256, 3, 2, 1),
    ("resnet18 128 px batch 32", 8, 256, 256, 3, 1, 1),
    ("resnet18 128 px batch 32", 8, 256, 512, 3, 2, 1),
    ("resnet18 128 px batch 32", 4, 512, 512, 3, 1, 1),
    ("resnet18 64 px batch 128", 2, 512, 512, 3, 1, 1),
    ("alexnet 224 px batch 32", 224, 3, 64, 11, 4, 2),
    ("alexnet 224 px batch 32", 27, 64, 192, 5, 1, 2),
    ("alexnet 224 px batch 32", 13, 192, 384, 3, 1, 1),
    ("alexnet 224 px batch 32", 13, 384, 256, 3, 1, 1),
)
PRODUCTS = ("forward", "by input", "by weight")
Jobs = dict[str, Callable[[], object]]


def minidl_jobs(x: np.ndarray, weight: np.ndarray, dy: np.ndarray, stride: int, padding: int) -> Jobs:
    k, (s, p) = kernels.module("cpu"), ((stride, stride), (padding, padding))
    return {
        "forward": lambda: k.conv2d(x, weight, None, s, p),
        "by input": lambda: k.conv2d_grad_input(dy, weight, x.shape, s, p),
        "by weight": lambda: k.conv2d_grad_weight(dy, x, weight.shape, s, p),
    }


def torch_jobs(x: np.ndarray, weight: np.ndarray, dy: np.ndarray, stride: int, padding: int) -> Jobs:
    import torch

    tx, tw, ty = (
        torch.from_numpy(a).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last) for a in (x, weight, dy)
    )
    backward = torch.ops.aten.convolution_backward
    rest = ([stride] * 2, [padding] * 2, [1, 1], False, [0, 0], 1)
    return {
        "forward": lambda: torch.conv2d(tx, tw, None, stride, padding),
        "by input": lambda: backward(ty, tx, tw, None, *rest, [True, False, False]),
        "by weight": lambda: backward(ty, tx, tw, None, *rest, [False, True, False]),
    }


def seconds(job: Callable[[], object]) -> float:
    started = time.perf_counter()
    job()
    return time.perf_counter() - started


@task
def _multiply_again(start, stop, a, rows, b, c, depth, repeats):
    for _ in range((stop - start) * repeats):
        zero = at(c, ROWS * COLUMNS)
        multiply_whole(
            at(a, 0), at(rows, 0), (1,), at(b, 0), (COLUMNS,), (depth,), at(c, 0), at(rows, 0), zero, 0, COLUMNS
        )


def peak() -> float:
    """GFLOP/s of the register tile with everything it reads in the nearest cache."""
    depth, repeats = 64, 4000
    a, b, c = np.ones(ROWS * COLUMNS, np.float32), np.ones(depth * COLUMNS, np.float32), np.zeros(4096, np.float32)
    parts, rows = 4 * md.num_threads(), np.arange(ROWS) * COLUMNS
    job = lambda: _multiply_again.run(parts, a, rows, b, c, depth, repeats)  # noqa: E731
    job()
    return 2 * ROWS * COLUMNS * depth * repeats * parts / min(seconds(job) for _ in range(5)) / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="only networks whose name contains this")
    parser.add_argument("--rounds", type=int, default=7, help="how often each library has its turn (default: 7)")
    parser.add_argument("--threads", type=int, default=2, help="of each library (default: 2)")
    parser.add_argument("--precision", choices=kernels.PRECISIONS, default="fast")
    options = parser.parse_args()
    md.set_precision(options.precision)
    md.set_num_threads(options.threads)
    libraries: dict[str, Callable[..., Jobs]] = {"minidl": minidl_jobs}
    if find_spec("torch"):
        import torch

        torch.set_num_threads(options.threads)
        libraries["PyTorch"] = torch_jobs
    print(f"peak: {peak():.0f} GFLOP/s with {options.threads} threads; GFLOP/s of {' / '.join(libraries)}\n")
    print(f"{'network':24} {'H=W':>4} {'C':>4} {'N':>4} kernel " + " ".join(f"{name:>11}" for name in PRODUCTS))
    rng = np.random.default_rng(0)
    for network, size, c, n, kernel, stride, padding in LAYERS:
        if options.only not in network:
            continue
        batch, out = int(network.split()[-1]), (size + 2 * padding - kernel) // stride + 1
        shapes = (batch, size, size, c), (n, kernel, kernel, c), (batch, out, out, n)
        arrays = [rng.standard_normal(shape, dtype=np.float32) for shape in shapes]
        jobs = [make(*arrays, stride, padding) for make in libraries.values()]
        operations = 2 * batch * out * out * n * kernel * kernel * c
        cells = []
        for product in PRODUCTS:
            times = [[seconds(job[product]) for job in jobs] for _ in range(options.rounds + 1)][1:]
            cells.append(" / ".join(f"{operations / min(column) / 1e9:4.0f}" for column in zip(*times, strict=True)))
        print(f"{network:24} {size:4} {c:4} {n:4} {kernel:2} s{stride}  " + " ".join(f"{cell:>11}" for cell in cells))


if __name__ == "__main__":
    main()
