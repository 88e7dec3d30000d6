"""From both sides: what no attack can break below, what an attack breaks above (claim C5: FC5, pruned).

Certifies FC5 at each final sparsity and seed, attacks it by PGD on the margin, on the same images, and writes the band
between the two as a table and a picture. The networks are those of figure 11, trained where they are not there yet.

    python experiments/certificates.py                        handwritten digits: minutes on two cores
    python experiments/certificates.py --preset laptop        Imagenette at 64 px: hours

A study that was stopped goes on where it was, at the image after the last that was written; networks whose images are
done are not trained again.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from settings import PRESETS, Settings

from minidl import plot
from minidl import robustness as R
from minidl.data import Loader
from minidl.records import hash_of
from minidl.report import write_csv
from minidl.study import Folder, Place, Problem, Run, finish, load_problem
from minidl.tools.files import whole_file
from minidl.weights import load

EPSILONS = {"quick": (1, 2, 4, 8, 16), "laptop": (0.25, 0.5, 1, 2, 4)}  # in 1/255
IMAGES = {"quick": 360, "laptop": 200}
RATE = 0.1  # of the quick preset's FC5 on a quarter of its pixels, which can be trained at a higher rate
AT_ONCE = 20  # images, after which what is known is written


def main(args: Sequence[str] | None = None) -> None:
    """Do what is missing, network by network, and write what is there after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=EPSILONS, default="quick")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--images", type=int, help="of the validation images; by default the preset's number")
    parser.add_argument("--networks", type=Path, help="folder for their weights; by default runs/certificates-PRESET")
    parser.add_argument("--out", type=Path, help="folder for all results; by default that of the networks")
    options = parser.parse_args(args)
    networks = options.networks or Path("runs") / f"certificates-{options.preset}"
    out, count = options.out or networks, options.images or IMAGES[options.preset]
    settings: Settings = PRESETS[options.preset]
    if options.preset == "quick":  # the digits as they are: enlarging them teaches an FC5 nothing
        plain = dataclasses.replace(settings.fc5, lr=RATE)
        settings = dataclasses.replace(settings, pixels=8, crop=8, fc5=plain)
    every = list(runs(settings, options.seeds))
    for run in every:
        if not is_whole(run, count, out):  # else its network is not needed, and may be gone
            finish(run, [], Place(networks, progress=False))
            band_of(run, np.array(EPSILONS[options.preset]) / 255, count, networks, out)
        report(every, count, out)


def runs(settings: Settings, seeds: Sequence[int]) -> Iterator[Run]:
    """The networks of figure 11: every sparsity with one seed before the next seed begins."""
    for seed in seeds:
        for sparsity in settings.sparsities:
            yield dataclasses.replace(settings.run("fc5", 512, seed), pruning=settings.pruning(sparsity))


def band_of(run: Run, epsilons: np.ndarray, count: int, networks: Path, out: Path) -> None:
    """Certify a network's images from where that was left, a few at a time; then attack them, all at once.

    Of an attack on a few images most of the time would go into fetching FC5's weights from memory.
    """
    problem, path = load_problem(run.data, run.pixels, run.crop), out / "bands" / f"{run.name}.npz"
    model = problem.model(run).eval()
    load(model, Folder(networks).run(run) / "weights.safetensors")
    weights = hash_of(Folder(networks).run(run) / "weights.safetensors")
    if str(read(path).get("weights", weights)) != weights:
        print(f"{run.name}: the network is another one than was begun with, so that it begins anew", flush=True)
        path.unlink()
    count = max(count, read(path)["certified"].shape[1])  # more may be certified than are asked for now
    images, labels = sample(problem, count)
    path.parent.mkdir(parents=True, exist_ok=True)
    while (done := read(path)["certified"].shape[1]) < count:
        part, before = slice(done, done + AT_ONCE), read(path)
        started = time.perf_counter()
        new = R.certified(model, images[part], labels[part], epsilons).verified
        seconds = before["seconds"] + time.perf_counter() - started
        if done:
            new = np.concatenate([before["certified"], new], axis=1)
        write(path, epsilons=epsilons, certified=new, seconds=seconds, weights=weights)
        print(f"{run.name}: {new.shape[1]} of {count} images, {seconds:.0f} s", flush=True)
    known = read(path)
    if known["standing"].shape != known["certified"].shape:
        attack = partial(R.pgd, steps=50, restarts=3, loss="margin", stop_early=True)
        standing = R.accuracy_curve(model, images, labels, epsilons, attack=attack).right
        both(epsilons, known["certified"], standing)  # stops where something certified was broken
        write(path, **known | {"standing": standing})


