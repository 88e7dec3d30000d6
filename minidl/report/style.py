"""How every picture looks: colours that print in grey, thin axes without a box, small type."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .language import decimal, say

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Lines differ in lightness, marker and dash, so that they stay apart without colour; the colours (Okabe and Ito 2008)
# also stay apart for the colour-blind.
STYLES: tuple[dict[str, Any], ...] = (
    {"color": "#000000", "marker": "o", "linestyle": "-"},
    {"color": "#0072B2", "marker": "s", "linestyle": "--"},
    {"color": "#009E73", "marker": "^", "linestyle": "-."},
    {"color": "#D55E00", "marker": "D", "linestyle": (0, (1, 1))},
    {"color": "#CC79A7", "marker": "v", "linestyle": (0, (5, 1, 1, 1, 1, 1))},
    {"color": "#E69F00", "marker": "P", "linestyle": (0, (3, 1))},
    {"color": "#56B4E9", "marker": "X", "linestyle": (0, (6, 2))},
)
TITLE, SMALL = 10, 8  # points


def own_style() -> Any:
    """A context of matplotlib's own settings: what is kept does not look like somebody's notebook."""
    import matplotlib.style

    return matplotlib.style.context("default")


def ink(axes: Axes) -> str:
    """Black, or white where a style makes the paper dark."""
    from matplotlib.colors import to_rgba

    r, g, b, opaque = to_rgba(axes.get_facecolor())
    return STYLES[0]["color"] if 0.299 * r + 0.587 * g + 0.114 * b > 0.5 or opaque < 0.5 else "#FFFFFF"


def finish_axes(axes: Axes, xlabel: str, ylabel: str) -> None:
    """Name both axes, and leave of the frame and the grid what the eye needs."""
    axes.set_xlabel(xlabel, fontsize=SMALL)
    axes.set_ylabel(ylabel, fontsize=SMALL)
    axes.tick_params(labelsize=SMALL)
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def epsilon_place(epsilon: float) -> float:
    """Where an epsilon stands on its axis: that of a square root, as the small ones matter."""
    return math.sqrt(255 * epsilon)


def finish_epsilon_axes(axes: Axes, ylabel: str, epsilons: Sequence[float], lowest: float = 0) -> None:
    """Per cent, from ``lowest`` to 100, against epsilon; the epsilons, in ascending order, are the ticks."""
    finish_axes(axes, say("axis.epsilon"), ylabel)
    axes.set_ylim(bottom=lowest, top=100)
    axes.margins(x=0.03)
    shown = epsilons[:: math.ceil(len(epsilons) / 9)]
    axes.set_xticks(
        [epsilon_place(epsilon) for epsilon in shown], [decimal(f"{255 * epsilon:.3g}") for epsilon in shown]
    )


def shade(axes: Axes, x: np.ndarray, low: np.ndarray, high: np.ndarray, color: str) -> None:
    """A band between two parts, in %."""
    if len(x) == 1:  # one of no width would not be seen
        axes.vlines(x, 100 * low, 100 * high, color=color, alpha=0.4, lw=4)
    axes.fill_between(x, 100 * low, 100 * high, color=color, alpha=0.15, lw=0)
