"""The band between certificate and attacks, and its verdicts: computed from what is kept of each image."""

import numpy as np
import pytest

from minidl.records import Outcome
from minidl.report.results import Results
from minidl.report.sides import both_sides, sides, sides_tables
from minidl.robustness import BrokenCertificateError

EPSILONS = np.array([0, 4, 8]) / 255
NONE = np.zeros(100, bool)


def outcome(*counts, first=0):
    """So many of 100 images at each epsilon."""
    right = np.arange(100) < np.array(counts)[:, None]
    return Outcome(EPSILONS, np.arange(100) + first, np.arange(100) % 10, right, NONE, NONE)


class Study:
    """The parts of Results that bands are made from; networks are {sparsity: [(certificate, attacks) of each seed]}."""

    def __init__(self, networks, figures=1):
        self.rows, self.outcomes, runs = [], {}, []
        for sparsity, seeds in networks.items():
            for seed, (certificate, attacks) in enumerate(seeds):
                run = f"{sparsity}-{seed}"
                runs.append(run)
                self.outcomes |= {(run, "proof"): certificate} | {(run, str(i)): a for i, a in enumerate(attacks)}
                about = {"run": run, "seed": seed, "sparsity": sparsity, "figure": "15a"}
                self.rows += [about | {"epsilon": epsilon} for epsilon in EPSILONS]
        self.figures = {
            name: {"varied": "sparsity", "runs": runs, "attacks": {"paired": dict.fromkeys(runs, str(i))}}
            for i, name in enumerate(["15a", "11-pgd"])
        }
        self.figures["15a"]["certificates"] = dict.fromkeys(runs, "proof")

    def rows_of(self, figure):
        return self.rows

    def outcome(self, run, attack):
        if self.outcomes.get((run, attack)) is None:
            raise FileNotFoundError(run)
        return self.outcomes[run, attack]

    kept = Results.kept


def test_above_stands_what_all_attacks_leave():
    both = both_sides(Study({0.0: [(outcome(90, 60, 10), [outcome(95, 90, 60), outcome(95, 80, 70)])]}), "15a")
    assert list(both) == ["sparsity 0 %"]
    assert both["sparsity 0 %"].lower.tolist() == [0.9, 0.6, 0.1]
    assert both["sparsity 0 %"].upper.tolist() == [0.95, 0.8, 0.6]


def test_attacks_on_other_images_have_no_say():
    both = both_sides(Study({0.0: [(outcome(90, 60, 10), [outcome(95, 90, 60), outcome(5, 0, 0, first=1)])]}), "15a")
    assert both["sparsity 0 %"].upper.tolist() == [0.95, 0.9, 0.6]


def test_seeds_are_taken_together():
    seeds = [(outcome(90, 60, 10), [outcome(95, 90, 60)]), (outcome(92, 70, 0), [outcome(95, 80, 50)])]
    both = both_sides(Study({0.0: seeds}), "15a")["sparsity 0 %"]
    assert both.count == 200
    assert both.lower.tolist() == [0.91, 0.65, 0.05]


def test_proved_refuted_undecided():
    results = Study(
        {
            0.0: [(outcome(90, 60, 30), [outcome(90, 70, 50)])],
            0.9: [(outcome(90, 88, 40), [outcome(90, 90, 60)])],  # 88 proved, where 70 stand
            0.98: [(outcome(90, 20, 0), [outcome(90, 40, 45)])],  # 40 stand, where 60 are proved
        }
    )
    tables = sides_tables(results, "15a")
    assert tables["against"] == "sparsity 0 %"
    assert tables["verdicts"] == [
        ["sparsity 90 %", "undecided", "proved", "undecided"],
        ["sparsity 98 %", "undecided", "refuted", "undecided"],
    ]
    assert tables["bands"][0] == ["sparsity 0 %", "90.0 to 90.0", "60.0 to 70.0", "30.0 to 50.0"]
    verdicts = {(row["line"], round(255 * row["epsilon"])): row["verdict"] for row in sides(results)}
    assert verdicts["sparsity 90 %", 4] == "proved on these images"
    assert verdicts["sparsity 0 %", 4] == ""


def test_the_interval_over_images_is_asked_too():
    """Two images more are proved than stand: not beyond the draw of a hundred."""
    results = Study(
        {0.0: [(outcome(90, 60, 30), [outcome(90, 70, 50)])], 0.9: [(outcome(90, 72, 40), [outcome(90, 80, 60)])]}
    )
    assert sides_tables(results, "15a")["verdicts"] == [["sparsity 90 %", "undecided", "undecided", "undecided"]]


def test_an_attack_that_breaks_a_certificate_stops_everything():
    results = Study({0.0: [(outcome(90, 60, 30), [outcome(90, 50, 40)])]})
    for ask in (both_sides, sides_tables):
        with pytest.raises(BrokenCertificateError, match="an attack broke what was certified"):
            ask(results, "15a")
    with pytest.raises(BrokenCertificateError):
        sides(results)


def test_what_is_not_there_is_left_out():
    results = Study({0.0: [(outcome(90, 60, 30), [outcome(90, 70, 50)])], 0.9: [(None, [outcome(90, 80, 60)])]})
    assert list(both_sides(results, "15a")) == ["sparsity 0 %"]
    several = [(outcome(90, 60, 30), [outcome(90, 70, 50)])] * 2
    results = Study({0.0: several, 0.9: [(outcome(90, 88, 40), [outcome(90, 90, 60)])]})
    assert sides_tables(results, "15a")["verdicts"] == [["sparsity 90 % (1 seed)", "", "", ""]]
