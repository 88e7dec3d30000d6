"""What a model does to an image, found by watching it do so once: a list of steps, or an error that names a layer."""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from ...backend import Array, to_numpy
from ...graph import Node
from ...nn import BatchNorm2d, Module, ReLU, Sigmoid, Tanh
from ...tensor import Tensor, no_grad
from ...trace import watching
from .steps import Affine, Curved, Moved, Rules, Start, Step, Sum, rules_of

_CURVES = {"relu": ReLU, "sigmoid": Sigmoid, "tanh": Tanh}  # what a model may do between its layers
_MOVES = ("flatten", "reshape", "transpose")
ALONE = 3  # images drawn at random, and of the given ones, that are tried one by one
AGREES = 1e-9  # of the largest logit: how close the steps come to the model, both in float64


class Program:
    """A model in float64, on the CPU, as steps; the last one's value is the logits.

    Parameters
    ----------
    model : Module, in evaluation mode
    images : array (B, H, W, C), to watch the first, and to see with all that the steps are what the model does
    arithmetic : "exact" or "float32", for whose rounding boxes then allow
    name : who asks, for errors

    Attributes
    ----------
    steps : list of Step
    first : the value, by its place, up to which each number depends on one pixel only: there a region is still a box
    widest : how many numbers the largest value has, of those from ``first`` on
    charged : the values whose losses by rounding no later step carries
    narrow : activations between fully-connected layers alone; ``narrow_from`` has them by the layer before
    bent : the values that an activation or a pooling is given, each with the steps that do so
    """

    def __init__(self, model: Module, images: Array, arithmetic: str, name: str) -> None:
        self.name = name
        check_model(model, name)
        self.model = copy.deepcopy(model).to("cpu").astype(np.float64)
        x = to_numpy(images).astype(np.float64)
        self.steps = _Trace(self.model, x[:1], arithmetic == "exact", name).steps
        self._check(x)
        self.first = 0
        while self._only_use(self.first) and type(self.steps[self.first + 1]) in (Affine, Moved):
            if not self.steps[self.first + 1].thin:
                break
            self.first += 1
        self.widest = max(x[0].size for x in self.values(x[:1])[self.first :])
        self.charged = {s for step in self.steps if not step.thin for s in step.sources}
        self.narrow_from = dict(self._between_matrices())
        self.narrow = set(self.narrow_from.values())
        self.bent: dict[int, list[int]] = {}
        for k, step in enumerate(self.steps):
            if isinstance(step, Curved):
                self.bent.setdefault(step.sources[0], []).append(k)

    def _only_use(self, k: int) -> bool:
        """Whether the step after value k is the only one that it is given to."""
        return [j for j, step in enumerate(self.steps) if k in step.sources] == [k + 1]

    def _between_matrices(self) -> Iterator[tuple[int, int]]:
        for k, step in enumerate(self.steps):
            users = [user for user in self.steps if k in user.sources]
            if isinstance(step, Curved) and step.thin and users and self._only_use(k - 1) and step.sources == (k - 1,):
                around = [self.steps[k - 1], *users]
                if all(isinstance(other, Affine) and other.matrix is not None for other in around):
                    yield k - 1, k

    def values(self, x: np.ndarray) -> list[np.ndarray]:
        """Every step's value for images (B, H, W, C)."""
        values = [x]
        for step in self.steps[1:]:
            values.append(step.value(*(values[s] for s in step.sources)))
        return values

    def _check(self, x: np.ndarray) -> None:
        """A forward that looks at its numbers may do to others what it did not do to the first image."""
        tries = np.concatenate([np.random.default_rng(0).random((ALONE, *x.shape[1:])), x])
        with no_grad():
            logits = self.model(Tensor(tries)).data
            logits[: 2 * ALONE] = np.concatenate([self.model(Tensor(image[None])).data for image in tries[: 2 * ALONE]])
        if not np.isfinite(logits).all():
            raise ValueError(f"{self.name}: the model's logits are NaN or infinite: look at its weights and statistics")
        if abs(self.values(tries)[-1] - logits).max() > AGREES * max(1.0, abs(logits).max()):
            raise NotImplementedError(
                f"{self.name}: {type(self.model).__name__} does to other images what its layers and operations did "
                "not do to the first: its forward looks at numbers (x.data), where nobody can follow"
            )


def check_model(model: Any, name: str) -> None:
    """A proof is of one function: of a module in evaluation mode whose numbers are finite."""
    if not isinstance(model, Module):
        raise TypeError(f"{name}: the model must be a minidl.nn.Module, and is a {type(model).__name__}")
    for where, module in model.named_modules():
        kind = f"layer {where!r} ({type(module).__name__})" if where else f"the model ({type(module).__name__})"
        if module.training:
            raise ValueError(f"{name}: {kind} is in training mode, in which it is no fixed function: call model.eval()")
        for key, value in vars(module).items():
            array = getattr(value, "data", value) if key not in module.buffers else value
            if hasattr(array, "dtype") and array.dtype.kind == "f" and not np.isfinite(to_numpy(array)).all():
                raise ValueError(f"{name}: {kind} is NaN or infinite in its {key}: training may have lost it")


