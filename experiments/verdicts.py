"""Claims C10 to C12, each as quantities and the ranges in which they must lie, stated before any network was trained.

The same statistics as for C1 to C9 (docs/statistics.md): a claim holds when the 95 % interval of every quantity lies in
its range, fails when one lies outside it, and is undecided otherwise, or with fewer than three seeds. Robustness is the
drop of accuracy under PGD at the epsilons that leave the baseline half of its accuracy, or the least where none does.

C10  At each sparsity up to 90 % the clean accuracy and the drop of variational dropout and of l0 are within 3 points of
     those of magnitude pruning.
C11  The effective rank of the adversarially trained network, as a part of its number of singular values and averaged
     over layers, is at least 1 point lower than the dense one's; its effective sparsity is at least 1 point higher.
C12  The drop of the network trained with the nuclear norm and l1 is at least 1 point smaller than that of the dense
     network cut to the same effective rank.
"""

from __future__ import annotations

from math import inf
from typing import Any

import numpy as np

from minidl.report.evidence import Estimate, Lines, MissingError
from minidl.report.nine import LEAST, MARGIN, small
from minidl.report.verdict import Part, decide

ATTACK = "PGD-20"
TEXTS = {
    "C10": "Magnitude, variational dropout and l0 are equal at equal sparsity, up to 90 %",
    "C11": "Adversarial training lowers the effective rank and raises the effective sparsity",
    "C12": "Nuclear norm and l1 are more robust than a decomposition of the same effective rank",
}


def verdicts(study: Any) -> list[dict[str, Any]]:
    """A row for each claim, as claims.csv has them."""
    found = []
    for name, parts_of in {"C10": _c10, "C11": _c11, "C12": _c12}.items():
        lines, parts = parts_of(study)
        verdict, part, why = decide(lines, parts)
        low, high = part.estimate.interval()
        reason = f"{part.told()} {why}".strip()
        about = {"claim": name, "text": TEXTS[name], "verdict": verdict, "effect": part.estimate.effect}
        found.append({**about, "low": low, "high": high, "seeds": len(lines.seeds), "reason": reason})
    return found


def _small(lines: Lines, baseline: Any) -> list[int]:
    """As for the report's claims; the least epsilon where none leaves the baseline half of its accuracy."""
    try:
        return small(lines, baseline)
    except MissingError:
        return [1]


def _c10(study: Any) -> tuple[Lines, list[Part]]:
    sparsities = [sparsity for sparsity in study.sparsities if sparsity <= 0.9]
    ways = ("magnitude", "variational", "l0")
    lines = study.lines([(way, sparsity) for way in ways for sparsity in sparsities], ATTACK)
    parts = []
    for sparsity in sparsities:
        baseline = ("magnitude", sparsity)
        for way in ways[1:]:
            weights = {(way, sparsity): 1.0, baseline: -1.0}
            what = f"of {way} less that of magnitude at {sparsity:.0%}"
            parts.append(Part(f"Clean accuracy {what}", lines.difference(weights, [0]), -MARGIN, MARGIN))
            drop = lines.difference(weights, _small(lines, baseline), drop=True)
            parts.append(Part(f"Drop {what}", drop, -MARGIN, MARGIN))
    return lines, parts


def _c11(study: Any) -> tuple[Lines, list[Part]]:
    def grown(name: str) -> Estimate:
        pairs = [[getattr(study.spectrum(line, s), name) for line in ("adversarial", "dense")] for s in study.seeds]
        return Estimate(np.array([adversarial - dense for adversarial, dense in pairs]), 0.0)

    rank = Part("Effective rank, adversarial less dense", grown("effective_rank"), -inf, -LEAST)
    sparsity = Part("Effective sparsity, adversarial less dense", grown("effective_sparsity"), LEAST, inf)
    return study.lines(["dense", "adversarial"], ATTACK), [rank, sparsity]


def _c12(study: Any) -> tuple[Lines, list[Part]]:
    lines = study.lines(["nuclear + l1", "decomposed"], ATTACK)
    weights = {"nuclear + l1": 1.0, "decomposed": -1.0}
    drop = lines.difference(weights, _small(lines, "decomposed"), drop=True)
    return lines, [Part("Drop with nuclear norm and l1 less that of the decomposed", drop, -inf, -LEAST)]
