"""Gradient descent, w <- w - eta dL/dw (report, section 2.1): with momentum, and scaled step by step."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np

from .. import kernels
from ..backend import Array, array_module
from ..backend.recording import fresh
from ..checks import number, numbers, vector
from ..graph import mark_spent
from ..tensor import Parameter


class Optimizer:
    """What SGD and Adam share: the parameters, their state, and which of them decay.

    A method of your own is a subclass with an ``_update``, which moves one parameter in place. Masked weights, and what
    is remembered of them, are put to zero after it.

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
    max_norm : float above 0, or None
        Gradients that are longer, all together and but for masked weights, are shortened to this Euclidean norm before
        each step.
    parameters : list of Parameter
    state : for each parameter, the list of arrays that the method remembers from step to step.
    memory : the names of these arrays.
    changing : the names of attributes that change from step to step, such as ``lr``: a step that a card recorded reads
        them anew each time, and is recorded anew when any other attribute changes.

    Raises
    ------
    TypeError
        When something else than a Parameter is among the parameters, or a setting is no number.
    ValueError
        When there are no parameters, or a setting is negative or not finite.

    Examples
    --------
    >>> import numpy as np, minidl as md
    >>> class SignDescent(md.optim.Optimizer):
    ...     def _update(self, parameter, state, weight_decay):
    ...         parameter.data -= self.lr * np.sign(parameter.grad)
    >>> w = md.Parameter(np.array([1.0, -2.0]))
    >>> optimizer = SignDescent([w], lr=0.25, weight_decay=0.0, decay_all=True)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w.data
    array([ 0.75, -1.75])
    """

    max_norm: float | None = None
    memory: ClassVar[tuple[str, ...]] = ()
    changing: ClassVar[tuple[str, ...]] = ("lr",)
    transient: ClassVar[tuple[str, ...]] = ("parameters", "state", "_lr", "_step")  # known by name, or of one step only

    def __init__(self, parameters: Iterable[Parameter], lr: float, weight_decay: float, decay_all: bool) -> None:
        name = type(self).__name__
        if not isinstance(parameters, Iterable):
            raise TypeError(f"{name}: wants model.parameters(), and got a {type(parameters).__name__}")
        self.parameters = list(parameters)
        if not self.parameters:
            raise ValueError(
                f"{name}: there are no parameters to optimise: if this was an iterator, it is used up; else the "
                "model's layers are not its attributes (but in a list, say: use nn.Sequential or nn.ModuleList)"
            )
        for i, parameter in enumerate(self.parameters):
            if not isinstance(parameter, Parameter):
                kind = type(parameter).__name__
                raise TypeError(f"{name}: parameter {i} is a {kind}, and must be a Parameter: use model.parameters()")
        if len(set(self.parameters)) < len(self.parameters):
            raise ValueError(f"{name}: a parameter is there twice, and would be moved twice a step")
        self.lr, self.weight_decay = numbers(name, "[0, inf)", lr=lr, weight_decay=weight_decay)
        self.decay_all = decay_all
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
        self._begin()
        if self.max_norm is not None:
            most = number(self.max_norm, "max_norm", "(0, inf)", type(self).__name__)
            _shorten([parameter for parameter in self.parameters if parameter.grad is not None], most)
        ours = self.is_minidls_own()
        with kernels.together(ours):
            for parameter, state in zip(self.parameters, self.state, strict=True):
                if parameter.grad is not None:
                    _check_shapes(parameter, type(self).__name__)
                    decays = self.decay_all or parameter.ndim > 1  # biases and BatchNorm's parameters have one axis
                    self._update(parameter, state, self.weight_decay if decays else 0.0)
                    if parameter.mask is not None and not ours:
                        _hold_masked(parameter.mask, [parameter.data, *state])
                    mark_spent(parameter.grad)

    def begin_anew(self) -> None:
        """Forget what is remembered of earlier gradients, and how many steps there were, as at the start."""
        for memory in self.state:
            for array in memory:
                array[...] = 0

    def is_minidls_own(self) -> bool:
        """Whether the step is one of minidl's: it keeps masked weights at zero, and does the same each time."""
        kind = type(self)
        return all(getattr(kind, name).__module__ == __name__ for name in ("step", "_begin", "_update", "zero_grad"))

    def _rate(self) -> float:
        return number(self.lr, "lr", "[0, inf)", type(self).__name__)  # it may have been set since

    def _begin(self) -> None:
        """What precedes the updates of a step: numbers that are the same for all parameters."""

    def _update(self, parameter: Parameter, state: list[Array], weight_decay: float) -> None:
        raise TypeError(f"{type(self).__name__} does not say how to update a parameter")


