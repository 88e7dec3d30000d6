"""A made-up study in the folder format of docs/studies.md, for tests and for looking at its page.

    python -m tests.report.synthetic OUT [--unfinished]

Its numbers are drawn from simple curves, and say nothing about real networks.
"""

import csv
import dataclasses
import hashlib
import json
import sys
from pathlib import Path

import numpy as np

from minidl.records import Attack, Outcome, Pruning, Run
from minidl.records.attacks import write_attack
from minidl.records.format import CLAIMS_TABLE, RESULTS_TABLE
from minidl.report.reported import MODELS as TITLES
from minidl.robustness import paired_difference_interval, wilson_interval

SPARSITIES = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98)
TEMPERATURES = (1, 20, 50, 70, 90)
BUDGETS = (0, 1, 2, 4, 8, 16, 32)
EPSILONS = np.array(BUDGETS) / 255
FIGURES = {  # model, batch size, what varies
    "8": ("resnet18", 512, "sparsity"),
    "9": ("resnet18", 128, "sparsity"),
    "10a": ("alexnet", 128, "sparsity"),
    "10b": ("alexnet", 512, "sparsity"),
    "11": ("fc5", 512, "sparsity"),
    "12a": ("alexnet", 512, "low_rank"),
    "12b": ("resnet18", 128, "low_rank"),
    "13a": ("resnet18", 128, "temperature"),
    "13b": ("resnet18", 128, "temperature"),
    "13c": ("resnet18", 128, "temperature"),
}
MODELS = {  # accuracy without attack, median epsilon that an image withstands, parameters, multiply-adds
    "fc5": (0.46, 5 / 255, 17_800_000, 17_800_000),
    "alexnet": (0.81, 6 / 255, 57_000_000, 710_000_000),
    "resnet18": (0.86, 4 / 255, 11_181_642, 590_000_000),
}
VALIDATION = 3925


def lines_of(figure):
    """The networks of one figure, without their seeds: (sparsity, low_rank, temperature)."""
    return {
        "sparsity": [(s, "none", 1) for s in SPARSITIES],
        "low_rank": [(0.0, r, 1) for r in ("none", "LR1", "LR2")],
        "temperature": [(0.0, "none", t) for t in TEMPERATURES],
    }[FIGURES[figure][2]]


def write_study(folder, figures=tuple(FIGURES), seeds=(0, 1, 2), images=785, unfinished=(), claims=True, settings=None):
    """Write the folder of a study of which some runs are ``unfinished``: numbers of the runs, in their order."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    runs, entries = {}, []
    for figure in figures:
        entries.append(_entry(figure, seeds, runs))
    for i, (name, run) in enumerate(runs.items()):
        _write_run(folder / "runs" / name, name, run, finished=i not in unfinished)
    finished = {name for i, name in enumerate(runs) if i not in unfinished}
    rows = [
        row
        for entry in entries
        for choice, attacks in entry["attacks"].items()
        for name in entry["runs"]
        if name in finished
        for row in _attack(folder, entry["figure"], choice, name, attacks[name], runs[name], images)
    ]
    study = {
        "format": 1,
        "command": "python experiments/study.py --preset laptop",
        "preset": "laptop",
        "settings": settings
        or {
            "data": "imagenette",
            "pixels": 72,
            "crop": 64,
            "seeds": list(seeds),
            "attack_part": 0.2,
            "resnet18": {"epochs": 30, "lr": 0.05, "weight_decay": 0.0005},
        },
        "versions": {"minidl": "0.1.0", "numpy": "2.4.6", "numba": "0.63.1", "python": "3.11.7"},
        "figures": [_names_of(entry) for entry in entries],
    }
    (folder / "study.json").write_text(json.dumps(study, indent=1), encoding="utf-8")
    if rows:
        _write_csv(folder / "results.csv", RESULTS_TABLE, rows)
    if claims:
        _write_csv(folder / "claims.csv", CLAIMS_TABLE, [c for c in CLAIMS if c["figure"] in figures])
    return folder


def _entry(figure, seeds, runs):
    """The figure's entry in study.json; its runs are added to ``runs``, where other figures may have put them."""
    model, batch_size, varied = FIGURES[figure]
    loss = "margin" if figure == "13c" else "cross_entropy"
    names, attacks = [], {"fresh": {}, "paired": {}}
    for sparsity, low_rank, temperature in lines_of(figure):
        for seed in seeds:
            pruning = Pruning(sparsity) if sparsity else None
            settings = {"pruning": pruning, "low_rank": low_rank, "temperature": temperature, "seed": seed}
            run = Run("imagenette", 72, 64, model, batch_size, epochs=30, lr=0.05, **settings)
            runs[run.name] = run
            names.append(run.name)
            attacker = temperature if figure == "13b" else 1
            for choice in attacks:
                attacks[choice][run.name] = Attack(BUDGETS, loss, attacker, choice)
    title = f"{TITLES[model]}, batch {batch_size}, Imagenette, 64 px"
    return {
        "figure": figure,
        "title": title,
        "model": model,
        "batch_size": batch_size,
        "varied": varied,
        "runs": names,
        "attacks": attacks,
    }


def _names_of(entry):
    """The entry as study.json has it, with the attacks' names."""
    named = {choice: {run: attack.name for run, attack in of.items()} for choice, of in entry["attacks"].items()}
    return entry | {"attacks": named}


