"""The way back of coefficients through one image's network, down to the pixels: CROWN's own step.

A combination a . v of the numbers of one value becomes one of an earlier value: through an affine step exactly, and
through an activation to something that is never more. Between fully-connected layers only the neurons that are not
off are carried along, often a fifth of them; through convolutions, only the window that a number depends on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from ...nn import Conv2d
from .last import LastProduct
from .steps import Affine, Curved, Moved, Step, Values
from .windows import Rows, through_convolution, units

if TYPE_CHECKING:
    from .enclosure import Enclosure

WORTH = 1 << 20  # weights from which on a product in float32 is worth what its rounding is charged with
Taken = dict[int, Values]
NONE: Mapping[int, Values] = MappingProxyType({})


class Way:
    """The way back for region i of an enclosure.

    Parameters
    ----------
    known : Enclosure
        With the boxes of all values on the way.
    i : int
    """

    def __init__(self, known: Enclosure, i: int) -> None:
        self.known, self.program, self.i = known, known.program, i
        self._on = {  # which neurons are not off, where only those are carried along
            k: np.flatnonzero(~lines.vanish()[i]) for k, lines in known.lines.items() if k in self.program.narrow
        }
        self._cut: dict[tuple[int, bool], Values] = {}
        self._last: dict[tuple[int, bool], LastProduct] = {}
        self._lines: dict[int, tuple[Values, ...]] = {}

    def least(self, rows: Values, slopes: Mapping[int, Values] = NONE, taken: Taken | None = None) -> np.ndarray:
        """(R,): below each combination rows (R, classes) of the logits, for every image of the region.

        ``slopes`` (R, ...) take the place of those below; the coefficients on the way are left in ``taken``.
        """
        return self._back({len(self.program.steps) - 1: Rows(rows)}, 0.0, slopes, taken)

    def least_of(self, k: int, numbers: np.ndarray, sign: int) -> np.ndarray:
        """(R,): below the numbers of value k at R places, or for sign -1 below their negatives."""
        step, shape, loss = self.program.steps[k], self.known.boxes[k][0].shape[1:], self.known.losses[k]
        if len(shape) == 3:
            return self._back({k: units(numbers, shape, sign)})
        if not isinstance(step, Affine) or step.matrix is None:
            return self._back({k: Rows(sign * np.eye(math.prod(shape))[numbers].reshape(-1, *shape))})
        assert isinstance(loss, np.ndarray)
        into = self._on.get(step.sources[0])  # rows of the matrix itself
        rows = sign * (step.matrix[numbers] if into is None else step.matrix[np.ix_(numbers, into)])
        return self._back({step.sources[0]: Rows(rows)}, sign * step.constant[0][numbers] - loss[self.i][numbers])

    def _back(
        self,
        waiting: dict[int, Rows],
        beside: Any = 0.0,
        slopes: Mapping[int, Values] = NONE,
        taken: Taken | None = None,
    ) -> np.ndarray:
        """(R,): below sums of combinations, ``waiting`` with those of each value, and of what stands ``beside``."""
        steps, start = self.program.steps, max(waiting)
        for j in range(start, self.program.first, -1):
            if j not in waiting:
                continue
            step, rows = steps[j], waiting.pop(j)
            if taken is None and not waiting and (least := self._at_pixels(step, j, rows)) is not None:
                return least + beside - (self._cost(j, rows) if j in self.program.charged or j == start else 0.0)
            if taken is not None:
                taken[j] = self._in_full(rows, j)
            if isinstance(step, Curved):
                parts, more = self._bend(step, j, rows, slopes.get(j))
            else:
                parts, more = self._straight(step, j, rows)
                if j in self.program.charged or j == start:
                    more = more - self._cost(j, rows)
            beside = beside + more
            for source, part in zip(step.sources, parts, strict=True):
                shape = self.known.boxes[source][0].shape[1:]
                waiting[source] = waiting[source].plus(part, shape) if source in waiting else part
        (rows,) = waiting.values()
        if taken is not None:
            taken[self.program.first] = self._in_full(rows, self.program.first)
        return self.known.region.least(rows, self.i) + beside

    def _cost(self, k: int, rows: Rows) -> Values | float:
        """(R,): what rounding may cost of combinations of value k."""
        loss = self.known.losses[k]
        return np.abs(_flat(rows.a)) @ rows.of(loss[self.i]).ravel() if isinstance(loss, np.ndarray) else 0.0

    def _straight(self, step: Step, j: int, rows: Rows) -> tuple[list[Rows], Any]:
        """Back through a step that is no curved one, and what is left beside."""
        if isinstance(step, Affine) and step.matrix is not None:
            return self._between_neurons(step, j, rows.a)
        more = 0.0 if step.constant is None else _flat(rows.a) @ rows.of(step.constant[0]).ravel()
        if isinstance(step, Affine) and step.kind is Conv2d:
            return [through_convolution(step, rows, self.known.boxes[step.sources[0]][0].shape[1:])], more
        if step.thin and not isinstance(step, Moved):
            return [Rows(part, rows.corner) for part in step.back(rows.a)], more
        return [Rows(part) for part in step.back(rows.full(self.known.boxes[j][0].shape[1:]))], more

    def _between_neurons(self, step: Affine, j: int, rows: Values) -> tuple[list[Rows], Any]:
        """Back through a fully-connected layer, from and to the neurons that are on where only those are carried."""
        assert step.matrix is not None
        constant, into = step.constant[0], self._on.get(step.sources[0])
        out = None if rows.shape[1] == len(constant) else self._on[self.program.narrow_from[j]]
        if (j, out is None) not in self._cut:
            cut = step.matrix if out is None else step.matrix[out] if into is None else step.matrix[np.ix_(out, into)]
            self._cut[j, out is None] = cut[:, into] if out is None and into is not None else cut
        return [Rows(rows @ self._cut[j, out is None])], rows @ (constant if out is None else constant[out])

    def _at_pixels(self, step: Step, j: int, rows: Rows) -> np.ndarray | None:
        """(R,): below combinations of value j, where a fully-connected layer makes it of the pixels of a box."""
        if not isinstance(step, Affine) or step.matrix is None or step.sources != (self.program.first,):
            return None
        if step.matrix.size < WORTH or self.known.region.ball is not None:
            return None
        constant, region = step.constant[0], self.known.region
        whole = rows.a.shape[1] == len(constant)
        on = slice(None) if whole else self._on[self.program.narrow_from[j]]
        if (j, whole) not in self._last:
            self._last[j, whole] = LastProduct(step, on, region.centre[self.i].ravel(), region.radius[self.i].ravel())
        least = self._last[j, whole].least(rows.a)
        return None if least is None else least + rows.a @ constant[on]

    def _bend(self, step: Curved, k: int, rows: Rows, slope: Values | None) -> tuple[list[Rows], Any]:
        """Through an activation: positive coefficients take the line below it, negative ones the line above.

        a x is at least a (mean slope) - |a| (half the difference of slopes), and likewise for the heights.
        """
        below, above, height, reach = (rows.of(line) for line in self._lines_of(k))
        if slope is not None:
            below = slope[:, self._on[k]] if k in self._on else slope
            rows = Rows(rows.full(slope.shape[1:])) if rows.corner else rows
        sizes = np.abs(rows.a)
        more = _flat(rows.a) @ height.ravel() - _flat(sizes) @ reach.ravel()
        sizes *= (above - below) / 2
        bent = rows.a * ((above + below) / 2)
        bent -= sizes
        if step.thin:
            return [Rows(bent, rows.corner)], more
        low = self.known.boxes[step.sources[0]][0][self.i]
        return [Rows(step.to_source(Rows(bent, rows.corner).full(self.known.boxes[k][0].shape[1:]), low))], more

    def _lines_of(self, k: int) -> tuple[Values, ...]:
        """Slopes below and above, the mean height, and half the heights' difference with what rounding may cost."""
        if k not in self._lines:
            below, at_below, above, at_above = (line[self.i] for line in self.known.lines[k])
            reach = (at_above - at_below) / 2 + self.known.losses[k][self.i]
            lines = below, above, (at_above + at_below) / 2, reach
            self._lines[k] = tuple(line[self._on[k]] for line in lines) if k in self._on else lines
        return self._lines[k]

    def _in_full(self, rows: Rows, k: int) -> Values:
        """Coefficients of value k, with zeros for neurons that are off and for numbers beside the window."""
        shape = self.known.boxes[k][0].shape[1:]
        if k not in self._on:
            return rows.full(shape)
        full = np.zeros((len(rows.a), *shape))
        full[:, self._on[k]] = rows.a
        return full


def _flat(rows: Values) -> Values:
    return rows.reshape(len(rows), -1)
