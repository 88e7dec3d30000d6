"""A study on one page: ``index.html``, which needs neither a network nor scripts."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..records import write_file
from . import wording
from .captions import caption
from .claims_shown import anchor_of, claims_shown, of_the_report
from .figures import Panel, matrix_svg, panel_svg, panels_of, sample_svg
from .flags import CALLED, flags_of_run
from .inline import inline_svg
from .lines import Line, count, lines_of
from .pairs import pairs_table
from .results import Results
from .sides import sides_tables
from .training import training_curves
from .transfers import matrices, row_tests, transfer_table

NAMES = {**CALLED, "fgsm": "the Fast Gradient Sign Method (FGSM)", "auto": "the worst of several attacks"}
MODELS = {"fc5": "FC5", "alexnet": "AlexNet", "resnet18": "ResNet18"}
DATA = {"digits": " on handwritten digits", "imagenette": " on Imagenette"}


def write_page(folder: str | Path) -> Path:
    """Write a study's ``index.html``: claims, figures, tables, training curves and how to repeat each run.

    A study that is not finished gives a page of what there is, which says what is missing.

    Parameters
    ----------
    folder : str or Path
        A study's results folder.

    Returns
    -------
    Path
        Of the page.

    Raises
    ------
    FileNotFoundError, ValueError
        As ``Results.load``.
    ImportError
        Without jinja2.
    """
    results = Results.load(folder)
    path = results.folder / "index.html"
    text = _template().render(
        summary=_summary(results),
        claims=claims_shown(results),
        figures=[_figure(results, name) for name in results.figures],
        transfers=[_transfer(results, name) for name in results.transfers],
        curves=training_curves(results),
        settings=wording.flattened(results.study.get("settings", {})),
        origin=_origin(results),
        runs=[_run(results, name) for name in results.names],
    )
    write_file(path, text.encode("utf-8", errors="replace"))
    return path


def _template() -> Any:
    try:
        import jinja2
    except ImportError as error:
        raise ImportError('write_page needs jinja2: pip install "minidl[experiments]"') from error
    loader = jinja2.PackageLoader("minidl.report", "templates")
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("page.html.jinja")


def _summary(results: Results) -> dict[str, Any]:
    """What was run, and how much of it is finished."""
    names, finished = results.names, results.runs.values()
    measured = {row["run"] for row in results.rows} | (set(results.runs) - results.attacked)
    verdicts = [str(claim["verdict"]) for claim in of_the_report(results)]
    return {
        "title": _title(results),
        "what": _what(results),
        "command": results.study.get("command", ""),
        "preset": results.study.get("preset", ""),
        "networks": len(names),
        "trained": len(finished),
        "waiting": len(names) - len(measured.intersection(names)),
        "seeds": sorted({record.get("run", {}).get("seed") for record in finished} - {None}),
        "images": sorted({row["count"] for row in results.rows}),
        "time": wording.duration(sum(record.get("seconds") or 0 for record in finished)),
        "verdicts": [(verdict, verdicts.count(verdict)) for verdict in dict.fromkeys(verdicts)],
        "has_table": bool(results.rows),
        "has_claims": bool(results.claims),
    }


def _title(results: Results) -> str:
    names = {"sparsity": "sparsity", "low_rank": "low rank", "temperature": "high temperature", "defence": "defences"}
    varied = {names.get(figure["varied"], figure["varied"]): None for figure in results.figures.values()}
    if not varied:
        return "A study without figures"
    return f"{'Does' if len(varied) == 1 else 'Do'} {_listed(list(varied))} make networks robust?"


def _what(results: Results) -> str:
    """Which figures, of which networks, on which images: one sentence."""
    if not results.figures:
        return ""
    models = dict.fromkeys(MODELS.get(figure["model"], figure["model"]) for figure in results.figures.values())
    data = DATA.get(results.study.get("settings", {}).get("data"), "")
    figures = count(len(results.figures) + len(results.transfers), "figure")
    methods = [name for method, name in NAMES.items() if method in {results.method(name) for name in results.figures}]
    return f"{figures} of {_listed(list(models))}{data} under attack by {_listed(methods)}."


def _listed(words: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))


def _figure(results: Results, name: str) -> dict[str, Any]:
    """One figure's section: its panels, caption and tables."""
    figure, lines, panels = results.figures[name], lines_of(results, name), panels_of(results, name)
    anchor = anchor_of(name)
    return {
        "name": name,
        "title": figure.get("title", ""),
        "anchor": anchor,
        "panels": [_panel(panel, f"{anchor}-{i}-", f"Figure {name}") for i, panel in enumerate(panels)],
        "legend": [
            {"sample": _markup(inline_svg(sample_svg(i), f"{anchor}-line{i}-", "")), "label": line.label}
            for i, line in enumerate(lines)
        ],
        "caption": caption(results, name, lines, panels),
        "missing": results.unmeasured(name),
        "runs": len(figure["runs"]),
        "several": any(line.seeds > 1 for line in lines),
        "bars": _bars(lines),
        "networks": [_network(line) for line in lines],
        "epsilons": (epsilons := sorted({epsilon for line in lines for epsilon in line.epsilons})),
        "flags": (flags := {line.label: _flags(results, name, line) for line in lines}),
        "tables": [
            {"title": title, "rows": [[*_cells(line, what, epsilons), _named(flags[line.label])] for line in lines]}
            for what, title in (
                ("accuracy", "Accuracy under attack, %"),
                ("drop", "Drop of accuracy, percentage points"),
            )
        ],
        "pairs": pairs_table(results, name),
        "sides": sides_tables(results, name),
    }


