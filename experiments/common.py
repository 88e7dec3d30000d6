"""What the studies share: their settings, the command line, and running them."""

from __future__ import annotations

import argparse
import dataclasses
import math
import shlex
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import interrupts
import sides
import tyro
from attacks import TWINNED, with_twins
from ending import say_how_it_ended, say_what_is_there
from refusals import check
from settings import PRESETS, FigureName, Options, Settings, recorded
from until import counted, until_decided

from minidl import study
from minidl.records.run import OWN, Method
from minidl.report.reported import MODELS
from minidl.study import Figure, TransferFigure

FigureMaker = Callable[[Settings, Any], Figure | TransferFigure]


def main(
    makers: Mapping[FigureName, FigureMaker],
    doc: str,
    args: Sequence[str] | None = None,
    attacks: tuple[Method, ...] = ("fgsm",),
) -> None:
    """Run the study whose figures these functions make, from the command line; ``attacks`` it makes in each preset.

    What the user can mend ends it with the message alone, not with a traceback.
    """
    name = Path(sys.argv[0]).stem
    interrupts.answer(interrupts.interrupt)
    try:
        options = read_options(makers, doc, args, attacks)
        out = options.out or Path("runs") / f"{name}-{options.preset}"
        if options.check:
            raise SystemExit(say_what_is_there(out))
        options = counted(extended(options, study.Folder(out)))
        check(options, makers)
        sides.check(options)
        if options.download:  # before the runs, which look for what is there
            study.load_problem(options.data, options.pixels, options.crop, options.root, download=True)
        workers = study.Workers(options.workers, options.dask)
        here = options.workers == 1 and options.dask is None
        place = study.Place(
            out, options.root and options.root.absolute(), workers.threads, options.checkpoint_share, progress=here
        )
        figures = figures_of(options, makers)
        models = {work.run.model for work in study.all_work(figures)}
        record = {
            "command": command(name, options, preset_of(options.preset, makers, attacks), models),
            "preset": options.preset,
            "settings": recorded(options, models),
        }
        try:
            ending = _done(options, makers, place, record, workers)
        finally:
            workers.close()
    except (ValueError, TypeError, OSError, ArithmeticError, RuntimeError, MemoryError) as error:
        raise SystemExit(f"error: {study.describe(error)}") from error
    except KeyboardInterrupt:
        raise SystemExit(interrupts.STOPPED) from None
    say_how_it_ended(ending, out, len(study.all_work(figures)))


def _done(
    options: Options,
    makers: Mapping[FigureName, FigureMaker],
    place: study.Place,
    record: dict[str, Any],
    workers: study.Workers,
) -> study.Ending:
    """Do all that is asked for, or what decides its claims."""
    late = math.inf if options.hours is None else time.monotonic() + 3600 * options.hours

    def do(figures: list[Figure | TransferFigure], only: Sequence[str]) -> study.Ending:
        return study.run_study(figures, place, record, workers, options.shard, only, options.patience, late)

    def of_seeds(seeds: tuple[int, ...]) -> list[Figure | TransferFigure]:
        return figures_of(dataclasses.replace(options, seeds=seeds), makers)

    if options.until == "finished":
        return do(of_seeds(options.seeds), options.only)
    return until_decided(options.seeds, of_seeds, do, study.Folder(place.out))


def figures_of(options: Options, makers: Mapping[FigureName, FigureMaker]) -> list[Figure | TransferFigure]:
    """Those that are asked for, their twins under stronger attacks, and what is proved."""
    figures = with_twins([makers[figure](options, figure) for figure in options.figures], options)
    figures += sides.figures(options)
    if not figures:
        raise ValueError(f"--attacks {' '.join(options.attacks)}: only figures {', '.join(TWINNED)} have such twins")
    return figures


def read_options(
    makers: Mapping[FigureName, Any],
    doc: str,
    args: Sequence[str] | None = None,
    attacks: tuple[Method, ...] = ("fgsm",),
) -> Options:
    """The preset that ``--preset`` names (the first by default), changed by the other options."""
    chooser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    chooser.add_argument("--preset", choices=list(PRESETS), default=next(iter(PRESETS)))
    chosen, _ = chooser.parse_known_args(args)
    return tyro.cli(Options, default=preset_of(chosen.preset, makers, attacks), args=args, description=doc)


def preset_of(name: str, makers: Mapping[FigureName, Any], attacks: tuple[Method, ...] = ("fgsm",)) -> Options:
    """A preset, with those of its figures that the study at hand makes, and its attacks beside the preset's own."""
    figures = tuple(figure for figure in PRESETS[name].figures if figure in makers) or tuple(makers)
    every = tuple(method for method in OWN if method in {*attacks, *PRESETS[name].attacks})
    return dataclasses.replace(PRESETS[name], figures=figures, attacks=every)


def command(name: str, options: Options, preset: Options, models: Collection[str]) -> str:
    """What makes all of a study, whichever part of it is being made: the preset and what differs from it."""
    words = ["python", f"experiments/{name}.py", "--preset", options.preset]
    counting = ("figures", "attacks", "certify", "looks")  # with others, other settings count
    same = dataclasses.replace(preset, **{name: getattr(options, name) for name in counting})
    theirs = {
        "figures": [*preset.figures],
        "attacks": [*preset.attacks],
        "certify": [*preset.certify],
        "looks": preset.looks,
    }
    default = _flat(recorded(same, models) | theirs)
    given = _flat(recorded(options, models))
    for setting in given:
        if given[setting] != default[setting]:
            words += [f"--{setting.replace('_', '-')}", *given[setting]]
    words += ["--until", options.until] if options.until != preset.until else []
    return shlex.join([*words, *(["--out", str(options.out)] if options.out else [])])


def _flat(settings: dict[str, Any]) -> dict[str, list[str]]:
    """{"fc5.epochs": ["20"]}: each option's words on the command line."""
    flat: dict[str, list[str]] = {}
    for name, value in settings.items():
        if isinstance(value, dict):
            flat |= {f"{name}.{inner}": words for inner, words in _flat(value).items()}
        else:
            flat[name] = [str(each) for each in value] if isinstance(value, list) else [str(value)]
    return flat


def extended(options: Options, folder: study.Folder) -> Options:
    """The options, with the figures, seeds, attacks and certificates that the folder's study already has.

    And with no fewer looks at its claims: those that were taken do not become fewer when the rest is finished.
    """
    found = (folder.study() or {}).get("settings", {})
    figures = [figure for figure in Settings.figures if figure in {*options.figures, *found.get("figures", ())}]
    seeds = sorted({*options.seeds, *found.get("seeds", ())})
    before = found.get("attacks", ["fgsm"] if found else [])
    attacks = [method for method in OWN if method in {*options.attacks, *before}]
    certify = [model for model in MODELS if model in {*options.certify, *found.get("certify", ())}]
    more: Any = {"figures": figures, "seeds": seeds, "attacks": attacks, "certify": certify}
    changes: Any = {name: tuple(values) for name, values in more.items()}
    return dataclasses.replace(options, **changes, looks=max(options.looks, found.get("looks", 1)))