def _shorten(parameters: list[Parameter], max_norm: float) -> None:
    """Bring gradients, in place and all by one factor, to a norm of at most max_norm; masked weights have no part."""
    gradients = [p.grad if p.mask is None else p.grad * p.mask for p in parameters if p.grad is not None]
    xp = array_module(gradients[0])
    norm = sum(xp.square(gradient, dtype=np.float64).sum() for gradient in gradients) ** 0.5
    for parameter in parameters:
        parameter.grad *= max_norm / xp.maximum(norm, max_norm)


def _hold_masked(mask: Array, arrays: list[Array]) -> None:
    """Masked weights are zero, and so is what an optimiser remembers of them, whatever its update did."""
    for array in arrays:
        if getattr(array, "shape", None) == mask.shape:
            array[~mask] = 0


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

    memory = ("velocity",)

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
        self.momentum, self.nesterov = number(momentum, "momentum", "[0, 1)", "SGD"), nesterov
        if nesterov and self.momentum == 0:
            raise ValueError("SGD: nesterov=True needs a momentum above 0")

    def _begin(self) -> None:
        self._lr = fresh(self._rate, np.float64, self.parameters[0].data)

    def _update(self, parameter: Parameter, state: list[Array], weight_decay: float) -> None:
        w, g = parameter.data, parameter.grad
        if self.momentum and not state:
            state.append(array_module(w).zeros_like(w))
        velocity = state[0] if self.momentum else None
        kernels.of(w).sgd_step(w, g, velocity, parameter.mask, self._lr, self.momentum, weight_decay, self.nesterov)


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

    memory = ("mean", "square")
    changing = ("lr", "steps")

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
        name = type(self).__name__
        eps, betas = number(eps, "eps", "[0, inf)", name), tuple(vector(betas, "betas", "[0, 1)", name).tolist())
        if len(betas) != 2:
            raise ValueError(f"{name}: betas are {betas}, and must be two numbers in [0, 1)")
        self.betas, self.eps, self.steps = betas, eps, 0

    def _begin(self) -> None:
        like = self.parameters[0].data
        self._lr, self._step = fresh(self._rate, np.float64, like), fresh(self._count, np.float64, like)

    def begin_anew(self) -> None:
        """As of every optimiser; the means are again corrected for having begun at zero."""
        super().begin_anew()
        self.steps = 0

    def _count(self) -> int:
        self.steps += 1
        return self.steps

    def _update(self, parameter: Parameter, state: list[Array], weight_decay: float) -> None:
        w, g = parameter.data, parameter.grad
        if not state:
            state += [array_module(w).zeros_like(w), array_module(w).zeros_like(w)]
        kernels.of(w).adam_step(w, g, *state, parameter.mask, self._lr, *self.betas, self.eps, weight_decay, self._step)


class AdamW(Adam):
    """Adam with w <- (1 - lr weight_decay) w before each step (Loshchilov and Hutter 2017, arXiv:1711.05101).

    Parameters
    ----------
    parameters : iterable of Parameter
    lr, weight_decay : float, and the other settings of ``Adam``

    Examples
    --------
    >>> import numpy as np, minidl as md
    >>> w = md.Parameter(np.array([1.0]))
    >>> optimizer = md.optim.AdamW([w], lr=0.1, weight_decay=0.5)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w.data.round(6)
    array([0.85])
    """

    def __init__(
        self, parameters: Iterable[Parameter], lr: float = 1e-3, weight_decay: float = 0.01, **settings: Any
    ) -> None:
        super().__init__(parameters, lr, weight_decay=weight_decay, **settings)

    def _update(self, parameter: Parameter, state: list[Array], weight_decay: float) -> None:
        if weight_decay:
            parameter.data *= 1 - self._lr * weight_decay
        super()._update(parameter, state, 0.0)
