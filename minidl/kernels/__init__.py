"""Arrays in, arrays out: the kernels behind the operations, one module for each way of computing them.

``loops`` (the specification), ``portable`` (NumPy and CuPy alike), ``cpu`` (Numba) and, for the card, ``gpu`` hold the
same names with the same signatures. ``of(x)`` picks the module for an array; an operation asks it and never learns
which one answered, so a faster module replaces a slower one here and nowhere else.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import warnings
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextvars import ContextVar
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from ..backend import Array, is_gpu_array
from ..tools.numbers import whole_number
from ..tools.threads import cores, deep

MODULES = ("loops", "portable", "cpu", "gpu")
PRECISIONS = ("exact", "fast", "bfloat16")

_forced: ContextVar[str | None] = ContextVar("forced kernels", default=None)
# By id: each array, and what was made of it. None while no weights are fixed
_fixed: ContextVar[dict[int, tuple[Array, dict[Any, Array]]] | None] = ContextVar("fixed weights", default=None)
# Of each kind of step what is still to be done: the function that does it, and its notes. None where nothing waits
Waiting = dict[Hashable, tuple[Callable[[list[Any]], None], list[Any]]]
waiting: ContextVar[Waiting | None] = ContextVar("steps that wait", default=None)
_precision = "fast"
_threads = cores()


@functools.cache
def module(name: str) -> ModuleType:
    """The kernel module of that name, imported when first asked for (Numba takes a while to load).

    Parameters
    ----------
    name : {"loops", "portable", "cpu", "gpu"}

    Examples
    --------
    >>> from minidl import kernels
    >>> kernels.module("loops").__name__
    'minidl.kernels.loops'
    """
    if name not in MODULES:
        raise ValueError(f"unknown kernels {name!r}: choose from {', '.join(MODULES)}")
    return deep(importlib.import_module, f"{__name__}.{name}")


@functools.cache
def _default(gpu: bool) -> ModuleType:
    if gpu or not find_spec("numba"):
        return module("gpu" if gpu else "portable")
    try:
        return module("cpu")
    except ImportError as error:  # Numba's compiler is switched off, or refuses this version of NumPy
        warnings.warn(
            f"minidl computes with its portable kernels, which give the same and take longer: {error}",
            RuntimeWarning,
            stacklevel=2,
        )
        return module("portable")


def of(x: Array) -> ModuleType:
    """The kernels that compute with the array x: those of its device, unless ``using`` says otherwise.

    Parameters
    ----------
    x : array

    Examples
    --------
    >>> import numpy as np
    >>> from minidl import kernels
    >>> kernels.of(np.ones(1)).relu(np.array([-1.0, 2.0]))
    array([0., 2.])
    """
    forced = _forced.get()
    return module(forced) if forced else _default(is_gpu_array(x))


@contextlib.contextmanager
def using(name: str) -> Iterator[None]:
    """Compute everything within the block with one kernel module.

    Parameters
    ----------
    name : {"loops", "portable", "cpu", "gpu"}

    Examples
    --------
    >>> import numpy as np
    >>> from minidl import kernels
    >>> with kernels.using("loops"):
    ...     kernels.of(np.ones(1)).__name__
    'minidl.kernels.loops'
    """
    module(name)  # an unknown name or a missing library is reported here, not at the first operation
    token = _forced.set(name)
    try:
        yield
    finally:
        _forced.reset(token)


@contextlib.contextmanager
def fixed(weights: Iterable[Array]) -> Iterator[None]:
    """Within the block nobody changes these arrays: most of what a kernel makes of one of them alone, it makes once.

    An attack takes many steps with the same weights, which convolutions pack, or transform, before they multiply. What
    is made is kept until the block ends: for ResNet18 146 MB beside 45 MB of weights. Of blocks within one another the
    inner one counts.

    Parameters
    ----------
    weights : arrays

    Examples
    --------
    >>> import numpy as np
    >>> from minidl import kernels
    >>> x, weight = np.ones((1, 4, 4, 3), np.float32), np.ones((2, 3, 3, 3), np.float32)
    >>> with kernels.fixed([weight]):
    ...     kernels.of(x).conv2d(x, weight, None, (1, 1), (0, 0))[0, 0, 0]
    array([27., 27.], dtype=float32)
    """
    token = _fixed.set({id(weight): (weight, {}) for weight in weights})
    try:
        yield
    finally:
        _fixed.reset(token)


def made_of(weight: Array, make: Callable[..., Array], *settings: Hashable) -> Array:
    """``make(weight, *settings)``; of a weight that is ``fixed``, what it was the first time.

    Parameters
    ----------
    weight : array
    make : callable
        From the weight, and settings that can be hashed, to an array that nobody changes.

    Examples
    --------
    >>> import numpy as np
    >>> from minidl import kernels
    >>> weight = np.ones(3)
    >>> kernels.made_of(weight, np.sum) is kernels.made_of(weight, np.sum)
    False
    >>> with kernels.fixed([weight]):
    ...     kernels.made_of(weight, np.sum) is kernels.made_of(weight, np.sum)
    True
    """
    weights = _fixed.get()
    if weights is None or id(weight) not in weights:
        return make(weight, *settings)
    _, made = weights[id(weight)]
    key = make, settings
    if key not in made:
        made[key] = make(weight, *settings)
    return made[key]


@contextlib.contextmanager
def together(wait: bool = True) -> Iterator[None]:
    """Within the block a card's steps in place may wait for its end, and are one launch then; the CPU does all at once.

    An optimiser's step is a kernel for each parameter, and each batch normalisation moves its running statistics: a
    hundred launches, most of which take longer to begin than to do. Nobody within the block may read what they write,
    or write what they read; so it is for code that is known, minidl's own.

    Parameters
    ----------
    wait : bool
        False: nothing waits, as if there were no block.

    Examples
    --------
    >>> import numpy as np
    >>> from minidl import kernels
    >>> weight = np.ones(2)
    >>> with kernels.together():
    ...     kernels.of(weight).sgd_step(weight, np.ones(2), None, None, 0.5, 0.0, 0.0, False)
    >>> weight
    array([0.5, 0.5])
    """
    steps: Waiting = {}
    token = waiting.set(steps if wait else None)
    try:
        yield
    finally:
        waiting.reset(token)
    for work, notes in steps.values():  # not after an error
        work(notes)


def set_precision(mode: str) -> None:
    """How exact products of float32 have to be. Weights, and what training keeps of them, are float32 always.

    ============ ====================================================== ===============================================
    mode         on the CPU                                             on a card
    ============ ====================================================== ===============================================
    "fast"       convolutions by Winograd's F(4 x 4, 3 x 3), where it   TF32: of each factor 10 bits after the point
    (default)    pays: a quarter of the multiplications                 count
    "exact"      every product in full                                  every product in full
    "bfloat16"   as "fast"                                              factors are rounded to 7 bits after the point,
                                                                        and so is what lies between convolutions
    ============ ====================================================== ===============================================

    docs/kernels.md has the errors. float64 is computed in full, whatever is set.

    Parameters
    ----------
    mode : {"fast", "exact", "bfloat16"}

    Examples
    --------
    >>> import minidl as md
    >>> md.set_precision("exact")
    >>> md.set_precision("fast")
    """
    global _precision
    if mode not in PRECISIONS:
        raise ValueError(f"unknown precision {mode!r}: choose from {', '.join(PRECISIONS)}")
    _precision = mode


def precision() -> str:
    """What ``set_precision`` chose last: "exact", "fast" or "bfloat16".

    Examples
    --------
    >>> import minidl as md
    >>> md.precision()
    'fast'
    """
    return _precision


def set_num_threads(count: int) -> None:
    """How many threads the compiled kernels share their work among; by default the cores there are for this process:
    what the system lets it run on, Slurm gave it, or its container's CPU quota allows.

    Results are the same, to the bit, with any number.

    Parameters
    ----------
    count : int, at least 1

    Examples
    --------
    >>> import minidl as md
    >>> before = md.num_threads()
    >>> md.set_num_threads(1)
    >>> md.num_threads()
    1
    >>> md.set_num_threads(before)
    """
    global _threads
    _threads = whole_number(count, "count", 1, "set_num_threads")


def num_threads() -> int:
    """What ``set_num_threads`` chose last.

    Examples
    --------
    >>> import minidl as md
    >>> md.num_threads() >= 1
    True
    """
    return _threads
