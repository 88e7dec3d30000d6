"""Networks whose layers learn which of their weights are noise: made, pruned, and made plain again."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ..checks import number, whole_number
from ..nn import Conv2d, Linear, Module, VariationalConv2d, VariationalLinear
from ..nn.noisy import FIRST_LOG_VARIANCE, Noisy
from ..tensor import Parameter
from .gates import GatedConv2d, GatedLinear
from .magnitude import chosen_weights
from .scopes import Pruner, check_scope, prune, refuse_nan


def variational(
    model: Module,
    exclude: str | Iterable[str] = (),
    log_variance: float = FIRST_LOG_VARIANCE,
    rng: np.random.Generator | None = None,
) -> Module:
    """Make layers ``nn.VariationalLinear`` and ``nn.VariationalConv2d``, in place, with the same Parameters.

    Parameters
    ----------
    model : Module
    exclude : names of modules
        Which layers, or modules with everything within, to leave as they are.
    log_variance : float
        log sigma^2 at first.
    rng : numpy.random.Generator, optional
        Of the randomness; by default the "dropout" stream that ``md.manual_seed`` resets.

    Returns
    -------
    Module
        The model itself; when that is a single layer, what takes its place.

    References
    ----------
    Molchanov, Ashukha and Vetrov, "Variational dropout sparsifies deep neural networks", 2017, arXiv:1701.05369.

    Examples
    --------
    >>> import minidl as md
    >>> model = md.compress.variational(md.models.fc5(image_size=8, channels=1))
    >>> objective = md.objectives.Penalized(weight=1 / 1438, ramp=(50, 200))  # for md.fit, with 1438 images
    >>> after_step = [md.compress.NoisePruner(model, at=300)]
    """
    start = number(log_variance, "log_variance", "(-inf, inf)", "variational")
    return _replaced(model, exclude, {Linear: VariationalLinear, Conv2d: VariationalConv2d}, start, rng, "variational")


def l0(
    model: Module,
    exclude: str | Iterable[str] = (),
    open_at_first: float = 0.9,
    rng: np.random.Generator | None = None,
) -> Module:
    """Give every weight of the layers a gate that learns to close (l0 regularisation), in place.

    Parameters
    ----------
    model, exclude, rng
        As for ``variational``.
    open_at_first : float in (0, 1)
        log alpha of all gates begins at log(p / (1 - p)) for this p; by ``hard_concrete_open`` more of them are open
        than that: 0.978 of them at 0.9, and 0.832 at 0.5.

    Returns
    -------
    Module
        The model itself; when that is a single layer, what takes its place.

    References
    ----------
    Louizos, Welling and Kingma, "Learning sparse neural networks through L0 regularization", ICLR 2018,
    arXiv:1712.01312.

    Examples
    --------
    >>> import minidl as md
    >>> model = md.compress.l0(md.models.fc5(image_size=8, channels=1))
    >>> type(model[-1]).__name__
    'GatedLinear'
    """
    p = number(open_at_first, "open_at_first", "(0, 1)", "l0")
    return _replaced(model, exclude, {Linear: GatedLinear, Conv2d: GatedConv2d}, math.log(p / (1 - p)), rng, "l0")


def plain(model: Module) -> Module:
    """Put plain layers in the place of noisy ones, in place, with their Parameters: what is kept, and saved in files.

    Layers that no pruner has settled are settled by their own rule: log alpha <= 3, or a gate that is not 0.

    Parameters
    ----------
    model : Module

    Returns
    -------
    Module
        The model itself; when that is a single layer, what takes its place.

    Examples
    --------
    >>> import minidl as md
    >>> model = md.compress.plain(md.compress.l0(md.models.fc5(image_size=8, channels=1)))
    >>> type(model[-1]).__name__, model[-1].weight.pruned
    ('Linear', 0)
    """
    noisy = {name: layer for name, layer in model.named_modules() if isinstance(layer, Noisy)}
    _refuse_nan(noisy, "plain")
    twins: dict[Module, Module] = {layer: layer.plain() for layer in noisy.values()}
    model.replace_modules(lambda _, layer: twins.get(layer, layer))
    return twins.get(model, model)


class NoisePruner(Pruner):
    """Once, when most of the training is done, prune the weights that are noise; from then on the others are trained.

    Each noisy layer gets a mask, which ends its randomness and its penalty. The masks are as any pruner's.

    Parameters
    ----------
    model : Module
        With layers that ``variational`` or ``l0`` have put there.
    at : int
        The training iteration, counted from 0.
    sparsity : float in [0, 1), optional
        How large a part of these layers' weights to prune, those that are noise by the most. By default those are
        pruned whose log alpha is above 3, or whose gate is 0.
    scope : {"layer", "global", "erk"}
        As for ``MagnitudePruner``, where a sparsity is given.

    Attributes
    ----------
    sparsity : float
        The part of the weights that are pruned now.

    Raises
    ------
    TypeError, ValueError
        When a number is out of its range, the scope unknown, or the model has no noisy layer.

    Examples
    --------
    >>> import minidl as md
    >>> model = md.compress.variational(md.models.fc5(image_size=8, channels=1))
    >>> pruner = md.compress.NoisePruner(model, at=10, sparsity=0.9)
    >>> pruner.step(9); pruner.sparsity
    0.0
    >>> pruner.step(10); round(pruner.sparsity, 4)
    0.9
    """

    def __init__(self, model: Module, at: int, sparsity: float | None = None, scope: str = "global") -> None:
        self.at = whole_number(at, "at", 0, "NoisePruner", "training iterations")
        self.final_sparsity = sparsity
        if sparsity is not None:
            self.final_sparsity = number(sparsity, "sparsity", "[0, 1)", "NoisePruner", ": 0.9 is 90 %")
        self.scope = check_scope(scope, "NoisePruner")
        self._layers = {name: layer for name, layer in model.named_modules() if isinstance(layer, Noisy)}
        if not self._layers:
            raise ValueError(
                "NoisePruner: no layer of this model is noisy: call compress.variational or compress.l0 first"
            )
        self.weights = {name: layer.weight for name, layer in self._layers.items()}

    def check(self, total_steps: int) -> None:
        """Raise a ValueError unless the training comes to the iteration."""
        if self.at >= total_steps:
            raise ValueError(
                f"NoisePruner: it prunes at iteration {self.at}, and training has 0 to {total_steps - 1} only: "
                "train for longer, or prune earlier"
            )

    def step(self, t: int) -> None:
        """Prune at iteration ``at``, or after it where that was jumped over."""
        if whole_number(t, "t", 0, "NoisePruner.step", "training iterations") < self.at:
            return
        noisy = {name: layer for name, layer in self._layers.items() if layer.is_random()}
        if not noisy:
            return
        _refuse_nan(noisy, "NoisePruner.step")
        if self.final_sparsity is not None:
            scores = {layer.weight: layer.importance() for layer in noisy.values()}
            weights = {name: layer.weight for name, layer in noisy.items()}
            prune(weights, self.final_sparsity, self.scope, scores.__getitem__, "NoisePruner.step")
        for layer in noisy.values():
            mask = layer.weight.mask
            if mask is None:  # by its own rule; or, of a sparsity, nothing of this layer was among the least
                mask = layer.keeps() if self.final_sparsity is None else layer.keeps() | True
            layer.settle(mask)


def _refuse_nan(layers: Mapping[str, Noisy], who: str) -> None:
    """Of those that are still random, whose noise counts."""
    refuse_nan({name: (of.weight.data, of.noise.data) for name, of in layers.items() if of.is_random()}, who)


def _replaced(model: Module, exclude: Any, kinds: dict[type, type[Noisy]], start: float, rng: Any, who: str) -> Module:
    """Noisy twins of all layers whose kernels are chosen, in their place."""
    weights = {*chosen_weights(model, exclude, who).values()}
    twins: dict[Module, Module] = {}
    for name, layer in model.named_modules():
        if layer in twins or not any(isinstance(p, Parameter) and p in weights for p in vars(layer).values()):
            continue
        why = "is no plain Linear or Conv2d"
        if isinstance(layer, Linear | Conv2d) and type(layer) in kinds:
            if layer.weight.mask is None:
                twins[layer] = kinds[type(layer)].of(layer, start, rng)
                continue
            why = "is pruned already"
        what = name or type(model).__name__
        raise ValueError(f"{who}: {what} ({type(layer).__name__}) {why}: leave it as it is, with exclude={what!r}")
    model.replace_modules(lambda _, layer: twins.get(layer, layer))
    return twins.get(model, model)