def _transfer(results: Results, name: str) -> dict[str, Any]:
    """The section of a matrix of transfer."""
    entry, found, anchor = results.transfers[name], matrices(results, name), anchor_of(name)
    about = {"name": name, "title": entry["title"], "anchor": anchor, "method": CALLED[entry["method"]]}
    epsilon = f"{255 * entry['epsilon']:.3g}/255"
    section = about | {"epsilon": epsilon, "picture": "", "seeds": len(found), "of": len(entry["seeds"])}
    if not found:
        return section
    names = found[0].names
    label = f"Figure {name}: the part of the images made to fool each network that fool each other, as tabulated."
    return section | {
        "picture": _markup(inline_svg(matrix_svg(found), f"{anchor}-", label)),
        "names": names,
        "rows": transfer_table(found),
        "tests": row_tests(found),
        "counts": sorted({int(count) for matrix in found for count in matrix.counts.ravel()}),
    }


def _panel(panel: Panel, prefix: str, figure: str) -> Any:
    names = ", ".join(line.label for line in panel.lines)
    label = f"{figure}: {panel.title.strip()} against epsilon, for {names}. The numbers are in the tables below."
    return _markup(inline_svg(panel_svg(panel), prefix, label))


def _markup(svg: str) -> Any:
    """Of pictures alone, whose texts matplotlib has escaped: what the template need not escape again."""
    from markupsafe import Markup

    return Markup(svg)


def _bars(lines: Sequence[Line]) -> str:
    """What stands beside the means in the tables."""
    seeds = {line.seeds for line in lines}
    several = "mean ± standard deviation over the seeds" if seeds - {1} else ""
    return "; ".join(filter(None, (several, "[95 % confidence interval] of one network" if 1 in seeds else "")))


def _network(line: Line) -> list[str]:
    """A row of the table of networks."""
    first = line.rows[0]
    return [
        line.label,
        str(line.seeds),
        wording.spread(line.column("val_accuracy")),
        wording.spread(line.column("achieved_sparsity")),
        wording.large(first["parameters"]),
        wording.large(first["multiply_adds"]),
        wording.spread(line.column("vanished_gradients")),
        wording.spread(line.column("zero_gradients")),
    ]


def _cells(line: Line, what: str, epsilons: Sequence[float]) -> list[str]:
    cells = wording.points_of(line, what)
    return [line.label, *(cells.get(epsilon, wording.NOTHING) for epsilon in epsilons)]


def _flags(results: Results, figure: str, line: Line) -> dict[str, list[str]]:
    """{flag: what it says, of each seed's network that raised it} of one line."""
    found: dict[str, list[str]] = {}
    for run, seed in dict.fromkeys((row["run"], row["seed"]) for row in line.rows):
        for flag in flags_of_run(results, figure, run):
            found.setdefault(flag.name, []).append(f"seed {seed}: {flag.evidence}. {flag.advice}")
    return found


def _named(flags: dict[str, list[str]]) -> str:
    return ", ".join(flags) or "none"


def _origin(results: Results) -> list[tuple[str, str]]:
    """Versions, commits, devices, processors: what the finished runs say, and the study where none does."""
    records = [*results.runs.values()] or [results.study]
    rows = []
    for key in ("commit", "device", "processor"):
        found = dict.fromkeys(str(record[key]) for record in records if record.get(key))
        rows += [(key, ", ".join(found))] if found else []
    packages = dict.fromkeys(name for record in (results.study, *records) for name in record.get("versions", {}))
    for package in packages:
        found = dict.fromkeys(str(record["versions"][package]) for record in records if package in record["versions"])
        rows.append((package, ", ".join(found) or str(results.study["versions"][package])))
    started = sorted(str(record["started"]) for record in results.runs.values() if record.get("started"))
    return [*rows, ("first run started", started[0]), ("last run started", started[-1])] if started else rows


def _run(results: Results, name: str) -> dict[str, Any]:
    """A row of the table of runs."""
    record = results.runs.get(name, {})
    figures = [
        *(figure["figure"] for figure in results.figures.values() if name in figure["runs"]),
        *(shown for shown in results.transfers if name in results.networks_of(shown)),
    ]
    attacked = name not in results.attacked or any(row["run"] == name for row in results.rows)
    state = "finished" if record and attacked else "trained, not attacked" if record else "not finished"
    command = results.study.get("command", "")
    return {
        "name": name,
        "state": state,
        "figures": ", ".join(figures),
        "accuracy": wording.percent(record.get("val_accuracy")),
        "time": wording.duration(record.get("seconds")),
        "started": str(record.get("started", ""))[:16].replace("T", " "),
        "device": record.get("device", ""),
        "commit": record.get("commit", ""),
        "command": f"{command} --only {shlex.quote(name)}" if command else "",
    }
