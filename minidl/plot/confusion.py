"""Which classes a model takes for which, and which an attack turns into which."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.colors import LinearSegmentedColormap, to_rgb

from ..backend import Array, device_of, to_device, to_numpy
from ..checks import check_labels
from ..images import as_images
from ..nn import Module, evaluation_mode
from ..report.style import SMALL, TITLE, finish_axes, ink
from ..tensor import Tensor, no_grad
from .labels import LINE, folded, inches, names_of, percent, plainly
from .picture import Picture

BATCH = 256
MOST, MOST_NAMES = 20, 40  # classes whose cells have room for a number; names that stand at a side
ROOM, CELL, BESIDE = 1.1, 0.36, 0.9  # inches: for a name, of a cell, and what titles take


def confusion(
    model: Module,
    images: Array,
    labels: Array,
    adversarial: Array | None = None,
    classes: Sequence[str] | None = None,
) -> Picture:
    """How many images of each class the model takes for each; or, of those it has right, for what under an attack.

    Parameters
    ----------
    model : Module
        Asked in evaluation mode.
    images : array (B, H, W, C)
    labels : integer array (B,)
    adversarial : array (B, H, W, C), optional
        The same images attacked, such as ``fgsm(...).adversarial[k]``. Then only images that the model has right as
        they are count, and a column says what it takes them for once they are attacked.
    classes : sequence of str, optional
        Their names.

    Returns
    -------
    matplotlib.figure.Figure
        A row for each class; a cell's darkness is its part of the row. What stays right lies on the diagonal.

    Raises
    ------
    TypeError, ValueError
        When images or labels are none, do not fit, or none is right where an attack is to be shown.

    Examples
    --------
    >>> import minidl as md
    >>> model, val = md.models.fc5(image_size=8, channels=1, seed=0), md.data.digits("val")
    >>> picture = md.plot.confusion(model, *val, classes=val.classes)
    >>> attack = md.robustness.fgsm(model, *val, [0.1])
    >>> attacked = md.plot.confusion(model, *val, attack.adversarial[0])
    >>> attacked.axes[0].get_xlabel()
    'answer under attack'
    """
    answers = _answers(model, as_images(images, "confusion"))  # (B, K)
    count = answers.shape[1]
    names = [str(k) for k in range(count)] if classes is None else names_of(classes, count, "confusion")
    given = to_numpy(check_labels(labels, len(answers), count, "confusion"))
    found = answers.argmax(axis=1)
    xlabel, kept = "answer", np.ones(len(given), bool)
    if adversarial is not None:
        moved = _answers(model, as_images(adversarial, "confusion: adversarial"))
        if len(moved) != len(found):
            raise ValueError(f"confusion: there are {len(found)} images and {len(moved)} adversarial ones")
        kept, found, xlabel = found == given, moved.argmax(axis=1), "answer under attack"
        if not kept.any():
            raise ValueError("confusion: the model has none of the images right, so that an attack changes none")
    table = np.zeros((count, count), int)
    np.add.at(table, (given[kept], found[kept]), 1)
    return _drawn(table, names, xlabel)


def _answers(model: Module, images: Array) -> np.ndarray:
    """Logits (B, K), in evaluation mode."""
    like = next((parameter.data for parameter in model.parameters()), images)
    parts = []
    with evaluation_mode(model), no_grad():
        for start in range(0, len(images), BATCH):
            part = to_device(images[start : start + BATCH], device_of(like)).astype(like.dtype, copy=False)
            parts.append(to_numpy(model(Tensor(part)).data))
    return np.concatenate(parts)


def _drawn(table: np.ndarray, names: Sequence[Any], xlabel: str) -> Picture:
    count = len(table)
    shown = [*range(0, count, -(-count // MOST_NAMES))]
    texts = [folded(names[k], ROOM, SMALL, 3) for k in shown]
    side, wide = min(6.0, max(1.6, CELL * count)), max(inches(text, SMALL) for text in texts)
    turned = wide > side / len(shown)
    high = wide if turned else LINE * max(text.count("\n") + 1 for text in texts)
    picture = Picture(side + wide + BESIDE, side + high + BESIDE)
    axes = picture.subplots()
    paper, dark = np.array(to_rgb(axes.get_facecolor())), np.array(to_rgb(ink(axes)))
    shades = LinearSegmentedColormap.from_list("shades", [paper, 0.6 * paper + 0.4 * dark])  # a number stays readable
    part = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    axes.imshow(part, cmap=shades, vmin=0, vmax=1, origin="upper", interpolation="nearest")
    for (row, column), number in np.ndenumerate(table if count <= MOST else np.zeros((0, 0), int)):
        if number:
            axes.text(column, row, f"{number:,}", ha="center", va="center", fontsize=SMALL, color=ink(axes))
    finish_axes(axes, xlabel, "class")
    axes.grid(False)
    axes.set_xticks(shown, texts, rotation=90 if turned else 0)
    axes.set_yticks(shown, texts)
    for text in (*axes.get_xticklabels(), *axes.get_yticklabels()):
        plainly(text)
    total, right = int(table.sum()), int(np.trace(table))
    what = "stay right" if "attack" in xlabel else "right"
    axes.set_title(f"{total:,} images, {percent(right / total)} {what}", fontsize=TITLE)
    return picture
