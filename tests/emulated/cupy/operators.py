"""The operators of ``cupy.ndarray``, which go to NumPy's ufuncs where CuPy's go to its own."""

from __future__ import annotations

import numpy as np

from .arrays import SCALARS, call_ufunc, ndarray, run


def _defers(other):
    """Whether an operator leaves it to the other operand, as CuPy decides it."""
    if isinstance(other, (ndarray, *SCALARS)):
        return False
    if hasattr(other, "__array_ufunc__"):
        return other.__array_ufunc__ is None
    return getattr(other, "__array_priority__", 0) > ndarray.__array_priority__


def _binary(name, ufunc, reflected):
    def operator(self, other):
        if _defers(other):
            return NotImplemented
        return call_ufunc(ufunc, *((other, self) if reflected else (self, other)))

    operator.__name__ = name
    return operator


def _comparison(name, ufunc):
    def operator(self, other):
        if _defers(other):
            return NotImplemented
        if isinstance(other, np.ndarray) and other.ndim == 0:
            other = other.item()
        if other is None and name in ("__eq__", "__ne__"):
            return run(np.full, self.shape, name == "__ne__")
        return call_ufunc(ufunc, self, other)

    operator.__name__ = name
    return operator


def _in_place(name, ufunc):
    def operator(self, other):
        return call_ufunc(ufunc, self, other, out=self)

    operator.__name__ = name
    return operator


_OPERATORS = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "matmul": np.matmul, "truediv": np.true_divide,
    "floordiv": np.floor_divide, "mod": np.remainder, "pow": np.power, "divmod": np.divmod, "lshift": np.left_shift,
    "rshift": np.right_shift, "and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor,
}  # fmt: skip
for _name, _ufunc in _OPERATORS.items():
    setattr(ndarray, f"__{_name}__", _binary(f"__{_name}__", _ufunc, False))
    setattr(ndarray, f"__r{_name}__", _binary(f"__r{_name}__", _ufunc, True))
    if _name not in ("divmod", "matmul"):
        setattr(ndarray, f"__i{_name}__", _in_place(f"__i{_name}__", _ufunc))
for _name, _ufunc in {
    "lt": np.less, "le": np.less_equal, "eq": np.equal, "ne": np.not_equal, "gt": np.greater, "ge": np.greater_equal,
}.items():  # fmt: skip
    setattr(ndarray, f"__{_name}__", _comparison(f"__{_name}__", _ufunc))
for _name, _ufunc in {"neg": np.negative, "pos": np.positive, "abs": np.absolute, "invert": np.invert}.items():
    setattr(ndarray, f"__{_name}__", lambda self, ufunc=_ufunc: call_ufunc(ufunc, self))
