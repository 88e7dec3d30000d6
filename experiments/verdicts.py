"""Claims C11 and C12, each as quantities and the ranges in which they must lie, stated before any network was trained.

The same statistics as for C1 to C9 (docs/statistics.md): a claim holds when the 95 % interval of every quantity lies in
its range, fails when one lies outside it, and is undecided otherwise, or with fewer than three seeds. Robustness is the
drop of accuracy under PGD at the epsilons that leave the baseline half of its accuracy, or the least where none does.

C11  The effective rank of the adversarially trained network, as a part of its number of singular values and averaged
     over layers, is at least 1 point lower than the dense one's; its effective sparsity is at least 1 point higher.
C12  The drop of the network trained with the nuclear norm and l1 is at least 1 point smaller than that of the dense
     network cut to the same effective rank.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

import numpy as np

from minidl.report.beyond import small_or_least
from minidl.report.evidence import Estimate, Lines
from minidl.report.nine import LEAST
from minidl.report.verdict import LEVEL, Part, decide
from minidl.robustness import Spectrum

ATTACKED = "16-pgd"
DEFENCES = ("none", "FGSM-RS", "nuclear + l1")
MADE = "decomposed"
TEXTS = {
    "C11": "Adversarial training lowers the effective rank and raises the effective sparsity",
    "C12": "Nuclear norm and l1 are more robust than a decomposition of the same effective rank",
}


def verdicts(lines: Lines, spectrum: Callable[[str, int], Spectrum], level: float = LEVEL) -> list[dict[str, Any]]:
    """A row for each claim, as claims.csv has them; ``level``: how often one may be wrong."""
    found = []
    for name, parts in (("C11", _c11(lines, spectrum)), ("C12", _c12(lines))):
        verdict, part, why = decide(lines, parts, level)
        low, high = part.estimate.interval(1 - level)
        reason = f"{part.told(level)} {why}".strip()
        about = {"claim": name, "text": TEXTS[name], "verdict": verdict, "effect": part.estimate.effect}
        found.append({**about, "low": low, "high": high, "seeds": len(lines.seeds), "reason": reason})
    return found


def _c11(lines: Lines, spectrum: Callable[[str, int], Spectrum]) -> list[Part]:
    def grown(name: str) -> Estimate:
        plain, adversarial = ([getattr(spectrum(line, s), name) for s in lines.seeds] for line in DEFENCES[:2])
        return Estimate(np.array(adversarial) - np.array(plain), 0.0)

    rank = Part("Effective rank, adversarial less dense", grown("effective_rank"), -inf, -LEAST)
    return [rank, Part("Effective sparsity, adversarial less dense", grown("effective_sparsity"), LEAST, inf)]


def _c12(lines: Lines) -> list[Part]:
    weights = {DEFENCES[-1]: 1.0, MADE: -1.0}
    drop = lines.difference(weights, small_or_least(lines, MADE), drop=True)
    return [Part("Drop with nuclear norm and l1 less that of the decomposed", drop, -inf, -LEAST)]
