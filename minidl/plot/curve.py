"""Accuracy against epsilon, as measured, with how far to trust it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..report.style import STYLES, TITLE, epsilon_place, finish_epsilon_axes, ink
from ..robustness import AccuracyCurve
from .labels import legend
from .picture import Picture


def accuracy(curves: AccuracyCurve | Mapping[str, AccuracyCurve]) -> Picture:
    """Accuracy under FGSM against epsilon, with its confidence band.

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
    several = dict(curves) if isinstance(curves, Mapping) else {"": curves}
    if not several:
        raise ValueError("accuracy: there are no curves to draw")
    for curve in several.values():
        if not isinstance(curve, AccuracyCurve):
            raise TypeError(
                f"accuracy: draws what robustness.accuracy_curve returns, or a mapping from labels to such, and got a "
                f"{type(curve).__name__}"
            )
    picture = Picture(4.8, 3.4)
    axes = picture.subplots()
    lines = []
    for i, curve in enumerate(several.values()):
        style = STYLES[i % len(STYLES)] | ({} if i % len(STYLES) else {"color": ink(axes)})
        order = np.argsort(curve.epsilons, kind="stable")
        x = np.array([epsilon_place(curve.epsilons[k]) for k in order])
        low, high = 100 * np.asarray(curve.accuracy_band)[:, order]
        if len(x) == 1:  # a band of no width would not be seen
            axes.vlines(x, low, high, color=style["color"], alpha=0.4, lw=4)
        axes.fill_between(x, low, high, color=style["color"], alpha=0.15, lw=0)
        lines += axes.plot(x, 100 * curve.accuracy[order], **style, lw=1.4, ms=4, clip_on=False, zorder=3)
    epsilons = sorted({float(epsilon) for curve in several.values() for epsilon in curve.epsilons})
    finish_epsilon_axes(axes, "accuracy under FGSM (%)", epsilons)
    counts = sorted({f"{curve.count:,}" for curve in several.values()})
    confidences = sorted({f"{100 * curve.confidence:.10g}%" for curve in several.values()})
    axes.set_title(f"{' or '.join(counts)} images, {' or '.join(confidences)} confidence", fontsize=TITLE)
    if isinstance(curves, Mapping):
        legend(picture, lines, list(several), columns=3)
    return picture
