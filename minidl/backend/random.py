"""Random streams: one for each purpose, so that one more use of chance changes no other."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..tools.numbers import whole_number

Seed = int | np.random.SeedSequence | np.random.Generator

STREAMS = ("init", "shuffle", "augmentation", "dropout", "attack")


def streams(seed: Seed, asked_by: str = "streams") -> dict[str, np.random.Generator]:
    """One independent random stream for each purpose in ``STREAMS``, all spawned from one seed.

    A stream each means that, say, a model with dropout sees the same shuffling as one without.

    Parameters
    ----------
    seed : int, numpy.random.SeedSequence or numpy.random.Generator
        A seed sequence is left as it is: the same one gives the same streams. A generator gives streams of their own
        each time, and none of its numbers.
    asked_by : str
        Who is named when the seed is none of these.

    Examples
    --------
    >>> from minidl.backend import streams
    >>> sorted(streams(0))
    ['attack', 'augmentation', 'dropout', 'init', 'shuffle']
    """
    if isinstance(seed, np.random.Generator):
        sequence: Any = seed.bit_generator.seed_seq
        if sequence is None:  # of NumPy's old RandomState
            raise TypeError(
                f"{asked_by}: the generator has no seed sequence that streams could come from: give "
                "np.random.default_rng(seed), or the seed"
            )
    elif isinstance(seed, np.random.SeedSequence):
        sequence = np.random.SeedSequence(seed.entropy, spawn_key=seed.spawn_key, pool_size=seed.pool_size)
    else:
        sequence = np.random.SeedSequence(whole_number(seed, "seed", 0, asked_by))
    children = sequence.spawn(len(STREAMS))
    return {name: np.random.Generator(np.random.PCG64(child)) for name, child in zip(STREAMS, children, strict=True)}


_default = streams(0)


def manual_seed(seed: int) -> None:
    """Reset the default random streams, which layers use when they are given no generator of their own.

    Parameters
    ----------
    seed : int

    Examples
    --------
    >>> import minidl as md
    >>> md.manual_seed(0); a = md.nn.Linear(3, 2).weight.data
    >>> md.manual_seed(0); b = md.nn.Linear(3, 2).weight.data
    >>> bool((a == b).all())
    True
    """
    _default.update(streams(seed, "manual_seed"))


def default_rng(stream: str) -> np.random.Generator:
    """The default generator of a stream; ``manual_seed`` resets it.

    Parameters
    ----------
    stream : one of ``STREAMS``

    Examples
    --------
    >>> import minidl as md
    >>> md.manual_seed(0)
    >>> 0 <= md.backend.default_rng("init").random() < 1
    True
    """
    return _default[stream]
