"""Settings that hold within a block."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from .graph import debugging
from .kernels import num_threads, set_num_threads, set_precision, using
from .kernels import precision as current_precision


@contextlib.contextmanager
def settings(
    *,
    precision: str | None = None,
    threads: int | None = None,
    kernels: str | None = None,
    debug: bool | None = None,
) -> Iterator[None]:
    """Compute otherwise within the block, and as before after it, whatever happens there.

    Parameters
    ----------
    precision : {"exact", "fast", "bfloat16"}, optional
        As ``set_precision`` has it.
    threads : int, at least 1, optional
        As ``set_num_threads`` has it.
    kernels : {"loops", "portable", "cpu", "gpu"}, optional
        The kernel module that computes everything, as ``kernels.using`` has it.
    debug : bool, optional
        Whether ``backward`` notices arrays that were changed in place since an operation kept them: slow, and worth a
        step or two when gradients look wrong.

    Raises
    ------
    ValueError
        When a setting is none of these; nothing is then changed.

    Notes
    -----
    What is not given stays as it is. Precision and threads are the whole process's, other threads' too.

    Examples
    --------
    >>> import numpy as np, minidl as md
    >>> with md.settings(precision="exact", threads=1):
    ...     md.precision(), md.num_threads()
    ('exact', 1)
    >>> x = md.Tensor(np.array([3.0]), requires_grad=True)
    >>> with md.settings(debug=True):
    ...     y = x * x
    ...     x.data += 1
    ...     try:
    ...         y.backward()
    ...     except RuntimeError as error:
    ...         print(str(error)[:78])
    backward: 'multiply' keeps y, of shape (1,), for its gradient, and it was chan
    """
    before = current_precision(), num_threads()
    with contextlib.ExitStack() as stack:
        stack.callback(set_precision, before[0])
        stack.callback(set_num_threads, before[1])
        if precision is not None:
            set_precision(precision)
        if threads is not None:
            set_num_threads(threads)
        if kernels is not None:
            stack.enter_context(using(kernels))
        if debug is not None:
            stack.enter_context(debugging(debug))
        yield
