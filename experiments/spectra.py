"""What singular values have to do with robustness: networks of a study of defences, layer by layer (figure 18, ours)

Reads a folder of ``defences.py`` whose weights are still there: the network without a defence, that of FGSM training
with random start, and that of steps towards low rank and few weights. The first is also cut to the effective ranks of
the last, trained a little further and attacked as that was. Writes a table of all layers, figure 18, and what it says
of two claims. C11: adversarial training lowers the effective rank and raises the effective sparsity. C12: nuclear norm
and l1 are more robust than a decomposition of the same effective rank.

    python experiments/defences.py --seeds 0 1 2 --attack-part 1 --out runs/defences
    python experiments/spectra.py runs/defences
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from decomposed import composed_layers, decomposed, kernel_ranks
from verdicts import ATTACKED, DEFENCES, MADE, verdicts

from minidl import plot, settings
from minidl import robustness as R
from minidl.nn import Module
from minidl.records import Layout, Outcome, Run, hash_of, read_attack
from minidl.records.setting import from_record
from minidl.report import Results, write_csv
from minidl.report.evidence import Lines, MissingError
from minidl.report.verdict import level_of
from minidl.study import Problem, describe, load_problem
from minidl.study.measure import measure
from minidl.weights import load

ALL = "all"  # of a network's layers, in the table


class Networks:
    """The networks of a study of defences, and those that are made of them."""

    def __init__(self, folder: Path, out: Path, root: Path | None = None) -> None:
        if folder == out:
            raise ValueError(f"--out {out} is the study's own folder, whose claims.csv would be lost: choose another")
        self.results, self.layout, self._root = Results.load(folder), Layout(out), root
        found = Lines.of(self.results, ATTACKED)
        found.need(*DEFENCES)
        self.seeds = found.seeds
        self._trained = found
        self._measured: dict[tuple[str, int], tuple[R.Spectrum, dict[str, float]]] = {}

    def run(self, line: str, seed: int) -> Run:
        """A network of the study; of what is made, the one whose ranks it has."""
        name = self._trained.names[DEFENCES[-1] if line == MADE else line, seed]
        return from_record(Run, self.results.runs[name]["run"], "run")

    @functools.cached_property
    def problem(self) -> Problem:
        run = self.run(DEFENCES[0], self.seeds[0])
        return load_problem(run.data, run.pixels, run.crop, self._root)

    def path(self, line: str, seed: int) -> Path:
        """Of the weights; what is made is told by what it is made of."""
        if line == MADE:
            both = [self.results.runs[self.run(each, seed).name]["weights"] for each in (DEFENCES[0], DEFENCES[-1])]
            mark = hashlib.sha256("".join(both).encode()).hexdigest()[:8]
            return self.layout.path / f"decomposed-seed{seed}-{mark}.safetensors"
        return self.results.layout.weights(self.run(line, seed).name)

    def model(self, line: str, seed: int) -> Module:
        """With its weights; what is made is trained where it is not there yet."""
        run, path = self.run(line, seed), self.path(line, seed)
        if line == MADE:
            dense, goal = self.model(DEFENCES[0], seed), self.model(DEFENCES[-1], seed)
            return decomposed(dense, self.run(DEFENCES[0], seed), goal, self.problem, path)
        model = self.problem.model(run)
        load(model, path)
        if hash_of(path) != self.results.runs[run.name]["weights"]:
            raise ValueError(f"{path} has not the weights that were attacked: run the study again, which mends it")
        return model.eval()

    def measured(self, line: str, seed: int) -> tuple[R.Spectrum, dict[str, float]]:
        """The spectrum, and each kernel's effective rank; of what is made, those of its pairs multiplied out."""
        if (line, seed) not in self._measured:
            run, model = self.run(line, seed), composed_layers(self.model(line, seed))
            shape = (run.crop, run.crop, self.problem.train.images.shape[3])
            self._measured[line, seed] = R.spectrum(model, shape), kernel_ranks(model)
        return self._measured[line, seed]

    def spectrum(self, line: str, seed: int) -> R.Spectrum:
        return self.measured(line, seed)[0]

    def lines(self) -> Lines:
        """The study's own, and what is made, attacked as they were."""
        made = {(MADE, seed): self._attacked(seed) for seed in self.seeds}
        return dataclasses.replace(
            self._trained, levels=[*DEFENCES, MADE], outcomes={**self._trained.outcomes, **made}, names={}
        )

    def _attacked(self, seed: int) -> Outcome:
        run, model = self.run(MADE, seed), self.model(MADE, seed)
        weights = hash_of(self.path(MADE, seed))
        name = self.results.figures[ATTACKED]["attacks"]["paired"][run.name]
        record = {"name": run.name, "weights": weights}
        found = read_attack(self.layout, record, name)
        if found is None:
            theirs = read_attack(self.results.layout, self.results.runs[run.name], name)
            assert theirs is not None  # or Lines.of had found none
            path = self.layout.attack(run.name, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            with settings(precision="exact"):  # as all others were
                measure(run, theirs[1], model, self.problem, path, weights)
            found = read_attack(self.layout, record, name)
        assert found is not None
        return found[0]


def table(networks: Networks) -> list[dict[str, Any]]:
    """A row for each network and layer, and one for each network's mean over layers.

    ``effective_rank`` is that of the layer's operator, as a part of its singular values; ``kernel_rank`` that of its
    kernel as a matrix, by which a network is cut.
    """
    rows = []
    for line in (*DEFENCES, MADE):
        for seed in networks.seeds:
            found, ranks = networks.measured(line, seed)
            for layer in found.layers:
                numbers = {
                    "effective_rank": layer.effective_rank / layer.values.size,
                    "effective_sparsity": layer.effective_sparsity,
                    "largest": layer.norm,
                    "kernel_rank": ranks[layer.name],
                }
                rows.append(_row(line, seed, layer.name, numbers))
            whole = {name: getattr(found, name) for name in ("effective_rank", "effective_sparsity")}
            rows.append(_row(line, seed, ALL, whole | {"largest": "", "kernel_rank": ""}))
    return rows


def _row(line: str, seed: int, layer: str, numbers: dict[str, Any]) -> dict[str, Any]:
    told = {name: value and float(f"{value:.5g}") for name, value in numbers.items()}
    return {"network": line, "seed": seed, "layer": layer, **told}


def main(args: Sequence[str] | None = None) -> None:
    """Make and attack what is missing, and write what all that says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="what experiments/defences.py wrote to its --out")
    parser.add_argument("--out", type=Path, help="folder for all results; by default FOLDER-spectra, beside it")
    parser.add_argument("--root", type=Path, help="folder that holds Imagenette, as for the study")
    options = parser.parse_args(args)
    folder = options.folder.resolve()
    out = options.out.resolve() if options.out else folder.with_name(f"{folder.name}-spectra")
    try:
        write(Networks(folder, out, options.root), out)
    except (MissingError, ValueError, OSError, RuntimeError, ArithmeticError, MemoryError) as error:
        raise SystemExit(f"error: {describe(error)}") from error
    except KeyboardInterrupt:
        raise SystemExit("stopped: the same command goes on with what is there") from None


def write(networks: Networks, out: Path) -> None:
    """The table, the verdicts and the figure."""
    found = verdicts(networks.lines(), networks.spectrum, level_of(networks.results.study))
    out.mkdir(parents=True, exist_ok=True)
    write_csv(out / "spectra.csv", table(networks))
    write_csv(out / "claims.csv", found)
    for verdict in found:
        print(f"{verdict['claim']}: {verdict['verdict']}. {verdict['reason']}")
    first = {line: networks.spectrum(line, networks.seeds[0]) for line in (*DEFENCES, MADE)}
    plot.spectrum(first).savefig(out / "figure-18.png", dpi=150)


if __name__ == "__main__":
    main()
