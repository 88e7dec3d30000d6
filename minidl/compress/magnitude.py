"""Magnitude pruning: the smallest weights become zero, step by step, while training goes on (report, section 4.1)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ..backend import array_module
from ..checks import number, whole_number, whole_numbers
from ..nn import Module
from ..tensor import Parameter

SCOPES = ("layer", "global")


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
    final, start, every, count = _checked_schedule("cubic_sparsity", start, every, count, final=final)
    step = whole_number(step, "step", 0, "cubic_sparsity", "training iterations")
    done = _pruning_steps(step, start, every, count)
    return final - final * (1 - done / count) ** 3 if done > 0 else 0.0


class MagnitudePruner:
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
    scope : {"layer", "global"}
        Every layer to the same sparsity, or one ranking of all layers' weights together, in which layers of small
        weights lose more of them.
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
    Zhu and Gupta, "To prune, or not to prune", 2017, arXiv:1710.01878.

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
        name = "MagnitudePruner"
        self.final_sparsity, self.start, self.every, self.count = _checked_schedule(
            name, start, every, count, final_sparsity=final_sparsity
        )
        if scope not in SCOPES:
            raise ValueError(f"{name}: unknown scope {scope!r}: choose from {', '.join(map(repr, SCOPES))}")
        self.scope = scope
        self.weights = chosen_weights(model, exclude, name)

    @property
    def last_step(self) -> int:
        """The training iteration at which the final sparsity is reached."""
        return self.start + self.count * self.every

    @property
    def sparsity(self) -> float:
        """The part of the prunable weights that are pruned now."""
        return sum(weight.pruned for weight in self.weights.values()) / sum(w.size for w in self.weights.values())

    def layer_sparsity(self) -> dict[str, float]:
        """The pruned part of each layer, by the layer's name."""
        return {name: weight.pruned / weight.size for name, weight in self.weights.items()}

    def figures(self) -> dict[str, str]:
        """What ``fit`` shows beside the bar."""
        return {"sparsity": f"{self.sparsity:.1%}"}

    def check(self, total_steps: int) -> None:
        """Raise a ValueError unless the schedule ends within iterations 0 to total_steps - 1."""
        if self.last_step > total_steps - 1:
            raise ValueError(
                f"MagnitudePruner: the schedule cannot reach its final sparsity of {self.final_sparsity:g}: its last "
                f"pruning step is at iteration start + count * every = {self.start} + {self.count} * {self.every} = "
                f"{self.last_step}, and training has iterations 0 to {total_steps - 1} only. Train for "
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
        t = whole_number(t, "t", 0, "MagnitudePruner.step", "training iterations")
        sparsity = cubic_sparsity(t, self.final_sparsity, self.start, self.every, self.count)
        groups = [self.weights] if self.scope == "global" else [{name: w} for name, w in self.weights.items()]
        behind = []
        for group in groups:
            size = sum(weight.size for weight in group.values())
            goal = min(round(sparsity * size), size - 1)  # a layer without any weight would cut the network in two
            if goal > sum(weight.pruned for weight in group.values()):
                behind.append((group, goal))
        _check_ordered([group for group, _ in behind])
        for group, goal in behind:
            _mask_smallest(list(group.values()), goal)


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


def _mask_smallest(weights: list[Parameter], count: int) -> None:
    """Mask exactly ``count`` weights in all, those of least magnitude: ties are counted, never compared."""
    xp = array_module(weights[0].data)
    left = [xp.ones(w.shape, bool) if w.mask is None else w.mask for w in weights]  # what is pruned stays pruned
    magnitudes = xp.concatenate([abs(w.data[there]) for w, there in zip(weights, left, strict=True)])
    more = count - (sum(w.size for w in weights) - magnitudes.size)
    threshold = xp.partition(magnitudes, more - 1)[more - 1]
    keep = magnitudes > threshold
    ties = xp.flatnonzero(magnitudes == threshold)
    keep[ties[more - int((magnitudes < threshold).sum()) :]] = True
    start = 0
    for weight, there in zip(weights, left, strict=True):
        stop = start + int(there.sum())
        mask = xp.zeros(weight.size, bool)
        mask[xp.flatnonzero(there)[keep[start:stop]]] = True
        weight.mask, start = mask.reshape(weight.shape), stop


def _check_ordered(groups: list[dict[str, Parameter]]) -> None:
    """NaN is neither smaller nor larger than other weights."""
    lost = [name for group in groups for name, w in group.items() if bool(array_module(w.data).isnan(w.data).any())]
    if lost:
        raise ValueError(
            f"MagnitudePruner: weights of {', '.join(lost)} are NaN, and cannot be ordered by size: train again from "
            "weights that are finite, with a lower learning rate"
        )


def _pruning_steps(t: int, start: int, every: int, count: int) -> int:
    """How many pruning intervals have passed at iteration t, at most ``count``; negative before ``start``."""
    return min((t - start) // every, count)


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


def _checked_schedule(name: str, start: Any, every: Any, count: Any, **finals: Any) -> tuple[float, int, int, int]:
    (final,) = (number(final, key, "[0, 1)", name, ": 0.9 is 90 %") for key, final in finals.items())
    every, count = whole_numbers(name, 1, "training iterations", every=every, count=count)
    return final, whole_number(start, "start", 0, name, "training iterations"), every, count
