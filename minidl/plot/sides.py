"""Robustness from both sides: what is proved, what an attack leaves, and the band between them."""

from __future__ import annotations

from collections.abc import Mapping

from ..report.sides import draw_band
from ..report.style import STYLES, TITLE, finish_epsilon_axes
from ..robustness import TwoSided
from .picture import Picture


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
    several = dict(both) if isinstance(both, Mapping) else {"": both}
    if not several:
        raise ValueError("band: there is nothing to draw")
    for each in several.values():
        if not isinstance(each, TwoSided):
            raise TypeError(
                f"band: draws robustness.TwoSided, or a mapping from labels to such, and got a {type(each).__name__}"
            )
    picture = Picture(4.8, 3.4)
    axes = picture.subplots()
    for i, (label, each) in enumerate(several.items()):
        draw_band(axes, each, label, STYLES[i % len(STYLES)])
    finish_epsilon_axes(
        axes, "images that stay right (%)", sorted({float(e) for each in several.values() for e in each.epsilons})
    )
    counts = sorted({f"{each.count:,}" for each in several.values()})
    axes.set_title(f"{' or '.join(counts)} images: certified (solid) to attacked (dashed)", fontsize=TITLE)
    if isinstance(both, Mapping):
        picture.legend(loc="outside lower center", ncols=min(len(several), 2), fontsize=8, frameon=False)
    return picture
