"""From what the attacks did, image by image, to the study's table."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..records import Attack, Outcome, Run, read_attack
from ..records.setting import from_record
from ..report import Results
from ..report.flags import flags_of
from ..robustness import paired_difference_interval, wilson_interval
from .folder import Folder
from .plan import IMAGES


def table(folder: Folder) -> list[dict[str, Any]]:
    """The rows of ``results.csv``: one for each figure, run, choice of images and epsilon of what is finished.

    The figures are those of ``study.json``: another process may have added some since this one began.
    """
    results, rows = Results.load(folder.path, tables=[]), []
    for name, figure in results.figures.items():
        for kept in (*(figure["attacks"].get(images, {}) for images in IMAGES), figure.get("certificates", {})):
            for run, attack in kept.items():
                found = read_attack(folder.layout, results.runs[run], attack) if run in results.runs else None
                if found is not None:
                    rows += _rows(name, results.runs[run], *found)
    return rows


def _rows(figure: str, record: dict[str, Any], outcome: Outcome, how: Attack) -> list[dict[str, Any]]:
    run = from_record(Run, record["run"], "run")
    about = {
        "figure": figure,
        "run": record["name"],
        "model": run.model,
        "batch_size": run.batch_size,
        "sparsity": run.sparsity,
        "low_rank": run.ranks,
        "temperature": run.temperature,
        "defence": run.defence,
        "pruned": run.pruned,
        "seed": run.seed,
        "images": how.images,
        "method": how.method,
        "loss": how.loss,
        "attack_temperature": how.temperature,
    }
    whole = {
        "zero_gradients": float(outcome.zero_gradient.mean()),
        "vanished_gradients": float(outcome.vanished_gradient.mean()),
        "val_accuracy": record["val_accuracy"],
        "achieved_sparsity": record["sparsity"],
        "parameters": record["parameters"],
        "multiply_adds": record["multiply_adds"],
        "flags": "; ".join(flag.name for flag in flags_of(outcome)),
    }
    return [about | row | whole for row in _measured(outcome)]


def _measured(outcome: Outcome) -> list[dict[str, Any]]:
    """Accuracy and drop at each epsilon, with their 95 % intervals."""
    right, rows = outcome.right, []  # (E, B); epsilon 0 is the first
    count = right.shape[1]
    for epsilon, still in zip(outcome.epsilons.tolist(), right, strict=True):
        low, high = wilson_interval(still.sum(), count)
        drop = paired_difference_interval(right[0], still) if epsilon > 0 else np.zeros(2)
        rows.append(
            {
                "epsilon": epsilon,
                "count": count,
                "accuracy": float(still.mean()),
                "accuracy_low": float(low),
                "accuracy_high": float(high),
                "drop": float(right[0].mean() - still.mean()),
                "drop_low": float(drop[0]),
                "drop_high": float(drop[1]),
            }
        )
    return rows
