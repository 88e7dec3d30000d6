"""Where each number of a network may lie while its image moves: boxes forward, and lines back (CROWN).

Step by step, every value gets a box from those of its sources. Where an activation is still in doubt about a number,
that number is written as a linear combination of the pixels, from below and from above: back through the network's
own affine layers by their gradients, and through each activation by one of its two lines (Zhang et al. 2018).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from ...nn.lines import Lines
from .program import Program
from .region import Region
from .rounding import allowance
from .steps import Affine, Box, Curved, Moved, Values

CHUNK = 1 << 22  # numbers: how many coefficients go back at a time


class Enclosure:
    """The boxes, the lines and what rounding may cost, of every value and for B regions at once.

    Parameters
    ----------
    program : Program
    region : Region
    closely : bool
        Whether lines go back for numbers that an activation is in doubt about; without, the boxes are plain intervals.

    Attributes
    ----------
    boxes : for each value, its lower and upper ends (B, ...)
    lines : for each value that a curved step made, its lines
    losses : for each value, what times the sizes of coefficients of its numbers rounding may cost
    """

    def __init__(self, program: Program, region: Region, closely: bool = True) -> None:
        self.program, self.region = program, region
        self.boxes: list[Box] = []
        self.lines: dict[int, Lines] = {}
        self.losses: list[Values | float] = []
        for k, step in enumerate(program.steps):
            boxes = [self.boxes[s] for s in step.sources]
            self.boxes.append(step.box(*boxes) if boxes else region.pixels)
            if isinstance(step, Curved):
                self.lines[k] = step.lines(*boxes[0])
            self.losses.append(self._loss(k, boxes))
            if closely and k in program.bent and not isinstance(step, Curved) and not self._is_exact(k):
                self._look_closer(k)

    def _loss(self, k: int, boxes: list[Box]) -> Values | float:
        """A step's own, and where it is thin that of its sources too, which then need not be asked again."""
        step = self.program.steps[k]
        own = step.loss(*boxes) if boxes else 0.0
        if not step.thin or not boxes:
            return own
        carried = step.carries([self.losses[s] for s in step.sources])
        if isinstance(step, Curved):
            carried = carried * np.maximum(abs(self.lines[k].below), abs(self.lines[k].above))
        return own + carried

    def _is_exact(self, k: int) -> bool:
        """Whether a box can be no closer: a region that is one, then one layer at most that mixes its numbers."""
        mixing, steps = 0, self.program.steps
        while k > self.program.first:
            if isinstance(steps[k], Curved) or len(steps[k].sources) > 1:
                return False
            mixing += not steps[k].thin
            k = steps[k].sources[0]
        return mixing <= 1 and self.region.ball is None

    def _look_closer(self, k: int) -> None:
        """Bring the ends of value k's doubtful numbers closer, in place."""
        low, high = self.boxes[k]
        doubtful = np.zeros(low.shape, bool)
        for step in self.program.bent[k]:
            doubtful |= step.doubtful((low, high))
        size = max(1, CHUNK // self.program.widest)
        for i in range(len(low)):
            numbers = np.flatnonzero(doubtful[i])
            lows, highs = low[i].reshape(-1), high[i].reshape(-1)  # views
            for start in range(0, len(numbers), size):
                part = numbers[start : start + size]
                rows = np.zeros((len(part), *low.shape[1:]))
                rows.reshape(len(part), -1)[np.arange(len(part)), part] = 1
                least, most = self.ends(k, rows, i)
                lows[part], highs[part] = np.maximum(lows[part], least), np.minimum(highs[part], most)

    def least(
        self,
        rows: Values,
        i: int,
        slopes: Mapping[int, Values] = MappingProxyType({}),
        taken: dict[int, Values] | None = None,
    ) -> np.ndarray:
        """(R,): below each combination rows (R, classes) of the logits, for every image of region i.

        ``slopes`` (R, ...) take the place of those below, and the coefficients on the way are left in ``taken``.
        """
        return self._back(len(self.program.steps) - 1, rows, i, False, slopes, taken)

    def ends(self, k: int, rows: Values, i: int) -> Box:
        """(R,) and (R,): below and above each combination rows (R, ...) of value k, for every image of region i."""
        both = self._back(k, rows, i, True, {}, None)
        return both[: len(rows)], -both[len(rows) :]

    def _back(
        self, k: int, rows: Values, i: int, both: bool, slopes: Mapping[int, Values], taken: dict[int, Values] | None
    ) -> np.ndarray:
        """Below combinations of value k; with ``both`` below their negatives too, as (2 R,)."""
        program, waiting = self.program, {k: rows}
        beside, lost = np.zeros(len(rows)), self._cost(k, rows, i)
        for j in range(k, program.first, -1):
            if j not in waiting:
                continue
            step, at = program.steps[j], waiting.pop(j)
            if both and isinstance(step, Curved):  # up to here, what is above is what is below, turned round
                at, waiting = _and_negative(at), {s: _and_negative(part) for s, part in waiting.items()}
                beside, lost, both = _and_negative(beside), np.concatenate([lost, lost]), False
            if isinstance(step, Curved):
                if taken is not None:
                    taken[j] = at
                parts, more = self._bend(step, j, at, i, slopes.get(j))
            else:
                parts, more = step.back(at)
                if j in program.charged and j < k:
                    lost = lost + self._cost(j, at, i)
            beside = beside + more
            for source, part in zip(step.sources, parts, strict=True):
                waiting[source] = waiting[source] + part if source in waiting else part
        (at,) = waiting.values()
        if both:
            at, beside, lost = _and_negative(at), _and_negative(beside), np.concatenate([lost, lost])
        if taken is not None:
            taken[program.first] = at
        return self.region.least(at, i) + beside - lost

    def by_boxes(self, rows: Values, i: int) -> Box:
        """(R,) and (R,): the same of the logits from the last box alone before layers that are affine to the end."""
        k, beside, lost = len(self.program.steps) - 1, np.zeros(len(rows)), np.zeros(len(rows))
        while k > self.program.first and isinstance(self.program.steps[k], Affine | Moved):
            lost = lost + self._cost(k, rows, i)
            (rows,), more = self.program.steps[k].back(rows)
            beside, k = beside + more, self.program.steps[k].sources[0]
        low, high = (end[i].ravel() for end in self.boxes[k])
        flat = rows.reshape(len(rows), -1)
        largest = np.maximum(abs(low), abs(high))
        middle = beside + flat @ ((low + high) / 2)
        reach = lost + abs(flat) @ ((high - low) / 2 + allowance(flat.shape[1]) * largest)
        return middle - reach, middle + reach

    def _cost(self, k: int, rows: Values, i: int) -> np.ndarray:
        loss = self.losses[k]
        if not isinstance(loss, np.ndarray):
            return np.zeros(len(rows))
        return np.abs(rows).reshape(len(rows), -1) @ loss[i].ravel()

    def _bend(self, step: Curved, k: int, rows: Values, i: int, slope: Values | None) -> tuple[list[Values], np.ndarray]:
        """Through an activation: positive coefficients take the line below it, negative ones the line above.

        a x is at least a (mean slope) - |a| (half the difference of slopes), and likewise for the heights.
        """
        lines, flat = self.lines[k], (len(rows), math.prod(rows.shape[1:]))
        below, at_below, above, at_above = (line[i] for line in lines)
        below = below if slope is None else slope
        sizes = np.abs(rows)
        beside = rows.reshape(flat) @ ((at_above + at_below) / 2).ravel()
        beside -= sizes.reshape(flat) @ ((at_above - at_below) / 2 + self.losses[k][i]).ravel()
        sizes *= (above - below) / 2
        rows = rows * ((above + below) / 2) - sizes
        return [step.to_source(rows, self.boxes[step.sources[0]][0][i])], beside


def _and_negative(rows: Values) -> Values:
    return np.concatenate([rows, -rows])
