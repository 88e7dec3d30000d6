"""A study on one page, ``index.html``, which needs neither a network nor scripts; and the same in French."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..records import LANGUAGES, write_file
from . import wording
from .answers import elsewhere, first_of_each, titled
from .captions import caption
from .claims_shown import anchor_of, claims_shown
from .figures import Panel, matrix_svg, panel_svg, panels_of, sample_svg
from .flags import flags_of_run
from .inline import glimpse, inline_svg
from .language import count, decimal, has, listed, say, speaking, spoken
from .lines import Line, lines_of
from .nine import CLAIMS
from .origin import origin, run_row
from .pairs import pairs_table
from .reported import MODELS
from .results import Results
from .setting import setting_rows
from .sides import sides_tables
from .training import training_curves
from .transfers import matrices, row_tests, transfer_table
from .verdict import level_of, surely


def write_page(folder: str | Path) -> Path:
    """Write a study's ``index.html``, and ``index.fr.html`` beside it: what was found, figures, tables, training curves
    and how to repeat each run.

    A study that is not finished gives a page of what there is, which says what is missing.

    Parameters
    ----------
    folder : str or Path
        A study's results folder.

    Returns
    -------
    Path
        Of the English page; the French one, with the same tables and pictures, is linked from it.

    Raises
    ------
    FileNotFoundError, ValueError
        As ``Results.load``.
    ImportError
        Without jinja2.
    """
    results, pages = Results.load(folder), {}
    for language in LANGUAGES:
        with speaking(language):
            pages[language] = _page(results).encode("utf-8", errors="replace")
    for language, content in pages.items():
        write_file(results.layout.page(language), content)
    return results.layout.page()


def _page(results: Results) -> str:
    """In the language that is spoken."""
    claims, figures = claims_shown(results), [_figure(results, name) for name in results.figures]
    seen = {figure["name"]: figure["glimpses"] for figure in figures}
    legends = {figure["name"]: figure["legend"] for figure in figures}
    for claim in claims:
        shown = seen.get(claim["figure"], {})
        claim["bar"] = _markup(claim["bar"])
        claim["glimpse"] = _markup(shown.get(claim["what"], next(iter(shown.values()), "")))
        claim["legend"] = legends.get(claim["figure"], [])
    text: str = _template().render(
        language=spoken(),
        others=[(other, results.layout.page(other).name) for other in LANGUAGES if other != spoken()],
        summary=_summary(results),
        claims=claims,
        elsewhere=elsewhere(results),
        setting=setting_rows(results),
        figures=figures,
        transfers=[_transfer(results, name) for name in results.transfers],
        curves=training_curves(results),
        settings=wording.flattened(results.study.get("settings", {})),
        origin=origin(results),
        runs=[run_row(results, name) for name in results.names],
    )
    return text


def _template() -> Any:
    try:
        import jinja2
    except ImportError as error:
        raise ImportError('write_page needs jinja2: pip install "minidl[experiments]"') from error
    loader = jinja2.PackageLoader("minidl.report", "templates")
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals |= {"say": say, "tell": _tell, "count": count, "size": _size, "spoken_of": _spoken_of}
    return environment.get_template("page.html.jinja")


def _tell(key: str, **values: Any) -> Any:
    """Words that hold tags, with the values made fit for HTML."""
    return _markup(say(key)).format(**values)


def _size(epsilon: float) -> str:
    return decimal(f"{255 * epsilon:.3g}")


def _spoken_of(language: str) -> str:
    """What leads to the page in another language, in that language."""
    with speaking(language):
        return say("language.here")


def _summary(results: Results) -> dict[str, Any]:
    """What was run, and how much of it is finished."""
    names, finished = results.names, results.runs.values()
    measured = {row["run"] for row in results.rows} | (set(results.runs) - results.attacked)
    verdicts = [str(claim["verdict"]) for claim in first_of_each(results) if claim["claim"] in CLAIMS]
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
        "of_the_report": len(verdicts),
        "sure": surely(level_of(results.study)),
        "verdicts": [(kind, _how_many(kind, verdicts.count(kind))) for kind in dict.fromkeys(verdicts)],
        "slide": slide.name if (slide := results.layout.slide(spoken())).is_file() else "",
        "has_table": bool(results.rows),
        "has_claims": bool(results.claims),
    }


def _how_many(verdict: str, number: int) -> str:
    """ "4 hold", "1 fails"."""
    return say(f"page.{verdict}.{'one' if number == 1 else 'many'}", number=number)


def _title(results: Results) -> str:
    varied = list(dict.fromkeys(say(f"asked.{figure['varied']}") for figure in results.figures.values()))
    if not varied:
        return say("page.without")
    return say("page.title_one" if len(varied) == 1 else "page.title_many", what=listed(varied))


def _what(results: Results) -> str:
    """Which figures, of which networks, on which images: one sentence."""
    if not results.figures:
        return ""
    models = dict.fromkeys(MODELS.get(figure["model"], figure["model"]) for figure in results.figures.values())
    data = f"data.on_{results.study.get('settings', {}).get('data')}"
    figures = count(len(results.figures) + len(results.transfers), "figure")
    here = {results.method(name) for name in results.figures}
    methods = [say(f"methods.{method}") for method in ("fgsm", "pgd", "apgd", "auto") if method in here]
    about = {"models": listed(list(models)), "data": say(data) if has(data) else "", "methods": listed(methods)}
    return say("page.what", figures=figures, **about)


def _figure(results: Results, name: str) -> dict[str, Any]:
    """One figure's section: its panels, caption and tables."""
    figure, lines, panels = results.figures[name], lines_of(results, name), panels_of(results, name)
    anchor, shown = anchor_of(name), panels[0].lines if panels else []
    called = say("page.figure", name=name)
    drawn = [_panel(panel, f"{anchor}-{i}-", called) for i, panel in enumerate(panels)]
    return {
        "name": name,
        "title": titled(results, name),
        "anchor": anchor,
        "panels": [_markup(svg) for svg in drawn],
        "glimpses": _glimpses(panels, drawn, anchor),
        "legend": [
            {"sample": _markup(sample), "again": _markup(glimpse(sample, prefix)), "label": line.label}
            for line, (sample, prefix) in zip(shown, _samples(anchor, len(shown)), strict=True)
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
                ("accuracy", say("page.accuracy_table")),
                ("drop", say("page.drop_table")),
            )
        ],
        "pairs": pairs_table(results, name),
        "sides": _sides(results, name),
    }