class _Trace:
    """The steps of one forward pass: layers by what they say of themselves, and the operations between them."""

    def __init__(self, model: Module, image: np.ndarray, exact: bool, name: str) -> None:
        self.steps: list[Step] = [Start("the images", ())]
        self.exact, self.name, self.inside = exact, name, False
        self.makers: dict[Any, str] = {}  # the layer whose result a node is, the innermost, for messages
        start = Tensor(image, requires_grad=True)
        self.places: dict[Any, int] = {start: 0}  # by graph node, or by tensor for the image itself
        with watching(model, self.watch):
            logits = model(start)
        if getattr(logits, "ndim", 0) != 2:
            raise ValueError(f"{name}: the model gives {getattr(logits, 'shape', logits)}, and must give (B, classes)")
        place = self.place(logits, "the model")
        self.steps = self.steps[: place + 1]  # what the logits do not need, no one needs

    def watch(self, where: str, layer: Module) -> Any:
        """The layer's forward, which leaves its steps here."""
        rules, title, forward = rules_of(layer), f"layer {where!r} ({type(layer).__name__})", layer.forward
        if rules.spread is None and rules.lines is None:  # its own layers and operations say it

            @functools.wraps(forward)
            def noted(*given: Any, **settings: Any) -> Any:
                y = forward(*given, **settings)
                self.makers.setdefault(getattr(y, "_node", None), title)
                return y

            return noted

        @functools.wraps(forward)
        def watched(x: Tensor, *others: Any, **settings: Any) -> Any:
            y = forward(x, *others, **settings)
            if not self.inside:  # else a step asks its layer
                if (others or settings) and rules.kind is not BatchNorm2d:
                    raise NotImplementedError(
                        f"{self.name}: {title} is given more than a value, and its rule is for one"
                    )
                self.inside = True
                self._add(layer, rules, title, x, *others, **settings)
                self.inside = False
                self.places[y._node or y] = len(self.steps) - 1
            return y

        return watched

    def _add(
        self, layer: Module, rules: Rules, title: str, x: Tensor, residual: Tensor | None = None, relu: bool = False
    ) -> None:
        """Steps of a layer; a batch normalisation may have a sum and a ReLU in the same pass."""
        source, count = self.place(x, title), math.prod(x.shape[1:])
        shortcut = None if residual is None else self.place(residual, title)
        if rules.spread is not None:
            self.steps.append(Affine(title, (source,), layer, rules, x, self.exact))
        else:
            self.steps.append(Curved(title, (source,), layer, rules, count, self.exact))
        if shortcut is not None:
            self.steps.append(Sum(title, (len(self.steps) - 1, shortcut)))
        if relu:
            self.steps.append(self._curve("relu", title, len(self.steps) - 1, count))

    def _curve(self, name: str, title: str, source: int, count: int) -> Curved:
        layer = _CURVES[name]()
        return Curved(title, (source,), layer, rules_of(layer), count, self.exact)

    def place(self, value: Any, where: str) -> int:
        """Which step a value is of; those of the operations between it and the layers before are added."""
        if not isinstance(value, Tensor) or not value.requires_grad:
            raise NotImplementedError(
                f"{self.name}: {where} is given, or gives, a value that no operation made of the image: constant, or "
                "computed with arrays (x.data), where nobody can follow. Use operations on tensors"
            )
        return self._place(value._node or value, value.shape, where)

    def _place(self, vertex: Any, shape: tuple[int, ...], where: str) -> int:
        if vertex not in self.places:
            if not isinstance(vertex, Node):
                raise NotImplementedError(f"{self.name}: {where} makes a new tensor, which nobody can follow")
            self.steps.append(self._step_of(vertex, shape, where))
            self.places[vertex] = len(self.steps) - 1
        return self.places[vertex]

    def _step_of(self, node: Node, shape: tuple[int, ...], where: str) -> Step:
        sources = [(source, size) for source, size in zip(node.sources, node.shapes, strict=True) if source is not None]
        alike = len({size for _, size in sources}) == 1
        if (node.name == "add" and len(sources) == len(node.sources) == 2 and alike) or (
            len(sources) == 1 and (node.name in _CURVES or node.name in _MOVES)
        ):
            places = tuple(self._place(source, size, where) for source, size in sources)
            title = f"the operation {node.name!r} in {where}"
            if node.name == "add":
                return Sum(title, places)
            if node.name in _MOVES:
                return Moved(title, places, node, shape[1:])
            return self._curve(node.name, title, places[0], math.prod(shape[1:]))
        raise NotImplementedError(
            f"{self.name}: {self.makers.get(node, where)} uses the operation {node.name!r}, for which no bounds are "
            "known. A layer of your own says them in a method beside its forward: spread(radius), or lines(low, high)"
        )
