"""Gradient descent, w <- w - eta dL/dw (report, section 2.1), and how the learning rate eta changes with time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from numbers import Real

from . import kernels
from .backend import Array, array_module
from .functional.shape_errors import whole_number
from .graph import SpentGradientWarning as SpentGradientWarning  # its name for users
from .graph import mark_spent
from .tensor import Parameter

Schedule = Callable[[int], float]  # the learning rate at a step, counted from 0


class Optimizer:
    """What SGD and Adam share: the parameters, their state, and which of them decay.

    A method of your own is a subclass with an ``_update``, which moves one parameter in place, keeping its masked
    weights at zero.

    Parameters
    ----------
    parameters : iterable of Parameter
        ``model.parameters()``, or some of them.
    lr, weight_decay : float
    decay_all : bool
        False spares biases and BatchNorm's parameters: all that have one axis.

    Attributes
    ----------
    lr : float
        May be changed between steps, as a schedule does.
    parameters : list of Parameter
    state : for each parameter, the list of arrays that the method remembers from step to step.

    Raises
    ------
    TypeError
        When something else than a Parameter is among the parameters, or a setting is no number.
    ValueError
        When there are no parameters, or a setting is negative or not finite.
    """

    def __init__(self, parameters: Iterable[Parameter], lr: float, weight_decay: float, decay_all: bool) -> None:
        name = type(self).__name__
        if not isinstance(parameters, Iterable):
            raise TypeError(f"{name}: wants model.parameters(), and got a {type(parameters).__name__}")
        self.parameters = list(parameters)
        if not self.parameters:
            raise ValueError(
                f"{name}: there are no parameters to optimise: if this was an iterator, it is "
                "used up; else the model's layers are not its attributes (but in a list, say: use nn.Sequential)"
            )
        for i, parameter in enumerate(self.parameters):
            if not isinstance(parameter, Parameter):
                kind = type(parameter).__name__
                raise TypeError(f"{name}: parameter {i} is a {kind}, and must be a Parameter: use model.parameters()")
        _check_numbers(name, lr=lr, weight_decay=weight_decay)
        if len(set(self.parameters)) < len(self.parameters):
            raise ValueError(f"{type(self).__name__}: a parameter is there twice, and would be moved twice a step")
        self.lr, self.weight_decay, self.decay_all = lr, weight_decay, decay_all
        self.state: list[list[Array]] = [[] for _ in self.parameters]

    def zero_grad(self) -> None:
        """Forget all gradients: before each ``backward``, which adds to what is there."""
        for parameter in self.parameters:
            parameter.grad = None

    def step(self) -> None:
        """Move every parameter that has a gradient; masked weights stay exactly zero.

        A gradient that is added to one used here, because ``zero_grad`` was forgotten, gives a SpentGradientWarning.
        When no parameter has a gradient, this is a RuntimeError.
        """
        if all(parameter.grad is None for parameter in self.parameters):
            raise RuntimeError(
                f"{type(self).__name__}: no parameter has a gradient: call loss.backward() before step()"
            )
        for parameter, state in zip(self.parameters, self.state, strict=True):
            if parameter.grad is not None:
                _check_shapes(parameter, type(self).__name__)
                decays = self.decay_all or parameter.ndim > 1  # biases and BatchNorm's parameters have one axis
                self._update(parameter, state, self.weight_decay if decays else 0.0)
                mark_spent(parameter.grad)

    def _update(self, parameter: Parameter, state: list[Array], weight_decay: float) -> None:
        raise TypeError(f"{type(self).__name__} does not say how to update a parameter")


def _check_shapes(parameter: Parameter, name: str) -> None:
    shapes = [getattr(array, "shape", None) for array in (parameter.data, parameter.grad)]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"{name}: a parameter has shape {shapes[0]} and its gradient {shapes[1]}: its data was exchanged after "
            "backward(). Write into it, parameter.data[...] = values, or make a new model and optimiser"
        )


class SGD(Optimizer):
    """Gradient descent (report, section 2.1) with momentum, in PyTorch's form: v <- momentum v + g, w <- w - lr v.

    Parameters
    ----------
    parameters : iterable of Parameter
    lr : float
    momentum : float in [0, 1)
    weight_decay : float
        Adds weight_decay * w to the gradient.
    nesterov : bool
        w <- w - lr (g + momentum v) instead.
    decay_all : bool
        False spares biases and BatchNorm's parameters.

    Examples
    --------
    >>> import numpy as np, minidl as md
    >>> w = md.Parameter(np.array([1.0]))
    >>> optimizer = md.optim.SGD([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w.data
    array([0.8])
    """

    def __init__(
        self,
        parameters: Iterable[Parameter],
        lr: float,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        decay_all: bool = True,
    ) -> None:
        super().__init__(parameters, lr, weight_decay, decay_all)
        _check_numbers("SGD", momentum=momentum)
        if not momentum < 1:
            raise ValueError(f"SGD: momentum is {momentum}, and must be in [0, 1)")
        if nesterov and momentum == 0:
            raise ValueError("SGD: nesterov=True needs a momentum above 0")
        self.momentum, self.nesterov = momentum, nesterov

    def _update(self, parameter: Parameter, state: list[Array], weight_decay: float) -> None:
        w, g = parameter.data, parameter.grad
        if self.momentum and not state:
            state.append(array_module(w).zeros_like(w))
        velocity = state[0] if self.momentum else None
        kernels.of(w).sgd_step(w, g, velocity, parameter.mask, self.lr, self.momentum, weight_decay, self.nesterov)


class Adam(Optimizer):
    """Steps scaled by running means of the gradient and of its square (Kingma and Ba 2015).

    Parameters
    ----------
    parameters : iterable of Parameter
    lr : float
    betas : two floats in [0, 1)
        How slowly the two means move.
    eps : float
        Keeps the division away from zero.
    weight_decay : float
        Adds weight_decay * w to the gradient, as PyTorch's Adam does.
    decay_all : bool
        False spares biases and BatchNorm's parameters.

    Examples
    --------
    >>> import numpy as np, minidl as md
    >>> w = md.Parameter(np.array([1.0]))
    >>> optimizer = md.optim.Adam([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w.data.round(6)
    array([0.9])
    """

    def __init__(
        self,
        parameters: Iterable[Parameter],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        decay_all: bool = True,
    ) -> None:
        super().__init__(parameters, lr, weight_decay, decay_all)
        _check_numbers("Adam", eps=eps)
        try:
            first, second = betas
            ok = 0 <= first < 1 and 0 <= second < 1
        except (TypeError, ValueError):
            ok = False
        if not ok:
            raise ValueError(f"Adam: betas are {betas!r}, and must be two numbers in [0, 1)")
        self.betas, self.eps, self.steps = betas, eps, 0

    def step(self) -> None:
        self.steps += 1
        super().step()

    def _update(self, parameter: Parameter, state: list[Array], weight_decay: float) -> None:
        w, g = parameter.data, parameter.grad
        if not state:
            state += [array_module(w).zeros_like(w), array_module(w).zeros_like(w)]
        kernels.of(w).adam_step(w, g, *state, parameter.mask, self.lr, *self.betas, self.eps, weight_decay, self.steps)


def constant(lr: float, warmup: int = 0) -> Schedule:
    """The same learning rate at every step, after ``warmup`` steps of rising to it in a straight line."""
    _check_numbers("constant", lr=lr)
    return _warm(lambda step: lr, whole_number(warmup, "warmup", 0, "constant", "steps"))


def step_decay(lr: float, every: int, factor: float = 0.1, warmup: int = 0) -> Schedule:
    """lr times ``factor`` for each ``every`` steps gone by; the first ``warmup`` of them as in ``constant``.

    Examples
    --------
    >>> from minidl import optim
    >>> rate = optim.step_decay(1.0, every=10, factor=0.5)
    >>> rate(0), rate(10), rate(25)
    (1.0, 0.5, 0.25)
    """
    _check_numbers("step_decay", lr=lr, factor=factor)
    every = whole_number(every, "every", 1, "step_decay", "steps")
    return _warm(lambda step: lr * factor ** (step // every), whole_number(warmup, "warmup", 0, "step_decay", "steps"))


def cosine(lr: float, steps: int, final: float = 0.0, warmup: int = 0) -> Schedule:
    """From lr down to ``final`` along half a cosine that ends with the last of ``steps`` steps.

    The first ``warmup`` of them, fewer than all, rise to lr in a straight line.

    Examples
    --------
    >>> from minidl import optim
    >>> rate = optim.cosine(1.0, steps=11)
    >>> [round(rate(step), 3) for step in (0, 5, 10)]
    [1.0, 0.5, 0.0]
    """
    _check_numbers("cosine", lr=lr, final=final)
    steps, warmup = (
        whole_number(steps, "steps", 1, "cosine", "steps"),
        whole_number(warmup, "warmup", 0, "cosine", "steps"),
    )
    if warmup >= steps:
        raise ValueError(
            f"cosine: warmup is {warmup} of {steps} steps, and must be fewer: the rate would never come down"
        )
    return _warm(lambda step: _half_cosine(lr, final, (step - warmup) / max(1, steps - 1 - warmup)), warmup)


def one_cycle(lr: float, steps: int, pct_start: float = 0.25, start: float = 0.04, final: float = 4e-6) -> Schedule:
    """Up to lr and down again, each along half a cosine (Smith 2018).

    Parameters
    ----------
    lr : float
        The peak.
    steps : int
        Of the whole cycle.
    pct_start : float in [0, 1]
        The part of the steps that goes up, by PyTorch's name.
    start, final : float
        Where it starts and ends, as parts of lr (PyTorch's 1/25 and 1/25 of 1e-4).

    Examples
    --------
    >>> from minidl import optim
    >>> rate = optim.one_cycle(1.0, steps=100)
    >>> [round(rate(step), 3) for step in (0, 24, 99)]
    [0.04, 1.0, 0.0]
    """
    _check_numbers("one_cycle", lr=lr, pct_start=pct_start, start=start, final=final)
    steps = whole_number(steps, "steps", 1, "one_cycle", "steps")
    if pct_start > 1:
        raise ValueError(
            f"one_cycle: pct_start is {pct_start}, the part of the steps that go up, and must be in [0, 1]"
        )
    top = max(0.0, pct_start * steps - 1)  # the step at the peak, as PyTorch counts

    def rate(step: int) -> float:
        if step < top:
            return _half_cosine(start * lr, lr, step / top)
        return _half_cosine(lr, final * lr, (step - top) / max(1, steps - 1 - top))

    return rate


def _half_cosine(first: float, last: float, progress: float) -> float:
    progress = min(max(progress, 0.0), 1.0)
    return last + (first - last) * (1 + math.cos(math.pi * progress)) / 2


def _warm(schedule: Schedule, warmup: int) -> Schedule:
    """Multiply the first ``warmup`` steps by 1/n, 2/n, ... n/n."""
    return lambda step: schedule(step) * min(1.0, (step + 1) / warmup if warmup else 1.0)


def _check_numbers(where: str, **settings: float) -> None:
    """Each setting must be a finite number of at least 0."""
    for name, value in settings.items():
        if not isinstance(value, Real):
            raise TypeError(f"{where}: {name} is {value!r}, and must be a number")
        if not 0 <= value < math.inf:  # also true of NaN
            raise ValueError(f"{where}: {name} is {value}, and must be finite and not negative")