def _write_run(folder, name, run, finished):
    folder.mkdir(parents=True, exist_ok=True)
    clean, _, parameters, multiply_adds = MODELS[run.model]
    random = _random(name)
    epochs = run.epochs
    curve = []
    for epoch in range(epochs if finished else epochs // 2):
        done = (epoch + 1) / epochs
        val = clean * (1 - np.exp(-4 * done)) - 0.05 * run.sparsity * done + random.normal(0, 0.008)
        curve.append(
            {
                "epoch": epoch,
                "loss": 2.3 * np.exp(-3 * done),
                "accuracy": min(1.0, val + 0.1 * done),
                "lr": 0.05 * (1 + np.cos(np.pi * done)) / 2,
                "sparsity": run.sparsity * min(1.0, max(0.0, (done - 0.2) / 0.5)),
                "images_per_second": 212.5,
                "val_loss": 2.3 * np.exp(-2 * done),
                "val_accuracy": val,
            }
        )
    _write_csv(folder / "curve.csv", tuple(curve[0]), curve)
    if not finished:
        return
    record = {
        "format": 1,
        "name": name,
        "run": dataclasses.asdict(run),
        "versions": {"minidl": "0.1.0", "numpy": "2.4.6"},
        "commit": "329c2b1",
        "device": "cpu",
        "processor": "AMD EPYC 7B13",
        "started": f"2026-11-23T{run.seed + 8:02}:00:00+00:00",
        "seconds": 1340.5 + 10 * run.seed,
        "val_loss": curve[-1]["val_loss"],
        "val_accuracy": curve[-1]["val_accuracy"],
        "sparsity": run.sparsity,
        "parameters": parameters,
        "multiply_adds": multiply_adds,
    }
    (folder / "run.json").write_text(json.dumps(record, indent=1), encoding="utf-8")


def _attack(folder, figure, choice, name, attack, run, images):
    """Write one attack's outcome, and return its rows of results.csv."""
    record = json.loads((folder / "runs" / name / "run.json").read_text(encoding="utf-8"))
    _, median, _, _ = MODELS[run.model]
    # paired images depend on the seed alone; a fresh draw also on the network and the attack
    indices = _random("images", run.seed, *([name, attack.name] if choice == "fresh" else []))
    indices = np.sort(indices.choice(VALIDATION, images, replace=False))
    random = _random(name, attack.name)
    saturates = attack.loss == "cross_entropy" and attack.temperature == 1
    vanished = random.random(images) < 0.004 + (0.55 * (1 - 1 / run.temperature) if saturates else 0)
    zero = vanished & (random.random(images) < 0.3)
    withstands = median * (1 - 0.5 * run.sparsity) * random.lognormal(0, 0.9, images)
    withstands[vanished] *= 40
    right = (random.random(images) < record["val_accuracy"]) & (withstands > EPSILONS[:, None])
    path = folder / "runs" / name / "attacks" / f"{attack.name}.npz"
    path.parent.mkdir(exist_ok=True)
    write_attack(path, Outcome(EPSILONS, indices, indices % 10, right, zero, vanished), attack, name, "0" * 64)
    bands = wilson_interval(right.sum(axis=1), images)
    for e, epsilon in enumerate(EPSILONS):
        drop = paired_difference_interval(right[0], right[e]) if e else (0.0, 0.0)
        yield {
            "figure": figure,
            "run": name,
            **{
                key: getattr(run, key) for key in ("model", "batch_size", "sparsity", "low_rank", "temperature", "seed")
            },
            "images": choice,
            "method": attack.method,
            "loss": attack.loss,
            "attack_temperature": attack.temperature,
            "epsilon": epsilon,
            "count": images,
            "accuracy": right[e].mean(),
            "accuracy_low": bands[0, e],
            "accuracy_high": bands[1, e],
            "drop": right[0].mean() - right[e].mean(),
            "drop_low": drop[0],
            "drop_high": drop[1],
            "zero_gradients": zero.mean(),
            "vanished_gradients": vanished.mean(),
            "val_accuracy": record["val_accuracy"],
            "achieved_sparsity": run.sparsity,
            "parameters": record["parameters"],
            "multiply_adds": record["multiply_adds"],
            "flags": "",
        }


def _claim(claim, figure, text, verdict, effect, low, high, reason):
    return dict(zip(CLAIMS_TABLE, (claim, figure, text, verdict, effect, low, high, 3, reason), strict=True))


CLAIMS = [
    _claim("C1", "8", "batch 512: the sparser, the lower the accuracy", "holds", -0.031, -0.052, -0.011, "made up"),
    _claim("C2", "9", "batch 128: more sparsity, a slightly smaller drop", "undecided", 0.004, -0.012, 0.02, "made up"),
    _claim("C3", "10a", "AlexNet, batch 128: more sparsity, less robustness", "holds", -0.05, -0.08, -0.02, "made up"),
    _claim("C4", "10b", "AlexNet, batch 512: 50 % is better than 0 %", "fails", -0.04, -0.07, -0.01, "made up"),
    _claim("C5", "11", "FC5: sparsity does not change robustness", "undecided", 0.01, -0.01, 0.03, "made up"),
    _claim("C6", "12a", "AlexNet: lower rank, lower clean accuracy", "holds", -0.03, -0.05, -0.01, "made up"),
    _claim("C7", "12b", "ResNet18: clean accuracy unchanged by rank", "fails", -0.06, -0.08, -0.04, "made up"),
    _claim("C8", "13b", "high temperature helps at large epsilon", "undecided", "", "", "", "two seeds are not done"),
    _claim("C9", "13a", "high temperature helps at every epsilon", "holds", 0.2, 0.17, 0.23, "made up"),
]


def _write_csv(path, columns, rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _hash(what):
    return hashlib.sha1(json.dumps(what).encode()).hexdigest()[:8]


def _random(*what):
    return np.random.default_rng(int(_hash(what), 16))


if __name__ == "__main__":
    write_study(sys.argv[1], unfinished=range(5, 40, 4) if "--unfinished" in sys.argv else ())
