"""What speaks against a number: what was found while it was measured, and what the numbers themselves tell."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..records import Outcome
from ..robustness import Flag
from ..robustness.attacks.flags import SLACK
from .language import count, decimal, say
from .results import Results

SHARE = 0.05  # of the images: where another attack breaks so many more, a number is not the network's


def flags_of(outcome: Outcome) -> list[Flag]:
    """The flags that were kept with an attack, and those that can be read off what it did.

    Examples
    --------
    >>> import numpy as np
    >>> from minidl.records import Outcome
    >>> from minidl.report.flags import flags_of
    >>> right, none = np.array([[True, True], [False, False], [True, False]]), np.zeros(2, bool)
    >>> outcome = Outcome(np.array([0, 0.1, 0.2]), np.arange(2), np.arange(2), right, none, none)
    >>> print(flags_of(outcome)[0])
    rises: of 2 images 0.0% are right at 25.5/255, and 50.0% at 51/255. It overshoots: take smaller steps (pgd).
    """
    found = [Flag(*flag) for flag in outcome.flags]
    names = {flag.name for flag in found}
    return found + [flag for flag in _read_off(outcome) if flag.name not in names]


def _read_off(outcome: Outcome) -> Iterator[Flag]:
    right = outcome.right  # (E, B), the first at epsilon 0
    part = (outcome.vanished_gradient & right[0]).sum() / max(1, right[0].sum())
    if part > SLACK and outcome.broken_by is None:  # several attacks do not hang on one loss's gradient
        yield Flag(
            "I1",
            say("flag.vanished", part=_percent(part)),
            say("flag.vanished_advice"),
        )
    accuracy = right.mean(axis=1)
    least = np.minimum.accumulate(accuracy)
    e = int((accuracy - least).argmax())
    if accuracy[e] - least[e] > SLACK:
        at = int((accuracy[: e + 1]).argmin())
        sizes = 255 * outcome.epsilons
        yield Flag(
            say("flag.rises"),
            say(
                "flag.rises_evidence",
                images=count(right.shape[1], "image"),
                low=_percent(accuracy[at]),
                small=_size(sizes[at]),
                high=_percent(accuracy[e]),
                large=_size(sizes[e]),
            ),
            say("flag.rises_advice"),
        )


def flags_of_run(results: Results, figure: str, run: str) -> list[Flag]:
    """Those of a figure's attack on one network, and whether another method, on the same images, breaks far more."""
    shown, paired = (outcome_of(results, figure, run, images) for images in (results.shown(figure), "paired"))
    found = [] if shown is None else flags_of(shown)
    return found + ([] if paired is None else list(_weaker(results, figure, run, paired)))


def _weaker(results: Results, figure: str, run: str, ours: Outcome) -> Iterator[Flag]:
    for name in results.twins(figure):
        theirs = outcome_of(results, name, run, "paired")
        if theirs is None or not np.array_equal(theirs.epsilons, ours.epsilons):
            continue
        _, here, there = np.intersect1d(ours.indices, theirs.indices, return_indices=True)
        if not len(here):
            continue
        our, their = ours.right[:, here].mean(axis=1), theirs.right[:, there].mean(axis=1)  # (E,)
        e = int((our - their).argmax())
        if our[e] - their[e] > SHARE:
            method = say(f"method.{results.method(name)}")
            evidence = say(
                "flag.weaker_evidence",
                size=_size(255 * ours.epsilons[e]),
                ours=_percent(our[e]),
                images=count(len(here), "image"),
                method=method,
                theirs=_percent(their[e]),
            )
            advice = say("flag.weaker_advice", figure=name)
            yield Flag(say("flag.weaker", method=method), evidence, advice)


def outcome_of(results: Results, figure: str, run: str, images: str) -> Outcome | None:
    """What a figure's attack did to a network; None where its file is not there, as one may remove it to save space."""
    return results.kept(run, results.figures[figure]["attacks"].get(images, {}).get(run))


def _percent(part: float) -> str:
    return decimal(f"{100 * part:.1f}")


def _size(epsilon: float) -> str:
    return decimal(f"{epsilon:.3g}")
