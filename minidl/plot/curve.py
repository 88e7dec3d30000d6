"""Images that stay right against epsilon: under an attack, with how far to trust it; and from both sides."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..report.sides import draw_band
from ..report.style import STYLES, TITLE, epsilon_place, finish_epsilon_axes, ink, shade
from ..robustness import AccuracyCurve, TwoSided
from .labels import legend
from .picture import Picture


def accuracy(curves: AccuracyCurve | Mapping[str, AccuracyCurve]) -> Picture:
    """Accuracy under attack against epsilon, with its confidence band.

    Parameters
    ----------
    curves : AccuracyCurve, or mapping from labels to several
        As ``robustness.accuracy_curve`` gives them.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    TypeError, ValueError
        When these are no AccuracyCurves, or there are none.

    Examples
    --------
    >>> import numpy as np, minidl as md
    >>> model = md.models.fc5(image_size=8, channels=1, seed=0)
    >>> images, labels = np.full((10, 8, 8, 1), 0.5, np.float32), np.arange(10)
    >>> curve = md.robustness.accuracy_curve(model, images, labels, [0, 4 / 255, 8 / 255])
    >>> picture = md.plot.accuracy({"untrained": curve})
    >>> picture.axes[0].get_title()
    '10 images, 95% confidence'
    """
    several = _several(curves, AccuracyCurve, "accuracy: draws what robustness.accuracy_curve returns")

    def draw(axes: Any, curve: AccuracyCurve, x: np.ndarray, order: np.ndarray, style: dict[str, Any]) -> Any:
        low, high = np.asarray(curve.accuracy_band)[:, order]
        shade(axes, x, low, high, style["color"])
        return axes.plot(x, 100 * curve.accuracy[order], **style, lw=1.4, ms=4)

    confidences = sorted({f"{100 * curve.confidence:.10g}%" for curve in several.values()})
    title = f", {' or '.join(confidences)} confidence"
    return _against_epsilon(several, draw, "accuracy under attack (%)", title, isinstance(curves, Mapping))


def band(both: TwoSided | Mapping[str, TwoSided]) -> Picture:
    """The part of the images that is certified, the part that stands under attack, and between them what is undecided.

    Parameters
    ----------
    both : TwoSided, or mapping from labels to several
        As ``robustness.TwoSided`` joins a certificate and an attack.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    TypeError, ValueError
        When these are no TwoSided, or there are none.

    Examples
    --------
    >>> import numpy as np, minidl as md
    >>> model = md.models.fc5(image_size=8, channels=1, seed=0).eval()
    >>> images, labels, epsilons = np.full((10, 8, 8, 1), 0.5, np.float32), np.arange(10), [1 / 255, 8 / 255]
    >>> certificate = md.robustness.certified(model, images, labels, epsilons)
    >>> both = md.robustness.TwoSided(certificate, md.robustness.fgsm(model, images, labels, epsilons))
    >>> picture = md.plot.band({"untrained": both})
    >>> picture.axes[0].get_title()
    '10 images: certified (solid) to attacked (dashed)'
    """
    several = _several(both, TwoSided, "band: draws robustness.TwoSided")

    def draw(axes: Any, each: TwoSided, x: np.ndarray, order: np.ndarray, style: dict[str, Any]) -> Any:
        return draw_band(axes, each, "", style)

    title = ": certified (solid) to attacked (dashed)"
    return _against_epsilon(several, draw, "images that stay right (%)", title, isinstance(both, Mapping))


def _several(given: Any, kind: type, draws: str) -> dict[str, Any]:
    """{label: each}, of one, which needs no label, or of a mapping."""
    several = dict(given) if isinstance(given, Mapping) else {"": given}
    if not several:
        raise ValueError(f"{draws}, and there is nothing to draw")
    for each in several.values():
        if not isinstance(each, kind):
            raise TypeError(f"{draws}, or a mapping from labels to such, and got a {type(each).__name__}")
    return several


def _against_epsilon(
    several: Mapping[str, Any], draw: Callable[..., Any], ylabel: str, title: str, labelled: bool
) -> Picture:
    """One after the other, each in a style of its own and with its epsilons in ascending order."""
    picture = Picture(4.8, 3.4)
    axes = picture.subplots()
    lines = []
    for i, each in enumerate(several.values()):
        style = STYLES[i % len(STYLES)] | ({} if i % len(STYLES) else {"color": ink(axes)})
        order = np.argsort(each.epsilons, kind="stable")
        x = np.array([epsilon_place(each.epsilons[k]) for k in order])
        lines += draw(axes, each, x, order, style | {"clip_on": False, "zorder": 3})
    finish_epsilon_axes(
        axes, ylabel, sorted({float(epsilon) for each in several.values() for epsilon in each.epsilons})
    )
    counts = sorted({f"{each.count:,}" for each in several.values()})
    axes.set_title(f"{' or '.join(counts)} images{title}", fontsize=TITLE)
    if labelled:
        legend(picture, lines, list(several), columns=3)
    return picture