def sample(problem: Problem, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The same validation images for every network and seed, in an order drawn once, as they are sorted by class."""
    rows = np.random.default_rng(0).permutation(len(problem.val))[:count]
    images, labels = problem.val.images[np.sort(rows)], np.asarray(problem.val.labels)[np.sort(rows)]
    images, labels = next(iter(Loader(images, labels, count, crop=problem.crop, shuffle=False, prefetch=0)))
    back = np.argsort(np.argsort(rows))
    return images[back], labels[back]


def read(path: Path) -> dict[str, np.ndarray]:
    """What a file knows: (E, images so far) each; nothing yet without it."""
    known = {"certified": np.empty((0, 0), bool), "standing": np.empty((0, 0), bool), "seconds": np.zeros(())}
    if path.is_file():
        with np.load(path) as file:
            known |= dict(file)
    return known


def is_whole(run: Run, count: int, out: Path) -> bool:
    """Whether so many images are certified and attacked."""
    return read(out / "bands" / f"{run.name}.npz")["standing"].shape[1] >= count


def write(path: Path, **known: Any) -> None:
    with whole_file(path) as file:
        np.savez_compressed(file, **known)


def both(epsilons: np.ndarray, verified: np.ndarray, standing: np.ndarray) -> R.TwoSided:
    band = R.wilson_interval(verified.sum(axis=1), verified.shape[1])
    return R.TwoSided(R.Certificate(epsilons, verified, verified.mean(axis=1), band, "inf", 0.95), standing)


def both_sides(every: Sequence[Run], count: int, out: Path) -> R.TwoSided:
    """Of several networks' images together."""
    found = [read(out / "bands" / f"{run.name}.npz") for run in every]
    verified, standing = (
        np.concatenate([each[name][:, :count] for each in found], axis=1) for name in ("certified", "standing")
    )
    return both(found[0]["epsilons"], verified, standing)


def report(every: Sequence[Run], count: int, out: Path) -> None:
    """The table, a row for each finished network and epsilon, and the picture of what all finished seeds show."""
    done = [run for run in every if is_whole(run, count, out)]
    dense = {run.seed: both_sides([run], count, out) for run in done if not run.sparsity}
    rows: list[dict] = []
    for run in done:
        both = both_sides([run], count, out)
        verdicts = both.verdicts(dense[run.seed]) if run.sparsity else [""] * len(both.epsilons)
        rows += [
            {
                "network": run.name, "sparsity": run.sparsity, "seed": run.seed, "images": count,
                "epsilon": round(255 * float(epsilon), 4), "certified": round(float(both.lower[e]), 4),
                "attacked": round(float(both.upper[e]), 4), "more robust than dense": verdicts[e],
            }
            for e, epsilon in enumerate(both.epsilons)
        ]  # fmt: skip
    several = {}
    for sparsity in dict.fromkeys(run.sparsity for run in done):
        same = [run for run in done if run.sparsity == sparsity]
        name = f"{sparsity:.0%} pruned" if sparsity else "dense"
        several[f"{name}, {len(same)} seed{'s' * (len(same) > 1)}"] = both_sides(same, count, out)
    write_csv(out / "band.csv", rows)
    plot.band(several).savefig(out / "band.png", dpi=150)


if __name__ == "__main__":
    main()
