"""What a study left on disk (docs/studies.md), read back and checked: tables and figures are made from this alone."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..records import Layout, Outcome, TransferOutcome, read_attack, read_run, read_study, read_table, read_transfer
from ..tools.files import user_path

TABLES = ("results.csv", "claims.csv")


@dataclass(frozen=True, eq=False)
class Results:
    """A study's results, finished or not. Made by ``Results.load``.

    Attributes
    ----------
    folder : Path
    study : dict
        study.json: what was asked for.
    rows : list of dicts
        results.csv: a row a figure, run, choice of images and epsilon. Empty while there is no such file.
    claims : list of dicts
        claims.csv. Empty while there is no such file.
    runs : dict
        {name: run.json} of the study's runs that are finished, in the study's order.
    missing : dict
        {figure: [names of its runs that are not finished]}, for each figure that lacks one.
    """

    folder: Path
    study: dict[str, Any]
    rows: list[dict[str, Any]]
    claims: list[dict[str, Any]]
    runs: dict[str, dict[str, Any]]
    missing: dict[str, list[str]]

    @classmethod
    def load(cls, folder: str | Path, tables: Collection[str] = TABLES) -> Results:
        """Read a study's folder. Nothing in it is ever executed.

        Parameters
        ----------
        folder : str or Path
            As docs/studies.md describes it.
        tables : collection of str
            Which of results.csv and claims.csv to read; whoever makes them does not ask what they said.

        Returns
        -------
        Results

        Raises
        ------
        FileNotFoundError
            When there is no such folder, or no study.json in it.
        ValueError
            When a newer minidl wrote it, or a file is damaged: which, and what to do about it.

        Examples
        --------
        >>> import json, pathlib, tempfile
        >>> from minidl import report
        >>> figure = {"figure": "11", "title": "FC5", "model": "fc5", "batch_size": 64, "varied": "sparsity"}
        >>> study = {"format": 1, "figures": [figure | {"runs": ["fc5-a", "fc5-b"], "attacks": {}}]}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = pathlib.Path(folder, "study.json").write_text(json.dumps(study), encoding="utf-8")
        ...     results = report.Results.load(folder)
        >>> results.missing
        {'11': ['fc5-a', 'fc5-b']}
        """
        layout = Layout(user_path(folder))
        if not layout.path.is_dir():
            raise FileNotFoundError(
                f"Results.load: there is no folder {folder}; expected what a study wrote to its --out"
            )
        study = read_study(layout)
        if study is None:
            raise FileNotFoundError(
                f"Results.load: {folder} holds no study.json, so it is not a study's folder (docs/studies.md)"
            )
        names = dict.fromkeys(_runs_of(study))
        runs = {name: record for name in names if (record := read_run(layout, name)) is not None}
        lacking = {f["figure"]: [name for name in f["runs"] if name not in runs] for f in study["figures"]}
        return cls(
            folder=layout.path,
            study=study,
            rows=read_table(layout.results) if "results.csv" in tables else [],
            claims=read_table(layout.claims) if "claims.csv" in tables else [],
            runs=runs,
            missing={figure: names for figure, names in lacking.items() if names},
        )

    @property
    def layout(self) -> Layout:
        return Layout(self.folder)

    @property
    def figures(self) -> dict[str, dict[str, Any]]:
        """{"13b": its entry in study.json}, in the study's order."""
        return {figure["figure"]: figure for figure in self.study["figures"]}

    def method(self, figure: str) -> str:
        """How a figure's networks are attacked: "fgsm", "pgd", "apgd" or "auto"."""
        return self.figures[figure].get("method", "fgsm")

    def twins(self, figure: str) -> list[str]:
        """The figures in which other methods attack the same networks: this one is their twin, or they are."""
        ours = {figure, *self.figures[figure].get("of", ())}
        return [name for name, twin in self.figures.items() if name != figure and ours & {name, *twin.get("of", ())}]

    def shown(self, figure: str) -> str:
        """On which images a figure shows its networks: on fresh ones, as in the report, where they were attacked so."""
        return "paired" if set(self.figures[figure]["attacks"]) == {"paired"} else "fresh"

    def rows_of(self, figure: str, images: str | None = None) -> list[dict[str, Any]]:
        """The rows of one figure, on "fresh" or "paired" images; by default on those that it shows."""
        images = images or self.shown(figure)
        attacks = [row for row in self.rows if row["figure"] == figure and row["method"] != "certify"]
        return [row for row in attacks if row["images"] == images]

    def unmeasured(self, figure: str) -> list[str]:
        """The names of a figure's runs that results.csv does not have yet: not trained, or not attacked."""
        measured = {row["run"] for row in self.rows_of(figure)}
        return [run for run in self.figures[figure]["runs"] if run not in measured]

    @property
    def names(self) -> list[str]:
        """The study's runs, each once, finished or not."""
        return list(dict.fromkeys(_runs_of(self.study)))

    @property
    def attacked(self) -> set[str]:
        """The names of the runs that some figure attacks: the others are there for a matrix of transfer alone."""
        return {run for figure in self.study["figures"] for run in figure["runs"]}

    @property
    def transfers(self) -> dict[str, dict[str, Any]]:
        """{"14": its entry in study.json}."""
        return {figure["figure"]: figure for figure in self.study.get("transfers", ())}

    @property
    def pictured(self) -> set[str]:
        """The names of all figures, matrices of transfer among them."""
        return {*self.figures, *self.transfers}

    def networks_of(self, transfer: str) -> set[str]:
        """The names of the runs in a figure of transfer."""
        return {run for seed in self.transfers[transfer]["seeds"] for run in seed["networks"].values()}

    def transfer(self, name: str) -> TransferOutcome | None:
        """What a transfer of that name saw; None while it is not there, or is of other weights.

        Raises
        ------
        ValueError
            When its file is damaged.
        """
        found = read_transfer(self.layout, name, self.runs)
        return None if found is None else found[0]

    def curve(self, run: str) -> list[dict[str, Any]]:
        """A run's training curve, a row an epoch; empty where there is none.

        From run.json, of which curve.csv is a copy; of runs older than that, from curve.csv.
        """
        self._check(run)
        record = self.runs.get(run, {})
        return record["curve"] if "curve" in record else read_table(self.layout.curve(run))

    def outcome(self, run: str, attack: str) -> Outcome:
        """What one attack did to one run; ``attack`` as in ``study["figures"][i]["attacks"][images][run]``.

        Raises
        ------
        FileNotFoundError
            When the attack is not there (yet), or was on other weights than the run has now.
        ValueError
            When its file is damaged, or no figure has such a run and attack.
        """
        self._check(run)
        kept = [kept for f in self.study["figures"] for kept in (*f["attacks"].values(), f.get("certificates", {}))]
        if not any(attack in found.values() for found in kept):
            raise ValueError(f"Results: {attack!r} is not the name of a run or of an attack of {self.folder}")
        found = read_attack(self.layout, self.runs[run], attack) if run in self.runs else None
        if found is None:
            path = self.layout.attack(run, attack)
            raise FileNotFoundError(
                f"Results.outcome: there is no {path} of this run; run the study (again) to make it"
            )
        return found[0]

    def kept(self, run: str, attack: str | None) -> Outcome | None:
        """As ``outcome``; None without such an attack, or where its file is gone, to save space."""
        try:
            return self.outcome(run, attack) if attack else None
        except FileNotFoundError:
            return None

    def _check(self, run: str) -> None:
        if run not in self.names:
            raise ValueError(f"Results: no figure of {self.folder} has a run {run!r}")


def _runs_of(study: dict[str, Any]) -> Iterator[str]:
    for figure in study["figures"]:
        yield from figure["runs"]
    for figure in study.get("transfers", ()):
        for seed in figure["seeds"]:
            yield from seed["networks"].values()
