"""Sparsity in five ways, and what singular values have to do with robustness (claims C10, C11 and C12).

Trains FC5 dense, and pruned by magnitude, at random, by variational dropout, l0 and lottery tickets; by FGSM with
random start; with the nuclear norm and l1; and takes the dense one's kernels apart to the same effective rank as those.
Each is attacked by FGSM, PGD and the worst case of several attacks. Figure 17 has the sparsifiers, figure 18 the
spectra.

    python experiments/sparsifiers.py                          handwritten digits, one seed: minutes on two cores
    python experiments/sparsifiers.py --seeds 0 1 2            as many as a verdict needs

What is finished is kept: a study that was stopped goes on at the network after the last.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import itertools
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from decomposed import decomposed, products
from verdicts import verdicts

from minidl import plot
from minidl import robustness as R
from minidl.nn import Linear, Module
from minidl.plot import Picture
from minidl.plot.labels import legend
from minidl.records import Outcome, read_attack
from minidl.report import write_csv
from minidl.report.evidence import Lines
from minidl.report.style import STYLES, TITLE, finish_axes
from minidl.study import Adversary, Attack, Folder, Place, Proximal, Pruning, Run, finish, load_problem
from minidl.study.measure import measure
from minidl.weights import load

METHODS = ("magnitude", "variational", "l0", "lottery", "random")
SPARSITIES = (0.5, 0.8, 0.9)
EPSILONS = (0.0, 4.0, 8.0, 16.0, 32.0)  # in 1/255
SHOWN = 16.0  # of figure 17
BASE = Run("digits", 8, 8, "fc5", 64, epochs=12, lr=0.1)
STRENGTH = {"variational": 0.03, "l0": 0.1}
PRUNED = Pruning(0.5, scope="global", steps=10, part=0.5)
ATTACKS = {
    "FGSM": Attack(EPSILONS, images="paired", part=1.0),
    "PGD-20": Attack(EPSILONS, images="paired", part=1.0, method="pgd"),
    "worst case": Attack((0, 8, 16), images="paired", part=1.0, every=3, method="auto", steps=10, queries=100),
}
OTHERS = ("dense", "adversarial", "nuclear + l1")
MADE = "decomposed"


def runs(seed: int, sparsities: Sequence[float]) -> dict[Any, Run]:
    """{line: run} of all networks that are trained from scratch: (method, sparsity) and ``OTHERS``."""
    base = dataclasses.replace(BASE, seed=seed)
    found: dict[Any, Run] = {"dense": base}
    for method, sparsity in itertools.product(METHODS, sparsities):
        settings: Any = {"method": method, "sparsity": sparsity, "strength": STRENGTH.get(method, 1.0)}
        found[method, sparsity] = dataclasses.replace(base, pruning=dataclasses.replace(PRUNED, **settings))
    found["adversarial"] = dataclasses.replace(base, adversary=Adversary(16))
    found["nuclear + l1"] = dataclasses.replace(base, proximal=Proximal(0.02, 0.0002, every=10))
    return found


def do(run: Run, attacks: Sequence[Attack], out: Path, threads: int) -> str:
    """One network, in a process of its own."""
    finish(run, attacks, Place(out, threads=threads, progress=False))
    return str(run)


class Study:
    """The networks of some seeds, and what the attacks did."""

    def __init__(self, out: Path, seeds: Sequence[int], sparsities: Sequence[float]) -> None:
        self.out, self.seeds, self.sparsities = out, [*seeds], [*sparsities]
        self.folder, self.made = Folder(out), Folder(out / MADE)
        self.problem = load_problem(BASE.data, BASE.pixels, BASE.crop)
        self.runs = {(line, seed): run for seed in seeds for line, run in runs(seed, sparsities).items()}
        self._spectra: dict[Any, R.Spectrum] = {}

    def train(self, workers: int, cores: int) -> None:
        """All that is missing, and then the networks that are made of others."""
        work = functools.partial(do, attacks=[*ATTACKS.values()], out=self.out, threads=max(1, cores // workers))
        with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
            for done in pool.map(work, self.runs.values()):
                print(done, flush=True)
        for seed, attack in itertools.product(self.seeds, ATTACKS.values()):
            path = self.made.attack(self.runs["nuclear + l1", seed], attack)
            if not path.is_file():
                model, run = self.model(MADE, seed), self.runs["nuclear + l1", seed]
                measure(run, attack, model, self.problem, path, MADE)

    def model(self, line: Any, seed: int) -> Module:
        """A trained network; the decomposed one is trained where it is not there yet."""
        if line == MADE:
            run, dense = self.runs["nuclear + l1", seed], self.model("dense", seed)
            path = self.made.layout.weights(run.name)
            return decomposed(dense, self.runs["dense", seed], self.spectrum("nuclear + l1", seed), self.problem, path)
        run = self.runs[line, seed]
        model = self.problem.model(run)
        load(model, self.folder.layout.weights(run.name))
        return model.eval()

    def spectrum(self, line: Any, seed: int) -> R.Spectrum:
        """Of pairs of layers, that of their product."""
        if (line, seed) not in self._spectra:
            model = self.model(line, seed)
            for name, matrix in products(model).items():
                whole = Linear(matrix.shape[0], matrix.shape[1], rng=np.random.default_rng(0))
                whole.weight.data[...] = matrix
                model.replace_modules(lambda at, layer, name=name, whole=whole: whole if at == name else layer)  # type: ignore[misc]
            shape = (BASE.crop, BASE.crop, self.problem.train.images.shape[3])
            self._spectra[line, seed] = R.spectrum(model, shape)
        return self._spectra[line, seed]

    def outcome(self, line: Any, seed: int, attack: str) -> Outcome:
        """What an attack did to a network, image by image."""
        run = self.runs["nuclear + l1" if line == MADE else line, seed]
        folder, record = self.folder, self.folder.record(run)
        if line == MADE:
            folder, record = self.made, {"name": run.name, "weights": MADE}
        found = record and read_attack(folder.layout, record, ATTACKS[attack].name)
        if not found:
            raise FileNotFoundError(f"{line}, {run} is not attacked by {attack} yet: run the study again")
        return found[0]

    def lines(self, levels: Iterable[Any], attack: str) -> Lines:
        """As the report's statistics take them."""
        levels = [*levels]
        outcomes = {(level, seed): self.outcome(level, seed, attack) for level in levels for seed in self.seeds}
        epsilons = outcomes[levels[0], self.seeds[0]].epsilons
        return Lines("17", "method", levels, self.seeds, epsilons, outcomes, [])


