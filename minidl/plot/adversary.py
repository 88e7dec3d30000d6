"""An image, what an attack adds to it, and what the model takes the sum for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..backend import device_of, to_device
from ..checks import number
from ..functional import softmax
from ..nn import Module, evaluation_mode
from ..report.style import TITLE
from ..tensor import Tensor, no_grad
from .labels import folded, names_of, percent, plainly
from .picture import Picture, as_array, one_image, visible

BELOW = 2.1  # inches that a text has below an image


def adversary(
    model: Module,
    image: Any,
    adversarial: Any,
    epsilon: float | None = None,
    classes: Sequence[str] | None = None,
) -> Picture:
    """An image, the perturbation made visible, and the adversarial image, with the model's answers and their odds.

    Parameters
    ----------
    model : Module
        From images in [0, 1] to logits; answers in evaluation mode.
    image, adversarial : array or Tensor (H, W, C) or (1, H, W, C) in [0, 1], C = 1 or 3
        Such as ``images[0]`` and ``fgsm(model, images, labels, epsilon).adversarial[0, 0]``.
    epsilon : float, optional
        What no pixel may exceed; by default the largest change that there is.
    classes : sequence of names, optional

    Returns
    -------
    matplotlib.figure.Figure
        The perturbation is magnified so that epsilon is black or white (full colour), and no change is grey.

    Raises
    ------
    TypeError, ValueError
        When the two images differ in shape, are not in [0, 1], or a pixel moves by more than epsilon.

    Examples
    --------
    >>> import numpy as np, minidl as md
    >>> model = md.models.fc5(image_size=8, channels=1, seed=0)
    >>> image = np.full((1, 8, 8, 1), 0.5, np.float32)
    >>> attack = md.robustness.fgsm(model, image, np.array([0]), 8 / 255)
    >>> picture = md.plot.adversary(model, image, attack.adversarial[0], 8 / 255)
    >>> picture.axes[1].get_title(), picture.axes[1].get_xlabel()
    ('perturbation, magnified 16 times', 'at most 8/255 a pixel')
    """
    before, after = one_image(image, "adversary: image"), one_image(adversarial, "adversary: adversarial")
    if before.shape != after.shape:
        raise ValueError(f"adversary: image has shape {before.shape} and adversarial {after.shape}: they must be equal")
    for name, pixels in (("image", before), ("adversarial", after)):
        if not (pixels.min() >= 0 and pixels.max() <= 1):
            raise ValueError(
                f"adversary: {name} spans [{pixels.min():g}, {pixels.max():g}], and must lie in [0, 1]: divide pixels "
                "from 0 to 255 by 255"
            )
    delta = after - before
    largest = float(np.abs(delta).max())
    epsilon = largest if epsilon is None else number(epsilon, "epsilon", "[0, 1]", "adversary")
    if largest > epsilon + 1e-6:
        raise ValueError(
            f"adversary: a pixel moves by {255 * largest:.3g}/255, more than epsilon, {255 * epsilon:.3g}/255: are "
            "these two images, and this epsilon, of one attack?"
        )
    factor = 0.5 / epsilon if epsilon > 0 else 1.0
    picture = Picture(7.2, 2.9)
    axes = picture.subplots(1, 3)
    _show(axes[0], before, "image", _answer(model, before, classes))
    _show(
        axes[1],
        0.5 + factor * delta,
        f"perturbation, magnified {factor:.2g} times",
        f"at most {255 * epsilon:.3g}/255 a pixel",
    )
    _show(axes[2], after, "adversarial image", _answer(model, after, classes))
    for axis, sign in ((axes[0], "+"), (axes[1], "=")):
        axis.annotate(sign, (1.08, 0.5), xycoords="axes fraction", ha="center", va="center", fontsize=16)
    return picture


def _answer(model: Module, image: np.ndarray, classes: Sequence[str] | None) -> str:
    """The predicted class and its probability."""
    like = next(model.parameters(), None) if isinstance(model, Module) else None
    x = image[None].astype(np.float32 if like is None else like.dtype)
    with evaluation_mode(model), no_grad():
        p = as_array(softmax(model(Tensor(x if like is None else to_device(x, device_of(like.data))))), "adversary")[0]
    best = int(p.argmax())
    return f"{names_of(classes, len(p), 'adversary')[best]}, {percent(float(p[best]))}"


def _show(axes: Any, image: np.ndarray, title: str, below: str) -> None:
    axes.imshow(visible(image), cmap="gray", vmin=0, vmax=1, interpolation="nearest", origin="upper")
    axes.set_title(title, fontsize=TITLE)
    plainly(axes.set_xlabel(folded(below, BELOW, TITLE, 9), fontsize=TITLE))
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
