"""Figure 15: robustness from both sides, and what the two prove about "more robust than"."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..records import Outcome
from ..robustness import Certificate, TwoSided, wilson_interval
from .flags import outcome_of
from .language import decimal, say
from .lines import Line, lines_of
from .results import Results
from .style import epsilon_place, shade
from .tables import write_csv

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def both_sides(results: Results, figure: str) -> dict[str, TwoSided]:
    """{line: what is proved of its networks, and what all attacks of the study leave}: the images of all seeds.

    Raises
    ------
    BrokenCertificateError
        When an attack broke what is certified: then a bound is wrong, and no certificate counts.
    """
    found = {line.label: _of_line(results, figure, line) for line in lines_of(results, figure)}
    return {label: both for label, both in found.items() if both is not None}


def sides(results: Results) -> list[dict[str, Any]]:
    """A row for each figure with certificates, line and epsilon.

    Returns
    -------
    list of dicts
        ``figure``, ``line``, ``images`` (of all seeds), ``epsilon``, ``certified`` and ``attacked`` (the parts proved
        and left standing) with their 95 % intervals ``certified_low`` to ``attacked_high`` (Wilson's); ``against``
        (the figure's first line), and ``verdict`` on "more robust than that": "proved on these images" where what is
        proved of this line exceeds what stands of that one, and the paired 95 % interval of the difference lies above
        0; "refuted on these images" the other way round; else "undecided"; empty for the first line itself.
    """
    rows = []
    for name, figure in results.figures.items():
        lines = both_sides(results, name) if figure.get("certificates") else {}
        for label, both in lines.items():
            first, verdicts = next(iter(lines)), _verdicts(both, lines)
            for e, epsilon in enumerate(both.epsilons.tolist()):
                numbers = {"certified": both.lower[e], "attacked": both.upper[e]}
                ends = {
                    f"{what}_{end}": band[k, e]
                    for what, band in (("certified", both.lower_band), ("attacked", both.upper_band))
                    for k, end in enumerate(("low", "high"))
                }
                about = {"figure": name, "line": label, "images": both.count, "epsilon": epsilon}
                measured = {name: float(value) for name, value in (numbers | ends).items()}
                rows.append(about | measured | {"against": first, "verdict": verdicts[e]})
    return rows


def write_sides(folder: str | Path) -> None:
    """Write ``sides`` of the study in a folder to its ``sides.csv``; without any there is none."""
    results = Results.load(folder, tables=["results.csv"])
    rows, path = sides(results), results.folder / "sides.csv"
    if rows:
        write_csv(path, rows)
    else:
        path.unlink(missing_ok=True)


def sides_tables(results: Results, figure: str) -> dict[str, Any] | None:
    """What the page shows of a figure's two sides: "certified to attacked", and the verdicts against the first line."""
    lines = both_sides(results, figure) if results.figures[figure].get("certificates") else {}
    if not lines:
        return None
    bands = [
        [label, *(_to(low, high) for low, high in zip(both.lower, both.upper, strict=True))]
        for label, both in lines.items()
    ]
    others = list(lines)[1:]
    verdicts = [
        [label, *(v.removesuffix(" on these images") for v in _verdicts(lines[label], lines))] for label in others
    ]
    first = next(iter(lines.values()))
    return {
        "epsilons": first.epsilons.tolist(), "images": first.count, "bands": bands, "against": next(iter(lines)),
        "verdicts": verdicts,
    }  # fmt: skip


def _to(low: float, high: float) -> str:
    return say("sides.to", low=decimal(f"{100 * low:.1f}"), high=decimal(f"{100 * high:.1f}"))


def draw_band(axes: Axes, both: TwoSided, label: str, style: dict[str, Any]) -> list[Any]:
    """One network's band: certified below, attacked above, what lies between undecided; the line below."""
    order = np.argsort(both.epsilons, kind="stable")
    x = np.array([epsilon_place(both.epsilons[k]) for k in order])
    plain = {key: value for key, value in style.items() if key not in ("linestyle", "linewidth", "markersize")}
    plain |= {"clip_on": False, "zorder": 3}
    shade(axes, x, both.lower[order], both.upper[order], style["color"])
    axes.plot(x, 100 * both.upper[order], "--", lw=1, ms=3, **plain)
    return axes.plot(x, 100 * both.lower[order], "-", lw=1.4, ms=4, label=label, **plain)


def _verdicts(both: TwoSided, lines: dict[str, TwoSided]) -> tuple[str, ...]:
    first = next(iter(lines.values()))
    comparable = both.count == first.count and np.array_equal(both.epsilons, first.epsilons)
    if both is first or not comparable:  # seeds are missing of one of them
        return ("",) * len(both.epsilons)
    return both.verdicts(first)


def _of_line(results: Results, figure: str, line: Line) -> TwoSided | None:
    """Of all seeds of which both sides are there, in the order of their names."""
    found = [_of_run(results, figure, run) for run in sorted({row["run"] for row in line.rows})]
    known = [pair for pair in found if pair is not None]
    if not known:
        return None
    proved, standing = (np.concatenate(part, axis=1) for part in zip(*known, strict=True))
    epsilons = np.array(sorted({row["epsilon"] for row in line.rows}))
    band = wilson_interval(proved.sum(axis=1), proved.shape[1])
    return TwoSided(Certificate(epsilons, proved, proved.mean(axis=1), band, "inf", 0.95), standing)


def _of_run(results: Results, figure: str, run: str) -> tuple[np.ndarray, np.ndarray] | None:
    """(E, B) each: which images are proved, and which all attacks on these images leave."""
    certificate = results.kept(run, results.figures[figure]["certificates"].get(run))
    if certificate is None:
        return None
    attacks = [outcome.right for outcome in _attacks(results, run) if _alike(outcome, certificate)]
    return (certificate.right, np.logical_and.reduce(attacks)) if attacks else None


def _attacks(results: Results, run: str) -> Iterator[Outcome]:
    for name, figure in results.figures.items():
        if run in figure["runs"]:
            outcome = outcome_of(results, name, run, "paired")
            if outcome is not None:
                yield outcome


def _alike(outcome: Outcome, certificate: Outcome) -> bool:
    same = np.array_equal(outcome.indices, certificate.indices)
    return same and np.array_equal(outcome.epsilons, certificate.epsilons)
