"""The chain rule over a recorded computation: df/dX = df/dY dY/dX, from result to leaves (report, section 2.1).

A graph is nodes that point at the nodes, and leaf tensors, their inputs came from: never forward, so there are no
cycles and a graph dies by reference counting as soon as nobody holds its result. ``tensor.py`` records it, but for what
is computed within ``no_grad``.

Nothing is copied: a vector-Jacobian product holds the very arrays that its operation was given. One that is changed in
place before ``backward`` gives the gradient of another computation; within ``md.settings(debug=True)`` that is noticed.
"""

from __future__ import annotations

import contextlib
import itertools
import warnings
import weakref
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any, TypeVar

import numpy as np

from .backend import Array, array_module, to_numpy
from .kernels.types import add, of_type, widened

Vjp = Sequence[Callable[[Array], Array] | None]  # for each argument: from dy to the gradient by it
T = TypeVar("T")
Leaf = Any  # a Tensor that was not computed: it has ``grad`` and ``dtype``. This file needs to know no more of tensors
Vertex = Any  # a Node or a Leaf

_spent: weakref.WeakValueDictionary[int, Array] = weakref.WeakValueDictionary()  # by id: arrays have no hash
_grad_enabled: ContextVar[bool] = ContextVar("grad enabled", default=True)
_debug: ContextVar[bool] = ContextVar("whether arrays that change before backward are noticed", default=False)


class SpentGradientWarning(UserWarning):
    """A gradient is added to one that an optimiser has already used: ``zero_grad`` was forgotten."""


@contextlib.contextmanager
def no_grad() -> Iterator[None]:
    """Compute without recording a graph: quicker and lighter where no gradient is wanted.

    Examples
    --------
    >>> import minidl as md
    >>> x = md.Tensor([1.0, 2.0], requires_grad=True)
    >>> with md.no_grad():
    ...     (x * 2).requires_grad
    False
    """
    token = _grad_enabled.set(False)
    try:
        yield
    finally:
        _grad_enabled.reset(token)


def is_recording() -> bool:
    """Whether operations record what they do: everywhere but within ``no_grad``."""
    return _grad_enabled.get()


@contextlib.contextmanager
def debugging(on: bool) -> Iterator[None]:
    """Within the block ``backward`` notices whether an array that it needs was changed in place since it was used."""
    token = _debug.set(on)
    try:
        yield
    finally:
        _debug.reset(token)


def _arrays_of(thing: Any, name: str = "") -> Iterator[tuple[str, Array]]:
    """(name, array) of all that a vector-Jacobian product keeps: what its functions have closed over."""
    if hasattr(thing, "dtype") and hasattr(thing, "shape"):
        yield name, thing
    elif isinstance(thing, tuple | list):
        for part in thing:
            yield from _arrays_of(part, name)
    elif getattr(thing, "__closure__", None):
        for variable, cell in zip(thing.__code__.co_freevars, thing.__closure__, strict=True):
            yield from _arrays_of(cell.cell_contents, variable)


def _fingerprint(array: Array) -> int:
    return zlib.crc32(np.ascontiguousarray(to_numpy(array)).reshape(-1).view(np.uint8).data)


class Node:
    """One recorded operation: where its inputs came from, and its vector-Jacobian product.

    Parameters
    ----------
    name : str
    sources : the Node or leaf of each argument, None for a constant
    shapes : the shape of each argument that has a source
    vjp : as ``tensor.op`` describes it
    dtype : of its value, and so of the gradient by it, where one of them is bfloat16
    """

    __slots__ = ("dtype", "kept", "name", "order", "shapes", "sources", "vjp")
    _counter = itertools.count()

    def __init__(self, name: str, sources: list[Vertex | None], shapes: list[Any], vjp: Vjp, dtype: Any) -> None:
        self.name, self.sources, self.shapes, self.dtype = name, sources, shapes, dtype
        self.vjp: Vjp | None = vjp
        self.order = next(self._counter)  # an input is older than what is computed from it
        self.kept = [(*held, _fingerprint(held[1])) for held in _arrays_of(vjp)] if _debug.get() else ()

    def pull_back(self, dy: Array, wanted: set[Vertex]) -> Iterator[tuple[Vertex, Array]]:
        """(source, gradient by it) for each wanted source, given dy, the gradient by this node's value."""
        if dy.dtype != self.dtype and "bfloat16" in (dy.dtype.name, self.dtype.name):
            dy = of_type(dy, self.dtype)
        vjp, self.vjp = self.vjp, None  # the arrays that the product holds are freed once it has served
        if vjp is None:
            raise RuntimeError(
                f"backward: the graph through {self.name!r} was used by an earlier backward(), which freed its arrays; "
                "compute the loss again before calling backward() again"
            )
        for name, array, before in self.kept:
            if _fingerprint(array) != before:
                raise RuntimeError(
                    f"backward: {self.name!r} keeps {name}, of shape {array.shape}, for its gradient, and it was "
                    "changed in place since: make a new array instead (x = x + 1, not x += 1), or give a copy"
                )
        self.kept = ()
        for i, source in enumerate(self.sources):
            if source is None or source not in wanted:
                continue
            part = vjp[i] if i < len(vjp) else None
            if part is None:
                raise RuntimeError(f"{self.name}: has no gradient by argument {i}, which requires one")
            gradient = unbroadcast(part(dy), self.shapes[i])
            if gradient.shape != self.shapes[i]:
                raise RuntimeError(
                    f"{self.name}: the gradient by argument {i} has shape {gradient.shape}, but the argument has shape "
                    f"{self.shapes[i]}: its vector-Jacobian product is wrong"
                )
            yield source, gradient


