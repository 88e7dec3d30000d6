"""Better slopes below undecided ReLUs, by gradient steps on the bound itself (alpha-CROWN, Xu et al. 2021).

Below an undecided ReLU every line a x with 0 <= a <= 1 will do. CROWN takes 0 or 1 by the shape of one triangle; which
one is best for a margin depends on all that follows, and a bound for any choice is a bound. So the engine's optimiser
climbs. The gradient needs no recording: a bound is the least value of a linear function of the image, and its
derivative by coefficients of some value is what that value becomes for the image where it is least, going forward
through the layers and, at each activation, along the line that the coefficients took.
"""

from __future__ import annotations

import numpy as np

from ...nn import ReLU
from ...optim import Adam
from ...tensor import Parameter
from .enclosure import Enclosure
from .steps import Curved, Values
from .way import Way

RATE, FADING = 0.1, 0.98  # of the climb: the authors' rate, and how it falls with each step


def improved(known: Enclosure, rows: Values, i: int, steps: int) -> np.ndarray:
    """(R,): the best lower ends found for combinations rows (R, classes) of region i's logits, CROWN's among them."""
    way = Way(known, i)
    best = way.least(rows)
    slopes = {
        k: Parameter(np.repeat(lines.below[i][None], len(rows), axis=0))  # (R, ...)
        for k, lines in known.lines.items()
        if _is_free(known, k) and (lines.below[i] != lines.above[i]).any()
    }
    if not slopes:
        return best
    optimizer = Adam(slopes.values(), lr=RATE)
    for _ in range(steps):
        taken: dict[int, Values] = {}
        best = np.maximum(best, way.least(rows, {k: slope.data for k, slope in slopes.items()}, taken))
        at = _least_values(known, i, slopes, taken)
        for k, slope in slopes.items():
            free = known.lines[k].below[i] != known.lines[k].above[i]
            source = known.program.steps[k].sources[0]
            slope.grad = -np.maximum(taken[k], 0) * at[source] * free  # the bound is to rise
        optimizer.step()
        optimizer.lr *= FADING
        for slope in slopes.values():
            np.clip(slope.data, 0, 1, out=slope.data)
    return np.maximum(best, way.least(rows, {k: slope.data for k, slope in slopes.items()}))


def _is_free(known: Enclosure, k: int) -> bool:
    """Whether a step bends as a ReLU does: by what it says of itself, as a subclass may be something else."""
    step = known.program.steps[k]
    return isinstance(step, Curved) and getattr(step.layer.says("lines"), "__func__", None) is ReLU.lines


def _least_values(
    known: Enclosure, i: int, slopes: dict[int, Parameter], taken: dict[int, Values]
) -> dict[int, Values]:
    """For each value (R, ...): what it becomes for the R images where the bounds are least, along the lines."""
    program, first = known.program, known.program.first
    at = {first: known.region.where_least(taken[first], i)}
    for k in range(first + 1, len(program.steps)):
        step = program.steps[k]
        if k in taken and isinstance(step, Curved):
            below, at_below, above, at_above = (line[i] for line in known.lines[k])
            x = step.at_source(at[step.sources[0]], known.boxes[step.sources[0]][0][i])
            slope = slopes[k].data if k in slopes else below
            at[k] = np.where(taken[k] > 0, slope * x + at_below, above * x + at_above)
        elif not isinstance(step, Curved):
            at[k] = step.value(*(at[s] for s in step.sources))
    return at
