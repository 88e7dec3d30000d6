"""What the report's own study had, beside which a study's figures are put."""

from __future__ import annotations

from typing import Any

MODELS = {"fc5": "FC5", "alexnet": "AlexNet", "resnet18": "ResNet18"}
BATCHES = (128, 512)
LEVELS: dict[str, tuple[Any, ...]] = {  # the lines of its figures, by what is varied
    "sparsity": (0.0, 0.5, 0.8, 0.9, 0.95, 0.98),
    "low_rank": ("none", "LR1", "LR2"),
    "temperature": (1, 20, 50, 70, 90),
}
