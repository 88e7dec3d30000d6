"""Whether networks know their images at all: no claim is read off one that does not, as its curve is flat by itself."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from .evidence import Lines, MissingError
from .language import decimal, say
from .lines import LABELS

LEARNT = 0.75  # of the reference; on Imagenette an AlexNet that has hardly begun to learn has half of it
# Clean accuracy of dense networks: PyTorch's by a plain recipe on Imagenette at 64 pixels, the quick preset's on digits
REFERENCE = {
    ("imagenette", "resnet18"): 0.786,
    ("imagenette", "alexnet"): 0.707,
    ("imagenette", "fc5"): 0.536,
    ("digits", "resnet18"): 0.992,
    ("digits", "alexnet"): 0.986,
    ("digits", "fc5"): 0.986,
}


def check_learnt(lines: Lines, runs: dict[str, Any], levels: Collection[Any]) -> None:
    """MissingError, with their names, where networks of these lines, on which a claim rests, have not learnt."""
    for (level, seed), outcome in lines.outcomes.items():
        if seed not in lines.seeds or level not in levels:
            continue
        name, clean = lines.names.get((level, seed), ""), float(outcome.right[0].mean())
        run = runs.get(name, {}).get("run", {})
        reference = REFERENCE.get((run.get("data"), run.get("model")), 0.0)
        if clean < LEARNT * reference:
            parts = {"clean": _percent(clean), "least": f"{100 * LEARNT:.0f}", "reference": _percent(reference)}
            raise MissingError(say("verdict.not_learnt", name=name, **parts))


def clean_accuracies(lines: Lines) -> str:
    """What a verdict rests on, as a sentence: of each line the mean over seeds."""
    named = LABELS.get(lines.varied, str)
    told = [
        say("verdict.level_clean", level=named(level), part=_percent(lines.accuracy(level)[0]))
        for level in lines.levels
    ]
    return say("verdict.clean", told=say("comma").join(told))


def _percent(part: float) -> str:
    return decimal(f"{100 * part:.1f}")