def write(study: Study) -> None:
    """The table, the verdicts and both figures."""
    levels = [*runs(0, study.sparsities), MADE]
    rows = []
    for attack, level, seed in itertools.product(ATTACKS, levels, study.seeds):
        outcome, spectrum = study.outcome(level, seed, attack), study.spectrum(level, seed)
        method, sparsity = level if isinstance(level, tuple) else (level, 0.0)
        for epsilon, right in zip(outcome.epsilons, outcome.right, strict=True):
            rows.append(
                {"method": method, "sparsity": sparsity, "seed": seed, "attack": attack, "images": right.size,
                 "epsilon": round(255 * float(epsilon), 4), "accuracy": round(float(right.mean()), 4),
                 "effective rank": round(spectrum.effective_rank, 4),
                 "effective sparsity": round(spectrum.effective_sparsity, 4)}
            )  # fmt: skip
    write_csv(study.out / "results.csv", rows)
    found = verdicts(study)
    write_csv(study.out / "claims.csv", found)
    for verdict in found:
        print(f"{verdict['claim']}: {verdict['verdict']}. {verdict['reason']}")
    sparsifiers(study).savefig(study.out / "figure-17.png", dpi=150)
    spectra(study).savefig(study.out / "figure-18.png", dpi=150)


def sparsifiers(study: Study) -> Picture:
    """Figure 17: accuracy against sparsity, a line for each way; a panel for each attack."""
    picture = Picture(8.4, 3.0)
    panels = picture.subplots(1, 1 + len(ATTACKS), sharey=True)
    lines: list[Any] = []
    for axes, attack in zip(panels, ("none", *ATTACKS), strict=True):
        for i, method in enumerate(METHODS):
            levels = ["dense", *((method, sparsity) for sparsity in study.sparsities)]
            found = study.lines(levels, "FGSM" if attack == "none" else attack)
            at = 0 if attack == "none" else int(np.flatnonzero(np.isclose(found.epsilons, SHOWN / 255))[0])
            each = np.array([[found.outcomes[k, s].right[at].mean() for s in found.seeds] for k in levels])
            x, mean, spread = 100 * np.array([0, *study.sparsities]), 100 * each.mean(axis=1), 100 * each.std(axis=1)
            axes.fill_between(x, mean - spread, mean + spread, color=STYLES[i]["color"], alpha=0.12, lw=0)
            line = axes.plot(x, mean, **STYLES[i], lw=1.3, ms=4)
            lines += line if axes is panels[0] else []
        finish_axes(axes, "sparsity (%)", "right (%)" if axes is panels[0] else "")
        axes.set_title("clean" if attack == "none" else f"{attack}, {SHOWN:g}/255", fontsize=TITLE - 1)
    legend(picture, lines, METHODS, columns=5)
    return picture


def spectra(study: Study) -> Picture:
    """Figure 18: the singular values of the first seed's networks."""
    sparse = ("magnitude", max(study.sparsities))
    found = {line: study.spectrum(line, study.seeds[0]) for line in (*OTHERS, MADE)}
    return plot.spectrum(found | {f"magnitude {sparse[1]:.0%}": study.spectrum(sparse, study.seeds[0])})


def main(args: Sequence[str] | None = None) -> None:
    """Do what is missing, and write what all that says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--sparsities", type=float, nargs="+", default=SPARSITIES)
    parser.add_argument("--workers", type=int, default=2, help="networks that are trained side by side")
    parser.add_argument("--cores", type=int, default=2, help="which these share")
    parser.add_argument("--out", type=Path, default=Path("runs/sparsifiers"))
    options = parser.parse_args(args)
    study = Study(options.out, options.seeds, options.sparsities)
    study.train(options.workers, options.cores)
    write(study)


if __name__ == "__main__":
    main()
