"""From what the attacks did, image by image, to the study's table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ..robustness import paired_difference_interval, wilson_interval
from .folder import Folder
from .plan import IMAGES, Figure
from .run import Attack, Run


def table(folder: Folder, figures: Iterable[Figure]) -> list[dict[str, Any]]:
    """The rows of ``results.csv``: one for each figure, run, choice of images and epsilon of what is finished."""
    rows = []
    for figure in figures:
        for images in IMAGES:
            for run, attack in figure.attacks(images).items():
                if folder.is_trained(run) and folder.is_attacked(run, attack):
                    rows += _rows(folder, figure.figure, run, attack)
    return rows


def _rows(folder: Folder, figure: str, run: Run, attack: Attack) -> list[dict[str, Any]]:
    record = folder.read(f"runs/{run.name}/run.json") or {}
    path = folder.attack(run, attack)
    try:
        with np.load(path, allow_pickle=False) as file:
            found = {name: file[name] for name in file.files}
        measured = _measured(found)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"{path} is damaged ({error!r}): delete it, and run the study again") from error
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
        "zero_gradients": float(found["zero_gradient"].mean()),
        "vanished_gradients": float(found["vanished_gradient"].mean()),
        "val_accuracy": record["val_accuracy"],
        "achieved_sparsity": record["sparsity"],
        "parameters": record["parameters"],
        "multiply_adds": record["multiply_adds"],
    }
    return [about | row | whole for row in measured]


def _measured(found: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    """Accuracy and drop at each epsilon, with their 95 % intervals."""
    right, rows = found["right"], []  # (E, B); epsilon 0 is the first
    count = right.shape[1]
    for epsilon, still in zip(found["epsilons"].tolist(), right, strict=True):
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
