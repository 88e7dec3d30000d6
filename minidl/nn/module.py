"""What layers and models have in common: finding their parameters, moving, saving, switching between two modes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

import numpy as np

from ..backend import Array, check_device, to_device, to_numpy
from ..tensor import Parameter, Tensor


class Module:
    """A function with parameters. A subclass makes its parts in ``__init__`` and writes ``forward``.

    Every attribute that is a Parameter or a Module belongs to the model, in the order of assignment; ``vars(self)``
    is the only register.

    A layer may also say what it is, each by a method beside its ``forward``: ``formula(x, ...)``, the text of what it
    does to these arguments; ``multiply_adds(x, y)``, its products for an input and its output; ``lipschitz(x)``, the
    most that it stretches a difference of inputs of x's shape, in the Euclidean norm, or None where that is unknown.
    ``summary``, ``compress.cost`` and ``robustness.lipschitz_bound`` ask these, and nothing else.

    ``robustness.linear_bounds`` asks one of two more: ``spread(radius)`` of a layer A x + b, which is ``|A|`` radius;
    or ``lines(low, high)`` of a layer that never falls, two lines that enclose it there (``minidl.lines``).

    Attributes
    ----------
    training : bool
        Dropout and batch normalisation behave differently in training: see ``train`` and ``eval``.
    buffers : names of array attributes that are not trained but belong to the saved state (running statistics).
    optional_buffers : those of them that a file may lack.
    exchange_axes : for a parameter's name, the order of its axes in PyTorch's layout, where that differs from ours.

    Examples
    --------
    >>> import minidl as md
    >>> class Twice(md.nn.Module):
    ...     def __init__(self):
    ...         self.layer = md.nn.Linear(3, 3)
    ...     def forward(self, x):
    ...         return self.layer(self.layer(x))
    >>> [name for name, _ in Twice().named_parameters()]
    ['layer.weight', 'layer.bias']
    """

    training = True
    buffers: ClassVar[tuple[str, ...]] = ()
    optional_buffers: ClassVar[tuple[str, ...]] = ()
    exchange_axes: ClassVar[dict[str, tuple[int, ...]]] = {}

    def forward(self, *args: Any) -> Any:
        raise TypeError(f"{type(self).__name__} has no forward(): a Module must say what it computes")

    def __call__(self, *args: Any, **settings: Any) -> Any:
        return self.forward(*args, **settings)

    def says(self, name: str) -> Callable[..., Any] | None:
        """A method that says what this layer is, such as "lipschitz"; None where there is none of its ``forward``.

        What a class says holds for the forward that it stands beside: a subclass that computes something else, or an
        object with a forward of its own, has to say anew what that is.
        """
        for owner in (self, *type(self).__mro__):
            if name in vars(owner):
                return getattr(self, name)
            if "forward" in vars(owner):
                return None
        return None

    def __setattr__(self, name: str, value: Any) -> None:
        """Refuse what would silently not be trained: an array in a parameter's place, layers in a list, lost names."""
        kind = f"{type(self).__name__}: {name} is"
        if isinstance(value, Module | Parameter) and (hasattr(Module, name) or "." in name):
            raise ValueError(
                f"{type(self).__name__}: a layer or parameter cannot be called {name!r}: "
                + ("a dot divides names" if "." in name else "every Module has this name already; give it another")
            )
        if isinstance(vars(self).get(name), Parameter) and not isinstance(value, Tensor | None):
            raise TypeError(
                f"{kind} a Parameter, and cannot become a {type(value).__name__}: write into it, {name}.data[...] = "
                "values, or put another Parameter there"
            )
        parts = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
        if any(isinstance(part, Module | Parameter) for part in parts):
            raise TypeError(
                f"{kind} a {type(value).__name__} with layers or parameters, which would not be found there, nor "
                "trained: use nn.Sequential or nn.ModuleList, or an attribute for each"
            )
        super().__setattr__(name, value)

    def __repr__(self) -> str:
        """The settings, the shapes of the parameters, and the modules within on lines of their own."""
        settings, lines = [], []
        for name, value in vars(self).items():
            if isinstance(value, Parameter):
                settings.append(f"{name}: {value.shape}")
            elif isinstance(value, Module):
                lines.append(f"  ({name}): {value!r}".replace("\n", "\n  "))
            elif isinstance(value, int | float | str | tuple) and name != "training":
                settings.append(f"{name}={value!r}")
            elif isinstance(value, np.ndarray) and value.size <= 4 and name not in self.buffers:
                settings.append(f"{name}={value.tolist()}")
        first = f"{type(self).__name__}({', '.join(settings)}"
        return "\n".join([first, *lines, ")"]) if lines else f"{first})"

    def children(self) -> Iterator[Module]:
        """The modules directly within this one; one that has two names comes once."""
        return iter(dict.fromkeys(value for value in vars(self).values() if isinstance(value, Module)))

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """(dotted name, module) of this module, whose name is "", and of all within, in order of assignment."""
        yield prefix, self
        for name, value in vars(self).items():
            if isinstance(value, Module):
                yield from value.named_modules(f"{prefix}.{name}" if prefix else name)

    def modules(self) -> Iterator[Module]:
        """This module and all within."""
        return (module for _, module in self.named_modules())

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """(dotted name, parameter) of all parameters, in order of assignment; one that has two names comes once."""
        seen = set()
        for prefix, module in self.named_modules():
            for name, value in vars(module).items():
                if isinstance(value, Parameter) and value not in seen:
                    seen.add(value)
                    yield f"{prefix}.{name}" if prefix else name, value

    def parameters(self) -> Iterator[Parameter]:
        """All parameters; one that has two names comes once."""
        return (parameter for _, parameter in self.named_parameters())

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters, as an optimiser's ``zero_grad`` does for its own."""
        for parameter in self.parameters():
            parameter.grad = None

    def train(self, mode: bool = True) -> Module:
        """Switch to training mode: dropout drops, batch normalisation uses the batch's own statistics."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Module:
        """Switch to evaluation mode: the model is a fixed function of its input."""
        return self.train(False)

    def to(self, device: str) -> Module:
        """Move all parameters, masks and buffers to "cpu" or "gpu"; returns the model itself."""
        check_device(device)
        for module in self.modules():
            for name, value in vars(module).items():
                if isinstance(value, Parameter):
                    value.data, value.grad = to_device(value.data, device), None
                    value._mask = None if value._mask is None else to_device(value._mask, device)
                elif name in module.buffers:
                    setattr(module, name, to_device(value, device))
        return self

    def astype(self, dtype: Any) -> Module:
        """Turn all parameters and running statistics to float32 or, for checks, float64; returns the model itself."""
        for module in self.modules():
            for name, value in vars(module).items():
                if isinstance(value, Parameter):
                    value.data, value.grad = value.data.astype(dtype), None
                elif name in module.buffers and value.dtype.kind == "f":
                    setattr(module, name, value.astype(dtype))
        return self

    def replace_modules(self, change: Callable[[str, Module], Module]) -> None:
        """Put change(name, module) in the place of every module within this one: one walk does all layer surgery."""
        self._replace(change, "")

    def _replace(self, change: Callable[[str, Module], Module], prefix: str) -> None:
        for name, value in list(vars(self).items()):
            if isinstance(value, Module):
                dotted = f"{prefix}.{name}" if prefix else name
                new = change(dotted, value)
                setattr(self, name, new)
                if new is value:  # what was put in as a replacement is left as it is
                    new._replace(change, dotted)

    def _state(self) -> Iterator[tuple[str, Module, str, Array]]:
        """(dotted name, owner, attribute, array) of everything that is saved."""
        for prefix, module in self.named_modules():
            for name, value in vars(module).items():
                if isinstance(value, Parameter) or name in module.buffers:
                    array = value.data if isinstance(value, Parameter) else value
                    yield (f"{prefix}.{name}" if prefix else name), module, name, array

    def state_dict(self) -> dict[str, np.ndarray]:
        """Copies of all parameters and buffers, as NumPy arrays with PyTorch's names and shapes.

        Convolution weights are (N, C, KH, KW) there and linear weights (out, in).
        """
        state = {}
        for name, owner, attribute, array in self._state():
            axes = owner.exchange_axes.get(attribute)
            array = to_numpy(array)
            state[name] = np.array(array if axes is None else array.transpose(axes), order="C")
        return state

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> None:
        """Set parameters and buffers from a mapping as ``state_dict`` returns it; all of them, or nothing.

        Values take the model's precision and device. A pruned model keeps its masks: weights that they hide become
        zero, whatever the state has for them. A state from before PyTorch 0.4.1 lacks ``num_batches_tracked``, which
        then stays as it is.

        Parameters
        ----------
        state : mapping from names to arrays of PyTorch's shapes
        strict : bool
            Whether entries that are missing, or that the model does not have, are an error. Entries that are no
            numbers, whole ones for real weights, or of a wrong shape, always are.

        Raises
        ------
        ValueError
            Lists every missing, unknown, misshapen and unreadable entry; the model is left as it was.
        """
        new, problems = self._fitting(state, strict)
        if problems:
            raise ValueError(
                f"{type(self).__name__}: the state does not fit, and nothing was loaded:\n  " + "\n  ".join(problems)
            )
        for owner, attribute, value in new:
            self._set_state(owner, attribute, value)

    def state_problems(self, state: Mapping[str, Any]) -> list[str]:
        """Why ``load_state_dict`` would refuse a state, an entry a line; empty where it would not."""
        return self._fitting(state, True)[1]

    def _fitting(
        self, state: Mapping[str, Any], strict: bool
    ) -> tuple[list[tuple[Module, str, np.ndarray]], list[str]]:
        """What is to be set where, and what is wrong with a state."""
        new: list[tuple[Module, str, np.ndarray]] = []
        missing, problems = [], []
        unknown = dict.fromkeys(state)
        for name, owner, attribute, array in self._state():
            unknown.pop(name, None)
            axes = owner.exchange_axes.get(attribute)
            there = array.shape if axes is None else tuple(array.shape[i] for i in axes)
            if name not in state:
                if attribute not in owner.optional_buffers:
                    missing.append(f"missing: {name} {there}")
                continue
            try:
                value = to_numpy(state[name])
            except (TypeError, ValueError, RuntimeError) as error:
                problems.append(f"no array: {name} ({error})")
                continue
            if value.shape != there:
                problems.append(f"wrong shape: {name} is {value.shape}, and the model needs {there}")
            elif value.dtype.kind not in ("f" if array.dtype.kind == "f" else "biuf"):
                problems.append(f"wrong type: {name} is {value.dtype}, and the model needs {array.dtype}")
            else:
                value = value if axes is None else value.transpose(np.argsort(axes))
                new.append((owner, attribute, np.array(value, dtype=array.dtype, order="C")))
        if strict:
            problems = missing + [f"unknown: {name} {np.shape(state[name])}" for name in unknown] + problems
        return new, problems

    @staticmethod
    def _set_state(owner: Module, attribute: str, value: np.ndarray) -> None:
        """Copy a value of the right shape and type into a parameter or buffer, on its own device."""
        current = getattr(owner, attribute)
        array = current.data if isinstance(current, Parameter) else current
        array[...] = to_device(value, "gpu") if not isinstance(array, np.ndarray) else value
        if isinstance(current, Parameter):
            current.mask = current.mask  # pruned weights stay pruned
