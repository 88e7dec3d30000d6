"""minidl: a deep-learning engine in NumPy, of which the engine itself is read in an afternoon.

That is ``tensor.py``, ``graph.py`` and ``checks.py``, ``functional``, ``nn`` and ``optim``: about 4,300 lines, more
than a third of them documentation. Begin with lesson 0 (docs/notebooks/00_engine.py), which writes the same engine in
sixty lines and then follows one training step through these files; then ``tensor.py``. Kernels, attacks, compression
and studies stand on it.

>>> import numpy as np, minidl as md
>>> x = md.Tensor(np.array([3.0]), requires_grad=True)
>>> (x * x).sum().backward()
>>> x.grad
array([6.])
"""

import importlib
from typing import TYPE_CHECKING, Any

from . import (
    backend,
    compress,
    data,
    functional,
    kernels,
    models,
    nn,
    objectives,
    optim,
    report,
    robustness,
    testing,
    train,
)
from .backend import gpu_available, manual_seed
from .kernels import num_threads, precision, set_num_threads, set_precision
from .settings import settings
from .summary import summary
from .tensor import Parameter, Tensor, no_grad, op
from .train import evaluate, fit
from .weights import load, save

if TYPE_CHECKING:
    from . import plot

__version__ = "0.1.0"
__all__ = [
    "Parameter",
    "Tensor",
    "backend",
    "compress",
    "data",
    "evaluate",
    "fit",
    "functional",
    "gpu_available",
    "kernels",
    "load",
    "manual_seed",
    "models",
    "nn",
    "no_grad",
    "num_threads",
    "objectives",
    "op",
    "optim",
    "plot",
    "precision",
    "report",
    "robustness",
    "save",
    "set_num_threads",
    "set_precision",
    "settings",
    "summary",
    "testing",
    "train",
]


def __getattr__(name: str) -> Any:
    if name == "plot":  # matplotlib takes longer to import than all of minidl: it comes with the first picture
        return importlib.import_module(".plot", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
