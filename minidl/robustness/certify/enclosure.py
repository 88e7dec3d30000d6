"""Where each number of a network may lie while its image moves: boxes forward, and lines back (CROWN).

Step by step, every value gets a box from those of its sources. Where an activation is still in doubt about a number,
that number is written as a linear combination of the pixels, from below and from above: back through the network's
own affine layers by their gradients, and through each activation by one of its two lines (Zhang et al. 2018).
"""

from __future__ import annotations

import numpy as np

from ...lines import Lines
from .program import Program
from .region import Region
from .rounding import allowance
from .steps import Affine, Box, Curved, Loss, Moved, Values
from .way import Way

CHUNK = 1 << 22  # numbers: how many coefficients go back at a time
NEIGHBOURS = 24  # numbers of an image that do so together: the fewer, the smaller is the window around them


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
        self.losses: list[Loss] = []
        for k, step in enumerate(program.steps):
            boxes = [self.boxes[s] for s in step.sources]
            self.boxes.append(step.box(*boxes) if boxes else region.pixels)
            if isinstance(step, Curved):
                self.lines[k] = step.lines(*boxes[0])
            self.losses.append(self._loss(k, boxes))
            if closely and k in program.bent and not isinstance(step, Curved) and not self._is_exact(k):
                self._look_closer(k)

    def _loss(self, k: int, boxes: list[Box]) -> Loss:
        """A step's own, and where it is thin that of its sources too, which then need not be asked again."""
        step = self.program.steps[k]
        own = step.loss(*boxes) if boxes else 0.0
        if not step.thin or not boxes:
            return own
        carried = step.carries([self.losses[s] for s in step.sources])
        if not isinstance(step, Curved):
            return own + carried
        lines = self.lines[k]
        loss = own + carried * np.maximum(abs(lines.below), abs(lines.above))
        return np.where(lines.vanish(), 0, loss)

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
        doubtful = self._doubtful(k, low, high)
        for i in range(len(low)):
            way, numbers = Way(self, i), np.flatnonzero(doubtful[i])
            likely = self.region.values[k][i].ravel() >= 0  # a number above 0 for the image itself likely stays there
            lows, highs = low[i].reshape(-1), high[i].reshape(-1)  # views
            for turn in (False, True):
                up = likely[numbers] ^ turn
                self._raise(k, lows, numbers[up], way, 1)
                self._raise(k, highs, numbers[~up], way, -1)
                if not turn:
                    numbers = np.flatnonzero(self._doubtful(k, low[i : i + 1], high[i : i + 1]))

    def _doubtful(self, k: int, low: Values, high: Values) -> np.ndarray:
        """(B, ...): the numbers of value k whose closer ends would make some step's lines closer."""
        doubtful = np.zeros(low.shape, bool)
        for j in self.program.bent[k]:
            step = self.program.steps[j]
            assert isinstance(step, Curved)
            doubtful |= step.doubtful((low, high))
            if step.thin and j in self.program.bent:  # such as a pooling of what an activation gives
                doubtful |= self._doubtful(j, *step.box((low, high)))
        return doubtful

    def _raise(self, k: int, ends: Values, numbers: np.ndarray, way: Way, sign: int) -> None:
        """Bring the lower ends of some numbers of value k closer, or for sign -1 the upper ones, in place."""
        size = max(1, CHUNK // self.program.widest)
        if self.boxes[k][0].ndim == 4:
            size = min(size, NEIGHBOURS)
        for start in range(0, len(numbers), size):
            part = numbers[start : start + size]
            ends[part] = sign * np.maximum(sign * ends[part], way.least_of(k, part, sign))

    def by_boxes(self, rows: Values, i: int) -> Box:
        """(R,) and (R,): the same of the logits from the last box alone before layers that are affine to the end."""
        k, beside, lost = len(self.program.steps) - 1, np.zeros(len(rows)), np.zeros(len(rows))
        while k > self.program.first and isinstance(self.program.steps[k], Affine | Moved):
            step, loss = self.program.steps[k], self.losses[k]
            if isinstance(loss, np.ndarray):
                lost = lost + abs(rows).reshape(len(rows), -1) @ loss[i].ravel()
            if step.constant is not None:
                beside = beside + rows.reshape(len(rows), -1) @ step.constant.ravel()
            (rows,), k = step.back(rows), step.sources[0]
        low, high = (end[i].ravel() for end in self.boxes[k])
        flat = rows.reshape(len(rows), -1)
        largest = np.maximum(abs(low), abs(high))
        middle = beside + flat @ ((low + high) / 2)
        reach = lost + abs(flat) @ ((high - low) / 2 + allowance(flat.shape[1]) * largest)
        return middle - reach, middle + reach
