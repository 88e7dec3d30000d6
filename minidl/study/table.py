"""From what the attacks did, image by image, to the study's table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..report import Outcome, Results
from ..robustness import paired_difference_interval, wilson_interval
from .folder import Folder
from .plan import IMAGES, Figure
from .run import Attack, Run


def table(folder: Folder, figures: Iterable[Figure]) -> list[dict[str, Any]]:
    """The rows of ``results.csv``: one for each figure, run, choice of images and epsilon of what is finished."""
    results, rows = Results.load(folder.path), []
    for figure in figures:
        for images in IMAGES:
            for run, attack in figure.attacks(images).items():
                if run.name in results.runs and folder.is_attacked(run, attack):
                    rows += _rows(results, figure.figure, run, attack)
    return rows


def _rows(results: Results, figure: str, run: Run, attack: Attack) -> list[dict[str, Any]]:
    record, outcome = results.runs[run.name], results.outcome(run.name, attack.name)
    about = {
        "figure": figure,
        "run": run.name,
        "model": run.model,
        "batch_size": run.batch_size,
        "sparsity": run.sparsity,
        "low_rank": run.low_rank,
        "temperature": run.temperature,
        "seed": run.seed,
        "images": attack.images,
        "loss": attack.loss,
        "attack_temperature": attack.temperature,
    }
    whole = {
        "zero_gradients": float(outcome.zero_gradient.mean()),
        "vanished_gradients": float(outcome.vanished_gradient.mean()),
        "val_accuracy": record["val_accuracy"],
        "achieved_sparsity": record["sparsity"],
        "parameters": record["parameters"],
        "multiply_adds": record["multiply_adds"],
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
