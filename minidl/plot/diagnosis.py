"""Loss and margin along an attack: from these one sees why it failed."""

from __future__ import annotations

import numpy as np

from ..checks import whole_number
from ..report.style import SMALL, STYLES, TITLE, finish_axes
from ..robustness import Diagnosis
from .picture import Picture


def diagnosis(found: Diagnosis, images: int = 6) -> Picture:
    """The path of a few images under attack: the loss that it climbs, and the margin, above 0 where an image is lost.

    Parameters
    ----------
    found : the object that ``robustness.diagnose`` returns
    images : int, at least 1
        How many are drawn, of those that were right: spread from the one that is lost by most to the one that stands
        the firmest.

    Returns
    -------
    matplotlib.figure.Figure
        A loss that stays at 0 has vanished; one that jumps has no slope to follow; one that still rises at the end
        needs more steps. The title names the flags.

    Raises
    ------
    TypeError, ValueError
        When this is no Diagnosis, images is below 1, or no image was right.

    Examples
    --------
    >>> import numpy as np, minidl as md
    >>> model = md.models.fc5(image_size=8, channels=1, seed=0).eval()
    >>> images = np.random.default_rng(0).random((4, 8, 8, 1), dtype=np.float32)
    >>> labels = model(images).data.argmax(axis=1)
    >>> picture = md.plot.diagnosis(md.robustness.diagnose(model, images, labels, 0.1, steps=12))
    >>> [axes.get_ylabel() for axes in picture.axes]
    ['loss', 'margin of the best other class']
    """
    if not isinstance(found, Diagnosis):
        raise TypeError(f"diagnosis: draws what robustness.diagnose returns, and got a {type(found).__name__}")
    right = np.flatnonzero(found.right)
    images = whole_number(images, "images", 1, "diagnosis")
    if not len(right):
        raise ValueError("diagnosis: there is nothing to draw: none of the images was right")
    ranked = right[np.argsort(-found.margin[-1, right], kind="stable")]
    chosen = ranked[np.unique(np.linspace(0, len(ranked) - 1, images).round().astype(int))]
    picture = Picture(7.2, 3.1)
    for axes, paths, name in zip(
        picture.subplots(1, 2), (found.loss, found.margin), ("loss", "margin of the best other class"), strict=True
    ):
        for i, image in enumerate(chosen):
            style = STYLES[i % len(STYLES)] | {"marker": None}
            axes.plot(paths[:, image], **style, lw=1.3, label=f"image {image}", zorder=3)
        finish_axes(axes, "step", name)
    axes.axhline(0, color="0.4", lw=0.8)
    axes.annotate("lost", (0.01, 0), xycoords=("axes fraction", "data"), va="bottom", fontsize=SMALL)
    raised = ", ".join(flag.name for flag in found.flags)
    picture.suptitle(
        f"{found.accuracy:.1%} stand at {255 * found.epsilon:.3g}/255. Raised: {raised or 'nothing'}", fontsize=TITLE
    )
    handles, labels = axes.get_legend_handles_labels()
    picture.legend(handles, labels, loc="outside lower center", ncols=min(len(chosen), 6), fontsize=8, frameon=False)
    return picture
