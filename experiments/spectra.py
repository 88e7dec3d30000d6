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

from decomposed import composed_layers, decomposed
from verdicts import ATTACKED, DEFENCES, MADE, verdicts

from minidl import plot
from minidl import robustness as R
from minidl.nn import Module
from minidl.records import Layout, Outcome, Run, read_attack
from minidl.records.setting import from_record
from minidl.report import Results, write_csv
from minidl.report.evidence import Lines, MissingError
from minidl.study import Problem, describe, load_problem
from minidl.study.measure import measure
from minidl.weights import load

ALL = "all"  # of a network's layers, in the table


class Networks:
    """The networks of a study of defences, and those that are made of them."""

    def __init__(self, folder: Path, out: Path) -> None:
        self.results, self.layout = Results.load(folder), Layout(out)
        found = Lines.of(self.results, ATTACKED)
        found.need(*DEFENCES)
        self.seeds = found.seeds
        self._trained = found
        self._spectra: dict[tuple[str, int], R.Spectrum] = {}

    def run(self, line: str, seed: int) -> Run:
        """A network of the study; of what is made, the one whose ranks it has."""
        name = self._trained.names[DEFENCES[-1] if line == MADE else line, seed]
        return from_record(Run, self.results.runs[name]["run"], "run")

    @functools.cached_property
    def problem(self) -> Problem:
        run = self.run(DEFENCES[0], self.seeds[0])
        return load_problem(run.data, run.pixels, run.crop)

    def weights(self, line: str, seed: int) -> str:
        """A hash of them; what is made is told by what it is made of."""
        if line == MADE:
            both = [self.weights(each, seed) for each in (DEFENCES[0], DEFENCES[-1])]
            return hashlib.sha256("".join(both).encode()).hexdigest()
        return self.results.runs[self.run(line, seed).name]["weights"]

    def model(self, line: str, seed: int) -> Module:
        """With its weights; what is made is trained where it is not there yet."""
        run = self.run(line, seed)
        if line == MADE:
            dense = self.run(DEFENCES[0], seed)
            path = self.layout.path / f"decomposed-seed{seed}-{self.weights(MADE, seed)[:8]}.safetensors"
            goal = self.model(DEFENCES[-1], seed)
            return decomposed(self.model(DEFENCES[0], seed), dense, goal, self.problem, path)
        model = self.problem.model(run)
        load(model, self.results.layout.weights(run.name))
        return model.eval()

    def spectrum(self, line: str, seed: int) -> R.Spectrum:
        """Of what is made, that of its pairs multiplied out."""
        if (line, seed) not in self._spectra:
            run, model = self.run(line, seed), composed_layers(self.model(line, seed))
            shape = (run.crop, run.crop, self.problem.train.images.shape[3])
            self._spectra[line, seed] = R.spectrum(model, shape)
        return self._spectra[line, seed]

    def lines(self) -> Lines:
        """The study's own, and what is made, attacked as they were."""
        made = {(MADE, seed): self._attacked(seed) for seed in self.seeds}
        return dataclasses.replace(
            self._trained, levels=[*DEFENCES, MADE], outcomes={**self._trained.outcomes, **made}, names={}
        )

    def _attacked(self, seed: int) -> Outcome:
        run, weights = self.run(MADE, seed), self.weights(MADE, seed)
        name = self.results.figures[ATTACKED]["attacks"]["paired"][run.name]
        record = {"name": run.name, "weights": weights}
        found = read_attack(self.layout, record, name)
        if found is None:
            theirs = read_attack(self.results.layout, self.results.runs[run.name], name)
            assert theirs is not None  # or Lines.of had found none
            path = self.layout.attack(run.name, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            measure(run, theirs[1], self.model(MADE, seed), self.problem, path, weights)
            found = read_attack(self.layout, record, name)
        assert found is not None
        return found[0]


def table(networks: Networks) -> list[dict[str, Any]]:
    """A row for each network and layer, and one for each network's mean over layers."""
    rows = []
    for line in (*DEFENCES, MADE):
        for seed in networks.seeds:
            found = networks.spectrum(line, seed)
            for layer in found.layers:
                rank = layer.effective_rank / layer.values.size
                rows.append(_row(line, seed, layer.name, rank, layer.effective_sparsity, layer.norm))
            rows.append(_row(line, seed, ALL, found.effective_rank, found.effective_sparsity, None))
    return rows


def _row(line: str, seed: int, layer: str, rank: float, sparsity: float, norm: float | None) -> dict[str, Any]:
    numbers = {"effective_rank": rank, "effective_sparsity": sparsity, "largest": norm}
    told = {name: "" if value is None else float(f"{value:.5g}") for name, value in numbers.items()}
    return {"network": line, "seed": seed, "layer": layer, **told}


def main(args: Sequence[str] | None = None) -> None:
    """Make and attack what is missing, and write what all that says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="what experiments/defences.py wrote to its --out")
    parser.add_argument("--out", type=Path, help="folder for all results; by default FOLDER-spectra, beside it")
    options = parser.parse_args(args)
    out = options.out or options.folder.with_name(f"{options.folder.name}-spectra")
    try:
        write(Networks(options.folder, out), out)
    except (MissingError, ValueError, OSError) as error:
        raise SystemExit(f"error: {describe(error)}") from error


def write(networks: Networks, out: Path) -> None:
    """The table, the verdicts and the figure."""
    found = verdicts(networks.lines(), networks.spectrum)
    out.mkdir(parents=True, exist_ok=True)
    write_csv(out / "spectra.csv", table(networks))
    write_csv(out / "claims.csv", found)
    for verdict in found:
        print(f"{verdict['claim']}: {verdict['verdict']}. {verdict['reason']}")
    first = {line: networks.spectrum(line, networks.seeds[0]) for line in (*DEFENCES, MADE)}
    plot.spectrum(first).savefig(out / "figure-18.png", dpi=150)


if __name__ == "__main__":
    main()
