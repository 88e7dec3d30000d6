"""The singular values of layers, one network beside another."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from ..report.style import SMALL, STYLES, finish_axes, ink
from ..robustness.spectrum import Spectrum
from .labels import folded, legend, several_of
from .picture import Picture

COLUMNS = 4


def spectrum(spectra: Spectrum | Mapping[str, Spectrum]) -> Picture:
    """The singular values of each layer, in descending order, each as a part of the layer's largest.

    Parameters
    ----------
    spectra : Spectrum, or mapping from labels to several
        As ``robustness.spectrum`` gives them; the layers of each are drawn by their names.

    Returns
    -------
    matplotlib.figure.Figure
        A panel for each layer, the largest of them first if there are more than 16; below, the effective rank.

    Raises
    ------
    TypeError, ValueError
        When these are no Spectrum, or there are none.

    Examples
    --------
    >>> import minidl as md
    >>> model = md.models.fc5(image_size=8, channels=1, seed=0)
    >>> picture = md.plot.spectrum({"untrained": md.robustness.spectrum(model, (8, 8, 1))})
    >>> len(picture.axes)
    5
    """
    several = several_of(spectra, Spectrum, "spectrum: draws what robustness.spectrum returns")
    sizes = {layer.name: layer.values.size for each in several.values() for layer in each.layers}
    kept = {*sorted(sizes, key=lambda name: -sizes[name])[: 4 * COLUMNS]}
    names = [name for name in sizes if name in kept]
    rows, columns = math.ceil(len(names) / COLUMNS), min(COLUMNS, len(names))
    picture = Picture(2.1 * columns + 0.4, 1.8 * rows + 0.6)
    panels = np.ravel(picture.subplots(rows, columns, squeeze=False))
    for panel in panels[len(names) :]:
        panel.remove()
    lines = {}
    for axes, name in zip(panels, names, strict=False):
        for i, (label, each) in enumerate(several.items()):
            layer = next((layer for layer in each.layers if layer.name == name), None)
            if layer is None or not layer.norm > 0:
                continue
            style = {"color": STYLES[i % len(STYLES)]["color"] if i else ink(axes)}
            style["linestyle"] = STYLES[i % len(STYLES)]["linestyle"]
            place = (np.arange(layer.values.size) + 0.5) / layer.values.size
            (lines[label],) = axes.plot(100 * place, layer.values / layer.norm, lw=1.3, **style)
            axes.axvline(100 * layer.effective_rank / layer.values.size, lw=0.7, alpha=0.7, **style)
        finish_axes(axes, "", "")
        axes.set(xlim=(0, 100), ylim=(0, 1.02))
        axes.set_title(name or "layer", fontsize=SMALL)
    for axes in panels[::COLUMNS]:
        axes.set_ylabel("over the largest", fontsize=SMALL)
    about = "Singular values in descending order (% of their number). Upright: effective rank"
    picture.suptitle(folded(about, picture.get_figwidth(), SMALL, 4), fontsize=SMALL)
    if isinstance(spectra, Mapping):
        legend(picture, [*lines.values()], [*lines], columns=4)
    return picture
