"""Which settings a study refuses before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ELSEWHERE = {"16": "defences.py", "17": "sparsifiers.py"}  # which study makes a figure that study.py does not


def check(options: Any, makers: Mapping[Any, Any]) -> None:
    """Refuse what cannot work now, rather than after hours of training."""
    for name in ("figures", "sparsities", "low_ranks", "temperatures", "epsilons", "seeds", "attacks"):
        if not getattr(options, name):
            raise ValueError(f"--{name.replace('_', '-')}: give at least one")
    foreign = [figure for figure in options.figures if figure not in makers]
    if foreign:
        theirs = dict.fromkeys(f"experiments/{ELSEWHERE.get(figure, 'study.py')}" for figure in foreign)
        raise ValueError(
            f"--figures {' '.join(foreign)}: this study makes {', '.join(makers)}; the others, {', '.join(theirs)}"
        )
    if not options.sparsifying.ways or not options.sparsifying.sparsities:
        raise ValueError("--sparsifying: give at least one of its ways, and of its sparsities")
    if min(options.batch_sizes) < 1:
        raise ValueError(f"--batch-sizes: a batch_size is {min(options.batch_sizes)}, and must be at least 1")
    for sparsity in options.sparsities:
        if not 0 <= sparsity < 1:
            raise ValueError(f"--sparsities: {sparsity} is not in [0, 1)")
    if not 1 <= options.condition < float("inf"):
        raise ValueError(f"--condition: {options.condition} is no ratio of singular values of at least 1")
    for name in ("epsilons", "band_epsilons"):
        for epsilon in getattr(options, name):
            if not 0 <= epsilon <= 255:
                option = f"--{name.replace('_', '-')}"
                raise ValueError(f"{option}: {epsilon} is not in [0, 255]; they are in 1/255 of the pixel range")
    if not 0 < options.attack_part <= 1:
        raise ValueError(f"--attack-part: {options.attack_part} is not in (0, 1]")
    if not 0 < options.checkpoint_share <= 1:
        raise ValueError(f"--checkpoint-share: {options.checkpoint_share} is not in (0, 1]")
    if not 0 <= options.patience < float("inf"):
        raise ValueError(f"--patience: {options.patience} is no number of seconds")
    if options.looks < 1:
        raise ValueError(f"--looks: {options.looks} is no number of looks at the claims: at least 1")
    if options.hours is not None and not 0 < options.hours < float("inf"):
        raise ValueError(f"--hours: {options.hours} is no number of hours above 0")
    if options.until == "decided" and (options.shard is not None or options.only):
        raise ValueError("--until decided chooses the runs itself: leave out --only and --shard")
    if options.shard == "" or "" in options.only:
        name = "--shard" if options.shard == "" else "--only"
        raise ValueError(f"{name} is empty (is a variable of your script not set?): leave it out to do all runs")
