"""What stands below a figure: what was varied, who attacked, on which images, what the bars are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .figures import Panel
from .flags import CALLED
from .lines import Line, describe_bars
from .results import Results
from .tables import Row

ABOUT = {
    "sparsity": "Magnitude pruning: a network is trained for each final sparsity (report, section 4.1).",
    "low_rank": "Low-rank convolutions: each is a pair of a vertical and a horizontal one, through as few channels as "
    "the schedule says (report, section 4.2). LR2 has half the ranks of LR1.",
    "temperature": "High temperature: a network is trained for each T of its loss (report, section 4.3).",
    "defence": "Adversarial training by FGSM, with random start (FGSM-RS), with a wide one (N-FGSM) and by PGD; high "
    "temperature; and distillation, whose student learns at T what its teacher, trained at the same T, answers.",
}
VANISHED = (
    "The last panel counts, among all images, those that are right under attack and whose gradient had vanished: it "
    "was too small for float32's full precision. The attack did not test these; accuracy less this is what it did test."
)
WORST = (
    "Not in the report: the worst of several attacks for each image (AutoAttack), each on the images that the ones "
    "before left: APGD on the cross-entropy, APGD on the DLR and FAB towards each other class, and Square, which uses "
    "no gradient. No attacker's T plays a part."
)
SIDES = [
    "Solid: the part of the images that is proved, by lines through the network's layers (CROWN): no attack whatever "
    "within epsilon changes their class. Dashed: the part that all attacks of this study on these images leave. "
    "Between them nobody knows."
]
ONE_CERTIFICATE = (
    "Temperature changes no argmax: one network has one certificate at every T, so that what an attack gains or loses "
    "with the T that it takes is the attack's own."
)


def caption(results: Results, name: str, lines: Sequence[Line], panels: Sequence[Panel]) -> list[str]:
    """The sentences of a figure's caption."""
    figure = results.figures[name]
    sentences = [ABOUT[figure["varied"]]] if figure["varied"] in ABOUT else []
    if not lines:
        return sentences
    rows = [row for line in lines for row in line.rows]
    sentences.append(WORST if results.method(name) == "auto" else _climbed(CALLED[results.method(name)], figure, rows))
    if figure.get("certificates"):
        sentences += SIDES if figure["varied"] != "temperature" else [*SIDES, ONE_CERTIFICATE]
    images = " or ".join(str(number) for number in sorted({row["count"] for row in rows}))
    drawn = "drawn anew for each" if results.shown(name) == "fresh" else "the same for all networks of a seed"
    sentences.append(f"Each attack is on {images} validation images, {drawn}.")
    sentences += [] if figure.get("certificates") else [describe_bars(lines)]
    if any(panel.what == "vanished_right" for panel in panels):
        sentences.append(VANISHED)
    return sentences


def _climbed(method: str, figure: dict[str, Any], rows: Sequence[Row]) -> str:
    """Which loss an attack climbs, and what the attacker knows."""
    ours = "" if method == "FGSM" else "Not in the report, which takes one step (FGSM): "
    if any(row["loss"] == "margin" for row in rows):
        ours = ours or "Not in the report: "
        return f"{ours}{method} climbs the logit margin, which cannot saturate, in place of the loss."
    if figure["varied"] == "temperature" and all(row["attack_temperature"] == row["temperature"] for row in rows):
        knows, loss = "The attacker knows T: ", "loss at the network's own temperature"
    elif figure["varied"] == "temperature":
        knows, loss = "The attacker does not know T: ", "loss at T = 1"
    else:
        hot = any(row["temperature"] != 1 for row in rows)
        knows, loss = "", "cross-entropy, at T = 1 whatever a network was trained at" if hot else "cross-entropy"
    return f"{ours}{knows}{method} climbs the {loss}."
