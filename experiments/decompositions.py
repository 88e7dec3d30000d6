"""Four decompositions of a trained network on one page: how near they come, what they save, what they cost in accuracy.

A network of three convolutions is trained on the digits; each convolution but the first is then replaced by a smaller
one of Tai's, Jaderberg's, Denton's or Lebedev's kind, of the largest rank that keeps to a share of its weights; and
what that gives is trained a little further. The table has, for each way and share, means over seeds.

    python experiments/decompositions.py              about two minutes on two cores
    python experiments/decompositions.py --seeds 0    one seed
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np

import minidl as md
from minidl import nn
from minidl.compress.decompose import METHODS, composed
from minidl.report import write_csv

SHARES = (0.5, 0.25, 0.1)  # of a convolution's weights
EPOCHS, AFTER, RATE = 20, 5, 0.05
HEADER = ("method", "share", "multiply-adds", "kernel error", "output error", "before", "after")


def network(seed: int) -> nn.Sequential:
    rng = np.random.default_rng(seed)
    layers: list[nn.Module] = [nn.Normalize(0.5, 0.25)]
    for channels, out, stride in ((1, 16, 1), (16, 32, 2), (32, 64, 2)):
        layers += [nn.Conv2d(channels, out, 3, stride, 1, rng=rng), nn.BatchNorm2d(out), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10, rng=rng))


def train(model: nn.Module, seed: int, epochs: int, rate: float) -> float:
    """Train, and the validation accuracy at the end; no epochs: the accuracy as it is."""
    (images, labels), val = md.data.digits("train"), md.data.digits("val")
    if epochs:
        batches = md.data.Loader(images, labels, 64, pad=1, drop_last=True, seed=seed)
        optimizer = md.optim.SGD(model.parameters(), rate, momentum=0.9, weight_decay=5e-4, nesterov=True)
        schedule = md.optim.one_cycle(rate, epochs * len(batches))
        md.fit(model, batches, optimizer, epochs, schedule=schedule, progress=False)
    return md.evaluate(model, [(val.images, val.labels)], progress=False).accuracy


def rank_of(layer: nn.Conv2d, method: str, share: float) -> int:
    """The largest rank whose weights are no more than a share of the layer's."""
    n, kh, kw, c = layer.weight.shape
    each = {"tai": kh * c + kw * n, "jaderberg": kh * c + kw * n, "denton": kh * kw * c + n, "cp": c + kh + kw + n}
    most = {"denton": min(n, kh * kw * c), "cp": n * kh * kw * c}.get(method, min(kh * c, kw * n))
    return min(most, max(1, int(share * layer.weight.size / each[method])))


def errors(dense: nn.Sequential, small: nn.Sequential, images: np.ndarray) -> tuple[float, float]:
    """Of the kernels, and of what they give for the dense network's own values: relative, the mean over layers."""
    kernel, output, x = [], [], md.Tensor(images)
    with md.no_grad():
        for old, new in zip(dense, small, strict=True):
            y = old(x)
            if isinstance(old, nn.Conv2d) and not isinstance(new, nn.Conv2d):
                kernel.append(float(np.linalg.norm(composed(new) - composed(old)) / np.linalg.norm(composed(old))))
                bias = old.bias.data if old.bias is not None else 0
                output.append(float(np.linalg.norm(new(x).data - y.data) / np.linalg.norm(y.data - bias)))
            x = y
    return mean(kernel), mean(output)


def rows_of(seed: int) -> list[dict]:
    """All ways and shares, of one seed's network."""
    md.manual_seed(seed)
    dense, images = network(seed), md.data.digits("train").images
    accuracy, whole = train(dense, seed, EPOCHS, RATE), md.compress.cost(dense, (8, 8, 1)).multiply_adds
    found = [dict(zip(HEADER, ("dense", 1.0, whole, 0.0, 0.0, accuracy, accuracy), strict=True))]
    for share in SHARES:
        for method in METHODS:
            layers = [layer for layer in dense if isinstance(layer, nn.Conv2d)]
            ranks = [None, *(rank_of(layer, method, share) for layer in layers[1:])]
            data = images if method == "jaderberg" else None
            small: Any = md.compress.decompose(copy.deepcopy(dense), ranks, method, data, np.random.default_rng(seed))
            work = md.compress.cost(small, (8, 8, 1)).multiply_adds
            kernel, output = errors(dense, small, images[:500])
            before = train(small, seed, 0, RATE)
            after = train(small, seed, AFTER, RATE / 5)
            found.append(dict(zip(HEADER, (method, share, work, kernel, output, before, after), strict=True)))
    return found


def table(rows: Sequence[dict]) -> str:
    """Means over seeds, with the standard deviation of accuracies; in Markdown."""
    lines = [f"| {' | '.join(HEADER)} |", f"| {' | '.join('---' for _ in HEADER)} |"]
    for method, share in dict.fromkeys((row["method"], row["share"]) for row in rows):
        same = [row for row in rows if (row["method"], row["share"]) == (method, share)]

        def cell(name: str, same=same) -> str:
            values = [100 * row[name] for row in same]
            return f"{mean(values):.1f}" + (f" ± {stdev(values):.1f}" if len(values) > 1 else "")

        work = f"{round(mean(row['multiply-adds'] for row in same)):,}"
        wrong = [f"{mean(row[name] for row in same):.3f}" for name in ("kernel error", "output error")]
        lines.append(f"| {method} | {share:g} | {work} | {' | '.join(wrong)} | {cell('before')} | {cell('after')} |")
    return "\n".join(lines)


def main(args: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=Path("runs/decompositions"))
    options = parser.parse_args(args)
    rows = [{"seed": seed, **row} for seed in options.seeds for row in rows_of(seed)]
    options.out.mkdir(parents=True, exist_ok=True)
    write_csv(options.out / "decompositions.csv", rows)
    text = table(rows)
    (options.out / "decompositions.md").write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
