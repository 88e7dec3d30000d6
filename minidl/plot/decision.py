"""Which class a model gives to each point of the plane."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.colors import ListedColormap, to_rgb

from ..backend import device_of, to_device, to_numpy
from ..checks import whole_number
from ..functional.loss import check_labels
from ..nn import Module, evaluation_mode
from ..report.style import STYLES, TITLE, finish_axes
from ..tensor import Tensor, no_grad
from .labels import legend, names_of
from .picture import Picture, as_array

CLASSES = [STYLES[i] for i in (1, 3, 2, 4, 5, 6, 0)]  # the two that differ most come first


def decision(
    model: Module | Callable[[Tensor], Any],
    points: Any,
    labels: Any,
    classes: Sequence[str] | None = None,
    resolution: int = 300,
) -> Picture:
    """The regions in which a model of two inputs decides for each class, their boundary, and the points it was given.

    Parameters
    ----------
    model : Module or callable
        From points (B, 2) to logits (B, classes); or to one logit, (B,) or (B, 1), which is above 0 for class 1. A
        Module answers in evaluation mode.
    points : array or Tensor (B, 2)
    labels : integer array (B,)
        The classes of the points, counted from 0.
    classes : sequence of names, optional
    resolution : int
        The model is asked on a grid of resolution x resolution points.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    TypeError, ValueError
        When the points are not in the plane, the labels not their classes, or the model gives something else.

    Examples
    --------
    >>> import numpy as np, minidl as md
    >>> points = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
    >>> picture = md.plot.decision(lambda x: x[:, 0] + x[:, 1] - 1.5, points, np.array([0, 0, 0, 1]))
    >>> picture.axes[0].get_title()
    '4 of 4 points on their own side'
    """
    xy = as_array(points, "decision: points")
    if xy.ndim != 2 or xy.shape[1] != 2:
        raise ValueError(f"decision: points have shape {xy.shape}, and must have shape (B, 2): two inputs, x1 and x2")
    resolution = whole_number(resolution, "resolution", 2, "decision")
    answers = _logits(model, xy)
    count = answers.shape[1]
    names = names_of(classes, count, "decision")
    labels = to_numpy(check_labels(labels, len(xy), count, "decision"))
    x1, x2 = (_ticks(column, resolution) for column in xy.T)
    grid = np.stack(np.meshgrid(x1, x2), axis=-1)  # (resolution, resolution, 2)
    logits = _logits(model, grid.reshape(-1, 2)).reshape(*grid.shape[:2], count)
    picture = Picture(5.0, 4.2)
    axes = picture.subplots()
    _regions(axes, x1, x2, logits)
    dots = []
    for c in range(count):
        mine, style = xy[labels == c], CLASSES[c % len(CLASSES)]
        dots.append(
            axes.scatter(
                mine[:, 0], mine[:, 1], s=26, c=style["color"], marker=style["marker"], ec="white", lw=0.6, zorder=3
            )
        )
    right = int((answers.argmax(axis=1) == labels).sum())
    finish_axes(axes, "x1", "x2")
    axes.grid(False)
    axes.set_title(f"{right} of {len(xy)} points on their own side", fontsize=TITLE)
    legend(picture, dots, names, columns=5)
    return picture


def _ticks(values: np.ndarray, count: int) -> np.ndarray:
    """From a little below the least value to a little above the largest."""
    margin = 0.1 * (np.ptp(values) or 1.0)
    return np.linspace(values.min() - margin, values.max() + margin, count)


def _logits(model: Any, points: np.ndarray) -> np.ndarray:
    """(B, classes); of a single logit g the pair -g / 2 and g / 2, whose softmax is its sigmoid."""
    module = isinstance(model, Module)
    like = next(model.parameters(), None) if module else None
    x = points.astype(np.float32 if like is None else like.dtype)
    x = x if like is None else to_device(x, device_of(like.data))
    with no_grad(), evaluation_mode(model) if module else contextlib.nullcontext():
        y = as_array(model(Tensor(x)), "decision: what the model gives")
    if y.shape in ((len(points),), (len(points), 1)):
        y = y.reshape(-1, 1) * np.array([-0.5, 0.5])
    if y.ndim != 2 or len(y) != len(points):
        raise ValueError(
            f"decision: for points {points.shape} the model gives shape {y.shape}, and must give logits (B, classes), "
            "or one logit a point, (B,) or (B, 1)"
        )
    return y


def _regions(axes: Any, x1: np.ndarray, x2: np.ndarray, logits: np.ndarray) -> None:
    count = logits.shape[-1]
    pale = [0.75 + 0.25 * np.asarray(to_rgb(CLASSES[c % len(CLASSES)]["color"])) for c in range(count)]
    extent = (x1[0], x1[-1], x2[0], x2[-1])
    axes.imshow(
        logits.argmax(axis=-1),
        cmap=ListedColormap(pale),
        vmin=-0.5,
        vmax=count - 0.5,
        extent=extent,
        origin="lower",
        aspect="auto",
        interpolation="nearest",
    )
    for c in range(count if count > 2 else 1):  # where class c and the best of the others are level
        ahead = logits[..., c] - np.delete(logits, c, axis=-1).max(axis=-1)
        if ahead.min() < 0 < ahead.max():
            axes.contour(x1, x2, ahead, levels=[0], colors="0.15", linewidths=1.2)
