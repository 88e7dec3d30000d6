"""Magnitude pruning: the smallest weights become zero, step by step, while training goes on (report, section 4.1)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from ..backend import Array, default_rng, to_device
from ..checks import number, whole_number, whole_numbers
from ..nn import Module
from ..nn.noisy import Noisy
from ..tensor import Parameter
from .scopes import Pruner, check_scope, prune


def cubic_sparsity(step: int, final: float, start: int, every: int, count: int) -> float:
    """The sparsity after training iteration ``step``: quickly up at first, while there are many weights to spare.

    s_t = s_f - s_f (1 - (t - t_start) / (n f))^3 at t in {t_start, t_start + f, ..., t_start + n f} (report, section
    4.1), 0 before, the final sparsity after, and unchanged between two of these pruning steps.

    Parameters
    ----------
    step : int
        t, in training iterations counted from 0.
    final : float in [0, 1)
        s_f, the part of the weights that end up zero.
    start : int
        t_start, the first pruning step; its sparsity is still 0.
    every : int
        f, the iterations from one pruning step to the next.
    count : int
        n: the final sparsity is reached at iteration start + count * every.

    Raises
    ------
    TypeError, ValueError
        When final is outside [0, 1), start or step negative, every or count below 1.

    References
    ----------
    Zhu and Gupta, "To prune, or not to prune", 2017, arXiv:1710.01878.

    Examples
    --------
    >>> from minidl.compress import cubic_sparsity
    >>> [cubic_sparsity(t, final=0.8, start=100, every=50, count=2) for t in (0, 100, 149, 150, 200, 1000)]
    [0.0, 0.0, 0.0, 0.7000000000000001, 0.8, 0.8]
    """
    final, start, every, count = _checked_schedule("cubic_sparsity", "final", final, start, every, count)
    step = whole_number(step, "step", 0, "cubic_sparsity", "training iterations")
    done = min((step - start) // every, count)  # intervals that have passed; negative before the first
    return final - final * (1 - done / count) ** 3 if done > 0 else 0.0


def check_settled(model: Module, weights: Mapping[str, Parameter], who: str) -> None:
    """A mask ends what noisy layers do beside their weights: a ValueError where that is to multiply them by gates."""
    chosen = {*weights.values()}
    for name, layer in model.named_modules():
        if not isinstance(layer, Noisy) or layer.weight not in chosen or not layer.is_random():
            continue
        if layer.expected() is not layer.weight:
            raise ValueError(
                f"{who}: layer {name!r} ({type(layer).__name__}) has gates that a mask would open: prune it with "
                "compress.NoisePruner, or make it plain first: compress.plain(model)"
            )


class MagnitudePruner(Pruner):
    """Sets the weights of least magnitude to zero, along ``cubic_sparsity``, in training (report, section 4.1).

    Weights are kernels: the parameters of two axes or more, of convolutions and fully-connected layers; biases and
    BatchNorm's parameters are never pruned. A pruned weight is False in its ``Parameter.mask``, through which the
    optimisers keep it at exactly zero. Once pruned it stays so: it ranks before all others at the next pruning step.

    Parameters
    ----------
    model : Module
    final_sparsity : float in [0, 1)
        Reached at iteration start + count * every, to within one weight in each layer (or in all, of global scope).
        A layer always keeps one weight under "layer".
    start, every, count : int
        As for ``cubic_sparsity``.
    scope : {"layer", "global", "erk"}
        Every layer to the same sparsity; or one ranking of all layers' weights together, in which layers of small
        weights lose more of them; or each layer to a sparsity of its own, the higher the larger it is
        (Erdos-Renyi-Kernel, Evci et al. 2020: densities go as (N + KH + KW + C) / (N KH KW C)).
    exclude : names of modules
        Which layers, or modules with everything within, to leave dense: ("conv1", "fc"). All are pruned by default,
        the first and the last included.

    Attributes
    ----------
    sparsity : float
        The part of the prunable weights that are pruned now.

    Raises
    ------
    TypeError, ValueError
        When a number of the schedule is out of its range, the scope unknown, a name in ``exclude`` unknown (the
        choices are listed), or when nothing is left to prune.

    References
    ----------
    Zhu and Gupta, "To prune, or not to prune", 2017, arXiv:1710.01878. Evci, Gale, Menick, Castro and Elsen, "Rigging
    the lottery: making all tickets winners", 2020, arXiv:1911.11134.

    Examples
    --------
    >>> import minidl as md
    >>> from minidl.compress import MagnitudePruner
    >>> model = md.models.fc5(image_size=8, channels=1)
    >>> pruner = MagnitudePruner(model, final_sparsity=0.9, start=10, every=10, count=4)
    >>> for t in range(60):  # in a training loop, beside optimizer.step()
    ...     pruner.step(t)
    >>> round(pruner.sparsity, 4)
    0.9
    """

    def __init__(
        self,
        model: Module,
        final_sparsity: float,
        start: int,
        every: int,
        count: int,
        scope: str = "layer",
        exclude: str | Iterable[str] = (),
    ) -> None:
        name = type(self).__name__
        self.final_sparsity, self.start, self.every, self.count = _checked_schedule(
            name, "final_sparsity", final_sparsity, start, every, count
        )
        self.scope = check_scope(scope, name)
        self.weights = chosen_weights(model, exclude, name)
        check_settled(model, self.weights, name)

    @property
    def last_step(self) -> int:
        """The training iteration at which the final sparsity is reached."""
        return self.start + self.count * self.every

    def check(self, total_steps: int) -> None:
        """Raise a ValueError unless the schedule ends within iterations 0 to total_steps - 1."""
        if self.last_step > total_steps - 1:
            raise ValueError(
                f"{type(self).__name__}: the schedule cannot reach its final sparsity of {self.final_sparsity:g}: "
                f"its last pruning step is at iteration start + count * every = {self.start} + {self.count} * "
                f"{self.every} = {self.last_step}, and training has iterations 0 to {total_steps - 1} only. Train for "
                f"{self.last_step + 1} iterations or more, or prune earlier"
            )

    def step(self, t: int) -> None:
        """Prune where fewer weights are pruned than the schedule has it; to be called in each training iteration.

        How many are pruned is read off the masks, and nowhere else: a pruning step that was jumped over, the last one
        too, is made up for, and so is one that was undone, as by a checkpoint that was loaded.

        Parameters
        ----------
        t : int
            The training iteration, counted from 0.

        Raises
        ------
        ValueError
            When weights that have to be ordered by size are NaN: their layers are named, and nothing is pruned.
        """
        t = whole_number(t, "t", 0, f"{type(self).__name__}.step", "training iterations")
        sparsity = cubic_sparsity(t, self.final_sparsity, self.start, self.every, self.count)
        prune(self.weights, sparsity, self.scope, self._score, type(self).__name__)

    def _score(self, weight: Parameter) -> Array:
        """By which weights are ranked."""
        return abs(weight.data)


class RandomPruner(MagnitudePruner):
    """Prunes weights at random, along the same schedule: what any other choice of weights has to be better than.

    Parameters
    ----------
    model : Module
    final_sparsity : float in [0, 1)
    start, every, count : int
    scope : {"layer", "global", "erk"}
    exclude : names of modules
        All as for ``MagnitudePruner``.
    rng : numpy.random.Generator
        By default the "init" stream that ``md.manual_seed`` resets.

    Examples
    --------
    >>> import minidl as md
    >>> model = md.models.fc5(image_size=8, channels=1)
    >>> pruner = md.compress.RandomPruner(model, 0.9, start=0, every=1, count=1, scope="erk")
    >>> pruner.step(1)
    >>> round(pruner.sparsity, 4)
    0.9
    """

    def __init__(
        self,
        model: Module,
        final_sparsity: float,
        start: int,
        every: int,
        count: int,
        scope: str = "layer",
        exclude: str | Iterable[str] = (),
        rng: np.random.Generator | None = None,
    ) -> None:
        super().__init__(model, final_sparsity, start, every, count, scope, exclude)
        self.rng = rng or np.random.default_rng(default_rng("init").integers(2**63))

    def _score(self, weight: Parameter) -> Array:
        return to_device(self.rng.random(weight.shape), weight.device)


def sparsity(model: Module) -> float:
    """The part of a model's kernels (parameters of two axes or more) that are exactly zero, masked or not.

    Parameters
    ----------
    model : Module

    Examples
    --------
    >>> import minidl as md
    >>> from minidl.compress import sparsity
    >>> sparsity(md.models.fc5(image_size=8, channels=1))
    0.0
    """
    weights = [weight.data for _, weight in prunable_weights(model)]
    return sum(int((w == 0).sum()) for w in weights) / max(1, sum(w.size for w in weights))


def prunable_weights(model: Module) -> Iterator[tuple[str, Parameter]]:
    """(layer's dotted name, kernel) of every convolution and fully-connected layer."""
    for name, parameter in model.named_parameters():
        if parameter.ndim >= 2:
            yield name.removesuffix(".weight"), parameter


def chosen_weights(model: Module, exclude: str | Iterable[str], who: str) -> dict[str, Parameter]:
    """{layer's name: kernel} of those that are not in, or within, one of the excluded modules."""
    weights, exclude = dict(prunable_weights(model)), [exclude] if isinstance(exclude, str) else list(exclude)

    def within(name: str, module: str) -> bool:
        return f"{name}.".startswith(f"{module}.")

    unknown = [module for module in exclude if not any(within(name, module) for name in weights)]
    if unknown:
        raise ValueError(
            f"{who}: exclude names {', '.join(map(repr, unknown))}, where there is no kernel: choose "
            f"from {', '.join(weights)}, or modules that hold these"
        )
    kept = {name: w for name, w in weights.items() if not any(within(name, module) for module in exclude)}
    if not kept:
        raise ValueError(
            f"{who}: there is nothing to do: the model has no kernels (parameters of two axes or more)"
            + (" outside of exclude" if exclude else "")
        )
    return kept


def _checked_schedule(
    name: str, called: str, final: Any, start: Any, every: Any, count: Any
) -> tuple[float, int, int, int]:
    """The numbers of a schedule, whose final sparsity the user knows as ``called``."""
    final = number(final, called, "[0, 1)", name, ": 0.9 is 90 %")
    every, count = whole_numbers(name, 1, "training iterations", every=every, count=count)
    return final, whole_number(start, "start", 0, name, "training iterations"), every, count
