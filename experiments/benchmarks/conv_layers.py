"""GFLOP/s of the convolutions and products of ResNet18, AlexNet and FC5, forward and both gradients, beside PyTorch's.

The peak is measured first, in several ways, of which the best counts: multiply-adds between registers, on all threads
at once, and the square product of 2048 by NumPy's library, PyTorch's and minidl. Each layer is shown as a part of it.
A convolution counts as 2 * B * OH * OW * N * KH * KW * C operations however it is computed, so Winograd's, which
multiplies a quarter as often, may come out above the peak. minidl and PyTorch (channels_last) take turns, each of which
begins with a rest and once untimed, so that what fits into the last cache is there; the best of their times counts.

    python experiments/benchmarks/conv_layers.py
    python experiments/benchmarks/conv_layers.py --only resnet18 --precision exact --threads 1
"""

import argparse
import time
from collections.abc import Callable, Iterable, Sequence
from importlib.util import find_spec

import numpy as np
from train_jobs import REST

import minidl as md
from minidl import kernels
from minidl.kernels.cpu.tile import COLUMNS, ROWS, multiply_whole
from minidl.kernels.cpu_runtime.memory import empty
from minidl.kernels.cpu_runtime.tasks import at, task
from minidl.study.folder import origin
from minidl.tools.threads import cores

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
LINEAR = (  # network, rows, inputs, outputs
    ("fc5 64 px batch 128", 128, 12288, 1344),
    ("fc5 64 px batch 128", 128, 1344, 1344),
    ("alexnet 224 px batch 32", 32, 9216, 4096),
    ("alexnet 224 px batch 32", 32, 4096, 4096),
)
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
    time.sleep(REST)
    job()  # untimed, as processors that have rested begin slowly
    started = time.perf_counter()
    job()
    return time.perf_counter() - started


@task
def _multiply_again(start, stop, a, b, c, depth, repeats):
    """Each part with numbers of its own: threads that wrote to one place would wait for each other."""
    for part in range(start, stop):
        own = at(c, part * ROWS * COLUMNS)
        for _ in range(repeats):
            multiply_whole(at(a, 0), 1, (ROWS,), at(b, 0), (COLUMNS,), (depth,), own, COLUMNS, own, 1, COLUMNS)


def tile() -> float:
    """GFLOP/s of the register tile with everything it reads in the nearest cache."""
    depth, repeats, parts = 64, 4000, 4 * md.num_threads()
    operands = depth * (ROWS + COLUMNS)
    block = empty(
        operands + parts * ROWS * COLUMNS + (1 << 14)
    )  # so large that it begins a cache line, as its parts do
    block[:] = 0
    a, b, c = np.split(block, [depth * ROWS, operands])
    job = lambda: _multiply_again.run(parts, a, b, c, depth, repeats)  # noqa: E731
    return 2 * ROWS * COLUMNS * depth * repeats * parts / min(seconds(job) for _ in range(5)) / 1e9


def peaks(libraries: Iterable[str]) -> dict[str, float]:
    """GFLOP/s that so many threads reach in several ways: of which NumPy's library may be held to one, or be slow."""
    a = np.random.default_rng(0).standard_normal((2048, 2048), dtype=np.float32)
    products: Jobs = {"minidl": lambda: kernels.module("cpu").matmul(a, a)}
    if md.num_threads() >= cores():  # its number of threads nobody can set from here
        products["NumPy"] = lambda: a @ a
    if "PyTorch" in libraries:
        import torch

        x = torch.from_numpy(a)
        products["PyTorch"] = lambda: x @ x
    found = {name: 2 * 2048**3 / min(seconds(job) for _ in range(6)) / 1e9 for name, job in products.items()}
    return {"between registers": tile()} | found


def linear_jobs(x: np.ndarray, weight: np.ndarray, dy: np.ndarray) -> list[Jobs]:
    """(B, in), (in, out) and (B, out), by minidl and, where it is installed, PyTorch."""
    product = kernels.module("cpu").matmul
    arrays = [((x, weight, dy), product)]
    if find_spec("torch"):
        import torch

        arrays.append((tuple(map(torch.from_numpy, (x, weight, dy))), torch.matmul))
    return [
        {
            "forward": lambda x=x, w=w, m=m: m(x, w),
            "by input": lambda dy=dy, w=w, m=m: m(dy, w.T),
            "by weight": lambda x=x, dy=dy, m=m: m(x.T, dy),
        }
        for (x, w, dy), m in arrays
    ]


def show(what: str, jobs: Sequence[Jobs], operations: int, best: float, rounds: int) -> None:
    """A row of the table: GFLOP/s of each library, and the first one's part of the peak."""
    cells = []
    for product in PRODUCTS:
        times = [[seconds(job[product]) for job in jobs] for _ in range(rounds)]
        speeds = [operations / min(column) / 1e9 for column in zip(*times, strict=True)]
        cells.append(f"{' / '.join(f'{speed:.0f}' for speed in speeds)} ({speeds[0] / best:.0%})")
    print(f"| {what} | {' | '.join(cells)} |", flush=True)


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
    found = peaks(libraries)
    best = max(found.values())
    ways = ", ".join(f"{name} {speed:.0f}" for name, speed in found.items())
    print(f"{origin()['processor']}, {options.threads} threads; peak {best:.0f} GFLOP/s ({ways})\n")
    print(f"GFLOP/s of {' / '.join(libraries)} (part of the peak)\n")
    print(f"| | {' | '.join(PRODUCTS)} |\n| --- | ---: | ---: | ---: |")
    rng = np.random.default_rng(0)
    normal = lambda shape: rng.standard_normal(shape, dtype=np.float32)  # noqa: E731
    for network, size, c, n, kernel, stride, padding in LAYERS:
        if options.only not in network:
            continue
        batch, out = int(network.split()[-1]), (size + 2 * padding - kernel) // stride + 1
        x, weight, dy = map(normal, ((batch, size, size, c), (n, kernel, kernel, c), (batch, out, out, n)))
        jobs = [make(x, weight, dy, stride, padding) for make in libraries.values()]
        what = f"{network}: {size}, {c} -> {n}, {kernel}, {stride}"
        show(what, jobs, 2 * batch * out * out * n * kernel * kernel * c, best, options.rounds)
    for network, rows, inputs, outputs in LINEAR:
        if options.only in network:
            jobs = linear_jobs(normal((rows, inputs)), normal((inputs, outputs)), normal((rows, outputs)))
            what = f"{network}: ({rows} x {inputs}) @ ({inputs} x {outputs})"
            show(what, jobs, 2 * rows * inputs * outputs, best, options.rounds)


if __name__ == "__main__":
    main()