def once(function: Callable[[Array], T]) -> Callable[[Array], T]:
    """A function of dy that gradients share: the first of them to ask has it computed, once.

    Examples
    --------
    >>> from minidl.graph import once
    >>> both = once(lambda dy: print("computed") or (2 * dy, 3 * dy))
    >>> vjp = (lambda dy: both(dy)[0], lambda dy: both(dy)[1])
    >>> vjp[0](1), vjp[1](1)
    computed
    (2, 3)
    """
    known: list[Any] = []  # the last dy, and what became of it

    def shared(dy: Array) -> T:
        if not known or known[0] is not dy:
            known[:] = dy, function(dy)
        return known[1]

    return shared


def unbroadcast(gradient: Array, shape: tuple[int, ...]) -> Array:
    """Sum a gradient over the axes that broadcasting added or stretched, back to ``shape``."""
    added = gradient.ndim - len(shape)
    gradient = gradient if gradient.shape == shape else widened(gradient)
    if added > 0:
        gradient = gradient.sum(axis=tuple(range(added)))
    stretched = tuple(i for i, n in enumerate(shape) if n == 1 and gradient.shape[i] != 1)
    return gradient.sum(axis=stretched, keepdims=True) if stretched else gradient


def backward(root: Vertex, gradient: Array, inputs: Sequence[Leaf] | None) -> None:
    """Add to each leaf's ``grad`` (only the inputs', where given) the gradient of root's value by that leaf."""
    nodes, wanted = _plan(root, inputs)
    gradients: dict[Vertex, Array] = {root: gradient}
    for node in nodes:
        dy = gradients.pop(node, None)
        if dy is None:  # no gradient flows to its value
            continue
        dy = array_module(dy).asarray(dy)  # NumPy's sums of everything are scalars, which share memory with nothing
        for source, dx in node.pull_back(dy, wanted):
            gradients[source] = add(gradients[source], dx) if source in gradients else dx  # a value used twice: both
    leaves = [(leaf, dx) for leaf, dx in gradients.items() if leaf in wanted and not isinstance(leaf, Node)]
    if any(_spent.get(id(leaf.grad)) is leaf.grad is not None for leaf, _ in leaves):
        warnings.warn(
            "backward: adds to gradients that an optimiser's step has already used: call optimizer.zero_grad() before "
            "backward(), or, for the gradient by images alone, as an attack wants it, backward(inputs=[x])",
            SpentGradientWarning,
            stacklevel=3,  # who calls Tensor.backward
        )
    taken = {_owner(leaf.data) for leaf, _ in leaves} | {_owner(gradient)}
    for leaf, dx in leaves:
        dx = widened(dx)
        if leaf.grad is not None:
            dx = leaf.grad + dx
        elif _owner(dx) in taken or 0 in dx.strides:  # what a leaf keeps changes with no other array, nor with itself
            dx = dx.copy()
        taken.add(_owner(dx))
        # NumPy's arithmetic turns arrays without axes into scalars, which are no arrays; and float64 met on the way
        # does not change the precision of a float32 leaf's gradient
        leaf.grad = array_module(dx).asarray(dx, dtype=leaf.dtype)


def mark_spent(gradient: Array) -> None:
    """An optimiser has used this gradient. Several backward passes for one step may add up; one after it may not."""
    _spent[id(gradient)] = gradient


def _owner(array: Array) -> int:
    """What tells arrays apart that share no memory: the array that others are views of."""
    while getattr(array, "base", None) is not None and hasattr(array.base, "dtype"):
        array = array.base
    return id(array)


def reachable_from(root: Vertex) -> set[Vertex]:
    """The root, and every node and leaf that it was computed from."""
    reachable: set[Vertex] = {root}
    stack: list[Vertex] = [root]
    while stack:
        vertex = stack.pop()
        new = {s for s in getattr(vertex, "sources", ()) if s is not None} - reachable
        reachable |= new
        stack.extend(new)
    return reachable


def _plan(root: Vertex, inputs: Sequence[Leaf] | None) -> tuple[list[Node], set[Vertex]]:
    """The nodes to visit, last computed first, and every node and leaf that shall receive a gradient."""
    reachable = reachable_from(root)
    nodes = sorted((v for v in reachable if isinstance(v, Node)), key=lambda node: node.order)
    if inputs is None:
        return nodes[::-1], reachable
    wanted = set(inputs)
    for i, leaf in enumerate(inputs):
        if leaf not in reachable:
            raise ValueError(f"backward: inputs[{i}] is no leaf with requires_grad=True that this result depends on")
    for node in nodes:  # in the order of computation: wanting spreads from the leaves towards the root
        if not wanted.isdisjoint(node.sources):
            wanted.add(node)
    return [node for node in reversed(nodes) if node in wanted], wanted
