"""The weights of a model before and after pruning."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..checks import whole_number
from ..nn import Module
from ..report.style import STYLES, TITLE, finish_axes, ink
from ..sparsify.magnitude import prunable_weights
from .labels import legend, percent
from .picture import Picture, as_array

KEPT, PRUNED = STYLES[1]["color"], STYLES[3]["color"]


def weights(before: Any, after: Any, bins: int = 101) -> Picture:
    """A histogram of weights: those that pruning set to zero, where they were, and those that are left, where they are.

    Parameters
    ----------
    before, after : array, Tensor or Module
        The same weights twice, such as ``weight.data.copy()`` and, later, ``weight``. Of a Module, the kernels of all
        its convolutions and fully-connected layers.
    bins : int

    Returns
    -------
    matplotlib.figure.Figure
        With a logarithmic count. The zeros themselves are not drawn: their place is that of the weights they were.

    Raises
    ------
    TypeError, ValueError
        When these are no numbers, or before and after differ in shape.

    Examples
    --------
    >>> import numpy as np, minidl as md
    >>> before = np.random.default_rng(0).standard_normal((100, 100))
    >>> picture = md.plot.weights(before, np.where(abs(before) > 1, before, 0))
    >>> picture.axes[0].get_title()
    '10,000 weights, 68.2% pruned'
    """
    w, left = _flat(before, "before"), _flat(after, "after")
    if w.shape != left.shape:
        raise ValueError(f"weights: {w.size:,} weights before and {left.size:,} after: they must be the same weights")
    bins = whole_number(bins, "bins", 1, "weights")
    pruned = (left == 0) & (w != 0)
    kept = left[left != 0]
    largest = max(np.abs(w).max(), np.abs(left).max()) or 1.0
    edges = np.linspace(-largest, largest, bins + 1).tolist()
    picture = Picture(5.6, 3.4)
    axes = picture.subplots()
    looks: list[dict[str, Any]] = [
        {"color": PRUNED, "alpha": 0.45},
        {"color": KEPT, "alpha": 0.75},
        {"color": ink(axes), "lw": 1.1, "histtype": "step"},
    ]
    shown = (w[pruned], kept, w)
    handles: list[Any] = [axes.hist(numbers, edges, **look)[2] for numbers, look in zip(shown, looks, strict=True)]
    texts = [
        f"pruned: {pruned.sum():,} weights, where they were",
        f"kept: {kept.size:,} weights, where they are now",
        f"before: all {w.size:,}",
    ]
    finish_axes(axes, "weight", "how many weights (log)")
    axes.set_yscale("log")
    axes.set_ylim(bottom=0.6)  # one weight is seen too
    axes.set_title(f"{w.size:,} weights, {percent((left == 0).mean())} pruned", fontsize=TITLE)
    legend(picture, [bars[0] for bars in handles], texts, columns=1)
    return picture


def _flat(values: Any, name: str) -> np.ndarray:
    if isinstance(values, Module):
        parts = [as_array(weight, name).ravel() for _, weight in prunable_weights(values)]
        if not parts:
            raise ValueError(f"weights: the model given as {name} has no kernels (parameters of two axes or more)")
        return np.concatenate(parts)
    return as_array(values, f"weights: {name}").ravel()
