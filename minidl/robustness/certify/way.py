"""The way back of coefficients through one image's network, down to the pixels: CROWN's own step.

A combination a . v of the numbers of one value becomes one of an earlier value: through an affine step exactly, and
through an activation to something that is never more. Between fully-connected layers only the neurons that are not
off are carried along, often a fifth of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from .steps import Affine, Back, Curved, Values

if TYPE_CHECKING:
    from .enclosure import Enclosure

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
        self._lines: dict[int, tuple[Values, ...]] = {}

    def least(self, rows: Values, slopes: Mapping[int, Values] = NONE, taken: Taken | None = None) -> np.ndarray:
        """(R,): below each combination rows (R, classes) of the logits, for every image of the region.

        ``slopes`` (R, ...) take the place of those below; the coefficients on the way are left in ``taken``.
        """
        last = len(self.program.steps) - 1
        return self._back(last, {last: rows}, np.zeros(len(rows)), self.cost(last, rows), slopes, taken)

    def least_of(self, k: int, numbers: np.ndarray, sign: int) -> np.ndarray:
        """(R,): below the numbers of value k at R places, or for sign -1 below their negatives."""
        step, shape = self.program.steps[k], self.known.boxes[k][0].shape[1:]
        parts, beside = self._units(step, numbers) if isinstance(step, Affine) else step.units(numbers, shape)
        loss = self.known.losses[k]
        lost = loss[self.i].ravel()[numbers] if isinstance(loss, np.ndarray) else np.zeros(len(numbers))
        waiting: dict[int, Values] = {}
        for source, part in zip(step.sources, parts, strict=True):
            waiting[source] = waiting[source] + sign * part if source in waiting else sign * part
        return self._back(k - 1, waiting, sign * beside, lost, NONE, None)

    def cost(self, k: int, rows: Values) -> np.ndarray:
        """(R,): what rounding may cost of combinations of value k."""
        loss = self.known.losses[k]
        return np.abs(rows).reshape(len(rows), -1) @ loss[self.i].ravel() if isinstance(loss, np.ndarray) else 0.0

    def _back(
        self,
        start: int,
        waiting: dict[int, Values],
        beside: Values | float,
        lost: Values | float,
        slopes: Mapping[int, Values],
        taken: Taken | None,
    ) -> np.ndarray:
        """(R,): below sums of combinations of values, ``waiting`` with their coefficients, the last one ``start``."""
        steps, first = self.program.steps, self.program.first
        for j in range(start, first, -1):
            if j not in waiting:
                continue
            step, at = steps[j], waiting.pop(j)
            if taken is not None:
                taken[j] = self._in_full(at, j)
            if isinstance(step, Curved):
                parts, more = self._bend(step, j, at, slopes.get(j))
            else:
                parts, more = self._straight(j, at)
                if j in self.program.charged:
                    lost = lost + self.cost(j, at)
            beside = beside + more
            for source, part in zip(step.sources, parts, strict=True):
                waiting[source] = waiting[source] + part if source in waiting else part
        (at,) = waiting.values()
        if taken is not None:
            taken[first] = at
        return self.known.region.least(at, self.i) + beside - lost

    def _units(self, step: Affine, numbers: np.ndarray) -> Back:
        """Back from single numbers of a layer's value, which is to read rows of its matrix where it has one."""
        if step.matrix is None:
            return step.units(numbers, step.constant.shape[1:])
        into = self._on.get(step.sources[0])
        rows = step.matrix[numbers] if into is None else step.matrix[np.ix_(numbers, into)]
        return Back([rows], step.constant[0][numbers])

    def _straight(self, j: int, rows: Values) -> Back:
        """Back through a step that is no curved one."""
        step = self.program.steps[j]
        if not isinstance(step, Affine) or step.matrix is None:
            return step.back(rows)
        constant = step.constant[0]
        into = self._on.get(step.sources[0])
        out = None if rows.shape[1] == len(constant) else self._on[self.program.narrow_from[j]]
        if (j, out is None) not in self._cut:
            cut = step.matrix if out is None else step.matrix[out] if into is None else step.matrix[np.ix_(out, into)]
            self._cut[j, out is None] = cut[:, into] if out is None and into is not None else cut
        return Back([rows @ self._cut[j, out is None]], rows @ (constant if out is None else constant[out]))

    def _bend(self, step: Curved, k: int, rows: Values, slope: Values | None) -> Back:
        """Through an activation: positive coefficients take the line below it, negative ones the line above.

        a x is at least a (mean slope) - |a| (half the difference of slopes), and likewise for the heights.
        """
        below, above, height, reach = self._lines_of(k)
        if slope is not None:
            below = slope[:, self._on[k]] if k in self._on else slope
        sizes = np.abs(rows)
        beside = rows.reshape(len(rows), -1) @ height.ravel()
        beside -= sizes.reshape(len(rows), -1) @ reach.ravel()
        sizes *= (above - below) / 2
        rows = rows * ((above + below) / 2)
        rows -= sizes
        return Back([step.to_source(rows, self.known.boxes[step.sources[0]][0][self.i])], beside)

    def _lines_of(self, k: int) -> tuple[Values, ...]:
        """Slopes below and above, the mean height, and half the heights' difference with what rounding may cost."""
        if k not in self._lines:
            below, at_below, above, at_above = (line[self.i] for line in self.known.lines[k])
            reach = (at_above - at_below) / 2 + self.known.losses[k][self.i]
            lines = below, above, (at_above + at_below) / 2, reach
            self._lines[k] = tuple(line[self._on[k]] for line in lines) if k in self._on else lines
        return self._lines[k]

    def _in_full(self, rows: Values, k: int) -> Values:
        """Coefficients of value k with zeros for the neurons that are off."""
        if k not in self._on:
            return rows
        full = np.zeros((len(rows), *self.known.boxes[k][0].shape[1:]))
        full[:, self._on[k]] = rows
        return full