def _glimpses(panels: Sequence[Panel], drawn: Sequence[str], anchor: str) -> dict[str, str]:
    """A small view of each panel by what it shows; of several that show the same, none is the one."""
    shows = [panel.what for panel in panels]
    found = {what: glimpse(svg, f"{anchor}-{i}-") for i, (what, svg) in enumerate(zip(shows, drawn, strict=True))}
    return found if len(found) == len(shows) else {}


def _transfer(results: Results, name: str) -> dict[str, Any]:
    """The section of a matrix of transfer."""
    entry, found, anchor = results.transfers[name], matrices(results, name), anchor_of(name)
    method, epsilon = say(f"method.{entry['method']}"), f"{_size(entry['epsilon'])}/255"
    title = entry["title"] if spoken() == "en" else say("transfer.title", method=method, epsilon=epsilon)
    about = {"name": name, "title": title, "anchor": anchor, "method": method}
    section = about | {"epsilon": epsilon, "picture": "", "seeds": len(found), "of": len(entry["seeds"])}
    if not found:
        return section
    names = found[0].names
    label = say("transfer.label", figure=name)
    return section | {
        "picture": _markup(inline_svg(matrix_svg(found), f"{anchor}-", label)),
        "names": names,
        "rows": transfer_table(found),
        "tests": row_tests(found),
        "counts": _ends(sorted({int(number) for matrix in found for number in matrix.counts.ravel()})),
    }


def _ends(numbers: Sequence[int]) -> str:
    """ "61 to 70", of ascending numbers."""
    return str(numbers[0]) if len(numbers) == 1 else say("page.to", low=numbers[0], high=numbers[-1])


def _samples(anchor: str, number: int) -> list[tuple[str, str]]:
    """A piece of each line, and what its ids begin with."""
    prefixes = [f"{anchor}-line{i}-" for i in range(number)]
    return [(inline_svg(sample_svg(i), prefix, ""), prefix) for i, prefix in enumerate(prefixes)]


def _sides(results: Results, name: str) -> dict[str, Any] | None:
    """The tables of both sides, with their verdicts in words."""
    tables = sides_tables(results, name)
    if tables is None:
        return None
    named = [[label, *(say(f"sides.{v}") if v else "" for v in verdicts)] for label, *verdicts in tables["verdicts"]]
    return tables | {"verdicts": named}


def _panel(panel: Panel, prefix: str, figure: str) -> str:
    names = ", ".join(line.label for line in panel.lines)
    label = say("panel.label", figure=figure, title=panel.title.strip(), lines=names)
    return inline_svg(panel_svg(panel), prefix, label)


def _markup(svg: str) -> Any:
    """Of pictures alone, whose texts matplotlib has escaped: what the template need not escape again."""
    from markupsafe import Markup

    return Markup(svg)


def _bars(lines: Sequence[Line]) -> str:
    """What stands beside the means in the tables."""
    seeds = {line.seeds for line in lines}
    told = [say("page.over_seeds")] if seeds - {1} else []
    return say("semicolon").join([*told, *([say("page.of_one")] if 1 in seeds else [])])


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
            found.setdefault(flag.name, []).append(
                say("flag.of_seed", seed=seed, evidence=flag.evidence, advice=flag.advice)
            )
    return found


def _named(flags: dict[str, list[str]]) -> str:
    return ", ".join(flags) or say("flag.none")
