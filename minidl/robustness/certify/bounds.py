"""Bounds of a network's margins over all images near one: by intervals, and by lines that go back to the pixels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from ...backend import Array, to_numpy
from ...checks import check_labels, whole_number
from ...images import as_images, checked_epsilon
from ...nn import Module
from .enclosure import Enclosure
from .program import Program
from .region import NORMS, Region
from .rounding import ARITHMETIC
from .slopes import improved
from .way import Way


class Bounds(NamedTuple):
    """What ``interval_bounds`` and ``linear_bounds`` found for B images of K classes.

    Attributes
    ----------
    lower, upper : array (B, K - 1)
        Between these lies, for every image of the region, the logit of ``classes`` less that of each of the others.
    classes : integer array (B,)
        The labels, or else the model's answers.
    others : integer array (B, K - 1)
        The other classes, in order.
    """

    lower: np.ndarray
    upper: np.ndarray
    classes: np.ndarray
    others: np.ndarray


def interval_bounds(
    model: Module, images: Array, epsilon: float, labels: Array | None = None, batch_size: int = 64
) -> Bounds:
    """Bounds of the margins by intervals, layer by layer (Gowal et al. 2018): quick, and soon of no use.

    Each value of the network is only known to lie in a box, and each layer makes of a box the box around all that it
    may become: that its corners depend on each other is forgotten at each layer.

    Parameters
    ----------
    model, images, epsilon, labels, batch_size
        As for ``linear_bounds``.

    Returns
    -------
    Bounds

    Raises
    ------
    TypeError, ValueError, NotImplementedError
        As ``linear_bounds``.

    References
    ----------
    Gowal et al., "On the effectiveness of interval bound propagation for training verifiably robust models", 2018,
    arXiv:1810.12715.

    Examples
    --------
    >>> import numpy as np
    >>> from minidl import nn, robustness
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(2, 2, bias=False), nn.ReLU(), nn.Linear(2, 2, bias=False)).eval()
    >>> model[1].weight.data[...], model[3].weight.data[...] = [[1, 1], [0, 1]], [[1, 0], [0, 1]]
    >>> image = np.array([0.5, 0.5], np.float32).reshape(1, 1, 2, 1)
    >>> bounds = robustness.interval_bounds(model, image, 0.25, labels=np.array([1]))
    >>> bounds.lower.round(4), bounds.upper.round(4)
    (array([[-0.25]]), array([[1.25]]))
    """
    question = Question("interval_bounds", model, images, labels, "inf", "exact")
    return question.bounds(_one_epsilon(epsilon, "interval_bounds"), batch_size, closely=False)


def linear_bounds(
    model: Module,
    images: Array,
    epsilon: float,
    norm: str = "inf",
    labels: Array | None = None,
    steps: int = 0,
    arithmetic: str = "exact",
    batch_size: int = 64,
) -> Bounds:
    """Bounds of the margins over every image within epsilon, by lines that go back to the pixels (CROWN).

    What encloses an activation is not a box but two lines, one below and one above it. So a margin lies above a linear
    function of the pixels, whose least value is plain. Its coefficients go back through each affine layer as a
    gradient does, and what the lines are, at each activation, comes from bounds found in the same way before.

    Parameters
    ----------
    model : Module, in evaluation mode
        From images in [0, 1] to logits (B, K). Its layers may be Linear, Conv2d, LowRankConv2d, BatchNorm2d, average
        and max pooling, ReLU, LeakyReLU, Sigmoid, Tanh, Normalize, Flatten, Dropout, Identity, and such that say
        ``spread`` or ``lines`` themselves (see ``nn.Module``); sums of two values, as in a residual block, and
        activations stand between.
    images : array (B, H, W, C), float32 or float64 in [0, 1], or uint8 from 0 to 255
    epsilon : float in [0, 1]; for norm "2" any that is not negative
        How far the images may be moved, in units of pixels; they stay within [0, 1].
    norm : {"inf", "2"}
        Of the difference: the largest of any pixel, or its Euclidean length.
    labels : integer array (B,), optional
        Whose margins are meant; by default the model's own answers.
    steps : int, at least 0
        Gradient steps that improve the slopes below undecided ReLUs for the lower margins (alpha-CROWN); the margins
        never become worse. 20 are a good number.
    arithmetic : {"exact", "float32"}
        Of what the bounds speak: the function that the weights define, or that function however a computation in
        float32 rounds its sums (see docs/certificates.md).
    batch_size : int
        How many images' boxes are computed at a time.

    Returns
    -------
    Bounds
        A named tuple ``lower (B, K - 1), upper (B, K - 1), classes (B,), others (B, K - 1)``.

    Raises
    ------
    TypeError, ValueError
        When the model is in training mode, has weights that are not finite, images are not in [0, 1], labels no
        classes, or epsilon is negative or NaN.
    NotImplementedError
        When a layer's, or an operation's, bounds are unknown: it is named.

    Notes
    -----
    Computed in float64 whatever the model's precision, on the CPU, and moved outward by a bound of all rounding: what
    is above 0 is proved.

    References
    ----------
    Zhang, Weng, Chen, Hsieh and Daniel, "Efficient neural network robustness certification with general activation
    functions", NeurIPS 2018, arXiv:1811.00866. Xu et al., "Fast and complete: enabling complete neural network
    verification with rapid and massively parallel incomplete verifiers", ICLR 2021, arXiv:2011.13824.

    Examples
    --------
    >>> import numpy as np
    >>> from minidl import nn, robustness
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(2, 2, bias=False), nn.ReLU(), nn.Linear(2, 2, bias=False)).eval()
    >>> model[1].weight.data[...], model[3].weight.data[...] = [[1, 1], [0, 1]], [[1, 0], [0, 1]]
    >>> image = np.array([0.5, 0.5], np.float32).reshape(1, 1, 2, 1)
    >>> bounds = robustness.linear_bounds(model, image, 0.25, labels=np.array([1]))
    >>> bounds.lower.round(4), bounds.upper.round(4)
    (array([[0.25]]), array([[0.75]]))
    """
    question = Question("linear_bounds", model, images, labels, norm, arithmetic)
    steps = whole_number(steps, "steps", 0, "linear_bounds")
    return question.bounds(_one_epsilon(epsilon, "linear_bounds", norm), batch_size, steps=steps)


class Question:
    """A model and images that bounds are asked of, perhaps several times: checked once, watched once.

    Parameters
    ----------
    name : who asks, for errors
    model, images, labels, norm, arithmetic : as for ``linear_bounds``
    """

    def __init__(self, name: str, model: Module, images: Any, labels: Any, norm: str, arithmetic: str) -> None:
        for what, value, choices in (("norm", norm, NORMS), ("arithmetic", arithmetic, ARITHMETIC)):
            if value not in choices:
                raise ValueError(f"{name}: {what} is {value!r}: choose {' or '.join(map(repr, choices))}")
        self.name, self.norm = name, norm
        self.images = np.ascontiguousarray(to_numpy(as_images(images, name)))
        self.program = Program(model, self.images, arithmetic, name)
        logits = self.program.values(self.images.astype(np.float64))[-1]  # (B, K)
        self.count, self.kinds = logits.shape
        if self.kinds < 2:
            raise ValueError(f"{name}: the model knows {self.kinds} class, and a margin is between two")
        self.answers = logits.argmax(axis=1)
        given = self.answers if labels is None else labels
        self.labels = to_numpy(check_labels(given, self.count, self.kinds, name)).astype(np.int64)

    def margins(self, label: int) -> np.ndarray:
        """(K - 1, K): the combinations of logits that are a class's margins over the others."""
        unit = np.eye(self.kinds)
        return np.delete(unit[label] - unit, label, axis=0)

    def enclosures(
        self, epsilons: np.ndarray, which: np.ndarray, batch_size: int, closely: bool = True
    ) -> Iterator[tuple[int, int, Enclosure]]:
        """(place in ``which``, place in the enclosure, enclosure) for images ``which``, each at its own epsilon."""
        batch_size = whole_number(batch_size, "batch_size", 1, self.name)
        for start in range(0, len(which), batch_size):
            part = which[start : start + batch_size]
            region = Region(self.program, self.images[part], epsilons[start : start + batch_size], self.norm)
            enclosure = Enclosure(self.program, region, closely)
            yield from ((start + i, i, enclosure) for i in range(len(part)))

    def bounds(self, epsilon: float, batch_size: int, closely: bool = True, steps: int = 0) -> Bounds:
        lower, upper = (np.empty((self.count, self.kinds - 1)) for _ in range(2))
        every = np.arange(self.count)
        for b, i, enclosure in self.enclosures(np.full(self.count, epsilon), every, batch_size, closely):
            rows = self.margins(self.labels[b])
            way = Way(enclosure, i)
            lower[b], upper[b] = (way.least(rows), -way.least(-rows)) if closely else enclosure.by_boxes(rows, i)
            if steps:
                lower[b] = np.maximum(lower[b], improved(enclosure, rows, i, steps))
        others = np.stack([np.delete(np.arange(self.kinds), label) for label in self.labels])
        return Bounds(lower, upper, self.labels, others)


def _one_epsilon(epsilon: float, name: str, norm: str = "inf") -> float:
    return checked_epsilon(epsilon, name, "[0, 1]" if norm != "2" else "[0, inf)")  # a length may exceed a pixel's
